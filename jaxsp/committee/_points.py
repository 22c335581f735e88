"""Points for K standard normal numbers: products of a rule for a few, quasi-random ones for many."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import Rule, gauss_legendre, graded_panels, log_normal_density, panels, product

# Up to this many units all expectations are quadratures; beyond, averages over quasi-random points.
PRODUCT_UNITS = 3
# Independently shifted point sets, whose spread is the statistical error.
REPLICATES = 16
# Beyond this many standard deviations the mass is negligible beside the error of so coarse a rule.
_REACH = {1: 8.5, 2: 7.0, 3: 5.5}
# Within it a narrow layer gets as many points, in its own widths, as a Gaussian does in 1.6 deviations.
_LAYER_SHARE, _GRADED_REACH = 1.6, 6.0
_ORDERED_REACH = {jnp.dtype("float64"): 7.0, jnp.dtype("float32"): 5.0}


def uniform_normal(points: int, reach: float, dtype, *, half: bool = False) -> Rule:
    r"""The trapezoid rule on $[-L, L]$ for the standard normal measure, or twice its upper half."""
    points |= 1
    z = np.linspace(-reach, reach, points)
    weights = np.exp(-0.5 * z * z)
    weights /= weights.sum()
    if half:
        z, weights = z[points // 2 :], 2 * weights[points // 2 :]
        weights[0] *= 0.5
    z, weights = jnp.asarray(z, dtype), jnp.asarray(weights, dtype)
    return Rule(z, weights, jnp.zeros_like(weights))


def product_normal(
    dimensions: int, points: int, dtype, halves: tuple[bool, ...] | None = None
) -> Rule:
    """A product of such rules; `halves` says in which directions mirror images are left out."""
    reach = _REACH[dimensions]
    halves = halves or dimensions * (False,)
    rules = [uniform_normal(points, reach, dtype, half=half) for half in halves]
    return product(*rules)


def quasi_random_normal(dimensions: int, count: int, seed: int, dtype) -> Rule:
    r"""Equally weighted points: a Kronecker sequence with a random shift, folded, through $\Phi^{-1}$.

    Its generator is the root of $x^{d+1} = x + 1$ and its powers (M. Roberts' generalised golden ratio).
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    shift = np.random.default_rng(seed).uniform(size=dimensions)
    u = np.mod(shift + np.arange(1, count + 1)[:, None] * steps, 1.0)
    # Folded, the integrand is periodic, for which such points are good.
    u = np.clip(1 - np.abs(2 * u - 1), 1e-12, 1 - 1e-12)
    weights = jnp.full(count, 1 / count, dtype)
    return Rule(jnp.asarray(scipy.special.ndtri(u), dtype), weights, jnp.zeros_like(weights))


def replicated(dimensions: int, count: int, seed: int, dtype) -> Rule:
    """Several independently shifted sets, along a first axis of each array."""
    rules = [
        quasi_random_normal(dimensions, count, 1000 * seed + index, dtype)
        for index in range(REPLICATES)
    ]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *rules)


def relative_spread(values: Float[Array, "sets *s"], fewer: Float[Array, "sets *s"]) -> Scalar:
    """The error of a mean over sets of points, relative to its largest entry.

    The standard error, and how far the same with half as many inner points is away.
    """
    values, fewer = jax.lax.stop_gradient((values, fewer))
    mean = jnp.mean(values, axis=0)
    variance = jnp.var(values, axis=0, ddof=1) / values.shape[0]
    error = jnp.sqrt(variance + (mean - jnp.mean(fewer, axis=0)) ** 2)
    largest = jnp.max(jnp.abs(mean))
    return jnp.max(error) / jnp.maximum(largest, jnp.finfo(error.dtype).tiny)


def standard_normal(dimensions: int, points: int, count: int, dtype) -> Rule:
    """The one or the other, as the number of dimensions has it."""
    if dimensions <= PRODUCT_UNITS:
        return product_normal(dimensions, points, dtype)
    return quasi_random_normal(dimensions, count, 0, dtype)


def three_exchangeable(order: int, dtype, *, half: bool) -> Rule:
    """Three units: coordinates (sum, two differences), without what permutations repeat.

    In the plane of the differences the permutations are the symmetries of a triangle: a sixth of it is
    enough, at whose edges an integrand is even, so that equally spaced angles are best.
    """
    total = uniform_normal(2 * order, 7.0, dtype, half=half)
    nodes, weights, _ = gauss_legendre(order + 4)
    radius = 3.5 * (1 + nodes)
    radial = 3.5 * weights * radius * np.exp(-0.5 * radius**2)
    count = max(order // 2, 4)
    angles = math.pi / 6 + math.pi / 3 * (np.arange(count) + 0.5) / count
    first = (radius[:, None] * np.cos(angles)).ravel()
    second = (radius[:, None] * np.sin(angles)).ravel()
    plane = np.repeat(radial / radial.sum() / count, count)
    size, repeats = total.nodes.size, plane.size
    nodes = jnp.stack(
        [
            jnp.repeat(total.nodes, repeats),
            jnp.asarray(np.tile(first, size), dtype),
            jnp.asarray(np.tile(second, size), dtype),
        ],
        axis=1,
    )
    weights = jnp.repeat(total.weights, repeats) * jnp.asarray(np.tile(plane, size), dtype)
    return Rule(nodes, weights, jnp.zeros_like(weights))


def triangle(dtype) -> Float[Array, "3 3"]:
    """An orthonormal basis (rows) of three units: the sum, and two of the plane of differences."""
    rows = [[2**0.5, 2**0.5, 2**0.5], [3**0.5, -(3**0.5), 0.0], [1.0, 1.0, -2.0]]
    return jnp.asarray(rows, dtype) / 6**0.5


def _layered_line(
    s: Scalar, reach: Scalar, width: Scalar, count: int
) -> tuple[Float[Array, " n"], Float[Array, " n"], Scalar]:
    r"""Points that crowd at zero, their measure dx, and how far they are apart in t.

    The trapezoid rule in t with $dt = dx / s + c\, dx / \sqrt{x^2 + w^2}$, even in a Gaussian of deviation s
    and in a layer of width w.
    """
    ratio, c = width / s, _LAYER_SHARE
    step = (reach / s + c * jnp.arcsinh(reach / width)) / count
    # x = w sinh u: Newton's method for a convex function, from above.
    t = step * jnp.arange(count + 1)
    u = jnp.minimum(t / c, jnp.arcsinh(t / ratio))
    for _ in range(8):
        u = u - (ratio * jnp.sinh(u) + c * u - t) / (ratio * jnp.cosh(u) + c)
    x = width * jnp.sinh(u)
    measure = step / (1 / s + c / jnp.sqrt(x**2 + width**2))
    return (
        jnp.concatenate([-x[:0:-1], x]),
        jnp.concatenate([measure[:0:-1], measure]),
        step,
    )


def three_layered(q: Float[Array, " 2"], width: Scalar, order: int) -> tuple[Rule, Scalar]:
    r"""The same coordinates, for a kink at zero in each of the fields, of the width that V has.

    A product over the fields themselves, for which q has to be no narrow Gaussian; points that are permuted
    count as one. Along each `_layered_line` of the least deviation.

    Args:
        q: eigenvalues of the overlap (difference, sum).
        width: the deviation w of one field.
        order: sets the number of points.

    Returns:
        The points, and how far they are apart, in units of both scales.
    """
    dtype, count = q.dtype, order + 2
    q = jnp.maximum(q, 1e-9 * jnp.max(q) + jnp.finfo(dtype).tiny ** 0.25)
    reach = _GRADED_REACH * jnp.sqrt((2 * q[0] + q[1]) / 3)
    x, measure, step = _layered_line(jnp.sqrt(jnp.min(q)), reach, width, count)
    places = np.array(list(itertools.combinations_with_replacement(range(2 * count + 1), 3)))
    distinct = 1 + (np.diff(places, axis=1) > 0).sum(axis=1)
    copies = jnp.asarray(np.array([0, 1, 3, 6])[distinct], dtype)
    nodes = x[places] @ triangle(dtype).T / jnp.sqrt(q[jnp.asarray([1, 0, 0])])
    weights = copies * jnp.exp(-0.5 * jnp.sum(nodes**2, axis=1)) * jnp.prod(measure[places], axis=1)
    weights = weights / jnp.sum(weights)
    return Rule(nodes, weights, jnp.zeros_like(weights)), step


def three_layered_full(
    root: Float[Array, "3 3"], widths: Float[Array, " 3"], order: int
) -> tuple[Rule, Float[Array, " 3"]]:
    """The same for any overlap `root @ root.T` and deviations: standard normal points, none left out."""
    deviations = jnp.linalg.norm(root, axis=1)
    # The least eigenvalue of an overlap that may be singular.
    least = jnp.linalg.norm(root, -2)
    least = jnp.maximum(least, 3e-5 * jnp.max(deviations) + jnp.finfo(root.dtype).tiny ** 0.25)
    lines = [
        _layered_line(least, _GRADED_REACH * deviation, width, order + 2)
        for deviation, width in zip(deviations, widths, strict=True)
    ]
    rule = product(*(Rule(x, measure, jnp.zeros_like(x)) for x, measure, _ in lines))
    nodes = jax.scipy.linalg.solve_triangular(root, rule.nodes.T, lower=True).T
    weights = rule.weights * jnp.exp(-0.5 * jnp.sum(nodes**2, axis=1))
    weights = weights / jnp.sum(weights)
    return Rule(nodes, weights, jnp.zeros_like(weights)), jnp.stack([step for *_, step in lines])


def nested_panels(
    mean: Float[Array, " K"], root: Float[Array, "K K"], breakpoints, points: int, boundary=None
) -> Rule:
    """Standard normal points for fields `mean + root @ point`, cut where a field is at a breakpoint.

    One field after another, each given those before it. In the last one, places found by `boundary`
    (of the fields before it, to a function of the last one) are cuts as well.
    """
    dtype, K = mean.dtype, mean.shape[0]
    reach = _REACH[min(K, 3)]
    ends = jnp.asarray([-reach, reach], dtype)
    places = jnp.asarray(breakpoints, dtype).reshape(-1)
    nodes, weights = jnp.zeros((1, 0), dtype), jnp.ones(1, dtype)
    for index in range(K):
        last = index == K - 1

        def conditional(point, index=index, last=last):
            centre, width = mean[index] + root[index, :index] @ point, root[index, index]
            cuts = jnp.concatenate([ends, jnp.clip((places - centre) / width, *ends)])
            if last and boundary is not None:
                before = mean[:index] + root[:index, :index] @ point
                found = boundary(before, centre, width, reach)
                cuts = jnp.concatenate([cuts, found])
            rule = panels(jnp.sort(cuts), points)
            density = jnp.exp(log_normal_density(rule.nodes, jnp.ones_like(rule.nodes)))
            return rule.nodes, density * rule.weights

        z, w = jnp.vectorize(conditional, signature="(l)->(n),(n)")(nodes)
        count = z.shape[1]
        nodes = jnp.concatenate([jnp.repeat(nodes, count, axis=0), z.reshape(-1, 1)], axis=1)
        weights = (weights[:, None] * w).ravel()
    return Rule(nodes, weights, jnp.zeros_like(weights))


def ordered_layers(
    q: Float[Array, "3 3"],
    width: Scalar,
    changes: tuple[bool, bool, bool],
    order: int,
    *,
    half: bool,
    symmetric: bool,
) -> tuple[Float[Array, "n 3"], Float[Array, " n"]]:
    r"""Points and weights for three fields of $\mathcal N(0, q)$ in falling order.

    The law of the output is a function of how many fields are positive, up to layers of a given width where
    one changes its sign: in falling order the number tells which of them that is, and `changes` says
    whether the law is another then. One panel after the other, each given those before it, over the
    distances from the first field to the second and on to the third, and then over the second. If mirror
    images are equal, half of the last are enough. With a permutation-symmetric q all orders have the
    weight that is returned; else it is to be called for each of them.
    """
    dtype = q.dtype
    turn = jnp.asarray([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [0.0, 1.0, 0.0]], dtype)
    root = jnp.linalg.cholesky(turn @ q @ turn.T)
    reach = jnp.asarray(_ORDERED_REACH[jnp.dtype(dtype)], dtype)
    x, weights = jnp.zeros((1, 0), dtype), jnp.ones(1, dtype)
    for index in range(3):
        scale, before = root[index, index], root[index, :index]
        earlier = jax.scipy.linalg.solve_triangular(root[:index, :index], x.T, lower=True).T
        zero = index < 2 or half or changes[1]
        # Given the distance before it, a distance of symmetric fields is most likely zero.
        peaked = index == 2 or (index == 1 and not symmetric)

        def conditional(x, z, index=index, scale=scale, before=before, zero=zero, peaked=peaked):
            mean = before @ z
            lower = jnp.zeros_like(mean) if index < 2 or half else mean - reach * scale
            upper = jnp.maximum(mean + reach * scale, lower)
            marks = [jnp.zeros_like(mean)] if zero else []
            if index == 2 and changes[2]:
                marks = [*marks, x[1]]
            if index == 2 and changes[0] and not half:
                marks = [*marks, -x[0]]
            widths = len(marks) * [jnp.minimum(width, scale)]
            if peaked:
                marks, widths = [*marks, mean], [*widths, scale]
            points = order + order // 2 if index == 2 else order
            rule = graded_panels(jnp.stack(marks), jnp.stack(widths), lower, upper, points)
            nodes, w = rule.nodes, rule.weights
            if index < 2 or half:
                # Nothing lies below the lower end, which is the first of the landmarks.
                places = np.arange(nodes.size) // points != len(marks)
                nodes, w = nodes[places], w[places]
            away = (nodes - mean) / scale
            density = jnp.exp(log_normal_density(away, jnp.ones_like(away))) / scale
            return nodes, density * w

        found, w = jax.vmap(conditional)(x, earlier)
        count = found.shape[1]
        x = jnp.concatenate([jnp.repeat(x, count, axis=0), found.reshape(-1, 1)], axis=1)
        weights = (weights[:, None] * w).ravel()
    fields = jnp.stack([x[:, 2] + x[:, 0], x[:, 2], x[:, 2] - x[:, 1]], axis=1)
    return fields, (2 if half else 1) * (6 if symmetric else 1) * weights
