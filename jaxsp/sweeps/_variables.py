"""What a function returns, as named variables with dimensions, units and a description."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..numerics import RESULTS
from ._errors import SweepError

STATUS = "status"


@dataclass(frozen=True)
class Variable:
    """What is to be known of a parameter or a result besides its numbers.

    Attributes:
        description: in words; the name if it is empty.
        units: 1 for what is dimensionless.
        dims: names of the axes of an array, beside those of the grid. If empty, an axis is that of the
            coordinate of its length, if there is one, and has a name made from the variable's if not.
    """

    description: str = ""
    units: str = "1"
    dims: tuple[str, ...] = field(default=())

    def attributes(self, name: str) -> dict[str, Any]:
        """As attributes of a data file."""
        return {"units": self.units, "long_name": self.description or name.replace("_", " ")}


@dataclass(frozen=True)
class Output:
    """One variable of the result, at one point of the grid."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attributes: Mapping[str, Any]

    @property
    def missing(self):
        """What stands for a point that has not been evaluated."""
        kind = self.dtype.kind
        return np.nan if kind in "fc" else False if kind == "b" else -1 if kind == "i" else 0


def labelled(tree: Any) -> tuple[dict[str, jax.Array], set[str]]:
    """The leaves of a result by name, and which of them are result codes.

    A name is the path to the leaf, joined by underscores. A `status` is added if there is none: the
    first failure among the result codes of the tree or, if it has none, whether a number is NaN.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda leaf: isinstance(leaf, RESULTS)
    )
    named: dict[str, jax.Array] = {}
    codes: dict[str, RESULTS] = {}
    for path, leaf in leaves:
        name = "_".join(_word(entry) for entry in path) or "value"
        if name in named:
            raise SweepError(f"Two values that the function returns have one name, {name!r}.")
        if isinstance(leaf, RESULTS):
            codes[name] = leaf
            leaf = leaf._value
        named[name] = _number(name, leaf)
    if not named:
        raise SweepError("The function must return at least one array, but returns none.")
    if STATUS in named:
        return named, set(codes)
    status = _first_failure(list(codes.values())) if codes else _finite(list(named.values()))
    return named | {STATUS: jnp.asarray(status._value)}, {*codes, STATUS}


def _number(name: str, leaf: Any) -> jax.Array:
    try:
        array = jnp.asarray(leaf)
    except TypeError as error:
        raise SweepError(
            f"The function must return arrays, but returns {leaf!r} as {name!r}."
        ) from error
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        raise SweepError(
            f"The function must return numbers, but returns {array.dtype} as {name!r}."
        )
    return array


def _word(entry: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def _finite(arrays: list[jax.Array]) -> RESULTS:
    numbers = [a for a in arrays if jnp.issubdtype(a.dtype, jnp.inexact)]
    undefined = [jnp.any(jnp.isnan(a)) for a in numbers] or [jnp.asarray(False)]
    return RESULTS.where(jnp.any(jnp.stack(undefined)), RESULTS.nonfinite, RESULTS.successful)


def _first_failure(codes: list[RESULTS]) -> RESULTS:
    """The first that is not successful, of several arrays of codes."""
    values = jnp.concatenate([jnp.ravel(code._value) for code in codes])
    first = jnp.argmax(values != RESULTS.successful._value)
    # An enumeration's item is a pytree of one number.
    return jax.tree.map(lambda _: values[first], RESULTS.successful)


def outputs(
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    codes: set[str],
    variables: Mapping[str, Variable],
    lengths: Mapping[str, int],
) -> tuple[Output, ...]:
    """The variables of a result, from the shapes of its leaves and the lengths of coordinates."""
    found = []
    for name, leaf in shapes.items():
        given = variables.get(name, Variable())
        rank = len(leaf.shape)
        if given.dims and len(given.dims) != rank:
            raise ValueError(
                f"Variable `{name}` must have {rank} dims, as what the function returns, "
                f"but has {given.dims}."
            )
        dims = given.dims or _dims(name, leaf.shape, lengths)
        attributes = given.attributes(name)
        if name in codes:
            # As the CF conventions have it.
            attributes["flag_values"] = list(range(len(RESULTS._name_to_item)))
            attributes["flag_meanings"] = " ".join(RESULTS._name_to_item)
        found.append(Output(name, dims, tuple(leaf.shape), np.dtype(leaf.dtype), attributes))
    return tuple(found)


def _dims(name: str, shape: tuple[int, ...], lengths: Mapping[str, int]) -> tuple[str, ...]:
    """A name for each axis: that of the coordinate of its length, each but once."""
    free, dims = dict(lengths), []
    for axis, length in enumerate(shape):
        fitting = [dim for dim, size in free.items() if size == length]
        dims.append(fitting[0] if len(fitting) == 1 else f"{name}_{axis}")
        free.pop(dims[-1], None)
    return tuple(dims)
