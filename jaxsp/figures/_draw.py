"""What the figures share in drawing: colours, axes, thresholds, labelled data."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind and in grey.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666",
)  # fmt: skip


def axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; no global state."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    ax = figure.subplots()
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def threshold(ax: Axes, alpha: float, label: str, color: str) -> None:
    """A vertical line with its value."""
    ax.axvline(alpha, color=color, linewidth=1, linestyle=":", label=f"{label} {alpha:.4f}")


def hard_phase(ax: Axes, low: float, high: float) -> None:
    """Shade the interval in which learning is possible but AMP fails."""
    ax.axvspan(low, high, color=ORANGE, alpha=0.18, linewidth=0, label="hard phase")


def instances(ax: Axes, x, values, label: str, color: str, marker: str = "o") -> None:
    """Means over instances (first axis) with their standard errors."""
    values = np.asarray(values)
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(values.shape[0])
    ax.errorbar(
        x, mean, error, fmt=marker, color=color, markersize=4, capsize=2, linewidth=1, label=label
    )


def dataset(coords: Mapping[str, tuple], variables: Mapping[str, tuple]) -> xr.Dataset:
    """A dataset from `name: (dimensions, values, description)`; all quantities are dimensionless."""

    def labelled(items):
        return {
            name: (dims, np.asarray(values), {"units": "1", "long_name": description})
            for name, (dims, values, description) in items.items()
        }

    return xr.Dataset(labelled(variables), labelled(coords))
