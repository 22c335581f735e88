"""The shape that the other generalised linear models of arXiv 1708.03395 share: error against alpha."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import glm
from . import _draw, _experiment
from ._registry import Context, Figure
from ._report import Row


@dataclass(frozen=True)
class Recovery:
    """A model whose recovery is drawn, and how.

    Attributes:
        name: of the figure.
        title: of the picture.
        model: the GLM.
        alphas: the range that is drawn.
        measured_at: where AMP is run.
        random_start: whether AMP needs one, because the prior's mean is a fixed point.
        damping: of AMP.
    """

    name: str
    title: str
    model: glm.GLM
    alphas: tuple[float, float]
    measured_at: Sequence[float]
    random_start: bool = False
    damping: float = 0.0


def draw(recovery: Recovery, context: Context) -> tuple[Figure, glm.Thresholds]:
    """Mean squared error of the weights against alpha, thresholds, and AMP on instances."""
    model = recovery.model
    found = glm.thresholds(model)
    alphas = np.linspace(*recovery.alphas, 40 if context.quick else 160)
    # Jumps are drawn upright: one point on either side.
    jumps = np.array([found.information_theoretic, found.algorithmic])
    jumps = jumps[np.isfinite(jumps)]
    alphas = np.sort(np.concatenate([alphas, jumps * (1 - 1e-6), jumps * (1 + 1e-6)]))
    rho = float(model.prior.second_moment())
    curve, at_measured = _experiment.branches(model, alphas, recovery.measured_at)
    optimal, reached = curve.optimal.mean_squared_error, curve.uninformed.mean_squared_error
    weights, repeats = (600, 4) if context.quick else (3000, 8)
    amp = _experiment.amp_overlaps(
        model, recovery.measured_at, weights, repeats, context,
        random_start=recovery.random_start, damping=recovery.damping,
    )  # fmt: skip

    figure, ax = _draw.axes(recovery.title, r"$\alpha = n/p$", "mean squared error of the weights")
    ax.plot(alphas, np.asarray(optimal) / rho, color=_draw.BLUE, label="optimal")
    ax.plot(
        alphas, np.asarray(reached) / rho, color=_draw.RED, linestyle="--", label="state evolution"
    )
    _draw.instances(ax, recovery.measured_at, amp["error"] / rho, f"AMP, p = {weights}", _draw.RED)
    low, high = (float(x) for x in found.hard_phase)
    if np.isfinite(low) and high > low:
        _draw.hard_phase(ax, low, high)
    for name, label, color in (
        ("weak_recovery", "weak recovery", _draw.GREY),
        ("information_theoretic", "information-theoretic", _draw.GREEN),
        ("algorithmic", "algorithmic", _draw.PURPLE),
    ):
        if bool(getattr(found.exists, name)):
            _draw.threshold(ax, float(getattr(found, name)), label, color)
    ax.set(xlim=recovery.alphas, ylim=(-0.02, 1.1))
    ax.legend(frameon=False, fontsize=8)

    data = _draw.dataset(
        {
            "alpha": ("alpha", alphas, "samples per weight"),
            "alpha_measured": (
                "alpha_measured", list(recovery.measured_at), "samples per weight of instances",
            ),
        },
        {
            "optimal_error": ("alpha", optimal, "minimal mean squared error of a weight"),
            "reached_error": ("alpha", reached, "mean squared error of a weight after state evolution"),
            "amp_error": (("instance", "alpha_measured"), amp["error"], "squared error of AMP"),
            "amp_expected_error": (
                "alpha_measured", at_measured.uninformed.mean_squared_error,
                "squared error after state evolution",
            ),
            "weak_recovery": ((), float(found.weak_recovery), "weak-recovery threshold"),
            "information_theoretic": (
                (), float(found.information_theoretic), "information-theoretic threshold",
            ),
            "algorithmic": ((), float(found.algorithmic), "algorithmic threshold"),
        },
    )  # fmt: skip
    return Figure(figure, data, []), found


def threshold_row(
    recovery: Recovery, what: str, value, reference: float, uncertainty: float, source: str
) -> Row:
    """A threshold, computed to nine digits, beside its reference."""
    return Row(f"{recovery.name}/{what}", float(value), 1e-9, reference, uncertainty, source)


def amp_row(recovery: Recovery, figure: Figure, alpha: float) -> Row:
    """AMP's error at one alpha beside state evolution."""
    measured = figure.data.sel(alpha_measured=alpha)
    errors, expected = measured["amp_error"].to_numpy(), float(measured["amp_expected_error"])
    return Row(
        f"{recovery.name}/AMP's squared error at alpha = {alpha:g}", float(errors.mean()),
        5 * _experiment.standard_error(errors) + 1e-6, expected, 1e-9,
        "state evolution; five standard errors over instances",
    )  # fmt: skip
