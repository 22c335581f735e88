r"""Steps along rays: implicit multistep rules in $\log(1 + t)$, of variable step.

The polynomial through the last rows is the predictor; the next row solves the rule of Gear in which the
rates read history from values of rows only, the current one among them (history from stored slopes is
unstable at steps beyond one, explicit steps are at steps of order one: the rates are `t` times stiff).
The step follows the difference between the two.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Count, Scalar
from ..numerics import RESULTS, frozen, varying_like
from ._interpolation import lagrange_weights, slope_weights
from ._ratio_landscape import landscape
from ._ratio_mesh import Mesh
from ._ratio_rates import Memory, Row, jacobians, multiplier_and_energies, rates, remember
from .problem import SphericalDynamics, scaled

# Largest factors from one step to the next, and largest step in log(1 + t).
_GROWTH, _SHRINK, _LARGEST = 1.15, 0.3, 0.3
_SAFETY, _SMALLEST = 0.9, 1e-7
# Most rows of the polynomials in the last interval but one.
_ROWS_THERE = 5
# Newton's last correction, in units of the tolerance, and its most iterations.
NEWTON, _ITERATIONS = 0.02, 10


class Rows(eqx.Module):
    r"""Rows at increasing times, in memory for as many as there may be; those to come have time infinity.

    Attributes:
        clock: $\log(1 + t)$.
        correlation, response: on the nodes of the mesh.
        overlap, multiplier, energies: of each time.
        count: how many rows there are.
        blocks: the row at which the first block starts (`jaxsp.dmft._ratio_blocks`); infinitely many: none.
    """

    clock: Float[Array, " rows"]
    correlation: Float[Array, "rows n"]
    response: Float[Array, "rows n"]
    overlap: Float[Array, " rows"]
    multiplier: Float[Array, " rows"]
    energies: Float[Array, "rows terms"]
    count: Count
    blocks: Count


class March(eqx.Module):
    """Where the time stepping stands, whole: what comes next depends on nothing else."""

    rows: Rows
    step: Scalar
    attempts: Count
    rejected: Count
    iterations: Count
    sphere_defect: Scalar
    lowest_energy: Scalar
    result: RESULTS
    done: Array


# In place of the row at which blocks start, where none do.
NO_BLOCKS = 2**30


def window(clock: Array, count, blocks, x: Array, size: int) -> tuple[Array, Array]:
    """Rows around each time x, as centred as may be or those of a block, and their values' weights there."""
    after = jnp.searchsorted(clock, jax.lax.stop_gradient(x), side="right")
    alone = jnp.minimum(count, blocks + 1)
    centred = jnp.clip(after - size // 2, 0, jnp.maximum(alone - size, 0))
    block = (after - 1 - blocks) // (size - 1)
    whole = jnp.minimum(blocks + block * (size - 1), jnp.maximum(count - size, 0))
    first = jnp.where((after > blocks) & (count > alone), whole, centred)
    index = first[..., None] + jnp.arange(size)
    return index, lagrange_weights(x, clock[index])


def begin(rows: Rows, probe: Array) -> March:
    """The march from rows that are given."""
    last, before = rows.clock[rows.count - 1], rows.clock[rows.count - 2]
    # No weak types: those of the first steps and of later ones would differ, and be compiled both.
    zero, nothing = jnp.zeros_like(last), jnp.asarray(0, int)
    energy = jnp.sum(rows.energies[rows.count - 1])
    state = March(
        rows=rows,
        step=last - before,
        attempts=nothing,
        rejected=nothing,
        iterations=nothing,
        sphere_defect=zero,
        lowest_energy=energy,
        result=RESULTS.successful,
        done=jnp.asarray(False),
    )
    return varying_like(state, probe)


def _stable_window(clock: Array, count, x: Array, size: int) -> tuple[Array, Array]:
    """As `window`, with at most five rows where x is between the last row but two and the last but one.

    Late in the day rates are so stiff that a row must agree with what is read of the rows around it: a
    recursion, which for six or more rows, read there, has solutions that grow by 4 % a row and more.
    """
    index, weights = window(clock, count, NO_BLOCKS, x, size)
    fewer = min(size, _ROWS_THERE)
    few = lagrange_weights(x, clock[count - fewer + jnp.arange(fewer)])
    few = jnp.concatenate([jnp.zeros((*x.shape, size - fewer), few.dtype), few], -1)
    there = (x >= clock[count - 3]) & (x < clock[count - 2])
    return index, jnp.where(there[..., None], few, weights)


def _memory(mesh: Mesh, rows: Rows, clock: Array, t: Scalar, size: int) -> Memory:
    """Rows at the times of the nodes, when a row at t that is not there yet is the last one."""
    # Times from the current one on: short before it, where rounding of the clock would be all there is.
    index, weights = _stable_window(
        clock - clock[rows.count], rows.count + 1, jnp.log1p(-mesh.eta * t / (1 + t)), size
    )
    current = index == rows.count
    past = jnp.where(current, 0.0, weights)
    correlation = jnp.einsum("jm,jmk->jk", past, rows.correlation[index])
    response = jnp.einsum("jm,jmk->jk", past, rows.response[index])
    overlap = jnp.sum(past * rows.overlap[index], 1)
    return remember(mesh, correlation, response, overlap, jnp.sum(past, 1))


def _flat(row: Row) -> Array:
    return jnp.concatenate([row.correlation, row.response, row.overlap[None]])


def _row(values: Array) -> Row:
    n = (values.size - 1) // 2
    return Row(values[:n], values[n : 2 * n], values[2 * n])


def _solve_step(problem, mesh: Mesh, rows: Rows, clock_next: Scalar, order: int, tolerance: Scalar):
    """The next row, flattened, by the rule; its error; Newton's last correction and count."""
    n = rows.count
    t = jnp.expm1(clock_next)
    clock = rows.clock.at[n].set(clock_next)
    last = n - 1 - jnp.arange(order + 1)
    parts = (rows.correlation[last], rows.response[last], rows.overlap[last, None])
    values = jnp.concatenate(parts, 1)
    predictor = lagrange_weights(clock_next, rows.clock[last]) @ values
    slopes = slope_weights(jnp.append(clock_next, rows.clock[last[:order]]))
    known = slopes[1:] @ values[:order] / slopes[0]
    factor = (1 + t) / slopes[0]
    land = landscape(problem, mesh, t)
    memory = _memory(mesh, rows, clock, t, order + 2)
    # Lags are weighed by their measure: the response as its integral over a factor of the lag.
    measure = 1 + t * jnp.minimum(mesh.theta, mesh.eta)
    scale = jnp.concatenate([jnp.ones_like(measure), measure, jnp.ones_like(measure[:1])])

    def matrix(y, given):
        land, memory, _ = given
        nothing = jnp.zeros((0, mesh.theta.size), y.dtype)
        slope, _ = jacobians(land, mesh, t, memory, _row(y), nothing)
        return jnp.eye(y.size, dtype=y.dtype) - factor * slope

    def rule(y, given):
        land, memory, known = given
        return y + known - factor * _flat(rates(land, mesh, t, memory, _row(y)))

    start = jax.lax.stop_gradient(predictor)
    y, change, count = newton(rule, matrix, start, scale, (land, memory, known), tolerance)
    gap = largest_change(jax.lax.stop_gradient(y) - start, scale)
    # The rule's own error, from its distance to the predictor.
    span = clock_next - rows.clock[last[order]]
    error = gap * (clock_next - rows.clock[last[0]]) / span
    return y, error, change, count


def largest_change(change: Array, scale: Array) -> Scalar:
    """The largest change, in the units of its row."""
    return jnp.max(jnp.abs(change) * scale)


def newton(defect, matrix, start: Array, scale: Array, given, tolerance: Scalar):
    """The root, the last correction and their number, by the derivative at the start.

    Newton's method needs no derivative; its last two corrections, with the equations' derivatives by what is
    given let in again, give the root that of the implicit function.
    """
    still = frozen(given)
    lu = jax.scipy.linalg.lu_factor(matrix(start, still))

    def correction(y, given):
        return -jax.scipy.linalg.lu_solve(lu, defect(y, given))

    def iterate(carry):
        y, _, count = carry
        change = correction(y, still)
        return y + change, largest_change(change, scale), count + 1

    def unfinished(carry):
        _, change, count = carry
        return (change > 20 * tolerance) & (change < 1e3) & (count < _ITERATIONS)

    nothing = jnp.zeros_like(start[0])
    first = (start, nothing + 1e2, nothing.astype(int))
    y, _, count = jax.lax.while_loop(unfinished, iterate, first)
    y = jax.lax.stop_gradient(y)
    change = y
    for _ in range(2):
        change = correction(y, given)
        y = y + change
    return y, largest_change(jax.lax.stop_gradient(change), scale), count + 2


def _attempt(
    problem, mesh, ends, last_clock, state: March, order: int, rtol: Scalar, softness: Scalar
):
    """One step tried, and taken if its error allows."""
    rows, n = state.rows, state.rows.count
    now = rows.clock[n - 1]
    clock_next = jnp.minimum(now + state.step, last_clock)
    y, error, change, iterations = _solve_step(
        problem, mesh, rows, clock_next, order, NEWTON * rtol
    )
    state, factor = taken(
        problem, mesh, ends, last_clock, state, clock_next[None], y[None], error, change, iterations,
        order, rtol,
    )  # fmt: skip
    _, _, stiffness = _bounds(problem, jnp.expm1(clock_next))
    soft = (softness / (1 + stiffness * jnp.expm1(clock_next))) ** (1 / (order + 2))
    step = jnp.minimum((clock_next - now) * factor, jnp.minimum(soft, _LARGEST))
    return with_step(state, step, clock_next)


def taken(
    problem, mesh, ends, last_clock, state: March, clock: Float[Array, " k"],
    values: Float[Array, "k d"], error, change, iterations, order: int, rtol: Scalar,
) -> tuple[March, Scalar]:  # fmt: skip
    """The march with one or more rows more if their error allows, and a factor for the next step."""
    rows, n, size = state.rows, state.rows.count, clock.size
    ending = clock[-1] >= last_clock
    t = jnp.expm1(clock)
    epsilon = jnp.finfo(t.dtype).eps
    # The rates are the age times sums of order one, and so is their rounding.
    converged = change <= jnp.maximum(NEWTON * rtol, 100 * epsilon * (1 + t[-1]))
    fine = jnp.isfinite(error) & converged & (error <= rtol)
    mu, energies = jax.vmap(
        lambda t, y: multiplier_and_energies(landscape(problem, mesh, t), mesh, t, _row(y))
    )(t, values)
    correlation, response, overlap = jnp.split(
        values, [mesh.theta.size, 2 * mesh.theta.size], axis=1
    )
    defect = jnp.max(jnp.abs(correlation[:, -mesh.nodes :] @ ends - 1))

    def written(values, new):
        return jax.lax.dynamic_update_slice_in_dim(values, new, n, 0)

    # An attempt is written in any case; the count says whether it is kept.
    kept = Rows(
        clock=written(rows.clock, jnp.where(fine, clock, jnp.inf)),
        correlation=written(rows.correlation, correlation),
        response=written(rows.response, response),
        overlap=written(rows.overlap, overlap[:, 0]),
        multiplier=written(rows.multiplier, mu),
        energies=written(rows.energies, energies),
        count=n + size * fine,
        blocks=rows.blocks,
    )
    wanted = _SAFETY * (rtol / jnp.maximum(error, 1e-30)) ** (1 / (order + 1))
    wanted = jnp.where(jnp.isfinite(error) & converged, wanted, 0.5)
    factor = jnp.clip(wanted, _SHRINK, jnp.where(fine, _GROWTH, 0.9))
    largest_energy, falling, _ = _bounds(problem, t[-1])
    energy = jax.lax.stop_gradient(jnp.sum(energies, 1))
    inside = (jnp.max(jnp.abs(energy)) <= largest_energy) & (jnp.max(jnp.abs(correlation)) <= 1.01)
    rising = falling & (jnp.max(energy) > state.lowest_energy + 10 * rtol)
    result = RESULTS.where(fine & (~inside | rising), RESULTS.out_of_bounds, state.result)
    full = (n + size * fine + size > rows.clock.size) & ~(fine & ending)
    result = RESULTS.where(full, RESULTS.max_steps_reached, result)
    failed = result != RESULTS.successful
    new = March(
        rows=kept,
        step=state.step,
        attempts=state.attempts + 1,
        rejected=state.rejected + ~fine,
        iterations=state.iterations + iterations,
        sphere_defect=jnp.where(
            fine,
            jnp.maximum(state.sphere_defect, jax.lax.stop_gradient(defect)),
            state.sphere_defect,
        ),
        lowest_energy=jnp.where(
            fine, jnp.minimum(state.lowest_energy, jnp.min(energy)), state.lowest_energy
        ),
        result=result,
        done=failed | (fine & ending),
    )
    return new, factor


def with_step(state: March, step: Scalar, clock: Scalar) -> March:
    """The march with this step next; failed if it is too small after a rejected one."""
    small = _SMALLEST + 8 * jnp.finfo(clock.dtype).eps * clock
    stuck = (step < small) & ~state.done
    result = RESULTS.where(stuck, RESULTS.step_underflow, state.result)
    step = jax.lax.stop_gradient(step)
    parts = lambda s: (s.step, s.result, s.done)  # noqa: E731
    return eqx.tree_at(parts, state, (step, result, state.done | stuck))


def advance(
    problem: SphericalDynamics,
    mesh: Mesh,
    ends: Array,
    state: March,
    t_max: Scalar,
    attempts: Count,
    *,
    until: Scalar,
    order: int,
    rtol: Scalar,
    softness: Scalar,
) -> March:
    r"""At most so many attempts more, or up to the last time or the first row that is not before `until`.

    Old glasses are soft: nothing but the last small terms of the equations says how their clock runs
    ($t \to h(t)$ leaves the others as they are). Reading rows between their times breaks that, by $t$
    times the power of the step that is the number of rows read. Once this competes with what does drive
    the clock, it gives rise to growing oscillations, so that the step $h$ is kept below
    $\sqrt{Q''(1)}\, t\, h^{\text{order} + 2} = $ `softness`. (For the pure 3-spin, up to $t = 10^5$: at a
    softness of 1e-3 they do not grow; at 8e-3 they do, and shift the clock, $C(t,t')$ then being that of
    $h(t), h(t')$ with $\delta \log h = 4 \cdot 10^{-4}$, while energies agree to 5e-7.)

    From $t = 10^6$ on that is not enough: at 2.5e-4 oscillations with a period of ten to twenty rows
    grow by 4 to 8 % a row (1e-7 at $4 \cdot 10^6$), with orders 3 to 5, five or six rows read, 16 and 20
    nodes, and Newton's method carried to rounding; at 3e-5, with steps a third shorter, as fast in time.
    With seven and eight rows read they grow eight- and thirty-fold in eight. They are oscillations of the
    clock, $\delta C(t, \theta t) = \theta \partial_\theta C\, [g(\theta t) - g(t)]$ with one g at all
    ratios (correlation 0.99). Hence the blocks of `jaxsp.dmft._ratio_blocks` for times beyond.
    """
    last_clock, end = jax.lax.stop_gradient((jnp.log1p(t_max), jnp.log1p(until)))
    stop = state.attempts + attempts
    return jax.lax.while_loop(
        lambda s: ~s.done & (s.attempts < stop) & (s.rows.clock[s.rows.count - 1] < end),
        lambda s: _attempt(problem, mesh, ends, last_clock, s, order, rtol, softness),
        state,
    )


def _bounds(problem: SphericalDynamics, t: Scalar) -> tuple[Array, Array, Array]:
    r"""The largest $|e|$ on the sphere at a time, whether energy must fall, and $\sqrt{Q''(1)}$.

    $|e| \le Q_s(1) + \sqrt{Q'(1)}$: since $Q(1) - Q(q) \le Q'(1) (1 - q)$, a linear landscape of slope
    $\sqrt{Q'(1)}$ has the larger maximum (Sudakov and Fernique).
    """
    one, factors = jnp.ones_like(t), problem.strengths_at(t)
    Q, signal = scaled(problem.covariance, factors**2), scaled(problem.signal, jnp.abs(factors))
    largest = signal(one) + jnp.sqrt(Q.derivative(one))
    stiffness = jnp.sqrt(Q.derivative(one, 2))
    falling = jnp.asarray(False)
    if not callable(problem.temperature) and problem.strengths is None:
        falling = problem.temperature_at(one) == 0
    return frozen((1.01 * largest, falling, stiffness))
