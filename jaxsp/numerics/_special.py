"""Special functions whose derivatives of every order that the library takes are free of cancellation.

JAX's own `log_ndtr`, `softmax` and `sigmoid` have accurate values, but their automatic derivatives
subtract nearly equal numbers in the tails (`1 - tanh(x)**2`, `-r (x + r)`), and the tails are where
error variances close to zero come from.

They are leaves of every theory, met dozens of times in each: as compiled functions they are traced,
batched and differentiated once.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def _with_tangent(rule: Callable) -> Callable[[Callable], Callable]:
    """A decorator: a compiled function whose derivative is what `rule(primals, tangents)` says."""

    def decorate(f: Callable) -> Callable:
        f = jax.custom_jvp(f)
        f.defjvp(rule)
        return jax.jit(f)

    return decorate


def log_normal_density(x: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Logarithm of the centred Gaussian density $\mathcal N(x; 0, \text{variance})$."""
    return -0.5 * x * x / variance - 0.5 * jnp.log(variance) - _LOG_SQRT_2PI


@jax.jit
def sinh_cosh(t: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    r"""$\sinh t$ and $\cosh t$ for $t \ge 0$: one exponential, where the two apart take five."""
    grown = jnp.expm1(t)
    decayed = 1 / (1 + grown)
    return 0.5 * grown * (1 + decayed), 0.5 * (1 + grown + decayed)


# (1 + x) erfcx(x) for x >= 0 in powers of y = (x - 3.75) / (x + 3.75): the polynomial through its values
# at 23 Chebyshev points of y, from 60 digits. To rounding for all x, up to infinity.
_ERFCX_SCALE = 3.75
# fmt: off
_ERFCX = [
    0.691551176056433, -0.20683126504048557, 0.11479674120104376, -0.040647578516989316,
    -0.0030998090548592368, 0.01875099723529305, -0.0172750873063249, 0.01007082810131831,
    -0.003971808598373302, 0.0008650454682069229, 7.062568693522521e-05, -0.00012112849449284414,
    2.7615643773982727e-05, 8.102617424011912e-06, -5.345800676086123e-06, -1.6086489469673163e-07,
    7.806915153999827e-07, -6.062258845991455e-08, -1.097688516787617e-07, 1.3152919947505024e-08,
    1.4215365294345399e-08, -1.2618332416258937e-09, -1.1921034130077734e-09,
]
# fmt: on


@jax.jit
def tail_ratio(x):
    """erfc(|x| / sqrt 2) / 2 with its Gaussian factor split off: Phi(-|x|) = ratio * exp(-x^2/2).

    One polynomial, where `jax.scipy.special.erfcx` (0.10.2) has several with an exponential, all of them
    evaluated, and returns zero just below the place where erfc underflows.
    """
    size = jnp.abs(x) / math.sqrt(2)
    y = 1 - 2 * _ERFCX_SCALE / (size + _ERFCX_SCALE)
    series = functools.reduce(lambda total, c: total * y + c, _ERFCX[::-1])
    return 0.5 * series / (1 + size)


@jax.jit
def ndtr(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\Phi(x)$, relative to itself on the negative side; carries no accurate derivative."""
    tail = tail_ratio(x) * jnp.exp(-0.5 * x * x)
    return jnp.where(x < 0, tail, 1 - tail)


def _log_ndtr_tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_ndtr(x), inverse_mills(x) * dx


@_with_tangent(_log_ndtr_tangent)
def log_ndtr(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\log \Phi(x)$ for the standard normal distribution function, with stable derivatives.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> bool(jnp.isfinite(jax.hessian(log_ndtr)(jnp.asarray(-50.0))))
        True
    """
    ratio, square = tail_ratio(x), 0.5 * x * x
    return jnp.where(x < 0, jnp.log(ratio) - square, jnp.log1p(-ratio * jnp.exp(-square)))


def _inverse_mills_tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    r = inverse_mills(x)
    # The derivative -r h of r is w - 1: its own is that of w where the product would cancel. Away
    # from the tail it is written with the r at hand, which is a long expression.
    slope = jnp.where(x < _TAIL, _tail_variance(x) - 1, -r * (x + r))
    return r, slope * dx


@_with_tangent(_inverse_mills_tangent)
def inverse_mills(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$r(x) = \phi(x) / \Phi(x)$, the derivative of $\log \Phi$."""
    ratio, density = tail_ratio(x), jnp.exp(-0.5 * x * x)
    return jnp.where(x < 0, 1 / ratio, density / (1 - ratio * density)) / math.sqrt(2 * math.pi)


# Below this the direct forms of `mean_excess` and its derivatives would cancel.
_TAIL = -5.0


@jax.jit
def _tail_mean_excess(x):
    """`mean_excess` for t = -x > 5: 1/(t + g) with g = 2/(t + 3/(t + 4/(t + ...))), positive sums.

    Its derivatives of any order are those of the fraction: none of them cancels.
    """
    t = -jnp.minimum(x, _TAIL)
    # Closed by the fixed point of its last levels; then this many of them reach rounding at t = 5.
    levels = 24 if x.dtype == jnp.float64 else 12
    g = 2 * (levels + 1) / (t + jnp.sqrt(t * t + 4 * (levels + 1)))
    # A loop, as the levels written out, and their derivatives, would be most of the code of a theory.
    g = jax.lax.fori_loop(0, levels - 1, lambda i, g: (levels - i) / (t + g), g)
    return 1 / (t + g)


@jax.jit
def _tail_variance(x):
    """`truncated_variance` in the tail: the derivative of the fraction."""
    return jax.jvp(_tail_mean_excess, (x,), (jnp.ones_like(x),))[1]


@jax.jit
def mean_excess(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$h(x) = x + \phi(x)/\Phi(x)$: the mean of $\mathcal N(x, 1)$ restricted to the positive axis."""
    return jnp.where(x < _TAIL, _tail_mean_excess(x), x + inverse_mills(x))


@jax.jit
def truncated_variance(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$w(x) = 1 - r(x) h(x)$: the variance of $\mathcal N(x, 1)$ restricted to the positive axis."""
    r = inverse_mills(x)
    return jnp.where(x < _TAIL, _tail_variance(x), 1 - r * (x + r))


def log_ndtr_difference(a: Float[Array, "*s"], b: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\log[\Phi(b) - \Phi(a)]$ for finite $a < b$, with stable derivatives.

    Accurate in both tails and for close limits.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = jnp.asarray(30.0), jnp.asarray(31.0)    # about log_ndtr(-30)
        >>> round(float(log_ndtr_difference(a, b)), 2)
        -454.32
    """
    mid, width = 0.5 * (a + b), b - a
    close = width * (1 + jnp.abs(mid)) < 1
    near = log_short_interval(jnp.where(close, mid, 0.0), jnp.where(close, width, 1.0))
    # Mirrored to low <= -|high|: the upper limit carries the larger mass of the lower tail.
    low, high = jnp.where(mid > 0, -b, a), jnp.where(mid > 0, -a, b)
    ratio = jnp.where(close, -1.0, _log_ndtr_ratio(low, high))
    return jnp.where(close, near, log_ndtr(high) + _log_complement(ratio))


def log_short_interval(mid, width):
    """The log-probability of a short interval: the density at its middle, its width, an average."""
    # Six Gauss-Legendre points in mirror pairs: exact to rounding for widths up to 1/(1 + |mid|).
    nodes, weights = scipy.special.roots_legendre(6)
    average = 0.0
    for node, weight in zip(nodes[3:], weights[3:], strict=True):
        t = 0.5 * float(node) * width
        average = average + float(weight) * jnp.exp(-0.5 * t * t) * jnp.cosh(mid * t)
    return jnp.log(width) - 0.5 * mid * mid - _LOG_SQRT_2PI + jnp.log(average)


def _log_ndtr_ratio_tangent(primals, tangents):
    (low, high), (dlow, dhigh) = primals, tangents
    slope = inverse_mills(low) * dlow - inverse_mills(high) * dhigh
    return _log_ndtr_ratio(low, high), slope


@_with_tangent(_log_ndtr_ratio_tangent)
def _log_ndtr_ratio(low, high):
    """Difference log Phi(low) - log Phi(high), low <= -|high|: in the tail without its large parts."""
    tails = jnp.log(tail_ratio(low) / tail_ratio(high)) - 0.5 * (high - low) * -(high + low)
    return jnp.where(high < 0, tails, log_ndtr(low) - log_ndtr(high))


@jax.jit
def _log_complement(x):
    """log(1 - e^x) for x < 0."""
    large = x > -math.log(2)
    return jnp.where(large, jnp.log(-jnp.expm1(x)), jnp.log1p(-jnp.exp(x)))


# Many are an array along whose first axis they are: a tuple of them would be long to compile.
_Terms = tuple[Float[Array, "*s"], ...] | Float[Array, "k *s"]


def at_largest(x: Float[Array, "k *s"], values: Float[Array, "k *s"]) -> Float[Array, "*s"]:
    """Of `values` along the first axis that for which `x` is largest."""
    index = jnp.arange(x.shape[0]).reshape(-1, *(x.ndim - 1) * (1,))
    return jnp.sum(jnp.where(index == jnp.argmax(x, axis=0), values, 0.0), axis=0)


def _softmax_tangent(primals, tangents):
    (terms,), (dx,) = primals, tangents
    p = softmax(terms)
    if not isinstance(terms, tuple):
        # The same from the state that dominates, without pairs.
        apart = dx - at_largest(terms, dx)
        return p, p * (apart - jnp.sum(p * apart, axis=0))
    # p_i sum_j p_j (dx_i - dx_j): when one state dominates, each term is still exact.
    moved = tuple(
        p_i
        * sum(
            p_j * (dx_i - dx_j) for j, (p_j, dx_j) in enumerate(zip(p, dx, strict=True)) if j != i
        )
        for i, (p_i, dx_i) in enumerate(zip(p, dx, strict=True))
    )
    return p, moved


@_with_tangent(_softmax_tangent)
def softmax(terms: _Terms) -> _Terms:
    r"""$e^{x_i} / \sum_j e^{x_j}$, each relative to itself, derivatives too."""
    total = log_sum_exp(terms)
    if not isinstance(terms, tuple):
        return jnp.exp(terms - total)
    return tuple(jnp.exp(x - total) for x in terms)


def _log_sum_exp_tangent(primals, tangents):
    (terms,), (dx,) = primals, tangents
    p = softmax(terms)
    if not isinstance(terms, tuple):
        return log_sum_exp(terms), jnp.sum(p * dx, axis=0)
    moved = functools.reduce(jnp.add, (a * b for a, b in zip(p, dx, strict=True)))
    return log_sum_exp(terms), moved


@_with_tangent(_log_sum_exp_tangent)
def log_sum_exp(terms: _Terms) -> Float[Array, "*s"]:
    r"""$\log \sum_i e^{x_i}$, elementwise.

    Its second derivative is the pairwise form $\tfrac12\sum_{ij} p_i p_j (\dot x_i - \dot x_j)^2$, so
    that the variance of a posterior that sits on one state keeps its relative accuracy. A few terms
    are a tuple, not an axis: an axis of a few entries is what a compiler vectorises worst. As the cost
    of the second derivative then grows like the square of their number, many are the first axis of an
    array; no pairs are formed, and the accuracy is the same.

    Example:
        >>> import jax.numpy as jnp
        >>> float(log_sum_exp((jnp.asarray(0.0), jnp.asarray(-jnp.inf))))
        0.0
    """
    if not isinstance(terms, tuple):
        largest = jax.lax.stop_gradient(jnp.max(terms, axis=0))
        largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
        return largest + jnp.log(jnp.sum(jnp.exp(terms - largest), axis=0))
    largest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, terms))
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return largest + jnp.log(sum(jnp.exp(x - largest) for x in terms))


def _arcsin_series() -> np.ndarray:
    """Coefficients in z = x^2 < 1/4 of (arcsin(x) / x - 1) / z, of the polynomial of nearly least error."""
    k = np.arange(1, 40)
    taylor = scipy.special.binom(2 * k, k) / (4.0**k * (2 * k + 1))
    series = np.polynomial.Polynomial(taylor)
    economised = np.polynomial.Chebyshev.interpolate(series, 12, domain=[0.0, 0.25])
    return economised.convert(kind=np.polynomial.Polynomial).coef


_ARCSIN = [float(c) for c in _arcsin_series()]


def _arcsin_tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    return arcsin(x), dx / jnp.sqrt((1 - x) * (1 + x))


@_with_tangent(_arcsin_tangent)
def arcsin(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""$\arcsin x$ to rounding, several times faster over many numbers than `jax.numpy`'s.

    That one calls a function for each number; this one is plain arithmetic, which compilers vectorise:
    a polynomial up to 1/2, and $\arcsin x = \pi / 2 - 2 \arcsin \sqrt{(1 - x) / 2}$ beyond.

    Example:
        >>> import jax.numpy as jnp
        >>> round(6 * float(arcsin(jnp.asarray(0.5))) / math.pi, 12)
        1.0
    """
    size = jnp.abs(x)
    large = size > 0.5
    z = jnp.where(large, 0.5 * (1 - size), x * x)
    y = jnp.where(large, jnp.sqrt(z), size)
    series = functools.reduce(lambda total, c: total * z + c, _ARCSIN[::-1])
    angle = y + y * z * series
    angle = jnp.where(large, 0.5 * math.pi - 2 * angle, angle)
    return jnp.where(x < 0, -angle, angle)
