"""The entry to the theory: the overlaps' equations integrated to a tolerance."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._checks import check_number
from .._types import Count, Scalar, ScalarLike
from ..inputs import GaussianInputs, HiddenManifoldLimit, Inputs
from ..numerics import RESULTS, is_concrete, numbers_as_arrays, raise_unless_successful, real_dtype
from .dynamics import overlap_rates
from .model import Overlaps, TeacherStudent, check_overlaps
from .modes import limit_system, mode_system
from .networks import Networks, check_networks, network_overlaps
from .solution import Trajectory

# Beyond this an overlap counts as infinite.
_BOUND = 1e8


def solve(
    net: TeacherStudent,
    t_max: ScalarLike,
    overlaps: Overlaps | None = None,
    *,
    inputs: Inputs | HiddenManifoldLimit | None = None,
    networks: Networks | None = None,
    times: Float[Array | np.ndarray, " t"] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    max_steps: int = 4096,
    throw: bool = True,
) -> Trajectory:
    r"""The student's overlaps over time, at infinite input dimension.

    Integrates the closed equations of $Q, R, v$ (Saad and Solla 1995; arXiv 1906.08632; see
    `overlap_rates`) with an adaptive step. Differentiable with respect to every number in `net` and
    in `overlaps`.

    Args:
        net: the networks and how they learn.
        t_max: the last time, in steps over the inputs' dimension.
        overlaps: the state at the start, for iid inputs and for `inputs.HiddenManifoldLimit`.
        inputs: the inputs' law (None: iid). For structured inputs the overlaps of each eigenmode are
            integrated (see `mode_system`).
        networks: weights at the start, instead of `overlaps`: what they are in each mode matters.
        times: save the state at these increasing times only: a batch of long trajectories needs less
            memory so. None: it can be read at any time, as precisely as it is integrated.
        rtol: relative tolerance of a step (default: 1e-10 in float64, 1e-5 in float32).
        atol: absolute tolerance of a step (default: a hundredth of that).
        solver: a solver of diffrax (default: `diffrax.Dopri8()`). At rtol above 1e-7 `diffrax.Tsit5()`
            takes two thirds of the time. If learning rates far apart make the equations stiff,
            `diffrax.Kvaerno5()`, with rtol of 1e-6 or so: its order drops where a fast direction
            follows a slow one, and more digits cost many steps.
        adjoint: how derivatives are taken: `diffrax.RecursiveCheckpointAdjoint()` (the default) in
            reverse mode, `diffrax.ForwardMode()` in forward mode.
        max_steps: largest number of steps.
        throw: raise a `SolverError` if `t_max` is not reached; `result` says it too.

    Returns:
        A `Trajectory`, with `overlaps(t)` and `generalization_error(t)`.

    Raises:
        ValueError: if the shapes do not fit, the covariance has negative eigenvalues, or a time is
            not positive.
        SolverError: if the solution diverges, or takes more than `max_steps`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> net = online.TeacherStudent(1, 1, online.Erf(), learning_rate=0.5)
        >>> start = online.Overlaps(Q=0.1 * jnp.eye(1), R=0.01 * jnp.eye(1), T=jnp.eye(1))
        >>> found = online.solve(net, 100.0, start)
        >>> bool(found.generalization_error(100.0) < 1e-6 < found.generalization_error(1.0))
        True
    """
    check_number("t_max", t_max, minimum=0.0, strict=True)
    overlaps, system, state = _start(net, overlaps, inputs, networks)
    dtype = real_dtype(*jax.tree.leaves(overlaps))
    if times is not None:
        check_times(times, t_max)
        times = jnp.asarray(times, dtype)
    double = dtype == jnp.float64
    rtol = (1e-10 if double else 1e-5) if rtol is None else rtol
    atol = 1e-2 * rtol if atol is None else atol
    if system is None:
        solver = diffrax.Dopri8() if solver is None else solver
    else:
        solver = diffrax.Tsit5() if solver is None else solver
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    end, relative, absolute = (jnp.asarray(x, dtype) for x in (t_max, rtol, atol))
    net = numbers_as_arrays(net, dtype)
    found = _integrate(
        net, system, state, overlaps, times, end, relative, absolute, solver, adjoint, max_steps
    )
    raise_unless_successful(found.result, f"online.solve{stopped(found)}", throw)
    return found


def stopped(found) -> str:
    """When a trajectory ended, for the message of an error."""
    if not is_concrete(found.end_time):
        return ""
    return f" (stopped at t = {float(jnp.min(found.end_time)):.6g})"


def check_times(times, t_max) -> None:
    """Raise a `ValueError` unless the times increase and end by the last one."""
    if not is_concrete((times, t_max)):
        return
    check_number("times", times, minimum=0.0, maximum=float(t_max))
    if np.any(np.diff(np.asarray(times, float)) <= 0):
        raise ValueError("Argument `times` must be increasing, but is not.")


def _start(net, overlaps, inputs, networks):
    """The overlaps at the start, and the modes' equations and state if there are any."""
    if inputs is None or isinstance(inputs, GaussianInputs):
        if overlaps is None and networks is not None and inputs is not None:
            check_networks(net, inputs, networks)
            overlaps = network_overlaps(inputs, networks)
        if overlaps is None:
            raise ValueError("Argument `overlaps` must be given for iid inputs, but is None.")
        check_overlaps(net, overlaps)
        return overlaps, None, None
    if isinstance(inputs, HiddenManifoldLimit):
        if overlaps is None:
            raise ValueError("Argument `overlaps` must be given for infinite inputs, but is None.")
        check_overlaps(net, overlaps)
        return overlaps, *limit_system(inputs, overlaps)
    if networks is None or overlaps is not None:
        raise ValueError(
            "Argument `networks`, and not `overlaps`, must be given for inputs of a finite dimension "
            "with structure: the start in each of their modes matters."
        )
    check_networks(net, inputs, networks)
    system, state = mode_system(inputs, networks)
    return system.overlaps(state), system, state


class _Dense(eqx.Module):
    """Reads a solution in between its steps."""

    interpolation: diffrax.Solution

    def __call__(self, t: Scalar):
        return self.interpolation.evaluate(t)


class _Saved(eqx.Module):
    """The saved states themselves."""

    states: tuple[Array, Array, Array]

    def __call__(self, t: None):
        """All of them, whatever the time."""
        return self.states


class _Hermite(eqx.Module):
    """Polynomials of fifth degree between the steps, from values and two derivatives: for many modes,
    whose own interpolation would have to keep every stage of every step.
    """

    times: Float[Array, " n"]
    values: tuple

    def __call__(self, t: Scalar):
        count = jnp.sum(jnp.isfinite(self.times))
        k = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, count - 2)
        h = self.times[k + 1] - self.times[k]
        x = (t - self.times[k]) / h
        y = 1 - x
        left = (y**3 * (1 + 3 * x + 6 * x**2), y**3 * x * (1 + 3 * x), 0.5 * y**3 * x**2)
        right = (x**3 * (1 + 3 * y + 6 * y**2), -(x**3) * y * (1 + 3 * y), 0.5 * x**3 * y**2)

        def between(value, slope, curve):
            parts = zip((value, h * slope, h**2 * curve), left, right, strict=True)
            return sum(a * f[k] + b * f[k + 1] for f, a, b in parts)

        return jax.tree.map(between, *self.values)


@eqx.filter_jit
def _integrate(
    net, system, start, overlaps, times, t_max, rtol, atol, solver, adjoint, max_steps
) -> Trajectory:
    T, A = overlaps.T, overlaps.A
    if system is None:
        start = (overlaps.Q, overlaps.R, overlaps.v)

        def rates(t, y, args):
            Q, R, v = y
            rate = overlap_rates(net, Overlaps(Q, R, T, v, A), t)
            return rate.Q, rate.R, rate.v

        run = integrated(rates, start, t_max, times, rtol, atol, solver, adjoint, max_steps)
        read = _Dense(run.solution) if times is None else _Saved(run.saved)
        return Trajectory(net, run.end_time, times, run.steps, run.result, overlaps, read)

    def observed(state):
        seen = system.overlaps(state)
        return seen.Q, seen.R, seen.v

    def mode_rates(t, state, args):
        return system.rates(net, state, t)

    def with_derivatives(t, state):
        """The overlaps and their first two derivatives along the flow."""
        flow = lambda t, y: (jnp.ones_like(t), mode_rates(t, y, None))  # noqa: E731
        first = lambda t, y: jax.jvp(observed, (y,), (flow(t, y)[1],))  # noqa: E731
        (value, slope), (_, curve) = jax.jvp(first, (t, state), flow(t, state))
        return value, slope, curve

    run = integrated(
        mode_rates, start, t_max, times, rtol, atol, solver, adjoint, max_steps, observed,
        with_derivatives,
    )  # fmt: skip
    read = _Hermite(*run.saved) if times is None else _Saved(run.saved)
    return Trajectory(net, run.end_time, times, run.steps, run.result, overlaps, read)


def largest(y) -> Scalar:
    """The largest number of a state, by its size."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jax.tree.leaves(y)]))


class _CheckedTimes(eqx.Module):
    """Times of which is known that they increase and are within the solution's.

    diffrax checks them too, in compiled code and by a call back to the host, which keeps the executable
    out of JAX's cache and off meshes. It finds nothing wrong with these: they compare as what they are
    known to be, and are an array otherwise.
    """

    values: Float[Array, " t"]

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def astype(self, dtype) -> "_CheckedTimes":
        return _CheckedTimes(self.values.astype(dtype))

    def __len__(self) -> int:
        return self.values.size

    def __mul__(self, factor: ScalarLike) -> "_CheckedTimes":
        return _CheckedTimes(self.values * factor)

    def __getitem__(self, index):
        return _CheckedTimes(self.values[index]) if isinstance(index, slice) else self.values[index]

    def __lt__(self, other) -> bool:
        """None is before the one before it, nor before the start."""
        return False

    def __gt__(self, other) -> bool:
        """None is after the end."""
        return False


class Run(eqx.Module):
    """What diffrax has done: where it ended, and the states at the times that were asked for."""

    solution: diffrax.Solution
    end_time: Scalar
    saved: PyTree
    steps: Count
    result: RESULTS


def integrated(
    rates,
    y0,
    t_max,
    times,
    rtol,
    atol,
    solver,
    adjoint,
    max_steps,
    observe=lambda y: y,
    at_steps=None,
) -> Run:
    """Integrate with diffrax until `t_max`, or until the state has left all bounds.

    Without `times`, the solution is dense, or `at_steps(t, y)` is saved at each step.
    """  # fmt: skip
    see = lambda t, y, args: observe(y)  # noqa: E731
    end = diffrax.SubSaveAt(t1=True, fn=see)
    if times is None and at_steps is not None:
        each = lambda t, y, args: (t, at_steps(t, y))  # noqa: E731
        saveat = diffrax.SaveAt(subs=[end, diffrax.SubSaveAt(t0=True, steps=True, fn=each)])
    elif times is None:
        saveat = diffrax.SaveAt(subs=[end], dense=True)
    else:
        listed = diffrax.SubSaveAt(ts=times, fn=see)
        listed = eqx.tree_at(lambda sub: sub.ts, listed, _CheckedTimes(times))
        saveat = diffrax.SaveAt(subs=[end, listed])

    def unbounded(t, y, args, **kwargs):
        return ~(largest(y) < _BOUND)

    sol: Any = diffrax.diffeqsolve(
        diffrax.ODETerm(rates),
        solver,
        jnp.zeros_like(t_max),
        t_max,
        None,
        y0,
        saveat=saveat,
        # The proportional part: late steps are as long as stability allows, and would be rejected often.
        stepsize_controller=diffrax.PIDController(rtol, atol, pcoeff=0.3, icoeff=0.4),
        adjoint=adjoint,
        event=diffrax.Event(unbounded),
        max_steps=max_steps,
        throw=False,
    )
    result = RESULTS.where(
        sol.result == diffrax.RESULTS.successful, RESULTS.successful, RESULTS.max_steps_reached
    )
    result = RESULTS.where(sol.result == diffrax.RESULTS.event_occurred, RESULTS.diverged, result)
    end_time, saved = sol.ts[0][0], None
    if at_steps is not None and times is None:
        saved = sol.ys[1]
    if times is not None:
        # What was not reached is filled with the last state, not with infinities.
        def filled(values, last):
            reached = (times <= end_time).reshape(-1, *[1] * (values.ndim - 1))
            return jnp.where(reached, values, last)

        # Times that are traced are first seen here.
        ordered = jnp.all(times[1:] > times[:-1]) & jnp.all((times >= 0) & (times <= t_max))
        saved = jax.tree.map(filled, sol.ys[1], sol.ys[0])
        saved = jax.tree.map(lambda x: jnp.where(ordered, x, jnp.nan), saved)
        result = RESULTS.where(ordered, result, RESULTS.invalid_input)
    return Run(sol, end_time, saved, jnp.asarray(sol.stats["num_steps"]), result)
