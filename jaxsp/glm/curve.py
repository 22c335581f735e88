r"""The explicit curve on which all fixed points of a model lie.

With $V(\hat m)$ the error variance of one weight at snr $\hat m$ and $F$ the information in one
output, state evolution is $\hat m = \alpha F(V(\hat m))$, so every fixed point satisfies

$$ \alpha = \alpha(\hat m) := \hat m / F(V(\hat m)). $$

A fixed point is stable where the curve rises. Its maxima are the spinodals at which an uninformed
start escapes, its minima those at which informed branches end. No iteration, no critical slowing
down: everything below is root-finding of one scalar function of $x = \log\hat m$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import Flag, Scalar
from ..numerics import frozen, varying_like
from .model import GLM
from .potentials import output_potential, weak_information, weight_potential

# Points evaluated at once; the grids are multiples of it.
_BATCH = 32
# Rounds of refinement after the grid; each looks at this many extrema, and at this many places
# where an extremum may hide, with three points each.
_ROUNDS, _MAX_EXTREMA, _MAX_NEAR_MISSES = 6, 6, 4
# A slope d log(alpha) / d log(snr) below this is that of a curve that has reached its limit.
_FLAT = 1e-8


class Curve(eqx.Module):
    r"""A scan of $\log\alpha$ over $x = \log\hat m$, with the extrema among its points.

    Attributes:
        x: the points, increasing.
        log_alpha: the curve there.
        slope: $d\log\alpha/dx$ there.
        valid: false for places of the table that hold no point; they stand last, at infinity.
        maxima: marks the points that are local maxima.
        minima: marks the points that are local minima.
        start: limit of alpha at vanishing snr: the weak-recovery threshold if $m = 0$ is a fixed
            point, and zero otherwise.
        end: limit of alpha at infinite snr: above it perfect recovery is a stable fixed point
            (infinity if it never is).
        zero_fixed: whether $m = 0$ is a fixed point.
        dense_information: whether outputs are continuous and without noise; the free entropy of
            perfect recovery is then infinite.
    """

    x: Float[Array, " n"]
    log_alpha: Float[Array, " n"]
    slope: Float[Array, " n"]
    valid: Bool[Array, " n"]
    maxima: Bool[Array, " n"]
    minima: Bool[Array, " n"]
    start: Scalar
    end: Scalar
    zero_fixed: Flag
    dense_information: Flag


def log_alpha(model: GLM, x: Scalar, order: int) -> Scalar:
    r"""$\log\alpha(\hat m) = x - \log F$ at $x = \log\hat m$."""
    return x - _log_information(model, *_overlaps(model, x, order), order)


def _overlaps(model, x, order):
    weight = weight_potential(model, jnp.exp(x), order)
    return weight.overlap, weight.error_variance


def _log_information(model, m, V, order):
    return jnp.log(output_potential(model, m, V, order).information)


def value_and_slope(model: GLM, x: Scalar, order: int) -> tuple[Scalar, Scalar]:
    r"""$\log\alpha$ and $d\log\alpha / d\log\hat m$ at $x = \log\hat m$."""
    return jax.jvp(lambda x: log_alpha(model, x, order), (x,), (jnp.ones_like(x),))


def _grid(dtype: jnp.dtype) -> np.ndarray:
    """Points in log(snr): dense where discrete priors live, sparse where curves are power laws."""
    if dtype == jnp.float64:
        pieces = [(-8, -3, 23), (-3, 4, 140), (4, 12, 52), (12, 30, 40)]
    else:
        pieces = [(-5, -3, 11), (-3, 4, 140), (4, 12, 40)]
    grid = [np.linspace(a, b, n, endpoint=False) for a, b, n in pieces]
    return np.log(10) * np.append(np.concatenate(grid), pieces[-1][1])


def scan(model: GLM, dtype: jnp.dtype, order: int) -> Curve:
    """Scan the curve of a model and locate its extrema. Carries no derivative."""
    model = frozen(model)
    mean, variance = (jnp.asarray(v, dtype) for v in model.prior.moments())
    rho = variance + mean**2
    grid = jnp.asarray(_grid(dtype), dtype) - jnp.log(variance)
    rounds = grid.size // _BATCH + _ROUNDS
    # The error variance of a discrete prior underflows; squares of it must not. A continuous output
    # has to be told from its field's mean to a fraction of the field's uncertainty.
    info = jnp.finfo(dtype)
    dense = model.channel.dimension > 0
    floor = rho * jnp.where(dense, info.eps**0.85, info.tiny**0.45)
    # Fields beside a wall away from the origin are resolved to its own rounding only.
    walls, _ = model.channel.landmarks(rho)
    floor = jnp.maximum(floor, jnp.max((info.eps**0.7 * walls) ** 2, initial=0.0))

    def at(x, used):
        # In two steps, as value_and_slope in one: the weight tells where the output is wanted.
        overlaps, rates = jax.jvp(lambda x: _overlaps(model, x, order), (x,), (jnp.ones_like(x),))
        V = overlaps[1]

        def value_and_slope():
            information = lambda m, V: _log_information(model, m, V, order)  # noqa: E731
            value, rate = jax.jvp(information, overlaps, rates)
            return x - value, 1 - rate

        if not model.channel.integrated:
            return *value_and_slope(), V
        nowhere = jnp.full_like(x, jnp.nan)
        value, slope = jax.lax.cond(
            used & (floor < V),
            value_and_slope,
            lambda: varying_like((nowhere, nowhere), x + V),
        )
        return value, slope, V

    def evaluate(table, turn):
        on_grid = turn < grid.size // _BATCH
        fresh = jax.lax.dynamic_slice_in_dim(grid, turn * _BATCH, _BATCH)
        x, used = _propose(*_sorted(table)[:3])
        x, used = jnp.where(on_grid, fresh, x), used | on_grid
        if model.channel.integrated:
            la, s, V = jax.lax.map(lambda point: at(*point), (x, used))
        else:
            la, s, V = jax.vmap(at)(x, used)
        good = used & (floor < V) & jnp.isfinite(la) & jnp.isfinite(s)
        # What cannot be used is put at infinity, where no interval reaches it.
        row = jnp.stack([jnp.where(good, x, jnp.inf), la, s, V])
        return jax.lax.dynamic_update_slice(table, row, (0, turn * _BATCH)), None

    table = jnp.full((4, rounds * _BATCH), jnp.inf, dtype)
    table = varying_like(table, rho + sum(jnp.sum(x) for x in _numbers(model)))
    table, _ = jax.lax.scan(evaluate, table, jnp.arange(rounds))
    x, la, s, _ = _sorted(table)
    valid = jnp.isfinite(x)
    last = jnp.maximum(jnp.sum(valid) - 1, 0)
    maxima, minima = _extrema(x, s)

    information, weak = weak_information(model, order)
    epsilon = jnp.finfo(dtype).eps
    zero_fixed = (mean**2 <= epsilon * rho) & (rho * information < epsilon)
    start = jnp.where(zero_fixed, 1 / (variance**2 * weak), 0.0)
    # Perfect recovery is possible iff alpha(snr) stays bounded: it grows like the snr for a noisy
    # channel, like its square root for noiseless labels and a continuous prior. For continuous
    # outputs without noise it tends to the ratio of the dimensions; otherwise it falls to zero.
    bounded = dense | (s[last] < 0.25)
    ratio = model.prior.dimension() / (model.channel.dimension if dense else 1.0)
    end = jnp.where(bounded, jnp.where(dense, ratio, 0.0), jnp.inf).astype(dtype)
    return Curve(x, la, s, valid, maxima, minima, start, end, zero_fixed, jnp.asarray(dense))


def _numbers(model):
    return [leaf for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf)]


def _sorted(table):
    return table[:, jnp.argsort(table[0])]


def _signs(x, s):
    """Sign of the slope at each point; zero where there is none, and on the flat ends of the curve."""
    significant = jnp.isfinite(x) & (jnp.abs(s) > _FLAT)
    before = jnp.cumsum(significant) > 0
    after = jnp.cumsum(significant[::-1])[::-1] > 0
    return jnp.where(before & after, jnp.where(s >= 0, 1, -1), 0)


def _extrema(x, s):
    """Of each pair of points between which the slope changes sign, the one where it is smaller."""
    sign = _signs(x, s)
    size = jnp.abs(s)
    left = size[:-1] <= size[1:]

    def marks(change):
        absent = jnp.zeros(1, bool)
        at_left = jnp.concatenate([change & left, absent])
        return at_left | jnp.concatenate([absent, change & ~left])

    falls = (sign[:-1] > 0) & (sign[1:] < 0)
    rises = (sign[:-1] < 0) & (sign[1:] > 0)
    return marks(falls), marks(rises)


def _propose(x, la, s):
    """Three points around each place where the slope vanishes, or comes closest to it.

    Between two points of opposite slope the secant's root is bracketed by two points whose distance
    is that of its error, so that a few rounds reach rounding. A slope that approaches zero without
    crossing it is followed to its closest approach by parabolas: two extrema that are closer to each
    other than the grid's spacing hide there.
    """
    sign = _signs(x, s)
    epsilon = jnp.finfo(x.dtype).eps
    # Sign changes; brackets that are as narrow as rounding are finished.
    width = x[1:] - x[:-1]
    open_bracket = (sign[:-1] * sign[1:] < 0) & (width > 32 * epsilon * (1 + jnp.abs(x[1:])))
    places = jnp.nonzero(open_bracket, size=_MAX_EXTREMA, fill_value=x.size - 1)[0]
    found = places < x.size - 1
    low = jnp.where(found, places, 0)
    h = x[low + 1] - x[low]
    root = x[low] - s[low] * h / jnp.where(found, s[low + 1] - s[low], 1.0)
    margin = jnp.minimum(0.25 * h, 0.3 * h * h)
    around = jnp.array([[-1.0], [0.0], [1.0]], x.dtype)
    bracket = root + around * margin
    bracket = jnp.clip(bracket, x[low] + 1e-3 * margin, x[low + 1] - 1e-3 * margin)

    # Closest approaches: vertex of the parabola through three slopes of one sign.
    size = jnp.where(sign == 0, jnp.inf, jnp.abs(s))
    dip = (size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:]) & jnp.isfinite(size[1:-1])
    dip = dip & (sign[:-2] == sign[1:-1]) & (sign[1:-1] == sign[2:])
    dip = dip & (x[2:] - x[:-2] > 1e-4)
    rank = jnp.where(dip, size[1:-1], jnp.inf)
    middle = jnp.argsort(rank)[:_MAX_NEAR_MISSES] + 1
    near = jnp.isfinite(rank[middle - 1])
    left, right = x[middle] - x[middle - 1], x[middle + 1] - x[middle]
    fall, rise = (s[middle] - s[middle - 1]) / left, (s[middle + 1] - s[middle]) / right
    bend = (rise - fall) / (left + right)
    vertex = x[middle] - 0.5 * (fall * right + rise * left) / (left + right) / bend
    vertex = jnp.clip(vertex, x[middle] - 0.9 * left, x[middle] + 0.9 * right)
    margin = 0.1 * jnp.minimum(left, right)
    approach = vertex + around * margin

    points = jnp.concatenate([bracket, approach], axis=1)
    used = jnp.broadcast_to(jnp.concatenate([found, near]), points.shape)
    points = jnp.where(used & jnp.isfinite(points), points, 0.0).ravel()
    spare = _BATCH - points.size
    return jnp.pad(points, (0, spare)), jnp.pad(used.ravel(), (0, spare))
