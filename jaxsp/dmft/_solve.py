"""The entry to the solvers of the two-time equations."""

import os
from collections.abc import Callable

import jax.numpy as jnp

from .._checks import check_number
from .._progress import Progress
from .._types import ScalarLike
from ..numerics import raise_unless_successful
from .problem import SphericalDynamics, prepared
from .ratio import RatioGrid
from .solution import Solution
from .uniform import UniformGrid


def solve(
    problem: SphericalDynamics,
    t_max: ScalarLike,
    *,
    solver: UniformGrid | RatioGrid | None = None,
    throw: bool = True,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
) -> Solution:
    r"""Correlation, response, overlap, multiplier and energies of the dynamics up to a time.

    Solves the closed equations of $C(t,t')$, $R(t,t')$ and $\bar C(t)$ at $N \to \infty$ (arXiv 1812.09066,
    1902.00139; without a signal, Cugliandolo and Kurchan 1993), see `UniformGrid` for
    short times and `RatioGrid` for long ones.

    Args:
        problem: landscape, noise and start.
        t_max: the last time; it may be traced if the solver says its number of steps.
        solver: the grid; by default a `UniformGrid`.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.
        checkpoint: a file, for a `RatioGrid`, to which the state of a long run is written from time to
            time, and from which it goes on if the file is there: to the same numbers, bit for bit. It
            is removed by nobody: called again, the solution is there at once.
        progress: for a `RatioGrid`: whether to show a bar in decades of time, or a function to be given
            a `jaxsp.sweeps.Progress` now and then; None: a bar in a terminal.

    Returns:
        A `Solution`, to be called at any times; differentiable in forward mode with respect to all
        parameters, and batched by `vmap`.

    Raises:
        ValueError: if `t_max` is not positive, or `checkpoint` is one of another problem or solver.
        SolverError: if the equations of a row are not solved, are not finite, or the solution leaves
            what its energy and correlation are bounded by.

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
    problem, dtype = prepared(problem)
    end = jnp.asarray(t_max, dtype)
    if isinstance(solver, RatioGrid):
        solution = solver.run(problem, end, checkpoint=checkpoint, progress=progress)
    elif checkpoint is not None:
        raise ValueError(
            "Argument `checkpoint` must be None for a solver other than `RatioGrid`, but is "
            f"{str(checkpoint)!r}."
        )
    else:
        solution = solver.run(problem, end)
    raise_unless_successful(solution.result, "dmft.solve", throw)
    return solution
