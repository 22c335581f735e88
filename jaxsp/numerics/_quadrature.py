"""Quadrature rules.

A `Rule` is a set of points with the weights of a measure; `integrate` sums a function over it. Rules
differ in what they are made for: `gauss_hermite` for smooth functions, `trapezoid` for analytic
functions on the whole line with features at a known scale, `graded_panels` for functions with kinks,
steps or narrow layers at known places, `tanh_sinh` for integrable singularities.
"""

import math
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from .._types import ScalarLike
from ._special import log_normal_density, sinh_cosh

# Beyond this many standard deviations the Gaussian weight is below the rounding of its sum.
TAIL = {jnp.dtype("float64"): 9.0, jnp.dtype("float32"): 6.0}


def real_dtype(*values) -> jnp.dtype:
    """The floating-point type that the inputs ask for: theirs, or JAX's default for Python numbers."""
    numbers = [value for value in values if eqx.is_array_like(value)]
    dtype = jnp.result_type(*numbers, 0.0)
    return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)


class Rule(eqx.Module):
    r"""Points and weights of a quadrature: $\int f \approx \sum_i w_i f(x_i)$.

    The weights of an embedded coarser rule on the same points give the error estimate.

    Attributes:
        nodes: the points, `(n,)` in one dimension and `(n, d)` in several.
        weights: the weights $w_i$.
        coarse_weights: the weights of the embedded rule.
    """

    nodes: Float[Array, "n *d"]
    weights: Float[Array, " n"]
    coarse_weights: Float[Array, " n"]


def refined_order(order: int) -> int:
    """The order of half as many points again, with which the error of a quadrature is told.

    Rules of a few points have a least number of them: at the lowest orders it takes more to differ.

    Example:
        >>> refined_order(16), refined_order(4)
        (24, 10)
    """
    return order + max(order // 2, 6)


@lru_cache(maxsize=64)
def gauss_legendre(points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre on [-1, 1], to be moved to panels: numpy arrays, made once.

    Returns:
        Nodes, weights, and the weights of the interpolatory rule on every other node.

    Example:
        >>> nodes, weights, coarse = gauss_legendre(4)
        >>> round(float(weights @ nodes**6), 6), round(float(coarse.sum()), 6)    # 2 / 7
        (0.285714, 2.0)
    """
    nodes, weights = scipy.special.roots_legendre(points)
    kept = np.arange(points) % 2 == 0
    subset = nodes[kept]
    # Weights that integrate Legendre polynomials exactly on the subset.
    size = subset.size
    vandermonde = np.polynomial.legendre.legvander(subset, size - 1).T
    moments = np.zeros(size)
    moments[0] = 2.0
    coarse = np.zeros(points)
    coarse[kept] = np.linalg.lstsq(vandermonde, moments, rcond=None)[0]
    return nodes, weights, coarse


def gauss_hermite(order: int = 40, dtype=None) -> Rule:
    """Gauss-Hermite nodes for the standard normal measure; the coarse rule has half the order.

    For polynomials and entire functions of slow growth. It fails for kinks and logarithms: see
    `gaussian_panels`.
    """
    dtype = real_dtype() if dtype is None else dtype
    nodes, weights = scipy.special.roots_hermitenorm(order)
    coarse_nodes, coarse_weights = scipy.special.roots_hermitenorm(max(order // 2, 1))
    all_nodes = np.concatenate([nodes, coarse_nodes])
    fine = np.concatenate([weights / weights.sum(), np.zeros_like(coarse_weights)])
    coarse = np.concatenate([np.zeros_like(weights), coarse_weights / coarse_weights.sum()])
    return Rule(*(jnp.asarray(a, dtype) for a in (all_nodes, fine, coarse)))


def trapezoid(points: int = 49, scale: ScalarLike = 1.0, dtype=None) -> Rule:
    r"""The trapezoid rule for the standard normal measure, $z = a \sinh(t)$ with $a$ = `scale`.

    Its error falls exponentially with the number of points for functions that are analytic in a
    strip around the real axis. A `scale` far below one resolves a feature of that width at the
    origin beside the Gaussian.
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"Argument `points` must be odd and at least 3, but is {points}.")
    dtype = real_dtype(scale) if dtype is None else dtype
    tail = TAIL[jnp.dtype(dtype)]
    scale = jnp.asarray(scale, dtype)
    end = jnp.arcsinh(tail / scale)
    unit = jnp.asarray(np.linspace(-1, 1, points), dtype)
    step = end * (2 / (points - 1))
    nodes = scale * jnp.sinh(end * unit)
    weights = (
        step
        * scale
        * jnp.cosh(end * unit)
        * jnp.exp(log_normal_density(nodes, jnp.ones_like(nodes)))
    )
    coarse = jnp.where(np.arange(points) % 2 == (points // 2) % 2, 2 * weights, 0)
    return Rule(nodes, weights, coarse)


def panels(cuts: Float[Array, " k"], points: int) -> Rule:
    """Gauss-Legendre points between neighbouring cuts, which increase, for the measure dx.

    Example:
        >>> import jax.numpy as jnp
        >>> rule = panels(jnp.array([-1.0, 0.0, 2.0]), 4)
        >>> round(float(jnp.sum(rule.weights * jnp.abs(rule.nodes))), 5)
        2.5
    """
    unit, weight, coarse = (jnp.asarray(a, cuts.dtype) for a in gauss_legendre(points))
    half = 0.5 * (cuts[1:] - cuts[:-1])[:, None]
    nodes = cuts[:-1, None] + half * (1 + unit)
    return Rule(nodes.ravel(), (half * weight).ravel(), (half * coarse).ravel())


def graded_panels(
    landmarks: Float[Array, " k"],
    widths: Float[Array, " k"],
    lower: ScalarLike,
    upper: ScalarLike,
    order: int = 32,
    *,
    reach: Float[Array, " k"] | None = None,
    subdivisions: int = 1,
    even: bool = False,
) -> Rule:
    r"""A rule for $\int_{\text{lower}}^{\text{upper}} f(x)\,dx$ whose points crowd at the landmarks.

    The interval is cut at every landmark (a kink, a step, a wall, a peak) and in the middle between
    two of them. On each piece $x = c + \delta \sinh t$ with $\delta$ the landmark's width and
    Gauss-Legendre points in $t$, so that a layer of width $\delta$ and everything wider is resolved:
    the number of points grows with the logarithm of the ratio of scales. The points move with the
    landmarks and derivatives flow through them, which is how the place of a step is differentiated;
    stop the gradient of the landmarks of continuous integrands, where it is not needed.

    Args:
        landmarks: where the integrand has features; they need not be sorted, and may be traced.
        widths: the width of each feature.
        lower: lower end of the interval; landmarks outside of the interval are moved to its ends.
        upper: upper end of the interval.
        order: Gauss-Legendre points on each of the `2 k` pieces (on each subdivision of them).
        reach: the distance from each landmark beyond which the integrand vanishes and is left out;
            None if it does not vanish.
        even: the integrand and the landmarks are mirror images of themselves, of which the origin,
            first of the landmarks, and the positive ones are given: integrate there, and double.
        subdivisions: 1, or 3 to give the layer, the bulk and the range between them points of
            their own, for ratios of scales above about 1e4.
    """
    dtype = real_dtype(landmarks, widths, lower, upper)
    lower, upper = jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
    centres = jnp.clip(jnp.asarray(landmarks, dtype), lower, upper)
    # One sort of them all: a gather by sorted indices does not pass on a mesh with explicit axes.
    limits = jnp.full_like(centres, math.inf) if reach is None else jnp.asarray(reach, dtype)
    columns = jnp.broadcast_arrays(centres, jnp.asarray(widths, dtype), limits)
    centres, widths, limits = jax.lax.sort(columns, num_keys=1)
    # A wide feature next to a narrow one is resolved as finely as the narrow one's tail is there.
    distance = jnp.abs(centres[:, None] - centres[None, :])
    widths = jnp.min(widths[None, :] + distance, axis=1)
    middle = 0.5 * (centres[1:] + centres[:-1])
    reach_down = jnp.minimum(centres - jnp.concatenate([lower[None], middle]), limits)
    reach_up = jnp.minimum(jnp.concatenate([middle, upper[None]]) - centres, limits)
    unit, weight, coarse = (jnp.asarray(a, dtype) for a in gauss_legendre(order))

    # To both sides of every landmark; one array of them all, as each place where the hyperbolic
    # functions are written out is compiled on its own.
    first, copies = (1, 2.0) if even else (0, 1.0)
    sign = jnp.asarray(np.repeat([1.0, -1.0], [centres.size, centres.size - first]), dtype)
    centre, width = (jnp.concatenate([x, x[first:]])[:, None, None] for x in (centres, widths))
    end = jnp.arcsinh(jnp.concatenate([reach_up, reach_down[first:]]) / width[:, 0, 0])
    margin = jnp.minimum(end / subdivisions, 3.5)
    # Cuts of t at 0, margin, end - margin and end, in these two lengths.
    cuts = {1: [[0.0, 0.0], [1.0, 0.0]], 3: [[0.0, 0.0], [0.0, 1.0], [1.0, -1.0], [1.0, 0.0]]}
    cut = jnp.asarray(cuts[subdivisions], dtype)[..., None]
    half = 0.5 * (cut[1:] - cut[:-1])
    place = cut[:-1] + half * (1 + unit)
    of_end, of_margin = end[:, None, None], margin[:, None, None]
    sinh, cosh = sinh_cosh(of_end * place[:, 0] + of_margin * place[:, 1])
    half = of_end * half[:, 0] + of_margin * half[:, 1]
    nodes = (centre + sign[:, None, None] * width * sinh).ravel()
    jacobian = copies * half * width * cosh
    return Rule(nodes, (jacobian * weight).ravel(), (jacobian * coarse).ravel())


def gaussian_panels(
    landmarks: Float[Array, " k"],
    widths: Float[Array, " k"],
    order: int = 32,
    *,
    subdivisions: int = 1,
    even: bool = False,
) -> Rule:
    r"""`graded_panels` over the standard normal measure, for functions with kinks, steps and layers.

    The Gaussian itself is a landmark at the origin of width one, beside those given.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp.numerics import integrate
        >>> rule = gaussian_panels(jnp.zeros(1), jnp.ones(1))
        >>> out = integrate(lambda z: jnp.abs(z), rule)
        >>> bool(jnp.abs(out.value - jnp.sqrt(2 / jnp.pi)) < 1e-6)
        True
    """
    dtype = real_dtype(landmarks, widths)
    tail = TAIL[dtype]
    if not even:
        landmarks = jnp.append(jnp.asarray(landmarks, dtype), jnp.zeros(1, dtype))
        widths = jnp.append(jnp.asarray(widths, dtype), jnp.ones(1, dtype))
    rule = graded_panels(
        landmarks, widths, -tail, tail, order, subdivisions=subdivisions, even=even
    )
    density = jnp.exp(log_normal_density(rule.nodes, jnp.ones_like(rule.nodes)))
    return Rule(rule.nodes, density * rule.weights, density * rule.coarse_weights)


def tanh_sinh(breakpoints: Float[Array, " k"], points: int = 65) -> Rule:
    r"""The double-exponential rule on the standard normal measure, cut at the breakpoints.

    For integrands with integrable singularities (logarithms, powers) at known places. What is closer
    to a breakpoint than about $10^{-14}$ ($10^{-5}$ in float32) is left out.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp.numerics import integrate
        >>> rule = tanh_sinh(jnp.zeros(1))
        >>> out = integrate(lambda z: jnp.log(jnp.abs(z)), rule)    # -(log 2 + Euler's gamma) / 2
        >>> bool(jnp.abs(out.value + 0.6351814) < 1e-5)
        True
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"Argument `points` must be odd and at least 3, but is {points}.")
    dtype = real_dtype(breakpoints)
    tail = jnp.asarray(TAIL[dtype], dtype)
    cuts = jnp.clip(jnp.sort(jnp.asarray(breakpoints, dtype)), -tail, tail)
    edges = jnp.concatenate([-tail[None], cuts, tail[None]])
    # Closeness to the ends, not position, is what the singularity sees: nodes are formed as
    # "end + distance" with the distance computed without cancellation.
    end = 3.1 if dtype == jnp.float64 else 2.2
    t = np.linspace(-end, end, points)
    distance = 1 / (1 + np.exp(np.pi * np.sinh(np.abs(t))))
    slope = 0.5 * np.pi * np.cosh(t) / np.cosh(0.5 * np.pi * np.sinh(t)) ** 2 / 2
    step = t[1] - t[0]
    left = jnp.asarray(t <= 0)
    width = (edges[1:] - edges[:-1])[:, None]
    offset = width * jnp.asarray(distance, dtype)
    nodes = jnp.where(left, edges[:-1, None] + offset, edges[1:, None] - offset)
    weights = width * jnp.asarray(step * slope, dtype)
    density = jnp.exp(log_normal_density(nodes, jnp.ones_like(nodes)))
    weights = (weights * density).ravel()
    keep = np.tile(np.arange(points) % 2 == (points // 2) % 2, edges.shape[0] - 1)
    return Rule(nodes.ravel(), weights, jnp.where(keep, 2 * weights, 0))


def product(*rules: Rule) -> Rule:
    """The tensor product of one-dimensional rules: nodes `(n_1 ... n_d, d)`."""
    grids = jnp.meshgrid(*(rule.nodes for rule in rules), indexing="ij")
    nodes = jnp.stack([grid.ravel() for grid in grids], axis=-1)

    def outer(weights):
        total = weights[0]
        for factor in weights[1:]:
            total = (total[:, None] * factor[None, :]).ravel()
        return total

    fine, coarse = ([getattr(r, name) for r in rules] for name in ("weights", "coarse_weights"))
    return Rule(nodes, outer(fine), outer(coarse))
