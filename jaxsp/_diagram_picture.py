"""Pictures of the datasets of `jaxsp sweep`, and of any other with one or two dimensions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from . import plotting
from ._diagram import BRANCHES, NUMBERS, THRESHOLDS

_COLORS = {
    "weak_recovery": "grey",
    "information_theoretic": "green",
    "algorithmic": "red",
    "informative_spinodal": "purple",
}
_STYLES = {"information_theoretic": "-", "algorithmic": "--", "informative_spinodal": ":"}


def picture(data: xr.Dataset, quantity: str | None = None) -> Figure:
    """A curve over one parameter, or maps with contour lines and thresholds over two.

    Args:
        data: what `jaxsp sweep` or `jaxsp.sweeps.run` made.
        quantity: what to draw, one of the numbers of a branch (`overlap`, `free_entropy`, ...) or
            any variable; the error of labels, or else of outputs, or the first variable, if None.

    Raises:
        ValueError: if there is no such quantity, or it has not one or two dimensions.
    """
    quantity = _chosen(data, quantity)
    names = [f"{b}_{quantity}" for b in BRANCHES if f"{b}_{quantity}" in data] or [quantity]
    dims = data[names[0]].dims
    if len(dims) not in (1, 2):
        raise ValueError(
            f"A picture shows one or two dimensions, but {names[0]!r} has {len(dims)}"
            f"{': ' + ', '.join(map(str, dims)) if dims else ''}. Select some of "
            "its values with xarray and draw them with jaxsp.plotting."
        )
    figure = Figure(figsize=(6.4, 4.4) if len(dims) == 1 else (6.4 * min(len(names), 2), 4.6),
                    layout="constrained")  # fmt: skip
    draw = _curve if len(dims) == 1 else _maps
    draw(figure, data, names, quantity)
    if "prior" in data.attrs:
        fixed = [
            f"{name.replace('_', ' ')} {data.attrs[name]:g}"
            for name in ("alpha", *_parameters(data))
            if name in data.attrs
        ]
        title = f"{data.attrs['prior']} weights, {data.attrs['channel']} channel"
        figure.suptitle(", ".join([title, *fixed]))
    return figure


def _parameters(data: xr.Dataset) -> list[str]:
    from .glm.named import parameters

    return list(parameters(data.attrs["prior"], data.attrs["channel"]))


def _chosen(data: xr.Dataset, quantity: str | None) -> str:
    branch = next(iter(BRANCHES))
    there = [name for name in NUMBERS if f"{branch}_{name}" in data]
    allowed = [*there, *map(str, data)]
    if quantity is not None and quantity not in allowed:
        raise ValueError(
            f"There is no quantity {quantity!r}; there are {', '.join(map(repr, allowed))}."
        )
    if quantity is None:
        order = ["classification_error", "generalization_error", *allowed]
        quantity = next(name for name in order if name in allowed)
    return quantity


def _label(data: xr.Dataset, name: str) -> str:
    return str(data[name].attrs.get("long_name", name.replace("_", " ")))


def _curve(figure: Figure, data: xr.Dataset, names: list[str], quantity: str) -> None:
    dim = str(data[names[0]].dims[0])
    ax = plotting.new_axes(figure=figure)
    x = data[dim].values if dim in data.coords else np.arange(data.sizes[dim])
    label = _label(data, dim) if dim in data.coords else dim
    ax.set(xlabel=label, ylabel=NUMBERS.get(quantity) or _label(data, quantity))
    if len(names) == 1:
        plotting.branches(x, data[names[0]], ax=ax)
        return
    overlaps = [data[f"{branch}_overlap"].values for branch in BRANCHES]
    optimal, *others = (data[name].values for name in names)
    plotting.branches(*_upright(x, optimal, data.attrs), label="Bayes-optimal", ax=ax)
    for other, overlap, text, color in zip(
        others, overlaps[1:], ("reached by AMP", "informed, metastable"), ("red", "blue"),
        strict=True,
    ):  # fmt: skip
        # Where it is the optimum itself one line is enough; its ends touch it.
        apart = overlap != overlaps[0]
        touching = apart | np.append(apart[1:], False) | np.insert(apart[:-1], 0, False)
        if apart.any():
            plotting.branches(
                x, np.where(touching, other, np.nan), optimal=np.zeros_like(apart), label=text,
                color=plotting.COLORS[color], ax=ax,
            )  # fmt: skip
    if dim == "alpha":
        low, high = (data.attrs.get(n) for n in ("information_theoretic", "algorithmic"))
        if low is not None and high is not None:
            plotting.hard_phase(max(low, x.min()), min(high, x.max()), ax=ax)
        for name, text in THRESHOLDS.items():
            value = data.attrs.get(name)
            if value is not None and x.min() <= value <= x.max():
                color = plotting.COLORS[_COLORS[name]]
                plotting.threshold(value, text, color=color, ax=ax)
        ax.set_xlim(x.min(), x.max())
    ax.legend(frameon=False, fontsize=9)


def _upright(x: NDArray, y: NDArray, attributes: Mapping[Any, Any]) -> tuple[NDArray, NDArray]:
    """The curve with its jump at the information-theoretic threshold, and not beside it."""
    jump = attributes.get("information_theoretic", np.inf)
    place = int(np.searchsorted(x, jump))
    if not 0 < place < x.size:
        return x, y
    return np.insert(x, place, [jump, jump]), np.insert(y, place, [y[place - 1], y[place]])


def _maps(figure: Figure, data: xr.Dataset, names: list[str], quantity: str) -> None:
    vertical, horizontal = map(str, data[names[0]].dims)
    maps = names[:2]
    shown = np.stack([data[name].values for name in maps])
    shown = np.where(np.isfinite(shown), shown, np.nan)
    finite = shown[np.isfinite(shown)]
    # The same round levels on both maps.
    levels = None
    if finite.size and np.ptp(finite) > 0:
        round_ones = MaxNLocator(8).tick_values(finite.min(), finite.max())
        # A line at the largest value itself would draw its rounding.
        margin = 1e-6 * np.ptp(finite)
        low, high = finite.min() + margin, finite.max() - margin
        levels = [float(v) for v in round_ones if low < v < high]
    axes = figure.subplots(1, len(maps), squeeze=False, sharex=True, sharey=True)[0]
    x, y = data[horizontal].values, data[vertical].values
    what = NUMBERS.get(quantity) or _label(data, quantity)
    titles = ("Bayes-optimal", "reached by AMP") if len(maps) == 2 else ("",)
    for ax, values, title in zip(axes, shown, titles, strict=True):
        plotting.contour_map(x, y, values, levels=levels, label=what, ax=ax)
        _threshold_lines(ax, data, vertical, horizontal)
        ax.set(title=title, xlabel=_label(data, horizontal))
    axes[0].set_ylabel(_label(data, vertical))
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(loc="best", fontsize=8)


def _threshold_lines(ax: Axes, data: xr.Dataset, vertical: str, horizontal: str) -> None:
    """Thresholds in alpha as curves: along the other parameter, or where they pass a given alpha."""
    x, y = data[horizontal].values, data[vertical].values
    for name, text in THRESHOLDS.items():
        if name not in data:
            continue
        color, style = plotting.COLORS[_COLORS[name]], _STYLES.get(name, "-.")
        values = np.where(np.isfinite(data[name].values), data[name].values, np.nan)
        if horizontal == "alpha" and data[name].dims == (vertical,):
            inside = np.where((values >= x.min()) & (values <= x.max()), values, np.nan)
            if np.isfinite(inside).any():
                ax.plot(inside, y, label=text, linewidth=1.6, color=color, linestyle=style)
        elif "alpha" in data.attrs and data[name].dims == (vertical, horizontal):
            gap = values - data.attrs["alpha"]
            if np.nanmin(gap, initial=np.inf) < 0 < np.nanmax(gap, initial=-np.inf):
                ax.contour(x, y, gap, levels=[0.0], colors=color, linestyles=style)
                ax.plot([], [], label=text, color=color, linestyle=style)
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
