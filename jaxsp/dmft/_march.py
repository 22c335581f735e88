r"""The two-time equations on a uniform grid, row by row with the trapezoid rule.

For $t > t'$ (arXiv 1812.09066; `jaxsp.dmft.SphericalDynamics` names the symbols)

$$ \partial_t C(t,t') = -\mu C + Q_s'(\bar C(t)) \bar C(t')
   + \int_0^t R(t,s) Q''(C(t,s)) C(s,t')\, ds + \int_0^{t'} Q'(C(t,s)) R(t',s)\, ds, $$
$$ \partial_t R(t,t') = -\mu R + \int_{t'}^t R(t,s) Q''(C(t,s)) R(s,t')\, ds, \qquad
   \dot{\bar C} = -\mu \bar C + Q_s'(\bar C) + \int_0^t R(t,s) Q''(C(t,s)) \bar C(s)\, ds, $$
$$ \mu(t) = T + Q_s'(\bar C) \bar C + \int_0^t R(t,s) [Q'(C) + C Q''(C)](t,s)\, ds. $$

In time and in memory alike the trapezoid rule is used, split where the kernels have a cusp. Rows are
implicit in themselves and iterated to rounding. The error then has even powers of the step only.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Scalar
from ..mixtures import Mixture
from ..numerics import varying_like
from .problem import SphericalDynamics, scaled


class Row(eqx.Module):
    """One time's row of the two-time functions, and what depends on this time alone."""

    correlation: Float[Array, " n"]
    response: Float[Array, " n"]
    overlap: Scalar


class Rates(eqx.Module):
    """Time derivatives of a row, with the multiplier and the energies that they need on the way."""

    correlation: Float[Array, " n"]
    response: Float[Array, " n"]
    overlap: Scalar
    multiplier: Scalar
    energies: Float[Array, " terms"]


class History(eqx.Module):
    """Rows up to now; those to come are zero. The correlation is stored on both sides of the diagonal."""

    correlation: Float[Array, "n n"]
    response: Float[Array, "n n"]
    overlap: Float[Array, " n"]
    multiplier: Float[Array, " n"]
    energies: Float[Array, "n terms"]


class Kernels(eqx.Module):
    """What the equations read of a problem, tabulated on a grid of times."""

    covariance: Mixture
    signal: Mixture
    strengths: Float[Array, "n terms"]
    temperature: Float[Array, " n"]
    step: Scalar

    def derivative(self, row: Int[Array, ""], x: Float[Array, " n"], order: int) -> Array:
        """The derivative of Q between the row's time and each other one."""
        products = self.strengths[row] * self.strengths

        def at(factors, x):
            return scaled(self.covariance, factors).derivative(x, order)

        return jax.vmap(at)(products, x)

    def term_slopes(self, row: Int[Array, ""], x: Float[Array, " n"]) -> Float[Array, "n terms"]:
        """Q' of each term apart."""
        products = self.strengths[row] * self.strengths

        def at(factors, x):
            terms = scaled(self.covariance, factors).terms
            return jnp.stack(jax.jvp(terms, (x,), (jnp.ones_like(x),))[1])

        return jax.vmap(at)(products, x)

    def signal_at(self, row: Int[Array, ""]) -> Mixture:
        """The signal's mixture at the row's time."""
        return scaled(self.signal, self.strengths[row])


def rates(kernels: Kernels, history: History, row: Row, n: Int[Array, ""]) -> Rates:
    """The right-hand sides at the n-th time, for a row whose entries from the n-th on are 1, 0, 0, ...

    Of the history, what comes before that row is read, whatever is stored from there on.
    """
    h = kernels.step
    index = jnp.arange(row.correlation.size)
    past = index <= n
    weights = h * jnp.where(past, 1.0, 0.0) * jnp.where((index == 0) | (index == n), 0.5, 1.0)
    weights = jnp.where(n == 0, 0.0, weights)
    c, r, b = row.correlation, row.response, row.overlap
    q1 = jnp.where(past, kernels.derivative(n, c, 1), 0.0)
    k = jnp.where(past, r * kernels.derivative(n, c, 2), 0.0)
    signal = kernels.signal_at(n)
    force = signal.derivative(b)
    overlap = jnp.where(index == n, b, history.overlap)
    kw = weights * k
    earlier = index < n

    mu = kernels.temperature[n] + force * b + weights @ (r * q1 + k * c)
    before = jnp.where(earlier, kw, 0.0) @ history.correlation + kw[n] * c
    # At the corner of the triangle the two ends of the inner integral coincide.
    after = h * (history.response @ q1) - 0.5 * h * (history.response[:, 0] * q1[0] + q1)
    dc = -mu * c + force * overlap + before + after
    within = h * (jnp.where(earlier, k, 0.0) @ history.response) + 0.5 * h * (k[n] * r - k)
    dr = -mu * r + within
    db = -mu * b + force + kw @ overlap
    # On the diagonal the constraint makes the two integrals what mu has already.
    dc = jnp.where(earlier, dc, jnp.where(index == n, -kernels.temperature[n], 0.0))
    dr = jnp.where(earlier, dr, jnp.where(index == n, -mu, 0.0))
    energies = -jnp.stack(signal.terms(b)) - (weights * r) @ kernels.term_slopes(n, c)
    return Rates(dc, dr, db, mu, energies)


def march(
    problem: SphericalDynamics, t_max: Scalar, steps: int, max_iterations: int
) -> tuple[History, Scalar, Scalar]:
    """All rows by the trapezoid rule, the largest defect of a row, and its most iterations."""
    kernels = _tabulate(problem, t_max, steps)
    return _all_rows(kernels, jnp.asarray(problem.start, t_max.dtype), max_iterations)


class March(eqx.Module):
    """Where the time stepping stands: all rows, the last one with its rates, and how well they are solved."""

    history: History
    row: Row
    rates: Rates
    defect: Scalar
    iterations: Scalar


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _all_rows(
    kernels: Kernels, overlap: Scalar, max_iterations: int
) -> tuple[History, Scalar, Scalar]:
    start = _start(kernels, overlap)
    end = jax.lax.fori_loop(
        1,
        kernels.temperature.size,
        lambda n, state: _advance(kernels, state, n, max_iterations),
        start,
    )
    return end.history, end.defect, end.iterations


@_all_rows.defjvp
def _(max_iterations, primals, tangents):
    r"""The linearised equations, row by row, each row's own linear system solved by iteration.

    They read the finished tables, so that a loop carries nothing but the tangents: reverse mode, which
    transposes it, needs a few tables of memory instead of one for each step.
    """
    kernels, overlap = primals
    kernels_dot, overlap_dot = tangents
    history, defect, iterations = _all_rows(kernels, overlap, max_iterations)
    size = history.overlap.size

    def row_at(tables: History, n) -> Row:
        filled = jnp.arange(size) <= n
        c, r = (jnp.where(filled, table[n], 0.0) for table in (tables.correlation, tables.response))
        return Row(c, r, tables.overlap[n])

    def stored(tables_dot, row_dot, n):
        row = row_at(history, n)
        rate_dot = jax.jvp(
            lambda kernels, tables, row: rates(kernels, tables, row, n),
            (kernels, history, row),
            (kernels_dot, tables_dot, row_dot),
        )[1]
        return _store(tables_dot, row_dot, rate_dot, n)

    def advance(tables_dot, n):
        def step(kernels, tables, guess):
            last = row_at(tables, n - 1)
            old = rates(kernels, tables, last, n - 1)
            return _trapezoid(kernels, tables, last, old, guess, n)

        row = row_at(history, n)
        constant = jax.jvp(
            lambda kernels, tables: step(kernels, tables, row),
            (kernels, history),
            (kernels_dot, tables_dot),
        )[1]

        def matrix(row_dot):
            moved = jax.jvp(lambda guess: step(kernels, history, guess), (row,), (row_dot,))[1]
            return jax.tree.map(jnp.subtract, row_dot, moved)

        row_dot = jax.lax.custom_linear_solve(
            matrix, constant, _neumann_series, transpose_solve=_neumann_series
        )
        return stored(tables_dot, row_dot, n), None

    zeros = varying_like(jax.tree.map(jnp.zeros_like, history), history.overlap)
    nothing = jnp.zeros(size, history.overlap.dtype)
    tables_dot = stored(zeros, Row(nothing, nothing, overlap_dot), jnp.asarray(0))
    tables_dot, _ = jax.lax.scan(advance, tables_dot, jnp.arange(1, size))
    still = (jnp.zeros_like(defect), jnp.zeros_like(iterations))
    return (history, defect, iterations), (tables_dot, *still)


def _neumann_series(matrix, constant):
    """Solve a linear system whose matrix is close to one, by adding its defects."""
    epsilon = jnp.finfo(jax.tree.leaves(constant)[0].dtype).eps

    def size(tree):
        return functools.reduce(jnp.maximum, (jnp.max(jnp.abs(x)) for x in jax.tree.leaves(tree)))

    def unfinished(state):
        x, change, steps = state
        return (change > epsilon * size(x)) & (steps < 200)

    def add(state):
        x, _, steps = state
        defect = jax.tree.map(jnp.subtract, constant, matrix(x))
        return jax.tree.map(jnp.add, x, defect), size(defect), steps + 1

    infinite = size(constant) + jnp.inf
    return jax.lax.while_loop(unfinished, add, (constant, infinite, jnp.asarray(0)))[0]


def _tabulate(problem: SphericalDynamics, t_max: Scalar, steps: int) -> Kernels:
    times = t_max * jnp.arange(steps + 1, dtype=t_max.dtype) / steps
    strengths, temperature = (
        jax.vmap(f)(times) for f in (problem.strengths_at, problem.temperature_at)
    )
    return Kernels(problem.covariance, problem.signal, strengths, temperature, t_max / steps)


def _start(kernels: Kernels, overlap: Scalar) -> March:
    size, terms = kernels.strengths.shape
    dtype, zero = kernels.step.dtype, jnp.asarray(0)
    first = jnp.where(jnp.arange(size) == 0, 1.0, 0.0).astype(dtype)
    row = Row(first, first, overlap)
    table, column = jnp.zeros((size, size), dtype), jnp.zeros(size, dtype)
    history = History(table, table, column, column, jnp.zeros((size, terms), dtype))
    probe = overlap + sum(jnp.sum(leaf) for leaf in jax.tree.leaves(kernels))
    history, row, nothing = varying_like((history, row, jnp.zeros_like(overlap)), probe)
    rate = rates(kernels, history, row, zero)
    return March(_store(history, row, rate, zero), row, rate, nothing, nothing)


def _advance(kernels: Kernels, state: March, n: Int[Array, ""], max_iterations: int) -> March:
    """One row by the trapezoid rule, iterated until it moves by rounding only."""
    h, last, old = kernels.step, state.row, state.rates

    def unfinished(carry):
        _, change, iterations = carry
        return (change > 8 * jnp.finfo(h.dtype).eps) & (iterations < max_iterations)

    def iterate(carry):
        guess, _, iterations = carry
        better = _trapezoid(kernels, state.history, last, old, guess, n)
        moves = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), better, guess)
        return better, functools.reduce(jnp.maximum, jax.tree.leaves(moves)), iterations + 1

    euler = jax.tree.map(
        lambda x, slope: x + h * slope, last, Row(old.correlation, old.response, old.overlap)
    )
    begin = (_completed(euler, n), state.defect + jnp.inf, jnp.zeros_like(state.iterations))
    row, change, iterations = jax.lax.while_loop(unfinished, iterate, begin)
    new = rates(kernels, state.history, row, n)
    return March(
        _store(state.history, row, new, n),
        row,
        new,
        jnp.maximum(state.defect, change),
        jnp.maximum(state.iterations, iterations),
    )


def _trapezoid(
    kernels: Kernels, history: History, last: Row, old: Rates, guess: Row, n: Int[Array, ""]
) -> Row:
    """The step from the last row, with the rates of a guess for the next one.

    The multiplier's own term is taken implicitly: steps need not resolve its relaxation.
    """
    h, new = kernels.step, rates(kernels, history, guess, n)
    mu = new.multiplier

    def move(name):
        x, y = getattr(last, name), getattr(guess, name)
        slopes = getattr(old, name) + getattr(new, name) + mu * y
        return (x + 0.5 * h * slopes) / (1 + 0.5 * h * mu)

    return _completed(Row(move("correlation"), move("response"), move("overlap")), n)


def _completed(row: Row, n: Int[Array, ""]) -> Row:
    """The row with its known last entry: the sphere, and the response to a kick just now."""
    last = jnp.arange(row.correlation.size) == n
    c, r = (jnp.where(last, 1.0, x) for x in (row.correlation, row.response))
    return Row(c, r, row.overlap)


def _store(history: History, row: Row, rate: Rates, n: Int[Array, ""]) -> History:
    correlation = history.correlation.at[n].set(row.correlation)
    return History(
        correlation.at[:, n].set(row.correlation),
        history.response.at[n].set(row.response),
        history.overlap.at[n].set(row.overlap),
        history.multiplier.at[n].set(rate.multiplier),
        history.energies.at[n].set(rate.energies),
    )
