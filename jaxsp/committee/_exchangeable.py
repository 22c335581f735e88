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
_REACH, _STEP = 40.0, 0.5


def log_counts(
    units: int, mean: Scalar, difference: Scalar, total: Scalar, groups: list[list[int]]
) -> Float[Array, " groups"]:
    r"""Log-probabilities that the number of positive fields is in each group of numbers."""
    dtype = jnp.result_type(mean, difference, total)
    u = np.arange(0.0, _REACH, _STEP)
    log_weights = -0.5 * u * u + math.log(_STEP * math.sqrt(2 / math.pi))
    log_weights[0] -= math.log(2)
    shift = jnp.sqrt((1 - total / difference) / units) * jnp.asarray(u, dtype)
    x = mean / jnp.sqrt(difference)
    plus, minus = _log_tails(x, shift)
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


def _log_tails(x: Scalar, t: Float[Array, " n"]) -> tuple[Array, Array]:
    r"""$\log \Phi(\pm(x + i t))$ by the integral of the density along the imaginary direction."""
    nodes, weights = scipy.special.roots_legendre(32)
    nodes, weights = (jnp.asarray(0.5 * a, x.dtype) for a in (1 + nodes, weights))
    s = t[:, None] * nodes
    # All in units of exp(t^2 / 2), which is beyond single precision.
    growth = 0.5 * t * t
    density = weights * jnp.exp(0.5 * s * s - growth[:, None])
    scale = t * jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    real = scale * jnp.sum(density * jnp.sin(x * s), axis=1)
    imaginary = scale * jnp.sum(density * jnp.cos(x * s), axis=1)

    def log(sign: int) -> Array:
        tail = 0.5 * jnp.exp(-growth) * jax.scipy.special.erfc(-sign * x / math.sqrt(2))
        return growth + jnp.log(tail + sign * (real + 1j * imaginary))

    return log(1), log(-1)
