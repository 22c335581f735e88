"""All roots of a smooth scalar function on an interval, by its monotone pieces."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._types import Scalar
from ..numerics import frozen, search_bracket, with_implicit_derivative


class Roots(eqx.Module):
    """Roots in increasing order, one for each monotone piece.

    Attributes:
        x: the roots; where there is none, the piece's lower end.
        exists: whether the piece holds a root.
        rising: whether the function rises there.
    """

    x: Float[Array, " k"]
    exists: Bool[Array, " k"]
    rising: Bool[Array, " k"]


def all_roots(
    f: Callable[[PyTree, Scalar], Scalar],
    parameters: PyTree,
    grid: Float[Array, " n"],
    extrema: int,
) -> Roots:
    """Roots of `f(parameters, x)` between the ends of a grid, differentiable in the parameters.

    The grid only has to tell the extrema apart: these are located first, so a pair of roots that is
    close to merging is not missed, however small its distance.

    Args:
        f: the function; at the ends of the grid it may be infinite, nowhere NaN.
        parameters: what it depends on.
        grid: increasing points.
        extrema: how many extrema are looked for; there are `extrema + 1` pieces.
    """
    fixed, grid = frozen((parameters, grid))

    def value_and_slope(x):
        return jax.jvp(lambda x: f(fixed, x), (x,), (jnp.ones_like(x),))

    _, slopes = jax.vmap(value_and_slope)(grid)
    last = grid.size - 1
    turns = jnp.sign(slopes[1:]) != jnp.sign(slopes[:-1])
    places = jnp.nonzero(turns, size=extrema, fill_value=last)[0]
    after = jnp.minimum(places + 1, last)
    xtol = 4 * jnp.finfo(grid.dtype).eps * jnp.maximum(jnp.abs(grid[0]), jnp.abs(grid[-1]))

    def turning_point(low, high, slope_low, slope_high):
        found = search_bracket(
            lambda x: value_and_slope(x)[1], low, high, slope_low, slope_high, xtol=xtol
        )
        return found.value

    turning = jax.vmap(turning_point)(grid[places], grid[after], slopes[places], slopes[after])
    marks = jnp.concatenate([grid[:1], turning, grid[-1:]])
    values = jax.vmap(lambda x: f(fixed, x))(marks)

    def piece(low, high, f_low, f_high):
        exists = (f_low < 0) != (f_high < 0)
        found = search_bracket(lambda x: f(fixed, x), low, high, f_low, f_high, xtol=xtol)
        x = jnp.where(exists, found.value, low)
        # A piece without a root has no derivative either: the slope of what stands in is one.
        x = with_implicit_derivative(lambda z: jnp.where(exists, f(parameters, z), z - x), x)
        return x, exists, f_low < 0

    return Roots(*jax.vmap(piece)(marks[:-1], marks[1:], values[:-1], values[1:]))
