"""The entry to the solvers of the two-time equations."""

import math

import equinox as eqx
import jax.numpy as jnp

from .._checks import check_number
from .._types import ScalarLike
from ..numerics import is_concrete, raise_unless_successful
from .problem import SphericalDynamics, prepared
from .solution import Solution
from .uniform import UniformGrid

_STEPS_PER_UNIT = 12


def solve(
    problem: SphericalDynamics,
    t_max: ScalarLike,
    *,
    solver: UniformGrid | None = None,
    throw: bool = True,
) -> Solution:
    r"""Correlation, response, overlap, multiplier and energies of the dynamics up to a time.

    Solves the closed equations of $C(t,t')$, $R(t,t')$ and $\bar C(t)$ at $N \to \infty$ (arXiv 1812.09066,
    1902.00139; without a signal, Cugliandolo and Kurchan 1993), see `UniformGrid`.

    Args:
        problem: landscape, noise and start.
        t_max: the last time; it may be traced if the solver says its number of steps.
        solver: the grid; by default a `UniformGrid`.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.

    Returns:
        A `Solution`, to be called at any times; differentiable in forward mode with respect to all
        parameters, and batched by `vmap`.

    Raises:
        ValueError: if `t_max` is not positive.
        SolverError: if a row's equations are not solved to rounding, or are not finite.

    Example:
        >>> from jaxsp import dmft, spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
        >>> problem = dmft.SphericalDynamics(model, temperature=1.0, initial_overlap=0.1)
        >>> solution = dmft.solve(problem, 2.0)
        >>> round(float(solution.correlation(1.5, 1.5)), 5), bool(solution.overlap(2.0) > 0.1)
        (1.0, True)
    """
    check_number("t_max", t_max, minimum=0.0, strict=True)
    solver = UniformGrid() if solver is None else solver
    steps = solver.steps
    if steps is None:
        if not is_concrete(t_max):
            raise ValueError(
                "Argument `t_max` must be a known number unless the solver says how many `steps` it "
                f"takes, but is {t_max}."
            )
        steps = max(
            math.ceil(_STEPS_PER_UNIT * float(jnp.max(jnp.asarray(t_max)))), 4 * solver.levels
        )
    problem, dtype = prepared(problem)
    solution = _solve(solver, problem, jnp.asarray(t_max, dtype), steps)
    raise_unless_successful(solution.result, "dmft.solve", throw)
    return solution


@eqx.filter_jit
def _solve(solver, problem, t_max, steps: int) -> Solution:
    return solver.solve(problem, t_max, steps)
