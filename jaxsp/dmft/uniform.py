r"""The two-time equations on a uniform grid: the trapezoid rule, extrapolated to high order.

For $t > t'$ (arXiv 1812.09066; `jaxsp.dmft.SphericalDynamics` names the symbols)

$$ \partial_t C(t,t') = -\mu C + Q_s'(\bar C(t)) \bar C(t')
   + \int_0^t R(t,s) Q''(C(t,s)) C(s,t')\, ds + \int_0^{t'} Q'(C(t,s)) R(t',s)\, ds, $$
$$ \partial_t R(t,t') = -\mu R + \int_{t'}^t R(t,s) Q''(C(t,s)) R(s,t')\, ds, \qquad
   \dot{\bar C} = -\mu \bar C + Q_s'(\bar C) + \int_0^t R(t,s) Q''(C(t,s)) \bar C(s)\, ds, $$
$$ \mu(t) = T + Q_s'(\bar C) \bar C + \int_0^t R(t,s) [Q'(C) + C Q''(C)](t,s)\, ds. $$

In time and in memory alike the trapezoid rule is used, split where the kernels have a cusp. Rows are
implicit in themselves and iterated to rounding. The error then has even powers of the step only, so
that runs with $n, 2n, 3n, \dots$ steps are combined to one of order $2, 4, 6, \dots$
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Scalar
from ..mixtures import Mixture
from ..numerics import RESULTS, varying_like
from .problem import SphericalDynamics
from .solution import Solution, Table


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


def _scaled(Q: Mixture, factors: Array) -> Mixture:
    return Mixture(Q.degrees, Q.coefficients * factors)


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
            return _scaled(self.covariance, factors).derivative(x, order)

        return jax.vmap(at)(products, x)

    def term_slopes(self, row: Int[Array, ""], x: Float[Array, " n"]) -> Float[Array, "n terms"]:
        """Q' of each term apart."""
        products = self.strengths[row] * self.strengths

        def at(factors, x):
            terms = _scaled(self.covariance, factors).terms
            return jnp.stack(jax.jvp(terms, (x,), (jnp.ones_like(x),))[1])

        return jax.vmap(at)(products, x)

    def signal_at(self, row: Int[Array, ""]) -> Mixture:
        """The signal's mixture at the row's time."""
        return _scaled(self.signal, self.strengths[row])


def rates(kernels: Kernels, history: History, row: Row, n: Int[Array, ""]) -> Rates:
    """The right-hand sides at the n-th time, for a row whose entries from the n-th on are 1, 0, 0, ..."""
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

    mu = kernels.temperature[n] + force * b + weights @ (r * q1 + k * c)
    before = kw @ history.correlation + kw[n] * c
    # At the corner of the triangle the two ends of the inner integral coincide.
    after = h * (history.response @ q1) - 0.5 * h * (history.response[:, 0] * q1[0] + q1)
    dc = -mu * c + force * overlap + before + after
    within = h * (k @ history.response) + 0.5 * h * (k[n] * r - k)
    dr = -mu * r + within
    db = -mu * b + force + kw @ overlap
    # On the diagonal the constraint makes the two integrals what mu has already.
    dc = jnp.where(index < n, dc, jnp.where(index == n, -kernels.temperature[n], 0.0))
    dr = jnp.where(index < n, dr, jnp.where(index == n, -mu, 0.0))
    energies = -jnp.stack(signal.terms(b)) - (weights * r) @ kernels.term_slopes(n, c)
    return Rates(dc, dr, db, mu, energies)


class March(eqx.Module):
    """Where the time stepping stands: all rows, the last one with its rates, and how well they are solved."""

    history: History
    row: Row
    rates: Rates
    defect: Scalar
    iterations: Int[Array, ""]


def march(
    problem: SphericalDynamics, t_max: Scalar, steps: int, max_iterations: int
) -> tuple[History, Scalar, Int[Array, ""]]:
    """All rows by the trapezoid rule, the largest defect of a row, and its most iterations."""
    kernels = _tabulate(problem, t_max, steps)
    start = _start(kernels, jnp.asarray(problem.start, t_max.dtype))
    end = jax.lax.fori_loop(
        1, steps + 1, lambda n, state: _advance(kernels, state, n, max_iterations), start
    )
    return end.history, end.defect, end.iterations


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
    history, row, defect, zero = varying_like((history, row, jnp.zeros_like(overlap), zero), probe)
    rate = rates(kernels, history, row, zero)
    return March(_store(history, row, rate, zero), row, rate, defect, zero)


def _advance(kernels: Kernels, state: March, n: Int[Array, ""], max_iterations: int) -> March:
    """One row by the trapezoid rule, iterated until it moves by rounding only."""
    h, last, old = kernels.step, state.row, state.rates
    index = jnp.arange(last.correlation.size)

    def completed(row: Row) -> Row:
        c, r = (jnp.where(index == n, 1.0, x) for x in (row.correlation, row.response))
        return Row(c, r, row.overlap)

    def trapezoid(guess: Row) -> Row:
        new = rates(kernels, state.history, guess, n)
        mu = new.multiplier

        # The multiplier's own term is taken implicitly: steps need not resolve its relaxation.
        def move(name):
            x, y = getattr(last, name), getattr(guess, name)
            slopes = getattr(old, name) + getattr(new, name) + mu * y
            return (x + 0.5 * h * slopes) / (1 + 0.5 * h * mu)

        return completed(Row(move("correlation"), move("response"), move("overlap")))

    def unfinished(carry):
        _, change, iterations = carry
        return (change > 8 * jnp.finfo(h.dtype).eps) & (iterations < max_iterations)

    def iterate(carry):
        guess, _, iterations = carry
        better = trapezoid(guess)
        moves = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), better, guess)
        return better, functools.reduce(jnp.maximum, jax.tree.leaves(moves)), iterations + 1

    euler = jax.tree.map(
        lambda x, slope: x + h * slope, last, Row(old.correlation, old.response, old.overlap)
    )
    begin = (completed(euler), state.defect + jnp.inf, jnp.zeros_like(state.iterations))
    row, change, iterations = jax.lax.while_loop(unfinished, iterate, begin)
    new = rates(kernels, state.history, row, n)
    return March(
        _store(state.history, row, new, n),
        row,
        new,
        jnp.maximum(state.defect, change),
        jnp.maximum(state.iterations, iterations),
    )


def _store(history: History, row: Row, rate: Rates, n: Int[Array, ""]) -> History:
    correlation = history.correlation.at[n].set(row.correlation)
    return History(
        correlation.at[:, n].set(row.correlation),
        history.response.at[n].set(row.response),
        history.overlap.at[n].set(row.overlap),
        history.multiplier.at[n].set(rate.multiplier),
        history.energies.at[n].set(rate.energies),
    )


class UniformGrid(eqx.Module):
    r"""Trapezoid rule on uniform grids of $n, 2n, \dots, Ln$ steps, extrapolated to order $2L$.

    The reference for short times: memory and time grow like the square and the cube of the number of
    steps. Interpolates with polynomials of the same order.

    Attributes:
        steps: $n$, the steps of the coarsest grid, at which the solution is known; None: twelve for
            each unit of time.
        levels: $L$, how many grids are combined.
        max_iterations: of one row.
    """

    steps: int | None = eqx.field(static=True, default=None)
    levels: int = eqx.field(static=True, default=4)
    max_iterations: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        if self.levels < 2:
            raise ValueError(
                f"Argument `levels` must be at least 2 (two grids tell their error), but is {self.levels}."
            )
        if self.steps is not None and self.steps < 2 * self.levels:
            raise ValueError(
                f"Argument `steps` must be at least {2 * self.levels}, twice the number of levels, for "
                f"the start to be resolved, but is {self.steps}."
            )

    def solve(self, problem: SphericalDynamics, t_max: Scalar, steps: int) -> "Solution":
        """The solution up to `t_max`, as a pure function; see `jaxsp.dmft.solve`."""
        runs, defects, iterations = zip(
            *(
                march(problem, t_max, level * steps, self.max_iterations)
                for level in range(1, self.levels + 1)
            ),
            strict=True,
        )
        tables = [
            _on_coarse_grid(run, t_max / (level * steps), level)
            for level, run in enumerate(runs, 1)
        ]
        best = _combine(tables, 0)
        second = _combine(tables, 1)
        gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), best, second)
        error = functools.reduce(jnp.maximum, jax.tree.leaves(gaps))
        defect = functools.reduce(jnp.maximum, defects)
        dtype = t_max.dtype
        solved = defect <= 8 * jnp.finfo(dtype).eps
        result = RESULTS.where(solved, RESULTS.successful, RESULTS.max_steps_reached)
        result = RESULTS.where(jnp.isfinite(error), result, RESULTS.nonfinite)
        return Solution(
            t_max=t_max,
            steps=steps,
            degree=2 * self.levels - 1,
            table=best,
            error_estimate=error,
            result=result,
            stats={
                "steps": jnp.asarray([level * steps for level in range(1, self.levels + 1)]),
                "iterations": jnp.stack(iterations),
                "defect": defect,
            },
        )


def _on_coarse_grid(history: History, h: Scalar, level: int) -> Table:
    response = history.response
    # The integral from t' to t, by the same trapezoid rule.
    tails = jnp.cumsum(response[:, ::-1], axis=1)[:, ::-1]
    diagonal = jnp.diagonal(response)[:, None]
    lower = jnp.tril(jnp.ones_like(response))
    integrated = h * lower * (tails - 0.5 * response - 0.5 * diagonal)
    return Table(
        correlation=(lower * history.correlation)[::level, ::level],
        response=response[::level, ::level],
        integrated_response=integrated[::level, ::level],
        overlap=history.overlap[::level],
        multiplier=history.multiplier[::level],
        energies=history.energies[::level],
    )


def _combine(tables: list[Table], first: int) -> Table:
    """Extrapolation to vanishing steps of the tables from one level on, in even powers of the step."""
    squares = np.arange(first + 1, len(tables) + 1, dtype=float) ** 2
    factors = [float(np.prod([a / (a - b) for b in squares if b != a])) for a in squares]
    return jax.tree.map(
        lambda *values: sum(w * value for w, value in zip(factors, values, strict=True)),
        *tables[first:],
    )
