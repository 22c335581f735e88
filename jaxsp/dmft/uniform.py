r"""Uniform grids of $n, 2n, 3n, \dots$ steps, combined to a solution of order $2, 4, 6, \dots$."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar
from ..numerics import RESULTS, is_concrete
from ._march import History, march
from ._uniform_table import UniformTable
from .problem import SphericalDynamics
from .solution import Solution

_STEPS_PER_UNIT = 12
# Two grids that differ by so much in a correlation resolve nothing.
_WORST = 0.1


class UniformGrid(eqx.Module):
    r"""Trapezoid rule on uniform grids of $n, 2n, \dots, Ln$ steps, extrapolated to order $2L$.

    The reference for short times: memory and time grow like the square and the cube of the number of
    steps. Interpolates with polynomials of the same order.

    The error estimate is the largest difference, over all tables, from what one grid less gives: of the
    next lower order, so that the error of the tables themselves is far smaller. Reading in between adds
    the interpolation's own, which it does not see: of the order of the scheme too, and largest where the
    first transients are barely resolved (1e-7 at twelve steps a unit of time, for rates of order one).
    `stats` has the numbers of steps, most iterations of a row on each grid, largest defect of a row.

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

    def run(self, problem: SphericalDynamics, t_max: Scalar) -> Solution:
        """The solution up to `t_max`; see `jaxsp.dmft.solve`."""
        if self.steps is not None:
            return _solve(self, problem, t_max, self.steps)
        if not is_concrete(t_max):
            raise ValueError(
                "Argument `t_max` must be a known number unless the solver says how many `steps` it "
                f"takes, but is {t_max}."
            )
        steps = math.ceil(_STEPS_PER_UNIT * float(jnp.max(t_max)))
        return _solve(self, problem, t_max, max(steps, 4 * self.levels))

    def solve(self, problem: SphericalDynamics, t_max: Scalar, steps: int) -> Solution:
        """The same with a number of steps, as a pure function."""
        runs, defects, iterations = zip(
            *(
                march(problem, t_max, level * steps, self.max_iterations)
                for level in range(1, self.levels + 1)
            ),
            strict=True,
        )
        tables = [
            _on_coarse_grid(run, t_max, steps, level, 2 * self.levels - 1)
            for level, run in enumerate(runs, 1)
        ]
        best = _combine(tables, 0)
        second = _combine(tables, 1)
        gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), best, second)
        error = functools.reduce(jnp.maximum, jax.tree.leaves(gaps))
        defect = functools.reduce(jnp.maximum, defects)
        solved = defect <= 8 * jnp.finfo(t_max.dtype).eps
        fine = solved & jnp.isfinite(error) & (gaps.correlation < _WORST)
        result = RESULTS.where(fine, RESULTS.successful, RESULTS.coarse_grid)
        return Solution(
            t_max=t_max,
            table=best,
            error_estimate=error,
            result=result,
            stats={
                "steps": jnp.asarray([level * steps for level in range(1, self.levels + 1)]),
                "iterations": jnp.stack(iterations),
                "defect": defect,
            },
        )


@eqx.filter_jit
def _solve(solver: UniformGrid, problem, t_max, steps: int) -> Solution:
    return solver.solve(problem, t_max, steps)


def _on_coarse_grid(
    history: History, t_max: Scalar, steps: int, level: int, degree: int
) -> UniformTable:
    h, response = t_max / (level * steps), history.response
    # The integral from t' to t, by the same trapezoid rule.
    tails = jnp.cumsum(response[:, ::-1], axis=1)[:, ::-1]
    diagonal = jnp.diagonal(response)[:, None]
    lower = jnp.tril(jnp.ones_like(response))
    integrated = h * lower * (tails - 0.5 * response - 0.5 * diagonal)
    return UniformTable(
        correlation=(lower * history.correlation)[::level, ::level],
        response=response[::level, ::level],
        integrated_response=integrated[::level, ::level],
        overlap=history.overlap[::level],
        multiplier=history.multiplier[::level],
        energies=history.energies[::level],
        t_max=t_max,
        degree=degree,
    )


def _combine(tables: list[UniformTable], first: int) -> UniformTable:
    """Extrapolation to vanishing steps of the tables from one level on, in even powers of the step."""
    squares = np.arange(first + 1, len(tables) + 1, dtype=float) ** 2
    factors = [float(np.prod([a / (a - b) for b in squares if b != a])) for a in squares]
    combined = jax.tree.map(
        lambda *values: sum(w * value for w, value in zip(factors, values, strict=True)),
        *tables[first:],
    )
    return eqx.tree_at(lambda table: table.t_max, combined, tables[0].t_max)
