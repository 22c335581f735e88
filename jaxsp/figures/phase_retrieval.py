"""Real phase retrieval: weak recovery at 1/2, a hard phase, perfect recovery."""

from dataclasses import replace

from .. import channels, glm, priors
from . import _reference
from ._recovery import Recovery, amp_row, draw, threshold_row
from ._registry import Context, Figure


def make(context: Context) -> Figure:
    """Recovery of Gaussian weights from absolute values."""
    recovery = Recovery(
        name="phase-retrieval",
        title="Phase retrieval, Gaussian weights",
        model=glm.GLM(priors.Gaussian(), channels.AbsoluteValue()),
        alphas=(0.1, 1.5),
        measured_at=(0.3, 0.8, 1.0, 1.35),
        random_start=True,
        damping=0.2,
    )
    figure, found = draw(recovery, context)
    rows = [
        threshold_row(
            recovery, "weak-recovery threshold", found.weak_recovery, 0.5, 0.0,
            "Mondelli and Montanari 2019 (arXiv 1708.05932)",
        ),
        threshold_row(
            recovery, "information-theoretic threshold", found.information_theoretic, 1.0, 0.0,
            "arXiv 1708.03395",
        ),
        threshold_row(
            recovery, "algorithmic threshold", found.algorithmic,
            _reference.phase_retrieval_spinodal(), 1e-8, "numpy quadrature, scipy minimisation",
        ),
        threshold_row(
            recovery, "algorithmic threshold, literature", found.algorithmic, 1.128, 2e-3,
            "arXiv 1708.03395",
        ),
        *(amp_row(recovery, figure, alpha) for alpha in recovery.measured_at),
    ]  # fmt: skip
    return replace(figure, rows=rows)
