"""ReLU outputs and sparse weights: half of the outputs tell only a sign."""

from dataclasses import replace

from .. import channels, glm, priors
from . import _reference
from ._recovery import Recovery, amp_row, draw, threshold_row
from ._registry import Context, Figure

SPARSITY = 0.2


def make(context: Context) -> Figure:
    """Recovery of Gauss-Bernoulli weights from noiseless ReLU outputs."""
    recovery = Recovery(
        name="relu-sparse",
        title=f"ReLU, Gauss-Bernoulli weights of sparsity {SPARSITY}",
        model=glm.GLM(priors.GaussBernoulli(sparsity=SPARSITY), channels.ReLU()),
        alphas=(0.02, 1.2),
        measured_at=(0.15, 0.3, 0.45, 0.9, 1.1),
    )
    figure, found = draw(recovery, context)
    rows = [
        threshold_row(
            recovery, "information-theoretic threshold", found.information_theoretic, 2 * SPARSITY,
            0.0, "two outputs for each weight that is not zero (arXiv 1708.03395)",
        ),
        threshold_row(
            recovery, "algorithmic threshold", found.algorithmic,
            _reference.sparse_relu_spinodal(SPARSITY), 1e-8, "numpy quadrature, scipy minimisation",
        ),
        amp_row(recovery, figure, 0.3),
    ]  # fmt: skip
    return replace(figure, rows=rows)
