"""Measured points with error bars, to lie over a theory curve."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from .._checks import check_number
from ._style import COLORS, drawn_on


def measurements(
    x: ArrayLike,
    mean: ArrayLike,
    error: ArrayLike,
    *,
    label: str | None = None,
    color: str = COLORS["blue"],
    marker: str = "o",
    ax: Axes | None = None,
) -> Axes:
    """Points with error bars.

    Args:
        x: where they were measured, `(n,)`.
        mean: what was found, `(n,)`.
        error: its standard error, `(n,)`.
        label: of the legend.
        color: of points and bars.
        marker: of the points.
        ax: the axes; new ones if None.

    Example:
        >>> ax = measurements([0.5, 1.0], [0.3, 0.2], [0.02, 0.01], label="AMP")
        >>> ax.get_legend_handles_labels()[1]
        ['AMP']
    """
    check_number("error", error, minimum=0.0)
    ax = drawn_on(ax)
    ax.errorbar(
        np.asarray(x), np.asarray(mean), np.asarray(error), fmt=marker, color=color, markersize=4,
        capsize=2, linewidth=1, label=label,
    )  # fmt: skip
    return ax


def instances(
    x: ArrayLike,
    values: ArrayLike,
    *,
    label: str | None = None,
    color: str = COLORS["blue"],
    marker: str = "o",
    ax: Axes | None = None,
) -> Axes:
    """Means over finite-size instances, with their standard errors.

    Args:
        x: where they were measured, `(n,)`.
        values: one row for each instance, `(instances, n)`, at least two.
        label: of the legend.
        color: of points and bars.
        marker: of the points.
        ax: the axes; new ones if None.

    Example:
        >>> ax = instances([1.0, 2.0], [[0.2, 0.1], [0.3, 0.1], [0.2, 0.1]], label="AMP, p = 1000")
        >>> len(ax.containers)
        1
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[0] < 2:
        raise ValueError(
            "Argument `values` must have shape (instances, n) with at least two instances, "
            f"but has shape {values.shape}."
        )
    error = values.std(axis=0, ddof=1) / np.sqrt(values.shape[0])
    return measurements(
        x, values.mean(axis=0), error, label=label, color=color, marker=marker, ax=ax
    )
