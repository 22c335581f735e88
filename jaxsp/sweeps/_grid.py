"""Where a sweep evaluates: a product grid, or a list of points."""

import abc
import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


class AbstractGrid(abc.ABC):
    """Points with named coordinates, laid out in an array of named dimensions.

    Attributes:
        parameters: the values of each parameter, as they were given.
    """

    parameters: Mapping[str, NDArray]

    def __init__(self, parameters: Mapping[str, ArrayLike]):
        self.parameters = {name: _values(name, given) for name, given in parameters.items()}
        if not self.parameters:
            raise ValueError("Argument `grid` must name at least one parameter, but is empty.")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names."""
        return tuple(self.parameters)

    @property
    def size(self) -> int:
        """The number of points."""
        return math.prod(self.shape)

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions."""

    @property
    @abc.abstractmethod
    def dims(self) -> tuple[str, ...]:
        """The names of the dimensions."""

    @abc.abstractmethod
    def at(self, index: NDArray) -> dict[str, NDArray]:
        """The parameters at some points, given by their places in the flattened grid."""

    def __repr__(self) -> str:
        """The parameters, their ranges and numbers of values."""
        ranges = (
            f"{name}: {values.min():g} to {values.max():g} ({values.size})"
            for name, values in self.parameters.items()
        )
        return f"{type(self).__name__}({', '.join(ranges)})"


class Grid(AbstractGrid):
    """Every combination of the values of some parameters.

    Args:
        parameters: the values of each parameter, `(n,)`; they may be infinite, but not NaN.

    Raises:
        ValueError: if there is no parameter, or one has no values, is not one-dimensional or has NaN.

    Example:
        >>> import numpy as np
        >>> grid = Grid({"alpha": np.linspace(0.5, 2.0, 4), "noise_variance": [0.0, 0.1]})
        >>> grid.shape, grid.size
        ((4, 2), 8)
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each parameter."""
        return tuple(values.size for values in self.parameters.values())

    @property
    def dims(self) -> tuple[str, ...]:
        """The parameters' names."""
        return self.names

    def at(self, index: NDArray) -> dict[str, NDArray]:
        """The parameters at some points, given by their places in the flattened grid."""
        places = np.unravel_index(index, self.shape)
        return {
            name: values[place]
            for (name, values), place in zip(self.parameters.items(), places, strict=True)
        }


class Points(AbstractGrid):
    """A list of points, in one dimension that is called `point`.

    Args:
        parameters: the values of each parameter at all points, `(n,)`, all of one length.

    Raises:
        ValueError: as `Grid`, and if lengths differ.

    Example:
        >>> Points({"alpha": [1.0, 1.2, 1.3], "noise_variance": [0.0, 0.1, 0.0]}).size
        3
    """

    def __init__(self, parameters: Mapping[str, ArrayLike]):
        super().__init__(parameters)
        lengths = {name: values.size for name, values in self.parameters.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"Argument `parameters` must have values of one length, but they have {lengths}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of points."""
        return (next(iter(self.parameters.values())).size,)

    @property
    def dims(self) -> tuple[str, ...]:
        """One dimension."""
        return ("point",)

    def at(self, index: NDArray) -> dict[str, NDArray]:
        """The parameters at some points."""
        return {name: values[index] for name, values in self.parameters.items()}


class Blocks:
    """The grid cut into boxes of one shape: what is evaluated, and written, at once.

    Boxes fill the last dimensions first, so that they are contiguous. Those at the far ends may be
    smaller.
    """

    def __init__(self, shape: tuple[int, ...], chunk_size: int):
        self.shape = shape
        block, room = [], chunk_size
        for length in reversed(shape):
            block.append(min(length, max(room, 1)))
            room //= block[-1]
        self.block = tuple(reversed(block))
        self.counts = tuple(
            -(-length // side) for length, side in zip(shape, self.block, strict=True)
        )

    def __len__(self) -> int:
        return math.prod(self.counts)

    @property
    def size(self) -> int:
        """The number of points of a full block."""
        return math.prod(self.block)

    def region(self, number: int) -> tuple[slice, ...]:
        """The box, as a slice of each dimension."""
        corner = np.unravel_index(number, self.counts)
        return tuple(
            slice(int(c) * side, min((int(c) + 1) * side, length))
            for c, side, length in zip(corner, self.block, self.shape, strict=True)
        )

    def index(self, number: int) -> NDArray:
        """The places of its points in the flattened grid."""
        sides = [np.arange(cut.start, cut.stop) for cut in self.region(number)]
        return np.ravel_multi_index(np.ix_(*sides), self.shape).ravel()

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


def _values(name: str, given: ArrayLike) -> NDArray:
    if not name.isidentifier():
        raise ValueError(f"A parameter must be named by a Python identifier, but is {name!r}.")
    values = np.asarray(given)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"Parameter `{name}` must have real values, but has type {values.dtype}.")
    if values.ndim != 1:
        raise ValueError(f"Parameter `{name}` must have shape (n,), but has shape {values.shape}.")
    if values.size == 0:
        raise ValueError(f"Parameter `{name}` must have at least one value, but has none.")
    bad = np.flatnonzero(np.isnan(values))
    if bad.size:
        raise ValueError(f"Parameter `{name}` must have no NaN, but has one at index {bad[0]}.")
    return values.astype(float)


def check_parameters(function: Callable, names: tuple[str, ...]) -> bool:
    """Raise unless a function takes these parameters by name and needs no others.

    Returns:
        Whether it also takes a parameter `key`, for its random numbers.
    """
    signature = inspect.signature(function).parameters
    by_name = {
        name: parameter
        for name, parameter in signature.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    anything = any(p.kind == p.VAR_KEYWORD for p in signature.values())
    for name in names:
        if name == "key" or not (anything or name in by_name):
            allowed = [known for known in by_name if known != "key"]
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"Argument `grid` must name parameters of the function, "
                f"{', '.join(map(repr, allowed)) or 'of which there are none'}, "
                f"but names {name!r}.{hint}"
            )
    for name, parameter in by_name.items():
        if parameter.default is parameter.empty and name not in (*names, "key"):
            raise ValueError(
                f"Argument `grid` must have values for {name!r}, a parameter of the function that "
                "has no default."
            )
    return "key" in by_name
