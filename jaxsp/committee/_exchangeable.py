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

# Where the magnitude of the factors outweighs the Gaussian no more, for three units and more.
_REACH, _STEP = 6.0, 0.25


def log_counts(
    units: int, mean: Scalar, difference: Scalar, total: Scalar, groups: list[list[int]]
) -> Float[Array, " groups"]:
    r"""Log-probabilities that the number of positive fields is in each group of numbers."""
    dtype = jnp.result_type(mean, difference, total)
    end = min(_REACH * math.sqrt(units), 24.0)
    u = np.arange(0.0, end, _STEP)
    weights = _STEP * np.exp(-0.5 * u * u) * math.sqrt(2 / math.pi)
    weights[0] *= 0.5
    shift = jnp.sqrt((1 - total / difference) / units) * jnp.asarray(u, dtype)
    x = mean / jnp.sqrt(difference)
    plus, minus = _log_tails(x, shift)
    probabilities = []
    for group in groups:
        k = np.asarray(group)[:, None]
        binomial = scipy.special.gammaln(units + 1) - scipy.special.gammaln(k + 1)
        binomial = binomial - scipy.special.gammaln(units - k + 1)
        terms = jnp.exp(jnp.asarray(binomial, dtype) + k * plus + (units - k) * minus)
        probabilities.append(jnp.sum(jnp.asarray(weights, dtype) * jnp.real(terms)))
    # What is below the rounding of a sum of numbers of order one weighs nothing.
    floor = 100 * jnp.finfo(dtype).eps
    values = jnp.stack(probabilities)
    return jnp.where(values > floor, jnp.log(jnp.maximum(values, floor)), -jnp.inf)


def _log_tails(x: Scalar, t: Float[Array, " n"]) -> tuple[Array, Array]:
    r"""$\log \Phi(\pm(x + i t))$ by the integral of the density along the imaginary direction."""
    nodes, weights = scipy.special.roots_legendre(32)
    nodes, weights = (jnp.asarray(0.5 * a, x.dtype) for a in (1 + nodes, weights))
    s = t[:, None] * nodes
    density = weights * jnp.exp(0.5 * s * s)
    scale = t * jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    real = scale * jnp.sum(density * jnp.sin(x * s), axis=1)
    imaginary = scale * jnp.sum(density * jnp.cos(x * s), axis=1)
    plus, minus = (0.5 * jax.scipy.special.erfc(sign * x / math.sqrt(2)) for sign in (-1, 1))
    return jnp.log(plus + real + 1j * imaginary), jnp.log(minus - real - 1j * imaginary)
