"""Diagrams in a plane of two parameters: regions between thresholds, and maps with contour lines."""

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ._style import COLORS, drawn_on

_HATCH = {"edgecolor": "#00000055", "linewidth": 0.0}


def phase_diagram(
    x: ArrayLike,
    information_theoretic: ArrayLike,
    algorithmic: ArrayLike,
    *,
    informative_spinodal: ArrayLike | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Shade where learning is impossible, hard and easy, between two thresholds as curves.

    The thresholds are values on the vertical axis. Where one of them is not finite, as beyond the
    critical point in which a first-order line ends, nothing is shaded.

    Args:
        x: the parameter on the horizontal axis, increasing, `(n,)`.
        information_theoretic: from where on learning is possible, `(n,)`.
        algorithmic: from where on it is easy, `(n,)`.
        informative_spinodal: where the informative branch first exists, `(n,)`; a line only.
        limits: ends of the vertical axis; a tenth beyond the thresholds if None.
        ax: the axes; new ones if None.

    Example:
        >>> ax = phase_diagram([0.0, 0.01], [1.24, 1.3], [1.49, 1.4], limits=(1.0, 1.6))
        >>> [handle.get_label() for handle in ax.collections]
        ['impossible', 'hard', 'easy']
    """
    x, low, high = (np.asarray(a, float) for a in (x, information_theoretic, algorithmic))
    lines = [low, high]
    if informative_spinodal is not None:
        lines.append(np.asarray(informative_spinodal, float))
    for line in lines:
        if x.ndim != 1 or line.shape != x.shape:
            raise ValueError(
                "Argument `x` and the thresholds must have one shape (n,), "
                f"but have shapes {x.shape} and {line.shape}."
            )
    if np.any(np.diff(x) <= 0):
        raise ValueError("Argument `x` must be increasing.")
    there = np.isfinite(low) & np.isfinite(high)
    if limits is None:
        drawn = np.concatenate([line[there & np.isfinite(line)] for line in lines])
        if drawn.size == 0:
            raise ValueError("Argument `limits` must be given where no threshold exists.")
        margin = 0.1 * (np.ptp(drawn) or 1.0)
        limits = (float(drawn.min() - margin), float(drawn.max() + margin))
    ax = drawn_on(ax)
    bottom, top = limits
    shades = (
        ("impossible", bottom, low, COLORS["grey"], ".."),
        ("hard", low, high, COLORS["orange"], "//"),
        ("easy", high, top, COLORS["sky"], None),
    )
    for label, lower, upper, color, hatch in shades:
        ax.fill_between(
            x, np.clip(lower, bottom, top), np.clip(upper, bottom, top), where=there,
            facecolor=color, alpha=0.25, hatch=hatch, label=label, **_HATCH,
        )  # fmt: skip
    ax.plot(x[there], low[there], color=COLORS["green"], label="information-theoretic")
    ax.plot(x[there], high[there], color=COLORS["red"], linestyle="--", label="algorithmic")
    if informative_spinodal is not None:
        ax.plot(x, lines[2], color=COLORS["purple"], linestyle=":", label="informative spinodal")
    ax.set(xlim=(x[0], x[-1]), ylim=limits)
    return ax


def contour_map(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    levels: int | Sequence[float] | None = 6,
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A quantity over a plane of two parameters, as a map with labelled contour lines.

    What is not finite (a point that failed) is hatched, so that it is not taken for a value.

    Args:
        x: the parameter on the horizontal axis, `(n,)`.
        y: the parameter on the vertical axis, `(m,)`.
        values: the quantity, `(m, n)`: one row for each `y`.
        levels: the contour lines, or how many; None for no lines.
        label: of the colour bar.
        ax: the axes; new ones if None.

    Example:
        >>> import numpy as np
        >>> x, y = np.linspace(0, 1, 5), np.linspace(0, 2, 4)
        >>> ax = contour_map(x, y, np.add.outer(y, x), levels=[1.0], label="sum")
        >>> [float(end) for end in ax.get_ylim()]
        [0.0, 2.0]
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    shown = np.ma.masked_invalid(np.asarray(values, float))
    if x.ndim != 1 or y.ndim != 1 or shown.shape != (y.size, x.size):
        raise ValueError(
            f"Argument `values` must have shape (m, n) with the n = {x.size} of `x` and the "
            f"m = {y.size} of `y`, but has shape {shown.shape}."
        )
    ax = drawn_on(ax)
    ax.patch.set(facecolor="white", hatch="xxx", edgecolor=COLORS["grey"])
    # Cividis has one order for everyone, and in grey.
    mesh = ax.pcolormesh(x, y, shown, cmap="cividis", shading="nearest", rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label=label, pad=0.02)
    if levels is not None and shown.count() and np.ptp(shown.compressed()) > 0:
        # A dark edge keeps white lines readable on the bright end of the map.
        edge: list[patheffects.AbstractPathEffect] = [
            patheffects.withStroke(linewidth=2, foreground="#00000099")
        ]
        drawn = ax.contour(x, y, shown, levels=levels, colors="white", linewidths=0.9)
        drawn.set_path_effects(edge)
        for text in ax.clabel(drawn, fontsize=8):
            text.set_path_effects(edge)
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    return ax
