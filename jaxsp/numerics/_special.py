"""Special functions whose derivatives of every order that the library takes are free of cancellation.

JAX's own `log_ndtr`, `softmax` and `sigmoid` have accurate values, but their automatic derivatives
subtract nearly equal numbers in the tails (`1 - tanh(x)**2`, `-r (x + r)`), and the tails are where
error variances close to zero come from.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def log_normal_density(x: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Logarithm of the centred Gaussian density $\mathcal N(x; 0, \text{variance})$."""
    return -0.5 * x * x / variance - 0.5 * jnp.log(variance) - _LOG_SQRT_2PI


def _tail_ratio(x):
    """erfc(|x| / sqrt 2) / 2 with its Gaussian factor split off: Phi(-|x|) = ratio * exp(-x^2/2)."""
    size = jnp.abs(x) / math.sqrt(2)
    # jax.scipy.special.erfcx (0.10.2) returns zero just below the place where erfc underflows, so
    # the asymptotic series takes over before: six terms of it are exact to rounding there.
    cut = 26.0 if x.dtype == jnp.float64 else 9.0
    near = jax.scipy.special.erfcx(jnp.minimum(size, cut))
    far = jnp.maximum(size, cut)
    u = 0.5 / (far * far)
    series = 1 - u * (1 - 3 * u * (1 - 5 * u * (1 - 7 * u * (1 - 9 * u * (1 - 11 * u)))))
    return 0.5 * jnp.where(size < cut, near, series / (math.sqrt(math.pi) * far))


@jax.custom_jvp
def log_ndtr(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\log \Phi(x)$ for the standard normal distribution function, with stable derivatives.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> bool(jnp.isfinite(jax.hessian(log_ndtr)(jnp.asarray(-50.0))))
        True
    """
    ratio, square = _tail_ratio(x), 0.5 * x * x
    return jnp.where(x < 0, jnp.log(ratio) - square, jnp.log1p(-ratio * jnp.exp(-square)))


@log_ndtr.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_ndtr(x), inverse_mills(x) * dx


@jax.custom_jvp
def inverse_mills(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$r(x) = \phi(x) / \Phi(x)$, the derivative of $\log \Phi$."""
    ratio, density = _tail_ratio(x), jnp.exp(-0.5 * x * x)
    return jnp.where(x < 0, 1 / ratio, density / (1 - ratio * density)) / math.sqrt(2 * math.pi)


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
    close = jnp.log(width) - 0.5 * mid * mid - _LOG_SQRT_2PI + jnp.log1p(second * width * width)
    small = 1e-4 if a.dtype == jnp.float64 else 1e-2
    return jnp.where(width * (1 + jnp.abs(mid)) < small, close, direct)


@log_ndtr_difference.defjvp
def _(primals, tangents):
    (a, b), (da, db) = primals, tangents
    out = log_ndtr_difference(a, b)
    at_a = jnp.exp(-0.5 * a * a - _LOG_SQRT_2PI - out)
    at_b = jnp.exp(-0.5 * b * b - _LOG_SQRT_2PI - out)
    return out, at_b * db - at_a * da


_Terms = tuple[Float[Array, "*s"], ...]


@jax.custom_jvp
def _softmax(terms: _Terms) -> _Terms:
    total = log_sum_exp(terms)
    return tuple(jnp.exp(x - total) for x in terms)


@_softmax.defjvp
def _(primals, tangents):
    (terms,), (dx,) = primals, tangents
    p = _softmax(terms)
    # p_i sum_j p_j (dx_i - dx_j): when one state dominates, each term is still exact.
    moved = tuple(
        p_i
        * sum(
            p_j * (dx_i - dx_j) for j, (p_j, dx_j) in enumerate(zip(p, dx, strict=True)) if j != i
        )
        for i, (p_i, dx_i) in enumerate(zip(p, dx, strict=True))
    )
    return p, moved


@jax.custom_jvp
def log_sum_exp(terms: _Terms) -> Float[Array, "*s"]:
    r"""$\log \sum_i e^{x_i}$ of a few terms, elementwise.

    Its second derivative is the pairwise form $\tfrac12\sum_{ij} p_i p_j (\dot x_i - \dot x_j)^2$, so
    that the variance of a posterior that sits on one state keeps its relative accuracy. The terms
    are a tuple, not an axis: an axis of a few entries is what a compiler vectorises worst. The cost
    of the second derivative grows like the square of their number.

    Example:
        >>> import jax.numpy as jnp
        >>> float(log_sum_exp((jnp.asarray(0.0), jnp.asarray(-jnp.inf))))
        0.0
    """
    largest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, terms))
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return largest + jnp.log(sum(jnp.exp(x - largest) for x in terms))


@log_sum_exp.defjvp
def _(primals, tangents):
    (terms,), (dx,) = primals, tangents
    p = _softmax(terms)
    moved = functools.reduce(jnp.add, (a * b for a, b in zip(p, dx, strict=True)))
    return log_sum_exp(terms), moved
