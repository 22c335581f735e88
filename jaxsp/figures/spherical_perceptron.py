"""The spherical perceptron: what is optimal, what AMP reaches, what logistic regression does."""

import jax.numpy as jnp
import numpy as np

from .. import channels, glm, priors
from . import _draw, _experiment, _reference
from ._registry import Context, Figure
from ._report import Row

NAME = "spherical-perceptron"
# Where the expansion at large alpha is extrapolated from, and where the errors are checked.
_LARGE, _CHECKED = (1e3, 2e3, 4e3), (2.0, 50.0)


def make(context: Context) -> Figure:
    """Generalisation error against alpha, with instances on top."""
    model = glm.GLM(priors.Gaussian(), channels.Sign())
    alphas = jnp.linspace(0.05, 6.0, 40 if context.quick else 120)
    measured_at = [0.5, 1.0, 2.0, 3.0, 4.0, 5.5]
    curve, large, checked = (
        found.optimal for found in _experiment.branches(model, alphas, _LARGE, _CHECKED)
    )

    weights, repeats = (500, 4) if context.quick else (4000, 8)
    amp = _experiment.amp_overlaps(model, measured_at, weights, repeats, context)
    amp_errors = _experiment.classification_errors(amp)
    logistic = _experiment.logistic_errors(model, measured_at, weights // 2, repeats, context)

    figure, ax = _draw.axes(
        "Spherical perceptron", r"$\alpha = n/p$", "probability of a wrong label"
    )
    ax.plot(
        alphas,
        np.asarray(curve.gibbs_error),
        color=_draw.GREY,
        linestyle="--",
        label="Gibbs student",
    )
    ax.plot(alphas, np.asarray(curve.classification_error), color=_draw.BLUE, label="Bayes-optimal")
    _draw.instances(ax, measured_at, amp_errors, f"AMP, p = {weights}", _draw.BLUE)
    label = f"logistic regression, p = {weights // 2}"
    _draw.instances(ax, measured_at, logistic, label, _draw.RED, marker="s")
    ax.set(ylim=(0, 0.5), xlim=(0, 6))
    ax.legend(frameon=False)

    data = _draw.dataset(
        {
            "alpha": ("alpha", alphas, "samples per weight"),
            "alpha_measured": ("alpha_measured", measured_at, "samples per weight of instances"),
        },
        {
            "overlap": ("alpha", curve.overlap, "overlap with the teacher"),
            "free_entropy": ("alpha", curve.free_entropy, "free entropy per weight"),
            "generalization_error": (
                "alpha", curve.generalization_error, "least mean squared error of the label",
            ),
            "classification_error": (
                "alpha", curve.classification_error, "0/1 error of the Bayes-optimal classifier",
            ),
            "gibbs_error": ("alpha", curve.gibbs_error, "0/1 error of one posterior sample"),
            "amp_error": (("instance", "alpha_measured"), amp_errors, "0/1 error of AMP"),
            "logistic_error": (
                ("instance", "alpha_measured"), logistic, "0/1 error of logistic regression",
            ),
        },
    )  # fmt: skip
    rows = [*_expansion_rows(large), *_error_rows(checked)]
    errors = amp_errors[:, measured_at.index(2.0)]
    expected = float(np.asarray(checked.classification_error)[_CHECKED.index(2.0)])
    rows.append(Row(f"{NAME}/AMP's error at alpha = 2", float(errors.mean()),
                    5 * _experiment.standard_error(errors), expected, 1e-9,
                    "state evolution; five standard errors over instances"))  # fmt: skip
    return Figure(figure, data, rows)


def _expansion_rows(large: glm.Solution) -> list[Row]:
    gibbs, bayes = _reference.spherical_perceptron_coefficients()
    scaled = np.array(_LARGE) * np.array([large.gibbs_error, large.classification_error])
    # Corrections are powers of 1 / alpha: two Richardson steps, the second as uncertainty.
    first = 2 * scaled[:, 1:] - scaled[:, :-1]
    limit = (4 * first[:, 1] - first[:, 0]) / 3
    spread = np.abs(limit - first[:, 1]) + 1e-9
    rows = []
    for index, (error, quadrature, printed) in enumerate(
        (("Gibbs", gibbs, 0.625), ("Bayes-optimal", bayes, 0.442))
    ):
        name = f"{NAME}/{error} error times alpha at large alpha"
        value, uncertainty = float(limit[index]), float(spread[index])
        rows.append(Row(name + ", expansion", value, uncertainty, quadrature, 1e-9,
                        "asymptotic expansion, scipy quadrature"))  # fmt: skip
        rows.append(Row(name + ", literature", value, uncertainty, printed, 5e-4,
                        "Gyorgyi and Tishby 1990; Opper and Haussler 1991"))  # fmt: skip
    return rows


def _error_rows(checked: glm.Solution) -> list[Row]:
    rows = []
    for alpha, found in zip(_CHECKED, np.asarray(checked.gibbs_error), strict=True):
        V = _reference.spherical_perceptron_error_variance(alpha)
        value = float(found)
        expected = 2 * np.arcsin(np.sqrt(V / 2)) / np.pi
        rows.append(Row(f"{NAME}/Gibbs error at alpha = {alpha:g}", value, 1e-10 * value, expected,
                        1e-9 * expected, "scipy quadrature and brentq"))  # fmt: skip
    return rows
