"""A boundary followed by refining only near it, so that it costs its length and not its area."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ._evaluate import Evaluator
from ._grid import check_parameters
from ._variables import STATUS, Variable

Cells = NDArray[np.int64]
"""Lower corners of cells, `(cells, dimensions)`, in units of the finest grid."""


@dataclass(frozen=True, eq=False)
class Boundary:
    """Where a function passes a level, or changes between classes.

    Attributes:
        points: points on the boundary, one on each edge of the finest grid that it crosses: a dataset
            over `point` with a variable for each parameter, and `before` and `after`, the values at the
            two ends of the edge.
        evaluated: every point that was evaluated, its `value` and its `status`.
        resolution: the spacing of the finest grid, by parameter.
        cells: how many cells of the finest grid the boundary runs through.
    """

    points: xr.Dataset
    evaluated: xr.Dataset
    resolution: Mapping[str, float]
    cells: int


def boundary(
    function: Callable[..., Any],
    ranges: Mapping[str, tuple[float, float]],
    *,
    level: float | None = 0.0,
    coarse: int = 8,
    refinements: int = 5,
    chunk_size: int = 256,
    devices: Sequence[jax.Device] | None = None,
    variables: Mapping[str, Variable] | None = None,
) -> Boundary:
    """Find where a function passes a level, or changes between classes, over ranges of parameters.

    The function is evaluated on a coarse grid. Cells at whose corners it lies on both sides of the
    boundary are cut in two along each parameter, again and again; where the boundary leaves them for a
    neighbour, that is cut as well. Of a full grid of the finest spacing only the points near the
    boundary are evaluated. Pieces of the boundary that no cell of the coarse grid sees are missed.

    Args:
        function: a pure function of scalars, taken by name, to one scalar.
        ranges: the two ends of each parameter's range.
        level: the level at which it is to be followed; None if the function returns classes (integers
            or truth values) between which it jumps.
        coarse: cells of the coarse grid along each parameter.
        refinements: how often cells are halved: the finest grid has `coarse * 2**refinements` cells
            along each parameter.
        chunk_size: points evaluated at once.
        devices: of this process; all of them if None.
        variables: descriptions and units of the parameters, by name.

    Returns:
        A `Boundary`. Its points are interpolated between the ends of an edge for a level, and lie in
        the middle of an edge between classes.

    Raises:
        ValueError: if an argument is not allowed.
        SweepError: if the function cannot be traced, or does not return one scalar.

    Example:
        >>> import numpy as np
        >>> circle = boundary(
        ...     lambda x, y: x**2 + y**2, {"x": (-2.0, 2.0), "y": (-2.0, 2.0)}, level=1.0
        ... )
        >>> radius = np.hypot(circle.points.x, circle.points.y)
        >>> bool(abs(radius - 1).max() < 1e-3), circle.evaluated.sizes["point"] < 256**2 / 20
        (True, True)
    """
    names = tuple(ranges)
    ends = np.array([_ends(name, given) for name, given in ranges.items()]).reshape(-1, 2)
    for name, value, least in (("coarse", coarse, 1), ("refinements", refinements, 0),
                               ("chunk_size", chunk_size, 1)):  # fmt: skip
        if value < least:
            raise ValueError(f"Argument `{name}` must be at least {least}, but is {value}.")
    if not names:
        raise ValueError("Argument `ranges` must name at least one parameter, but is empty.")
    if check_parameters(function, names):
        raise ValueError("A boundary is that of a function without random numbers.")
    side = coarse * 2**refinements
    if (side + 1) ** len(names) >= 2**62:
        raise ValueError("Argument `refinements` is too large for places to be counted.")
    table = _Table(function, names, ends, side, level, chunk_size, devices)

    cells = np.indices((coarse,) * len(names)).reshape(len(names), -1).T * 2**refinements
    size = 2**refinements
    cells = cells[table.crossed(cells, size)]
    while size > 1:
        size //= 2
        halves = np.array(list(itertools.product((0, size), repeat=len(names))))
        cells = (cells[:, None] + halves).reshape(-1, len(names))
        cells = table.grown(cells[table.crossed(cells, size)], size)
    resolution = dict(zip(names, (ends[:, 1] - ends[:, 0]) / side, strict=True))
    found = table.edges(cells)
    return Boundary(
        _labelled(found, variables or {}), table.dataset(variables or {}), resolution,
        len(cells),
    )  # fmt: skip


class _Table:
    """The values that are known, by place on the finest grid."""

    def __init__(self, function, names, ends, side, level, chunk_size, devices):
        self._names, self._ends, self._side, self._level = names, ends, side, level
        self._strides = np.array([(side + 1) ** k for k in range(len(names))], np.int64)
        self._places = np.zeros(0, np.int64)
        self._values = np.zeros(0)
        self._status = np.zeros(0, np.int32)
        devices = jax.local_devices() if devices is None else list(devices)
        self._chunk_size = chunk_size

        def scalar(**values):
            value = jnp.asarray(function(**values))
            if value.ndim != 0:
                raise ValueError(
                    f"The function must return one scalar, but returns one of shape {value.shape}."
                )
            return {"value": value}

        self._evaluator = Evaluator(
            scalar, names, size=chunk_size, batch_size=max(1, min(32, chunk_size // 16)),
            dtype=jnp.result_type(float), devices=devices, seed=None,
        )  # fmt: skip

    def _parameters(self, corners: Cells) -> NDArray:
        low, high = self._ends.T
        return low + (high - low) * (corners / self._side)

    def at(self, corners: Cells) -> NDArray:
        """The values at some points of the finest grid; evaluated if they are not known yet."""
        wanted = corners.reshape(-1, corners.shape[-1])
        places = wanted @ self._strides
        new, first = np.unique(places, return_index=True)
        unknown = ~np.isin(new, self._places, assume_unique=True)
        if unknown.any():
            self._evaluate(new[unknown], wanted[first[unknown]])
        return self._values[np.searchsorted(self._places, places)].reshape(corners.shape[:-1])

    def _evaluate(self, places: NDArray, corners: Cells) -> None:
        parameters = self._parameters(corners)
        values, status = [], []
        waiting = []
        for start in range(0, len(places), self._chunk_size):
            part = parameters[start : start + self._chunk_size]
            columns = dict(zip(self._names, part.T, strict=True))
            waiting.append(self._evaluator(columns, np.zeros(len(part), np.int64)))
        for wait in waiting:
            found = wait()
            values.append(found["value"])
            status.append(found[STATUS])
        places = np.concatenate([self._places, places])
        order = np.argsort(places)
        self._places = places[order]
        self._values = np.concatenate([self._values, *values])[order]
        self._status = np.concatenate([self._status, *status])[order]

    def _sides(self, values: NDArray) -> NDArray:
        """The class of each value: above or below the level; NaN for what failed."""
        if self._level is None:
            return values.astype(float)
        return np.where(np.isnan(values), np.nan, values > self._level)

    def crossed(self, cells: Cells, size: int) -> NDArray[np.bool_]:
        """Which cells have corners on both sides; corners that failed count for neither."""
        dimensions = len(self._names)
        corners = np.array(list(itertools.product((0, size), repeat=dimensions)))
        return _differ(self._sides(self.at(cells[:, None] + corners)))

    def grown(self, cells: Cells, size: int) -> Cells:
        """The cells, and all those into which the boundary runs on from them."""
        dimensions = len(self._names)
        known = {tuple(cell) for cell in cells}
        front = cells
        while len(front):
            steps = np.concatenate([np.eye(dimensions, dtype=np.int64) * s for s in (size, -size)])
            neighbours = (front[:, None] + steps).reshape(-1, dimensions)
            inside = np.all((neighbours >= 0) & (neighbours < self._side), axis=1)
            fresh = {tuple(cell) for cell in neighbours[inside]} - known
            if not fresh:
                break
            candidates = np.array(sorted(fresh), np.int64).reshape(-1, dimensions)
            candidates = candidates[self._shares_crossing(candidates, size)]
            known |= {tuple(cell) for cell in candidates}
            front = candidates
        return np.array(sorted(known), np.int64).reshape(-1, dimensions)

    def _shares_crossing(self, cells: Cells, size: int) -> NDArray[np.bool_]:
        """Which cells have, among the corners that are known already, some on both sides."""
        corners = np.array(list(itertools.product((0, size), repeat=len(self._names))))
        places = (cells[:, None] + corners) @ self._strides
        index = np.minimum(np.searchsorted(self._places, places), len(self._places) - 1)
        there = self._places[index] == places
        crossing = _differ(np.where(there, self._sides(self._values[index]), np.nan))
        # Whoever is taken has all of its corners evaluated.
        if crossing.any():
            self.at(cells[crossing][:, None] + corners)
        return crossing

    def edges(self, cells: Cells) -> dict[str, NDArray]:
        """The edges of cells whose ends lie on two sides, and where on them the boundary is."""
        dimensions = len(self._names)
        found = [np.zeros((0, dimensions + 1), np.int64)]
        for corner in itertools.product((0, 1), repeat=dimensions):
            for axis in np.flatnonzero(np.array(corner) == 0):
                along = np.full(len(cells), axis)
                found.append(np.column_stack([cells + np.array(corner), along]))
        edges = np.unique(np.concatenate(found), axis=0)
        start, axis = edges[:, :-1], edges[:, -1]
        stop = start + np.eye(dimensions, dtype=np.int64)[axis]
        before, after = self.at(start), self.at(stop)
        sides = self._sides(before), self._sides(after)
        crossing = (sides[0] != sides[1]) & ~np.isnan(sides[0]) & ~np.isnan(sides[1])
        start, stop, before, after = (a[crossing] for a in (start, stop, before, after))
        weight = np.full(len(start), 0.5)
        if self._level is not None:
            weight = (self._level - before) / (after - before)
        here = self._parameters(start) * (1 - weight[:, None])
        here = here + self._parameters(stop) * weight[:, None]
        columns = dict(zip(self._names, here.T, strict=True))
        return columns | {"before": before, "after": after}

    def dataset(self, variables: Mapping[str, Variable]) -> xr.Dataset:
        """All that was evaluated."""
        corners = self._places[:, None] // self._strides % (self._side + 1)
        columns = dict(zip(self._names, self._parameters(corners).T, strict=True))
        columns |= {"value": self._values, STATUS: self._status}
        return _labelled(columns, variables)


def _differ(sides: NDArray) -> NDArray[np.bool_]:
    """Whether the sides of a cell's corners, those that are known, are not all one."""
    known = ~np.isnan(sides)
    low = np.min(np.where(known, sides, np.inf), axis=1)
    return low < np.max(np.where(known, sides, -np.inf), axis=1)


def _ends(name: str, given: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(end) for end in given)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"The range of `{name}` must be two increasing finite numbers, but is {given}."
        )
    return low, high


def _labelled(columns: Mapping[str, NDArray], variables: Mapping[str, Variable]) -> xr.Dataset:
    return xr.Dataset(
        {
            name: ("point", column, variables.get(name, Variable()).attributes(name))
            for name, column in columns.items()
        }
    )
