r"""Old systems: rows in blocks, solved for jointly by Radau's collocation in $\log(1 + t)$.

Where the law of the clock is soft (`jaxsp.dmft._ratio_march.advance`), rows one by one let oscillations of
it grow, at every order of what is read between them. A block's rows are the values of one polynomial,
which satisfies the equations at the rows' times; what is read within a block is that polynomial, never one
across its ends. For the pure 3-spin at zero temperature, five rows in a factor of 1.28 of time, the
polynomials' last coefficients grow: with 16 nodes 3e-8 at $5 \cdot 10^6$, 6e-8 at $2 \cdot 10^7$,
3e-7 at $4 \cdot 10^7$, and 5e-7 at $10^8$ in a factor of 1.07, which is what Newton's method then
allows; with 14 nodes 7e-8, 1e-6, 8e-6 and 1e-5 (in 1.04), for longer steps before. (With 12 nodes they grow
like $t^2$ from the start.)
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Count, Scalar
from ..numerics import RESULTS, frozen
from ._interpolation import lagrange_weights
from ._ratio_landscape import landscape
from ._ratio_march import (
    NEWTON,
    NO_BLOCKS,
    March,
    Rows,
    largest_change,
    newton,
    taken,
    window,
    with_step,
)
from ._ratio_mesh import Mesh
from ._ratio_rates import Row, jacobians, rates, remember
from .problem import SphericalDynamics

# Largest span of a block in log(1 + t).
_SPAN = 0.25


@functools.lru_cache(maxsize=8)
def radau(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radau's points in (0, 1], from the values at 0 and there to the slopes there and the last coefficient.

    The coefficient is that of the polynomial's last term in Legendre polynomials.
    """
    legendre = np.polynomial.legendre
    points = legendre.legroots(np.append(np.zeros(size - 1), [-1.0, 1.0]))
    points = np.append(0.5 * (1 + np.sort(points)[:-1]), 1.0)
    nodes = np.append(0.0, points)
    values = legendre.legvander(2 * nodes - 1, size)
    slopes = np.stack(
        [2 * legendre.legval(2 * points - 1, legendre.legder(c)) for c in np.eye(size + 1)], 1
    )
    inverse = np.linalg.inv(values)
    return points, slopes @ inverse, inverse[-1]


def begin_blocks(state: March, order: int) -> March:
    """The march with blocks from its last row on, if there is none yet; failed if there is no room."""
    rows = state.rows
    first = rows.blocks == NO_BLOCKS
    blocks = jnp.where(first, rows.count - 1, rows.blocks)
    step = jnp.where(first, _SPAN, state.step)
    full = ~state.done & (rows.count + order + 1 > rows.clock.size)
    result = RESULTS.where(full, RESULTS.max_steps_reached, state.result)
    return eqx.tree_at(
        lambda s: (s.rows.blocks, s.step, s.result, s.done),
        state,
        (blocks, step, result, state.done | full),
    )


def advance_blocks(
    problem: SphericalDynamics,
    mesh: Mesh,
    ends: Array,
    state: March,
    t_max: Scalar,
    attempts: Count,
    *,
    order: int,
    rtol: Scalar,
) -> March:
    """At most so many blocks more, of order + 1 rows each, or up to the last time."""
    last_clock = jax.lax.stop_gradient(jnp.log1p(t_max))
    stop = state.attempts + attempts
    return jax.lax.while_loop(
        lambda s: ~s.done & (s.attempts < stop),
        lambda s: _attempt(problem, mesh, ends, last_clock, s, order, rtol),
        state,
    )


def _attempt(problem, mesh, ends, last_clock, state: March, order: int, rtol: Scalar) -> March:
    """One block tried, and taken if its error allows."""
    rows = state.rows
    now = rows.clock[rows.count - 1]
    points, _, last_coefficient = radau(order + 1)
    end = jnp.minimum(now + jnp.minimum(state.step, _SPAN), last_clock)
    clock = now + (end - now) * jnp.asarray(points, now.dtype)
    clock = clock.at[-1].set(end)
    values, change, iterations, scale = _solve(problem, mesh, rows, clock, order, rtol)
    whole = jnp.concatenate([_last_values(rows)[None], values])
    coefficient = jax.lax.stop_gradient(jnp.asarray(last_coefficient, now.dtype) @ whole)
    error = largest_change(coefficient, scale[-1])
    state, factor = taken(
        problem, mesh, ends, last_clock, state, clock, values, error, change, iterations, order,
        rtol,
    )  # fmt: skip
    return with_step(state, jnp.minimum((end - now) * factor, _SPAN), end)


def _last_values(rows: Rows) -> Array:
    """The last row, flattened."""
    last = rows.count - 1
    return jnp.concatenate([rows.correlation[last], rows.response[last], rows.overlap[last, None]])


def _predicted(rows: Rows, clock: Float[Array, " k"]) -> Float[Array, "k d"]:
    """Rows by parabolas through three, a block's span apart; of responses times the age.

    Extrapolated from closer rows or to a higher order, small oscillations are too large for Newton's method.
    """
    last, k = rows.count - 1, jnp.arange(3)
    now = rows.clock[last]
    before = last - jnp.searchsorted(rows.clock, now - (clock[-1] - now) * k)
    index = last - jax.lax.cummax(jnp.maximum(before - k, 0)) - k
    weights = lagrange_weights(clock, rows.clock[index])
    aged = weights * jnp.exp(rows.clock[index] - clock[:, None])
    parts = (weights @ rows.correlation[index], aged @ rows.response[index])
    return jnp.concatenate([*parts, weights @ rows.overlap[index, None]], 1)


def _solve(problem, mesh: Mesh, rows: Rows, clock: Float[Array, " k"], order: int, rtol: Scalar):
    """The rows of a block, Newton's last correction and count, and the scales of their values."""
    size, n = clock.size, mesh.theta.size
    now = rows.clock[rows.count - 1]
    span, t = clock[-1] - now, jnp.expm1(clock)
    _, slopes, _ = radau(size)
    slopes = jnp.asarray(slopes, clock.dtype)
    before = _last_values(rows)
    lands = jax.vmap(lambda t: landscape(problem, mesh, t))(t)
    histories = jax.lax.map(
        lambda stage: _history(mesh, rows, clock, stage, order + 2), jnp.arange(size)
    )

    def memory_and_row(y, stage, history):
        correlation, response, overlap, known, weights = history
        others = weights * (jnp.arange(size) != stage)[:, None]
        parts = (y[:, :n], y[:, n : 2 * n])
        correlation, response = (
            past + jnp.einsum("kj,ki->ji", others, part)
            for past, part in zip((correlation, response), parts, strict=True)
        )
        overlap = overlap + y[:, -1] @ others
        memory = remember(mesh, correlation, response, overlap, known + jnp.sum(others, 0))
        return memory, Row(y[stage, :n], y[stage, n : 2 * n], y[stage, 2 * n]), others

    def defect(y, given):
        lands, histories, before = given

        def rate(stage):
            stage, t, land, history = stage
            memory, row, _ = memory_and_row(y, stage, history)
            new = rates(land, mesh, t, memory, row)
            return jnp.concatenate([new.correlation, new.response, new.overlap[None]])

        new = jax.lax.map(rate, (jnp.arange(size), t, lands, histories))
        steep = slopes[:, :1] * before + slopes[:, 1:] @ y
        return (steep - span * (1 + t)[:, None] * new).ravel()

    def matrix(y, given):
        lands, histories, _ = given

        def line(stage):
            stage, t, land, history, slope = stage
            memory, row, others = memory_and_row(y, stage, history)
            own, by_others = jacobians(land, mesh, t, memory, row, others)
            blocks = by_others.at[stage].set(own)
            eye = jnp.eye(y.shape[1], dtype=y.dtype)
            blocks = slope[:, None, None] * eye - span * (1 + t) * blocks
            return blocks.transpose(1, 0, 2).reshape(y.shape[1], -1)

        whole = jax.lax.map(line, (jnp.arange(size), t, lands, histories, slopes[:, 1:]))
        return whole.reshape(y.size, y.size)

    start = frozen(_predicted(rows, clock))
    measure = 1 + t[:, None] * jnp.minimum(mesh.theta, mesh.eta)
    ones = jnp.ones_like(measure)
    scale = jnp.concatenate([ones, measure, ones[:, :1]], 1)
    given = (lands, histories, before)
    y, change, iterations = newton(
        lambda y, given: defect(y.reshape(start.shape), given),
        lambda y, given: matrix(y.reshape(start.shape), given),
        start.ravel(), scale.ravel(), given, NEWTON * rtol,
    )  # fmt: skip
    return y.reshape(start.shape), change, iterations, frozen(scale)


def _history(mesh: Mesh, rows: Rows, clock: Array, stage: Count, size: int):
    """Earlier rows at the times of the nodes of one of a block's rows, and what the block's rows weigh."""
    count, k = rows.count, clock.size
    whole = jax.lax.dynamic_update_slice_in_dim(rows.clock, clock, count, 0)
    t = jnp.expm1(clock[stage])
    # Times from the row's own on: short before it, where rounding of the clock would be all there is.
    index, weights = window(
        whole - clock[stage],
        count + k,
        rows.blocks,
        jnp.log1p(-mesh.eta * t / (1 + t)),
        size,
    )
    inside = index[None] == count + jnp.arange(k)[:, None, None]
    of_block = jnp.sum(jnp.where(inside, weights, 0.0), -1)
    past = jnp.where(index >= count, 0.0, weights)
    correlation = jnp.einsum("jm,jmk->jk", past, rows.correlation[index])
    response = jnp.einsum("jm,jmk->jk", past, rows.response[index])
    return correlation, response, jnp.sum(past * rows.overlap[index], 1), jnp.sum(past, 1), of_block
