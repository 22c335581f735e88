r"""The two-time equations along rays $t' = \theta t$, and their derivative by the current row.

Both equations together give the total derivative on a ray (`jaxsp.dmft._march` has the first one):

$$ \frac{d}{dt} C(t, \theta t) = \partial_t C + \theta\, \partial_{t'} C, \quad
   \partial_{t'} C = 2 T R - \mu(t') C + Q_s'(\bar C(t')) \bar C(t)
   + \int_0^{t'} R(t',s) Q''(C(t',s)) C(t,s)\, ds + \int_0^t R(t,s) Q'(C(t',s))\, ds, $$
$$ \partial_{t'} R = \mu(t') R - \int_{t'}^t R(t,s) Q''(C(s,t')) R(s,t')\, ds . $$

Times the age $t$ these are differences of large terms. They are taken where they cancel: inside of one
sum, $C(s,t') - C(t,s) C(t,t')$, or between sums over the same nodes, so that what is left at
$\theta \to 1$ vanishes like the lag, as the equations do. (Multipliers that are summed otherwise for each
ray put noise on the response close to the diagonal, where nothing damps it: it grows like the age.)
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ._ratio_landscape import Landscape, derivative, increment
from ._ratio_mesh import Mesh, Stencil


class Row(eqx.Module):
    r"""The two-time functions at one time, on the nodes $t' = \theta_j t$, and the overlap."""

    correlation: Float[Array, " n"]
    response: Float[Array, " n"]
    overlap: Scalar


class Memory(eqx.Module):
    r"""The rows at the times $\theta_j t$ without the current row's own part, and the weight of that part.

    `known` is what the other rows weigh, one less `weight` but with all digits where that is next to one.
    `upper`, `middle` and their `_partial` are these rows where the mesh reads them above the ray.
    """

    correlation: Float[Array, "n n"]
    response: Float[Array, "n n"]
    overlap: Float[Array, " n"]
    weight: Float[Array, " n"]
    known: Float[Array, " n"]
    upper: tuple[Array, Array]
    middle: tuple[Array, Array]
    middle_weight: Float[Array, "n n"]
    upper_partial: tuple[Array, Array]
    upper_partial_weight: Float[Array, "n nodes"]
    middle_partial: tuple[Array, Array]
    middle_partial_weight: Float[Array, "n nodes"]


def remember(mesh: Mesh, correlation: Array, response: Array, overlap: Array, known) -> Memory:
    """The memory of rows at the times of the nodes, without the current row's part; they weigh `known`."""
    n, nodes = mesh.theta.size, mesh.nodes
    columns, weight = jnp.arange(n), 1 - known

    def upper(rows):
        q = mesh.quotient
        read = rows.reshape(n, -1, nodes)[columns[None, :], q.panel]
        return jnp.sum(read * q.weights, -1) + q.end * known

    def middle(rows):
        q = mesh.quotient_in_time
        read = rows.reshape(-1, nodes, n).transpose(2, 0, 1)[columns[None, :], q.panel]
        return jnp.sum(read * q.weights, -1)

    def partial(rows, at, ratio, weight):
        read = rows.reshape(n // nodes, nodes, n // nodes, nodes)[at.panel, :, ratio.panel]
        value = jnp.einsum("jqab,jqa,jqb->jq", read, at.weights, ratio.weights)
        return value + ratio.end * (1 - weight)

    upper_at, middle_at = mesh.partial_in_time, mesh.partial_quotient_in_time
    upper_weight, middle_weight = upper_at(weight, 0.0), middle_at(weight, 0.0)
    both = (correlation, response)
    return Memory(
        correlation=correlation,
        response=response,
        overlap=overlap,
        weight=weight,
        known=known,
        upper=(upper(correlation), upper(response)),
        middle=(middle(correlation), middle(response)),
        middle_weight=mesh.quotient_in_time(weight, 0.0),
        upper_partial=_both(
            lambda x: partial(x, upper_at, mesh.partial_quotient, upper_weight), both
        ),
        upper_partial_weight=upper_weight,
        middle_partial=_both(lambda x: partial(x, middle_at, mesh.partial, middle_weight), both),
        middle_partial_weight=middle_weight,
    )


class Fields(eqx.Module):
    r"""All that the equation on a ray reads, one line for each ray: its derivative is one of values.

    Pairs are a correlation and a response; of the current row at $\phi t$ (`now_`), between
    $\phi t$ and $\theta t$ (`then_`), and what the row at $\theta t$ has more than the current one at the
    same ratio (`gone_`): a sum over small differences, next to the diagonal.
    """

    own: tuple[Array, Array]
    overlap: Array
    earlier_overlap: Array
    force: Array
    now_lower: tuple[Array, Array]
    gone_lower: tuple[Array, Array]
    now_upper: tuple[Array, Array]
    then_upper: tuple[Array, Array]
    now_middle: tuple[Array, Array]
    then_middle: tuple[Array, Array]
    now_upper_partial: tuple[Array, Array]
    then_upper_partial: tuple[Array, Array]
    now_middle_partial: tuple[Array, Array]
    then_middle_partial: tuple[Array, Array]


def _fields(land: Landscape, mesh: Mesh, memory: Memory, row: Row) -> Fields:
    pair, n, w = (row.correlation, row.response), mesh.theta.size, memory.weight
    quotients = _both(mesh.quotient, pair)
    partial, partial_quotients = _both(mesh.partial, pair), _both(mesh.partial_quotient, pair)
    earlier = (memory.correlation, memory.response)
    force, _ = _sums(land, mesh, row)
    return Fields(
        own=pair,
        overlap=jnp.broadcast_to(row.overlap, n),
        earlier_overlap=memory.overlap + w * row.overlap,
        force=jnp.broadcast_to(force, n),
        now_lower=_both(mesh.product, pair),
        gone_lower=_both(lambda h, y: h - memory.known[:, None] * y, earlier, pair),
        now_upper=_both(lambda y: jnp.broadcast_to(y, (n, n)), pair),
        then_upper=_both(lambda h, y: h + w * y, memory.upper, quotients),
        now_middle=quotients,
        then_middle=_both(lambda h, y: h + memory.middle_weight * y, memory.middle, pair),
        now_upper_partial=partial,
        then_upper_partial=_both(
            lambda h, y: h + memory.upper_partial_weight * y,
            memory.upper_partial,
            partial_quotients,
        ),
        now_middle_partial=partial_quotients,
        then_middle_partial=_both(
            lambda h, y: h + memory.middle_partial_weight * y, memory.middle_partial, partial
        ),
    )


def _both(function: Callable[..., Array], *pairs: tuple[Array, Array]) -> tuple[Array, Array]:
    """A function of correlations, and the same of responses."""
    return function(*(pair[0] for pair in pairs)), function(*(pair[1] for pair in pairs))


def _sums(land: Landscape, mesh: Mesh, row: Row) -> tuple[Scalar, Scalar]:
    r"""$\int R Q'(C)$ and $\int R Q''(C) C$ of the current row, divided by its time."""
    Q, c, factors = land.covariance, row.correlation, land.factors("row")
    wr = jnp.asarray(mesh.weights) * row.response
    return wr @ derivative(Q, c, 1, factors), wr @ (derivative(Q, c, 2, factors) * c)


def _on_rays(land: Landscape, mesh: Mesh, t: Scalar, f: Fields) -> tuple[Array, Array]:
    """Time derivatives of correlation and response on each ray."""
    Q, signal, temperature = land.covariance, land.signal, land.temperature
    theta, (c, r) = jnp.asarray(mesh.theta), f.own
    own_c, own_theta = c[:, None], theta[:, None]
    dc = -c * f.force

    now_c, now_r = f.now_lower
    (row_c, row_r), (gone_c, gone_r) = f.now_upper, f.gone_lower
    then_c, then_r = row_c + gone_c, row_r + gone_r
    now_factors, then_factors = land.pair("lower")
    now_1, now_2 = (derivative(Q, now_c, order, now_factors) for order in (1, 2))
    then_1, then_2 = (derivative(Q, then_c, order, then_factors) for order in (1, 2))
    weights = own_theta * mesh.weights
    later = now_r * now_2 * (then_c - now_c * own_c) + now_1 * then_r
    earlier = then_r * (then_2 * (now_c - then_c * own_c) - then_1 * own_c) + now_r * then_1
    dc = dc + jnp.sum(weights * (later + own_theta * earlier), 1)
    # The multiplier of the ray's time, less the current one: between rows at the same node.
    pull = then_1 + then_2 * then_c
    factors = (land.factors("row"), then_factors)
    rise, turn = (increment(Q, row_c, gone_c, order, factors) for order in (1, 2))
    rise = rise + turn * row_c + then_2 * gone_c
    shorter = (mesh.eta * (1 + theta))[:, None]
    less = gone_r * pull + row_r * rise - shorter * then_r * pull
    dr = r * jnp.sum(mesh.weights * less, 1)
    for place in ("upper", "middle", "upper_partial", "middle_partial"):
        (now_c, now_r), (then_c, then_r) = (
            getattr(f, f"{when}_{place}") for when in ("now", "then")
        )
        weights, (now_factors, then_factors) = (
            getattr(mesh, f"{place}_weights"),
            land.pair(place),
        )
        now_2 = derivative(Q, now_c, 2, now_factors)
        then_1, then_2 = (derivative(Q, then_c, order, then_factors) for order in (1, 2))
        slope = now_2 * (then_c - now_c * own_c) + own_theta * then_1
        dc = dc + jnp.sum(weights * now_r * slope, 1)
        dr = dr + jnp.sum(weights * now_r * (now_2 - own_theta * then_2) * then_r, 1)

    b, earlier_b, earlier_temperature = f.overlap, f.earlier_overlap, land.earlier_temperature
    force = derivative(signal, b, 1, land.factors("now"))
    earlier_force = derivative(signal, earlier_b, 1, land.factors("nodes"))
    mu, earlier_mu = temperature + force * b, earlier_temperature + earlier_force * earlier_b
    dc = t * dc + force * earlier_b + theta * earlier_force * b - (mu + theta * earlier_mu) * c
    dc = dc + 2 * theta * earlier_temperature * r
    return dc, t * dr + (theta * earlier_mu - mu) * r


def _of_overlap(land: Landscape, mesh: Mesh, t: Scalar, row: Row, earlier: Array) -> Scalar:
    Q, (c, r, b) = land.covariance, (row.correlation, row.response, row.overlap)
    first, second = (derivative(Q, c, order, land.factors("row")) for order in (1, 2))
    past = mesh.weights @ (r * (second * (earlier - c * b) - first * b))
    force = derivative(land.signal, b, 1, land.factors("now"))
    return t * past + force * (1 - b * b) - land.temperature * b


def rates(land: Landscape, mesh: Mesh, t: Scalar, memory: Memory, row: Row) -> Row:
    """Time derivatives of a row along the rays."""
    dc, dr = _on_rays(land, mesh, t, _fields(land, mesh, memory, row))
    earlier = memory.overlap + memory.weight * row.overlap
    return Row(dc, dr, _of_overlap(land, mesh, t, row, earlier))


def multiplier_and_energies(land: Landscape, mesh: Mesh, t: Scalar, row: Row):
    r"""$\mu$ and the energy of each interaction."""
    force, stiffness = _sums(land, mesh, row)
    c, b = row.correlation, row.overlap
    pull = derivative(land.signal, b, 1, land.factors("now"))
    mu = land.temperature + pull * b + t * (force + stiffness)
    slopes = jnp.stack(jax.jvp(land.covariance.terms, (c,), (jnp.ones_like(c),))[1])
    fall = jnp.stack(land.signal.terms(b))
    if land.strengths is not None:
        slopes, fall = slopes * land.strengths.row.T, fall * land.strengths.now
    return mu, -fall - t * (slopes @ (mesh.weights * row.response))


def jacobians(
    land: Landscape, mesh: Mesh, t: Scalar, memory: Memory, row: Row, others: Float[Array, "k n"]
) -> tuple[Array, Array]:
    """Derivatives of `rates` by the row, and by other rows that memory reads with these weights; flattened.

    Each ray's equation reads its own line of `Fields`, so one reverse pass with all ones has all the
    derivatives by them, and the stencils bring them to the nodes: the cost of a few evaluations.
    """
    fields = _fields(land, mesh, memory, row)
    n = mesh.theta.size
    _, pull = jax.vjp(lambda f: _on_rays(land, mesh, t, f), fields)
    one, zero = jnp.ones(n, t.dtype), jnp.zeros(n, t.dtype)
    lines = [pull(cotangent)[0] for cotangent in ((one, zero), (zero, one))]
    by_force = jax.grad(lambda row: _sums(land, mesh, row)[0])(row)
    by_row, by_overlap = jax.grad(
        lambda row, earlier: _of_overlap(land, mesh, t, row, earlier), argnums=(0, 1)
    )(row, memory.overlap + memory.weight * row.overlap)

    def own(g: Fields) -> Array:
        forces = (by_force.correlation, by_force.response)
        blocks = [
            _by_reading(mesh, g, which, memory.weight, now=True)
            - g.gone_lower[which]
            + g.now_upper[which]
            + jnp.diag(g.own[which])
            + g.force[:, None] * forces[which]
            for which in (0, 1)
        ]
        overlap = g.overlap + g.earlier_overlap * memory.weight
        return jnp.concatenate([*blocks, overlap[:, None]], 1)

    def other(weight: Array) -> Array:
        rays = [
            jnp.concatenate(
                [_by_reading(mesh, g, which, weight, now=False) for which in (0, 1)]
                + [(g.earlier_overlap * weight)[:, None]],
                1,
            )
            for g in lines
        ]
        last = jnp.zeros((1, 2 * n + 1), t.dtype).at[0, -1].set(by_overlap @ weight)
        return jnp.concatenate([*rays, last])

    overlap = by_row.overlap + by_overlap @ memory.weight
    last = jnp.concatenate([by_row.correlation, by_row.response, overlap[None]])
    mine = jnp.concatenate([*(own(g) for g in lines), last[None]])
    return mine, jax.lax.map(other, others)


def _by_reading(mesh: Mesh, g: Fields, which: int, weight: Array, *, now: bool) -> Array:
    """What a row adds by being read between the nodes: in memory with a weight, and as the current one."""
    n, nodes = mesh.theta.size, mesh.nodes
    lines = jnp.arange(n)[:, None]

    def spread(total, values, stencil: Stencil):
        return total.at[lines, stencil.panel].add(values[..., None] * stencil.weights)

    quotients = g.then_upper[which] * weight
    partial = g.then_middle_partial[which] * mesh.partial_quotient_in_time(weight, 0.0)
    partial_quotients = g.then_upper_partial[which] * mesh.partial_in_time(weight, 0.0)
    total = jnp.zeros((n, n // nodes, nodes), weight.dtype)
    if now:
        quotients = quotients + g.now_middle[which]
        partial = partial + g.now_upper_partial[which]
        partial_quotients = partial_quotients + g.now_middle_partial[which]
        total = spread(total, g.now_lower[which], mesh.product)
    total = spread(total, quotients, mesh.quotient)
    total = spread(total, partial, mesh.partial)
    total = spread(total, partial_quotients, mesh.partial_quotient)
    total = total.reshape(n, n) + g.gone_lower[which] * weight[:, None]
    return total + g.then_middle[which] * mesh.quotient_in_time(weight, 0.0)
