r"""Uniform grids of $n, 2n, 3n, \dots$ steps, combined to a solution of order $2, 4, 6, \dots$."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar
from ..numerics import RESULTS
from ._march import History, march
from .problem import SphericalDynamics
from .solution import Solution, Table


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
