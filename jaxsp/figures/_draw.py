"""What the figures share in drawing: colours, axes, thresholds, labelled data."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import plotting

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    plotting.COLORS[name] for name in ("blue", "orange", "green", "red", "purple", "grey")
)


def axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; no global state."""
    ax = plotting.new_axes(title, xlabel, ylabel)
    return cast(Figure, ax.figure), ax


def threshold(ax: Axes, alpha: float, label: str, color: str) -> None:
    """A vertical line with its value."""
    plotting.threshold(alpha, label, color=color, ax=ax)


def hard_phase(ax: Axes, low: float, high: float) -> None:
    """Shade the interval in which learning is possible but AMP fails."""
    plotting.hard_phase(low, high, ax=ax)


def instances(ax: Axes, x, values, label: str, color: str, marker: str = "o") -> None:
    """Means over instances (first axis) with their standard errors."""
    plotting.instances(x, values, label=label, color=color, marker=marker, ax=ax)


def dataset(coords: Mapping[str, tuple], variables: Mapping[str, tuple]) -> xr.Dataset:
    """A dataset from `name: (dimensions, values, description)`; all quantities are dimensionless."""

    def labelled(items):
        return {
            name: (dims, np.asarray(values), {"units": "1", "long_name": description})
            for name, (dims, values, description) in items.items()
        }

    return xr.Dataset(labelled(variables), labelled(coords))
