"""Quadratures over fields and outputs whose integrands have layers of Gaussian width."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import Rule, gauss_legendre, log_normal_density, panels
from ..numerics._special import ndtr, sinh_cosh

# Beyond this many standard deviations a Gaussian tail is below the rounding of the integral.
_REACH = {jnp.dtype("float64"): 8.0, jnp.dtype("float32"): 5.5}


def reach(dtype) -> float:
    """How many of its widths a Gaussian layer extends."""
    return _REACH[jnp.dtype(dtype)]


def graded(
    start: Float[Array, " k"], end: Float[Array, " k"], width: Float[Array, " k"], points: int
) -> Rule:
    """Gauss-Legendre points from each start to its end, denser within some widths of the start."""
    unit, weight, coarse = (jnp.asarray(a, start.dtype) for a in gauss_legendre(points))
    length = (end - start)[:, None]
    # A panel of no length has no points, but wants no division by zero.
    top = jnp.arcsinh(jnp.maximum(jnp.abs(length) / width[:, None], 1e-6))
    sinh, cosh = sinh_cosh(top * 0.5 * (1 + unit))
    whole, _ = sinh_cosh(top)
    jacobian = 0.5 * jnp.abs(length) * top * cosh / whole
    nodes = start[:, None] + length * sinh / whole
    return Rule(nodes.ravel(), (jacobian * weight).ravel(), (jacobian * coarse).ravel())


def gathered(*rules: Rule) -> Rule:
    """The sum of several rules."""
    return Rule(
        jnp.concatenate([rule.nodes for rule in rules]),
        jnp.concatenate([rule.weights for rule in rules]),
        jnp.concatenate([rule.coarse_weights for rule in rules]),
    )


def gaussian(rule: Rule) -> Rule:
    """A rule for dx turned into one for the standard normal measure."""
    density = jnp.exp(log_normal_density(rule.nodes, jnp.ones_like(rule.nodes)))
    return Rule(rule.nodes, density * rule.weights, density * rule.coarse_weights)


def layers(
    centres: Float[Array, " k"], widths: Float[Array, " k"], points: int, *, even: bool = False
) -> Rule:
    r"""Standard normal measure for functions that are constant in between layers of Gaussian width.

    Points on both sides of each centre, and a single one for each interval between layers, which
    carries its whole mass. It stands at the end that is nearer to the origin, where a field that is
    to be known to a very small variance has the most digits.

    Args:
        centres: where the layers are, increasing.
        widths: their standard deviations.
        points: number of points on each side of a centre.
        even: the function is even; the first centre is the origin, the others are positive: integrate
            over the positive axis, and double.
    """
    dtype = centres.dtype
    if centres.size == 0:
        one = jnp.ones(1, dtype)
        return Rule(jnp.zeros(1, dtype), one, one)
    tail = reach(dtype)
    centres = jnp.clip(centres, -tail, tail)
    middle = 0.5 * (centres[1:] + centres[:-1])
    low = jnp.maximum(centres - tail * widths, jnp.append(-tail, middle).astype(dtype))
    high = jnp.minimum(centres + tail * widths, jnp.append(middle, tail).astype(dtype))
    first, copies = (1, 2) if even else (0, 1)
    # Both sides in one array: what is written out twice is compiled twice.
    starts, ends = jnp.append(centres, centres[first:]), jnp.append(high, low[first:])
    inner = gaussian(graded(starts, ends, 2 * jnp.append(widths, widths[first:]), points))
    start = high if even else jnp.append(-jnp.inf, high).astype(dtype)
    end = jnp.append(low[first:], jnp.inf).astype(dtype)
    # Mirrored to the side on which the difference of the two probabilities does not cancel.
    mirrored = start + end > 0
    lower, upper = jnp.where(mirrored, -end, start), jnp.where(mirrored, -start, end)
    below_upper, below_lower = ndtr(jnp.stack([upper, lower]))
    mass = below_upper - below_lower
    place = jnp.where(jnp.abs(start) < jnp.abs(end), start, end)
    rule = gathered(inner, Rule(place, mass, mass))
    return Rule(rule.nodes, copies * rule.weights, copies * rule.coarse_weights)


def even_layer(width: Scalar, intervals: int) -> Rule:
    r"""Standard normal measure for even functions that vanish away from a layer at the origin.

    The trapezoid rule on the positive axis: the integrand is analytic, even at one end and zero at
    the other, so that it converges exponentially.
    """
    tail = reach(width.dtype)
    index = jnp.arange(intervals + 1)
    step = jnp.minimum(tail * width, tail) / intervals
    # An end counts half; every point stands for its mirror image too.
    weights = step * jnp.where((index == 0) | (index == intervals), 1.0, 2.0).astype(width.dtype)
    coarse = jnp.where(index % 2 == 0, 2 * weights, 0)
    return gaussian(Rule(step * index.astype(width.dtype), weights, coarse))


def mirrored_layer(centre: Scalar, width: Scalar, points: int) -> Rule:
    r"""Standard normal measure for even functions that vanish away from layers at $\pm$ `centre`.

    Points on both sides of the centre; each stands for its mirror image too.
    """
    tail = reach(width.dtype)
    centre = jnp.minimum(centre, tail)
    low = jnp.maximum(centre - tail * width, 0)
    high = jnp.minimum(centre + tail * width, tail)
    rule = gaussian(panels(jnp.stack([low, centre, high]), points))
    return Rule(rule.nodes, 2 * rule.weights, 2 * rule.coarse_weights)
