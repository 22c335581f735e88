r"""Probabilities of the four quadrants of a bivariate normal law, accurate in all tails.

With $a, b$ the standardised means and $\rho$ the correlation, $dP_{++}/d\rho$ is the density at the
origin. Integrated from $\rho = -1$, where the law lives on a line, all terms are positive:

$$ P_{++} = [\Phi(a) - \Phi(-b)]_+ + I, \qquad
   I = \frac1\pi \int_0^\kappa \frac{dx}{1 + x^2} e^{-S (1 + x^{-2}) - D (1 + x^2)}, $$

$S = (a+b)^2/8$, $D = (a-b)^2/8$ and $\kappa = \sqrt{(1+\rho)/(1-\rho)}$. The other quadrants are its
mirror images. Nothing cancels, neither in a tail nor at $\rho \to \pm 1$.

Fields of mean zero have the arcsine law instead, of which online learning makes its averages
(`online._orthants`).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import gauss_legendre, log_normal_density, log_sum_exp, varying_like
from ..numerics._special import log_short_interval, tail_ratio

# The slow factor is smooth but within this distance of its middle.
_BULK = {jnp.dtype("float64"): 2.5, jnp.dtype("float32"): 2.0}
# Of each piece; the longest of them end with a cut-off that is sharp beside their length.
_POINTS = {jnp.dtype("float64"): 32, jnp.dtype("float32"): 10}


# The signs of the two entries in each quadrant, in order.
_FIRST, _SECOND = (1.0, 1.0, -1.0, -1.0), (1.0, -1.0, 1.0, -1.0)


@jax.custom_jvp
def log_quadrants(a: Scalar, b: Scalar, kappa: Scalar) -> Float[Array, " 4"]:
    r"""Log-probabilities of the sign patterns $(++, +-, -+, --)$ of a bivariate normal vector.

    Args:
        a: mean of the first entry in units of its standard deviation.
        b: that of the second.
        kappa: $\sqrt{(1+\rho)/(1-\rho)}$, positive and finite.
    """
    # All at once: each place where a special function is written out is compiled on its own.
    first, second = (jnp.asarray(x, a.dtype) for x in (_FIRST, _SECOND))
    squares = jnp.stack([(a + b) ** 2 / 8, (a - b) ** 2 / 8])
    same, different = _log_integral(squares, squares[::-1], jnp.stack([kappa, 1 / kappa]))
    integral = jnp.stack([same, different, different, same])
    # Without fluctuations across the line that the law lives on at rho = -1 there is the quadrant of
    # both means, and its neighbour across the mean that is closer to zero.
    small, large = jnp.minimum(jnp.abs(a), jnp.abs(b)), jnp.maximum(jnp.abs(a), jnp.abs(b))
    within = 0.5 * jnp.sum(jax.lax.erf(jnp.stack([small, large]) / math.sqrt(2)))
    between = _log_tail_interval(small, large)
    agree_first, agree_second = first * a > 0, second * b > 0
    first_smaller = jnp.abs(a) <= jnp.abs(b)
    neighbour = jnp.where(first_smaller, agree_second & ~agree_first, agree_first & ~agree_second)
    strip = jnp.where(agree_first & agree_second, jnp.log(within), -jnp.inf)
    strip = jnp.where(neighbour, between, strip)
    return log_sum_exp((strip, integral))


@log_quadrants.defjvp
def _(primals, tangents):
    a, b, kappa = primals
    da, db, dkappa = tangents
    values = log_quadrants(a, b, kappa)
    first, second = (jnp.asarray(x, a.dtype) for x in (_FIRST, _SECOND))
    # The conditional means of each entry given that the other vanishes.
    of_b = 0.5 * ((a + b) / kappa - kappa * (a - b))
    of_a = 0.5 * ((a + b) / kappa + kappa * (a - b))
    beyond = _log_sides(jnp.stack([of_b, of_a]))
    centres = jnp.stack([a, b])
    density = log_normal_density(centres, jnp.ones_like(centres))
    exponent = (a + b) ** 2 / 8 * (1 + 1 / kappa**2) + (a - b) ** 2 / 8 * (1 + kappa**2)
    corner = -exponent - jnp.log(math.pi * (1 + kappa**2))
    of_second = jnp.stack([beyond[0, 0], beyond[1, 0], beyond[0, 0], beyond[1, 0]])
    of_first = jnp.stack([beyond[0, 1], beyond[0, 1], beyond[1, 1], beyond[1, 1]])
    slope_a = first * jnp.exp(density[0] + of_second - values)
    slope_b = second * jnp.exp(density[1] + of_first - values)
    slope_kappa = first * second * jnp.exp(corner - values)
    return values, slope_a * da + slope_b * db + slope_kappa * dkappa


@jax.custom_jvp
def _log_sides(x: Float[Array, " n"]) -> Float[Array, "2 n"]:
    r"""$\log \Phi(x)$ and $\log \Phi(-x)$, by one special function."""
    size = jnp.abs(x)
    ratio, square = tail_ratio(size), 0.5 * x * x
    outer, inner = jnp.log(ratio) - square, jnp.log1p(-ratio * jnp.exp(-square))
    return jnp.stack([jnp.where(x < 0, outer, inner), jnp.where(x < 0, inner, outer)])


@_log_sides.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    values = _log_sides(x)
    mills = jnp.exp(log_normal_density(x, jnp.ones_like(x)) - values)
    return values, jnp.stack([mills[0] * dx, -mills[1] * dx])


def _log_tail_interval(low: Scalar, high: Scalar) -> Scalar:
    r"""$\log [\Phi(-\text{low}) - \Phi(-\text{high})]$ for $0 \le$ low $\le$ high; not differentiated."""
    ends = jnp.stack([low, high])
    ratio = tail_ratio(ends)
    far = jnp.log(ratio[0] - ratio[1] * jnp.exp(-0.5 * (high - low) * (high + low))) - 0.5 * low**2
    middle, width = 0.5 * (low + high), high - low
    close = width * (1 + middle) < 1
    near = log_short_interval(jnp.where(close, middle, 0.0), jnp.where(close, width, 1.0))
    return jnp.where(close, near, far)


def _log_integral(
    S: Float[Array, "*s"], D: Float[Array, "*s"], kappa: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    r"""$\log I$: Gauss-Legendre panels in $y = -\log x$ over what is not negligible.

    There the integrand is $e^{-f(y)} / (2 \cosh y)$, $f = S (1 + e^{2y}) + D (1 + e^{-2y})$: the
    exponent has one minimum, and the rest falls like $e^{-|y|}$.
    """
    dtype = jnp.result_type(S, D, kappa)
    tiny = jnp.finfo(dtype).tiny ** 0.5
    S, D = jnp.maximum(S, tiny), jnp.maximum(D, tiny)
    drop = -math.log(float(jnp.finfo(dtype).eps)) + 2
    start = -jnp.log(kappa)
    centre = 0.25 * jnp.log(D / S)
    root = jnp.sqrt(S * D)

    peak = jnp.maximum(start, centre)
    lowest = S * jnp.exp(2 * peak) + D * jnp.exp(-2 * peak)
    reach = 0.5 * _arccosh_ratio(lowest + drop, 2 * root)
    # Beyond these the slow factor alone makes the rest negligible.
    lower = jnp.maximum(start, jnp.maximum(centre - reach, -drop))
    upper = jnp.minimum(centre + reach, jnp.maximum(start, 0.0) + drop)
    lower = jnp.minimum(lower, upper)
    # Pieces ordered by hand: a sort of three is slow in a large batch.
    bulk = _BULK[jnp.dtype(dtype)]
    left, right, peak = (jnp.clip(x, lower, upper) for x in (-bulk, bulk, peak))
    first, last = jnp.minimum(left, peak), jnp.maximum(right, peak)
    edges = (lower, first, left + peak - first + right - last, last, upper)
    edges = (lower, first, jnp.clip(edges[2], first, last), last, upper)
    nodes, weights, _ = gauss_legendre(_POINTS[jnp.dtype(dtype)])
    nodes, weights = (jnp.asarray(x, dtype) for x in (0.5 * (1 + nodes), 0.5 * weights))
    begin = jnp.stack(edges[:-1])
    width = jnp.stack(edges[1:]) - begin

    # A loop over the points, so that the entries of a batch stay side by side in memory.
    def add(index, total):
        square = jnp.exp(2 * (begin + width * nodes[index]))
        slow = jnp.sqrt(square) / (1 + square)
        return total + weights[index] * jnp.exp(lowest - S * square - D / square) * slow

    zero = varying_like(jnp.zeros_like(width), width)
    total = jnp.sum(width * jax.lax.fori_loop(0, nodes.size, add, zero), axis=0)
    return jnp.log(jnp.maximum(total, jnp.finfo(dtype).tiny) / math.pi) - lowest - S - D


def _arccosh_ratio(x: Array, y: Array) -> Array:
    """`arccosh(x / y)` for x > y > 0, when the quotient may overflow."""
    return jnp.log(x + jnp.sqrt((x - y) * (x + y))) - jnp.log(y)
