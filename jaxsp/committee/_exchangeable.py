r"""How many of K exchangeable Gaussian fields are positive.

Fields of common mean $\mu$ whose differences have the variance $V_d$ and whose (normalised) sum has the
smaller one $V_s$ are independent given a common shift of imaginary size: with
$\zeta = \mu / \sqrt{V_d} + i u \sqrt{(1 - V_s / V_d) / K}$,

$$ P(k) = \binom K k\, \mathbb E_{u \sim \mathcal N(0, 1)} \Phi(\zeta)^k \Phi(-\zeta)^{K - k}. $$

The expectation converges like the trapezoid rule for entire functions, and hardly cancels.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from .._types import Scalar

# With a small ratio of the variances the factors make up for most of the Gaussian: the product falls like
# exp(-u^2 V_s / 2 V_d) / u^K alone.
_REACH, _STEP = 40.0, 2 / 3
# Of Gauss's rule between two neighbours of them.
_NODES, _WEIGHTS = scipy.special.roots_legendre(8)


def log_counts(
    units: int, mean: Scalar, difference: Scalar, total: Scalar, groups: list[list[int]]
) -> Float[Array, " groups"]:
    r"""Log-probabilities that the number of positive fields is in each group of numbers."""
    dtype = jnp.result_type(mean, difference, total)
    u = np.arange(0.0, _REACH, _STEP)
    log_weights = -0.5 * u * u + math.log(_STEP * math.sqrt(2 / math.pi))
    log_weights[0] -= math.log(2)
    step = _STEP * jnp.sqrt((1 - total / difference) / units)
    plus, minus = _log_tails(mean / jnp.sqrt(difference), step)
    probabilities = []
    for group in groups:
        k = np.asarray(group)[:, None]
        binomial = scipy.special.gammaln(units + 1) - scipy.special.gammaln(k + 1)
        binomial = binomial - scipy.special.gammaln(units - k + 1)
        constant = jnp.asarray(binomial + log_weights, dtype)
        terms = jnp.exp(constant + k * plus + (units - k) * minus)
        probabilities.append(jnp.sum(jnp.real(terms)))
    # What is below the rounding of a sum of numbers of order one weighs nothing.
    floor = 100 * jnp.finfo(dtype).eps
    values = jnp.stack(probabilities)
    return jnp.where(values > floor, jnp.log(jnp.maximum(values, floor)), -jnp.inf)


@jax.custom_jvp
def _log_tails(x: Scalar, step: Scalar) -> tuple[Array, Array]:
    r"""$\log \Phi(\pm(x + i t))$, t in equal steps, by the density's integral along that direction."""
    count = round(_REACH / _STEP)
    t = step * jnp.arange(count, dtype=x.dtype)
    # All in units of exp(t^2 / 2), which is beyond single precision.
    growth = 0.5 * t * t
    within = step * jnp.asarray(0.5 * (1 + _NODES), x.dtype)
    square = 0.5 * (t[:-1, None] + within) ** 2 - growth[1:, None]
    density = step * jnp.asarray(0.5 * _WEIGHTS, x.dtype) * jnp.exp(square)
    # The waves of a sum by the addition theorems.
    near, far = ((jnp.cos(x * s), jnp.sin(x * s)) for s in (within, t[:-1]))
    even, odd = (density @ wave for wave in near)
    pieces = jnp.stack([far[0] * even - far[1] * odd, far[1] * even + far[0] * odd], axis=1)
    before = np.arange(count)[:, None] > np.arange(count - 1)
    summed = jnp.exp(jnp.where(before, growth[1:] - growth[:, None], -jnp.inf)) @ pieces
    imaginary, real = (jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * summed).T

    def log(sign: int) -> Array:
        tail = 0.5 * jnp.exp(-growth) * jax.scipy.special.erfc(-sign * x / math.sqrt(2))
        return growth + jnp.log(tail + sign * (real + 1j * imaginary))

    return log(1), log(-1)


@_log_tails.defjvp
def _(primals, tangents):
    (x, step), (dx, dstep) = primals, tangents
    plus, minus = _log_tails(x, step)
    index = jnp.arange(plus.size, dtype=x.dtype)
    zeta, dzeta = x + 1j * step * index, dx + 1j * dstep * index
    log_density = -0.5 * zeta * zeta - 0.5 * math.log(2 * math.pi)

    def slope(sign: int, value: Array) -> Array:
        # Of what has underflowed nothing is left to change.
        there = jnp.real(value) > -jnp.inf
        exponent = jnp.where(there, log_density - jnp.where(there, value, 0.0), -jnp.inf)
        return sign * jnp.exp(exponent) * dzeta

    return (plus, minus), (slope(1, plus), slope(-1, minus))
