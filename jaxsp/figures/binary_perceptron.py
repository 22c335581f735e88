"""The binary perceptron: both branches, two transitions, and the hard phase between them."""

import jax.numpy as jnp
import numpy as np

from .. import channels, glm, priors
from . import _draw, _experiment, _reference
from ._registry import Context, Figure
from ._report import Row

NAME = "binary-perceptron"


def make(context: Context) -> Figure:
    """Both branches of the generalisation error, with AMP on instances on top."""
    model = glm.GLM(priors.Rademacher(), channels.Sign())
    found = glm.thresholds(model)
    transition, spinodal = float(found.information_theoretic), float(found.algorithmic)

    # The uninformed branch ends at its spinodal like a square root: points crowd there.
    count = 40 if context.quick else 120
    alphas = spinodal - (spinodal - 0.05) * jnp.linspace(1.0, 1e-4, count) ** 2
    measured_at = [0.4, 0.8, 1.2, 1.35, 1.65, 1.8]
    curve, at_measured, at_transition = _experiment.branches(model, alphas, measured_at, transition)
    branch = curve.uninformed

    weights, repeats = (800, 4) if context.quick else (4000, 8)
    # Without noise and undamped, AMP overshoots on finite instances once few weights are wrong.
    amp = _experiment.amp_overlaps(model, measured_at, weights, repeats, context, damping=0.3)
    amp_errors = _experiment.classification_errors(amp)

    figure, ax = _draw.axes(
        "Binary perceptron", r"$\alpha = n/p$", "probability of a wrong label, Bayes-optimal"
    )
    error = np.asarray(branch.classification_error)
    optimal = np.asarray(alphas) <= transition
    ax.plot(alphas[optimal], error[optimal], color=_draw.BLUE, label="optimal")
    ax.plot(
        alphas[~optimal], error[~optimal], color=_draw.BLUE, linestyle="--", label="reached by AMP"
    )
    ax.plot([transition, 2.0], [0, 0], color=_draw.BLUE, linewidth=3, clip_on=False)
    ax.plot(
        [0, transition], [0, 0], color=_draw.GREY, linestyle="--", label="metastable", clip_on=False
    )
    _draw.hard_phase(ax, transition, spinodal)
    _draw.threshold(ax, transition, "information-theoretic", _draw.GREEN)
    _draw.threshold(ax, spinodal, "algorithmic", _draw.RED)
    _draw.instances(ax, measured_at, amp_errors, f"AMP, p = {weights}", _draw.BLUE)
    ax.set(xlim=(0, 2), ylim=(-0.01, 0.5))
    ax.legend(frameon=False)

    data = _draw.dataset(
        {
            "alpha": ("alpha", alphas, "samples per weight"),
            "alpha_measured": ("alpha_measured", measured_at, "samples per weight of instances"),
        },
        {
            "overlap": ("alpha", branch.overlap, "overlap of the uninformed branch"),
            "free_entropy": ("alpha", branch.free_entropy, "its free entropy per weight"),
            "classification_error": (
                "alpha",
                branch.classification_error,
                "its Bayes-optimal 0/1 error",
            ),
            "gibbs_error": ("alpha", branch.gibbs_error, "its 0/1 error of one posterior sample"),
            "amp_error": (("instance", "alpha_measured"), amp_errors, "0/1 error of AMP"),
            "information_theoretic": ((), transition, "information-theoretic threshold"),
            "algorithmic": ((), spinodal, "algorithmic threshold"),
        },
    )
    rows = _threshold_rows(transition, spinodal)
    # Perfect recovery wins where the uninformed branch's entropy is that of the weights.
    rows.append(Row(f"{NAME}/free entropy where the branches are equal",
                    float(at_transition.uninformed.free_entropy[0]), 1e-9,
                    -float(np.log(2)), 0.0, "minus the entropy of binary weights"))  # fmt: skip
    expected = np.asarray(at_measured.uninformed.classification_error)
    for alpha in (1.2, 1.65):
        column = measured_at.index(alpha)
        errors = amp_errors[:, column]
        rows.append(Row(f"{NAME}/AMP's error at alpha = {alpha:g}", float(errors.mean()),
                        5 * _experiment.standard_error(errors) + 1e-6, float(expected[column]), 1e-9,
                        "state evolution; five standard errors over instances"))  # fmt: skip
    return Figure(figure, data, rows)


def _threshold_rows(transition: float, spinodal: float) -> list[Row]:
    expected_transition, expected_spinodal = _reference.binary_perceptron_thresholds()
    rows = []
    for name, value, expected, printed in (
        ("information-theoretic threshold", transition, expected_transition, 1.245),
        ("algorithmic threshold", spinodal, expected_spinodal, 1.493),
    ):
        rows.append(Row(f"{NAME}/{name}", value, 1e-9, expected, 1e-8,
                        "scipy quadrature, minimisation and brentq"))  # fmt: skip
        rows.append(Row(f"{NAME}/{name}, literature", value, 1e-9, printed, 5e-4,
                        "Gyorgyi 1990 (arXiv 1708.03395 prints 1.249 and 1.493)"))  # fmt: skip
    return rows
