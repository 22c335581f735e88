"""Linear regression: Gaussian weights, whose closed form is Marchenko and Pastur's, and sparse ones."""

import jax.numpy as jnp

from .. import channels, glm, priors
from . import _draw, _experiment, _reference
from ._registry import Context, Figure
from ._report import Row

NAME = "linear-regression"
NOISE, SPARSITY = 0.01, 0.2
# Where the closed forms are compared.
_CHECKED = (0.5, 2.0)


def make(context: Context) -> Figure:
    """Mean squared error against alpha, with AMP on instances on top."""
    channel = channels.Linear(noise_variance=NOISE)
    dense = glm.GLM(priors.Gaussian(variance=SPARSITY), channel)
    sparse = glm.GLM(priors.GaussBernoulli(sparsity=SPARSITY), channel)
    alphas = jnp.linspace(0.02, 2.0, 40 if context.quick else 160)
    measured_at = [0.25, 0.5, 1.0, 1.5]
    dense_curve, checked = _experiment.branches(dense, alphas, _CHECKED)
    sparse_curve, at_measured = _experiment.branches(sparse, alphas, measured_at)
    dense_error, sparse_error = (
        curve.optimal.mean_squared_error for curve in (dense_curve, sparse_curve)
    )
    weights, repeats = (500, 4) if context.quick else (3000, 8)
    amp = _experiment.amp_overlaps(sparse, measured_at, weights, repeats, context)

    figure, ax = _draw.axes(
        f"Linear regression, noise variance {NOISE}",
        r"$\alpha = n/p$",
        "mean squared error of the weights",
    )
    ax.plot(alphas, dense_error, color=_draw.BLUE, label="Gaussian weights")
    ax.plot(alphas, sparse_error, color=_draw.RED, label=f"sparse weights, sparsity {SPARSITY}")
    _draw.instances(ax, measured_at, amp["error"], f"AMP, p = {weights}", _draw.RED)
    ax.set(xlim=(0, 2), yscale="log")
    ax.legend(frameon=False)

    data = _draw.dataset(
        {
            "alpha": ("alpha", alphas, "samples per weight"),
            "alpha_measured": ("alpha_measured", measured_at, "samples per weight of instances"),
        },
        {
            "gaussian_error": ("alpha", dense_error, "error of Gaussian weights"),
            "sparse_error": ("alpha", sparse_error, "error of Gauss-Bernoulli weights"),
            "amp_error": (
                ("instance", "alpha_measured"), amp["error"], "error of AMP, sparse weights",
            ),
        },
    )  # fmt: skip
    column = measured_at.index(1.0)
    expected = float(at_measured.uninformed.mean_squared_error[column])
    errors = amp["error"][:, column]
    rows = [
        *_closed_form_rows(checked.optimal),
        Row(f"{NAME}/AMP's squared error at alpha = 1, sparse", float(errors.mean()),
            5 * _experiment.standard_error(errors), expected, 1e-9,
            "state evolution; five standard errors over instances"),
    ]  # fmt: skip
    return Figure(figure, data, rows)


def _closed_form_rows(checked: glm.Solution) -> list[Row]:
    """Error and information of Gaussian weights; in units of their variance the noise is larger."""
    rows = []
    noise = NOISE / SPARSITY
    for index, alpha in enumerate(_CHECKED):
        error = SPARSITY * _reference.marchenko_pastur_error(alpha, noise)
        rows.append(Row(f"{NAME}/error at alpha = {alpha:g}, Gaussian",
                        float(checked.mean_squared_error[index]), 1e-11, error, 1e-12,
                        "closed form (Marchenko and Pastur 1967)"))  # fmt: skip
        information = _reference.marchenko_pastur_information(alpha, noise)
        rows.append(Row(f"{NAME}/information at alpha = {alpha:g}, Gaussian",
                        float(checked.mutual_information[index]), 1e-10, information, 1e-10,
                        "log-determinant over the Marchenko-Pastur spectrum"))  # fmt: skip
    return rows
