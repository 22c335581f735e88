"""Learning curves: branches that are optimal, metastable or unstable, and thresholds between them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ._style import COLORS, drawn_on

# Optimal, metastable, unstable.
_STYLES = ("-", "--", ":")
# The thresholds of a model, in the order of the legend.
_THRESHOLDS = {
    "weak_recovery": ("weak recovery", "grey"),
    "information_theoretic": ("information-theoretic", "green"),
    "algorithmic": ("algorithmic", "red"),
    "informative_spinodal": ("informative spinodal", "purple"),
}


def branches(
    x: ArrayLike,
    y: ArrayLike,
    *,
    stable: ArrayLike | None = None,
    optimal: ArrayLike | None = None,
    label: str | None = None,
    color: str = COLORS["blue"],
    ax: Axes | None = None,
) -> Axes:
    """A curve through fixed points: solid where optimal, dashed where metastable, dotted where unstable.

    The points are joined in the order in which they come, so that a curve may turn back, as the
    S-shape between two spinodals does: give it along the overlap, the snr or its arc length. Points
    that are not finite are gaps.

    Args:
        x: the parameter, `(n,)`.
        y: the quantity, `(n,)`.
        stable: whether each point is a stable fixed point, `(n,)`; all of them if None.
        optimal: whether each point is the optimal one, `(n,)`; all the stable ones if None.
        label: of the legend.
        color: of the curve.
        ax: the axes; new ones if None.

    Example:
        >>> ax = branches([1.0, 2.0, 1.5], [0.5, 0.3, 0.1], stable=[True, True, False])
        >>> [line.get_linestyle() for line in ax.lines]
        ['-', ':']
    """
    x, y = np.asarray(x), np.asarray(y)
    is_stable = np.ones(x.shape, bool) if stable is None else np.asarray(stable, bool)
    is_optimal = is_stable if optimal is None else np.asarray(optimal, bool) & is_stable
    for name, array in (("y", y), ("stable", is_stable), ("optimal", is_optimal)):
        if x.ndim != 1 or array.shape != x.shape:
            raise ValueError(
                f"Arguments `x` and `{name}` must have one shape (n,), "
                f"but have shapes {x.shape} and {array.shape}."
            )
    ax = drawn_on(ax)
    kind = np.where(is_optimal, 0, np.where(is_stable, 1, 2))
    cuts = np.flatnonzero(np.diff(kind)) + 1
    for start, stop in zip([0, *cuts], [*cuts, x.size], strict=True):
        # One point further, so that the pieces of a continuous curve touch.
        piece = slice(start, stop + 1)
        style = _STYLES[kind[start]] if x.size else "-"
        ax.plot(x[piece], y[piece], linestyle=style, color=color, label=label)
        label = None
    return ax


def threshold(
    value: float,
    label: str | None = None,
    *,
    color: str = COLORS["grey"],
    along: str = "x",
    ax: Axes | None = None,
) -> Axes:
    """A line at a threshold, with its value in the legend; nothing if it is not finite.

    Args:
        value: where it is.
        label: what it is.
        color: of the line.
        along: the axis, "x" or "y", that the threshold is a value of.
        ax: the axes; new ones if None.
    """
    if along not in ("x", "y"):
        raise ValueError(f"Argument `along` must be 'x' or 'y', but is {along!r}.")
    ax = drawn_on(ax)
    value = float(value)
    if math.isfinite(value):
        draw = ax.axvline if along == "x" else ax.axhline
        text = None if label is None else f"{label} {value:.4f}"
        draw(value, color=color, linewidth=1, linestyle=":", label=text)
    return ax


def thresholds(found: Any, *, along: str = "x", shade: bool = True, ax: Axes | None = None) -> Axes:
    """The thresholds of a model as lines, and its hard phase as a shaded band.

    Args:
        found: what `jaxsp.glm.thresholds` returns, or a mapping from labels to values.
        along: the axis, "x" or "y", on which the parameter is.
        shade: whether to shade the hard phase.
        ax: the axes; new ones if None.

    Example:
        >>> ax = thresholds({"easy above": 1.49, "never": float("inf")})
        >>> [line.get_label() for line in ax.lines]
        ['easy above 1.4900']
    """
    ax = drawn_on(ax)
    if isinstance(found, Mapping):
        cycle = ("green", "red", "purple", "grey")
        for index, (label, value) in enumerate(found.items()):
            threshold(value, label, color=COLORS[cycle[index % 4]], along=along, ax=ax)
        return ax
    if shade:
        hard_phase(*found.hard_phase, along=along, ax=ax)
    for name, (label, color) in _THRESHOLDS.items():
        if bool(getattr(found.exists, name)):
            threshold(float(getattr(found, name)), label, color=COLORS[color], along=along, ax=ax)
    return ax


def hard_phase(low: Any, high: Any, *, along: str = "x", ax: Axes | None = None) -> Axes:
    """Shade the interval in which learning is possible but AMP fails; nothing if it is empty.

    Args:
        low: the information-theoretic threshold.
        high: the algorithmic threshold.
        along: the axis, "x" or "y", on which the parameter is.
        ax: the axes; new ones if None.
    """
    ax = drawn_on(ax)
    low, high = float(low), float(high)
    if math.isfinite(low) and math.isfinite(high) and high > low:
        draw = ax.axvspan if along == "x" else ax.axhspan
        draw(low, high, color=COLORS["orange"], alpha=0.18, linewidth=0, label="hard phase")
    return ax
