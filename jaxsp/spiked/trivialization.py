"""The trivialisation line that counts minima at negative overlap too."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, bracketed_root, frozen, raise_unless_successful
from .landscape import complexity
from .model import MatrixTensor
from .thresholds import trivialization_threshold


def full_trivialization_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Below it the exponentially many spurious minima at negative overlap are gone too.

    For odd $p$ the landscape is not symmetric, and minima at slightly negative overlap outlive those at
    $m = 0$: their complexity has a maximum at $m < 0$, which vanishes here, below
    `trivialization_threshold`. What stays is the signal's minimum and, for odd $p$, an isolated one of
    negative overlap, both of complexity zero. For even $p$ the two lines are one. Followed is the band of
    minima that adjoins $m = 0$: around the isolated minimum a very strong tensor leaves a band of its own.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Returns:
        $\Delta_2$. Where the tensor is so strong that such minima stay at a quarter of the usual line, a
        `SolverError` is raised, and under transformations NaN is returned.

    Example:
        >>> from jaxsp import spiked
        >>> full = float(spiked.full_trivialization_threshold(3, 4.0))
        >>> usual = float(spiked.trivialization_threshold(3, 4.0))
        >>> 0.98 < full / usual < 1
        True
    """
    usual = trivialization_threshold(p, deltap)
    if p % 2 == 0:
        return usual
    value, result = _full(p, usual, jnp.asarray(deltap, usual.dtype))
    raise_unless_successful(result, "full_trivialization_threshold")
    return value


@eqx.filter_jit
def _full(p: int, usual: Scalar, deltap: Scalar) -> tuple[Scalar, RESULTS]:
    # Towards zero in a geometric series: for weak tensors the maximum is next to it.
    grid = -jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-6, 0.8, 120)]).astype(usual.dtype)

    def at(delta2, deltap, m):
        return complexity(MatrixTensor(p, delta2, deltap), m)

    def largest(log_delta):
        delta2 = jnp.exp(log_delta)
        fixed = frozen((delta2, deltap))
        values = jax.vmap(lambda m: at(*fixed, m))(grid)
        # The maximum next to zero; further out is the isolated minimum, always at complexity zero.
        noise = 8 * jnp.finfo(grid.dtype).eps
        falls = jnp.append(values[1:] < values[:-1] - noise, True)
        start = grid[jnp.argmax(falls)]
        slope = jax.grad(lambda m: at(*fixed, m))

        def newton(_, m):
            g, h = jax.jvp(slope, (m,), (jnp.ones_like(m),))
            return jnp.clip(m - g / jnp.where(h < 0, h, -jnp.inf), 3 * start - 1e-3, 0.0)

        m = jax.lax.fori_loop(0, 12, newton, start)
        # The value at a maximum changes as if the place did not.
        return at(delta2, deltap, frozen(m))

    high = jnp.log(frozen(usual))
    # Where nothing at m < 0 is above zero there, the usual line is the last one.
    same = frozen(largest(high)) <= 64 * jnp.finfo(grid.dtype).eps
    low = high - math.log(4.0)
    found = bracketed_root(lambda z: jnp.where(same, z - high, largest(z)), low, high)
    there = found.result == RESULTS.successful
    value = jnp.where(there, jnp.exp(found.value), jnp.nan)
    result = RESULTS.where(same, RESULTS.successful, found.result)
    return jnp.where(same, usual, value), result
