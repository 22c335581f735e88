r"""How many of three Gaussian fields are positive, for any means and covariance.

With means $a$ in units of the standard deviations and correlations $\rho_{kl}$, the probability that all
are positive is the one with the first field independent of the others, plus an integral along which their
correlations are switched on (Plackett's identity; A. Genz, Stat. Comput. 14, 251, 2004):

$$ \Phi_3 = \Phi(a_1) \Phi_2(a_2, a_3; \rho_{23}) + \int_0^1 dt \sum_{l = 2, 3} \rho_{1l}\,
   \phi_2(a_1, a_l; t \rho_{1l})\, \Phi(u_l(t)), $$

$u_l$ the mean of the remaining field given that the other two vanish, in its standard deviations. Derivatives
have no integral over t: in a mean it is a density times the law of the two others given that this field
vanishes. Probabilities are accurate to the rounding of one, not of their own: see `_counts` for tails.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import gauss_legendre, log_normal_density, varying_like
from ._orthant import log_quadrants

# The pairs, in the order of their correlations.
_FIRST, _SECOND = np.array([0, 0, 1]), np.array([1, 2, 2])
# For each field: the others, the places of its correlations with them, and of that between them.
_OTHERS = np.array([[1, 2], [0, 2], [0, 1]])
_WITH = np.array([[0, 1], [0, 2], [1, 2]])
_BETWEEN = np.array([2, 1, 0])
_POINTS = {jnp.dtype("float64"): 32, jnp.dtype("float32"): 12}
# Where noise keeps the correlations from -1 and 1.
_NOISY_POINTS = {jnp.dtype("float64"): 20, jnp.dtype("float32"): 10}


def triple_counts(omega: Float[Array, " 3"], V: Float[Array, "3 3"]) -> Float[Array, " 4"]:
    """Probabilities of 0 to 3 positive fields."""
    return _counts(*standardised(omega, V))


def standardised(
    mean: Float[Array, " 3"], V: Float[Array, "3 3"]
) -> tuple[Float[Array, " 3"], Float[Array, " 3"]]:
    """Means in units of the standard deviations, and correlations."""
    scale = jnp.sqrt(jnp.diagonal(V))
    return mean / scale, V[_FIRST, _SECOND] / (scale[_FIRST] * scale[_SECOND])


@jax.custom_jvp
def all_positive(a: Float[Array, " 3"], r: Float[Array, " 3"]) -> Scalar:
    """The probability that all three are positive, for many means and few correlations."""
    return _all_positive(a, r, _both_positive(a[1], a[2], r[2]), _NOISY_POINTS)


@all_positive.defjvp
def _(primals, tangents):
    (a, r), (da, dr) = primals, tangents
    density, joint, u = _densities(a, r)
    means, covariance, product = _given_zero(a, r)
    others = jax.vmap(_both_positive)(means[:, 0], means[:, 1], covariance / product)
    slope = (density * da) @ others + (joint * dr) @ jax.scipy.special.ndtr(u)
    return all_positive(a, r), slope


@jax.custom_jvp
def _both_positive(a: Scalar, b: Scalar, r: Scalar) -> Scalar:
    r"""$\Phi_2$ by Plackett's integral in $\theta$, $r = \sin\theta$: the points depend on r alone.

    Far cheaper in a batch of a common r than `log_quadrants`, and less accurate next to r = -1 and 1.
    """
    nodes, weights, _ = gauss_legendre(_NOISY_POINTS[jnp.dtype(a.dtype)])
    nodes, weights = (jnp.asarray(v, a.dtype) for v in (0.5 * (1 + nodes), 0.5 * weights))
    end = jnp.arcsin(r)
    sine, cosine = jnp.sin(end * nodes), jnp.cos(end * nodes)
    squares, product = a * a + b * b, a * b

    def add(index, total):
        scale = -0.5 / cosine[index] ** 2
        return total + weights[index] * jnp.exp(scale * (squares - 2 * sine[index] * product))

    start = varying_like(jnp.zeros_like(product), product + r)
    integral = jax.lax.fori_loop(0, nodes.size, add, start)
    ndtr = jax.scipy.special.ndtr
    return ndtr(a) * ndtr(b) + end / (2 * math.pi) * integral


@_both_positive.defjvp
def _(primals, tangents):
    (a, b, r), (da, db, dr) = primals, tangents
    free = (1 - r) * (1 + r)
    given, other = (b - r * a) / jnp.sqrt(free), (a - r * b) / jnp.sqrt(free)
    ends, means = jnp.stack([a, b]), jnp.stack([given, other])
    density = jnp.exp(log_normal_density(ends, jnp.ones_like(ends)))
    sides = density * jax.scipy.special.ndtr(means)
    corner = jnp.exp(-0.5 * (a * a + given * given)) / (2 * math.pi * jnp.sqrt(free))
    return _both_positive(a, b, r), sides[0] * da + sides[1] * db + corner * dr


@jax.custom_jvp
def _counts(a: Float[Array, " 3"], r: Float[Array, " 3"]) -> Float[Array, " 4"]:
    singles = jnp.sum(jax.scipy.special.ndtr(a))
    kappa = jnp.sqrt((1 + r) / (1 - r))
    both = jnp.exp(jax.vmap(log_quadrants)(a[_FIRST], a[_SECOND], kappa)[:, 0])
    pairs, triple = jnp.sum(both), _all_positive(a, r, both[2], _POINTS)
    return jnp.stack(
        [
            1 - singles + pairs - triple,
            singles - 2 * pairs + 3 * triple,
            pairs - 3 * triple,
            triple,
        ]
    )


@_counts.defjvp
def _(primals, tangents):
    (a, r), (da, dr) = primals, tangents
    density, joint, u = _densities(a, r)
    others = _others_given_zero(a, r)
    # With the field itself positive there is one more than there are of the others.
    gained = jnp.pad(others, ((0, 0), (1, 0))) - jnp.pad(others, ((0, 0), (0, 1)))
    up, down = jax.scipy.special.ndtr(u), jax.scipy.special.ndtr(-u)
    # Two fields are then rather both positive, or both negative, than one of each.
    paired = jnp.stack([down, up - 2 * down, down - 2 * up, up], axis=1)
    return _counts(a, r), (density * da) @ gained + (joint * dr) @ paired


def _densities(a: Float[Array, " 3"], r: Float[Array, " 3"]) -> tuple[Array, Array, Array]:
    """Each field's density at zero, each pair's, and the standardised mean of the third field then."""
    density = jnp.exp(log_normal_density(a, jnp.ones_like(a)))
    # In the order of the fields that remain: 2, 1, 0.
    joint, u = _given_pair(a[_FIRST], a[_SECOND], a[::-1], r, r[_WITH[::-1, 0]], r[_WITH[::-1, 1]])
    return density, joint, u


def _given_zero(a: Float[Array, " 3"], r: Float[Array, " 3"]) -> tuple[Array, Array, Array]:
    """The two other fields where a field vanishes: standardised means, covariance, product of deviations."""
    left, between = r[_WITH], r[_BETWEEN]
    width = jnp.sqrt((1 - left) * (1 + left))
    mean = (a[_OTHERS] - left * a[:, None]) / width
    return mean, between - left[:, 0] * left[:, 1], width[:, 0] * width[:, 1]


def _others_given_zero(a: Float[Array, " 3"], r: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    """For each field the probabilities of 0 to 2 positive ones among the others if it vanishes."""
    mean, covariance, product = _given_zero(a, r)
    kappa = jnp.sqrt((product + covariance) / (product - covariance))
    found = jnp.exp(jax.vmap(log_quadrants)(mean[:, 0], mean[:, 1], kappa))
    return jnp.stack([found[:, 3], found[:, 1] + found[:, 2], found[:, 0]], axis=1)


def _given_pair(
    a: Array, b: Array, c: Array, r: Array, r_ac: Array, r_bc: Array
) -> tuple[Array, Array]:
    """The density of two fields of correlation r at zero, and the third one's mean then, standardised."""
    free = (1 - r) * (1 + r)
    joint = jnp.exp(-0.5 * (a * a + b * b - 2 * r * a * b) / free) / (2 * math.pi * jnp.sqrt(free))
    of_a, of_b = (r_ac - r * r_bc) / free, (r_bc - r * r_ac) / free
    variance = 1 - r_ac * of_a - r_bc * of_b
    smallest = jnp.finfo(a.dtype).eps
    return joint, (c - of_a * a - of_b * b) / jnp.sqrt(jnp.maximum(variance, smallest))


def _all_positive(
    a: Float[Array, " 3"], r: Float[Array, " 3"], last_two: Scalar, points: dict
) -> Scalar:
    r"""The integral above, by Gauss-Legendre points in $x = \sqrt{1 - t}$.

    Where the covariance is next to singular at t = 1 the last factor is a step of a square root's argument.
    """
    nodes, weights, _ = gauss_legendre(points[jnp.dtype(a.dtype)])
    x, weights = (jnp.asarray(v, a.dtype) for v in (0.5 * (1 + nodes), 0.5 * weights))
    own, other = jnp.stack([r[0], r[1]]), jnp.stack([r[1], r[0]])
    partner, rest = a[1:], a[:0:-1]

    # A loop over the points, so that the entries of a batch stay side by side in memory.
    def add(index, total):
        t = 1 - x[index] ** 2
        joint, u = _given_pair(a[0], partner, rest, t * own, t * other, r[2])
        factor = 2 * x[index] * weights[index]
        return total + factor * jnp.sum(own * joint * jax.scipy.special.ndtr(u))

    start = varying_like(jnp.zeros_like(last_two), last_two)
    integral = jax.lax.fori_loop(0, x.size, add, start)
    return jax.scipy.special.ndtr(a[0]) * last_two + integral
