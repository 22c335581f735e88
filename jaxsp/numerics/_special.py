"""Special functions whose derivatives of every order that the library takes are free of cancellation.

JAX's own `log_ndtr`, `softmax` and `sigmoid` have accurate values, but their automatic derivatives
subtract nearly equal numbers in the tails (`1 - tanh(x)**2`, `-r (x + r)`), and the tails are where
error variances close to zero come from.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def log_normal_density(x: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Logarithm of the centred Gaussian density $\mathcal N(x; 0, \text{variance})$."""
    return -0.5 * x * x / variance - 0.5 * jnp.log(variance) - _LOG_SQRT_2PI


@jax.custom_jvp
def log_ndtr(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\log \Phi(x)$ for the standard normal distribution function, with stable derivatives.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> bool(jnp.isfinite(jax.hessian(log_ndtr)(jnp.asarray(-50.0))))
        True
    """
    return jax.scipy.special.log_ndtr(x)


@log_ndtr.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_ndtr(x), inverse_mills(x) * dx


@jax.custom_jvp
def inverse_mills(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$r(x) = \phi(x) / \Phi(x)$, the derivative of $\log \Phi$."""
    negative = jnp.minimum(x, 0)
    lower = math.sqrt(2 / math.pi) / jax.scipy.special.erfcx(-negative / math.sqrt(2))
    positive = jnp.maximum(x, 0)
    density = jnp.exp(-0.5 * positive * positive - _LOG_SQRT_2PI)
    return jnp.where(x < 0, lower, density / jax.scipy.special.ndtr(positive))


@inverse_mills.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    r = inverse_mills(x)
    return r, -r * mean_excess(x) * dx


# Below this the direct forms of `mean_excess` and `truncated_variance` would cancel; the continued
# fraction converges there to rounding in this many levels.
_TAIL, _LEVELS = -5.0, 20


def _mills_fractions(x):
    """For t = -x > 5: h = 1/(t + g) and g = 2/(t + 3/(t + 4/(t + ...))), both positive sums."""
    t = -jnp.minimum(x, _TAIL)
    g = jnp.zeros_like(t)
    for level in range(_LEVELS, 1, -1):
        g = level / (t + g)
    return 1 / (t + g), g


@jax.custom_jvp
def mean_excess(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$h(x) = x + \phi(x)/\Phi(x)$: the mean of $\mathcal N(x, 1)$ restricted to the positive axis."""
    h, _ = _mills_fractions(x)
    return jnp.where(x < _TAIL, h, x + inverse_mills(x))


@mean_excess.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return mean_excess(x), truncated_variance(x) * dx


@jax.custom_jvp
def truncated_variance(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$w(x) = 1 - r(x) h(x)$: the variance of $\mathcal N(x, 1)$ restricted to the positive axis."""
    h, g = _mills_fractions(x)
    return jnp.where(x < _TAIL, h * (g - h), 1 - inverse_mills(x) * mean_excess(x))


@truncated_variance.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    w, h = truncated_variance(x), mean_excess(x)
    return w, -inverse_mills(x) * (w - h * h) * dx


@jax.custom_jvp
def log_ndtr_difference(a: Float[Array, "*s"], b: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\log[\Phi(b) - \Phi(a)]$ for finite $a < b$, accurate in both tails and for close limits."""
    mirrored = a + b > 0
    low, high = jnp.where(mirrored, -b, a), jnp.where(mirrored, -a, b)
    # With low <= |high| the upper limit carries the larger mass of the lower tail.
    gap = jax.scipy.special.log_ndtr(low) - jax.scipy.special.log_ndtr(high)
    direct = jax.scipy.special.log_ndtr(high) + jnp.log(-jnp.expm1(gap))
    # Close limits: midpoint density times width, corrected to fourth order in the width.
    mid, width = 0.5 * (low + high), high - low
    second = (mid * mid - 1) / 24
    close = (
        jnp.log(width) - 0.5 * mid * mid - _LOG_SQRT_2PI + jnp.log1p(second * width * width)
    )
    small = 1e-4 if a.dtype == jnp.float64 else 1e-2
    return jnp.where(width * (1 + jnp.abs(mid)) < small, close, direct)


@log_ndtr_difference.defjvp
def _(primals, tangents):
    (a, b), (da, db) = primals, tangents
    out = log_ndtr_difference(a, b)
    at_a = jnp.exp(-0.5 * a * a - _LOG_SQRT_2PI - out)
    at_b = jnp.exp(-0.5 * b * b - _LOG_SQRT_2PI - out)
    return out, at_b * db - at_a * da


@jax.custom_jvp
def _softmax(x: Float[Array, "k *s"]) -> Float[Array, "k *s"]:
    return jax.nn.softmax(x, axis=0)


@_softmax.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    p = _softmax(x)
    # p_i sum_j p_j (dx_i - dx_j): when one state dominates, each term is still exact.
    differences = jnp.expand_dims(dx, 1) - jnp.expand_dims(dx, 0)
    return p, p * jnp.sum(jnp.expand_dims(p, 0) * differences, axis=1)


@jax.custom_jvp
def log_sum_exp(x: Float[Array, "k *s"]) -> Float[Array, "*s"]:
    r"""$\log \sum_i e^{x_i}$ over the leading axis, for a few states.

    Its second derivative is the pairwise form $\tfrac12\sum_{ij} p_i p_j (\dot x_i - \dot x_j)^2$, so
    that the variance of a posterior that sits on one state keeps its relative accuracy. The cost of
    the second derivative grows like the square of the number of states.
    """
    return jax.scipy.special.logsumexp(x, axis=0)


@log_sum_exp.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_sum_exp(x), jnp.sum(_softmax(x) * dx, axis=0)
