r"""Leaving the state without overlap: linear response, escape times, and transitions from both."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    RESULTS,
    bracketed_root,
    frozen,
    is_concrete,
    raise_unless_successful,
    real_dtype,
)
from ._solve import solve
from .problem import SphericalDynamics, prepared
from .ratio import RatioGrid
from .solution import Solution, Times
from .uniform import UniformGrid


class LinearResponse(eqx.Module):
    r"""Growth of an infinitesimal overlap with the signal, on top of the dynamics without one.

    Attributes:
        solution: the dynamics at $\bar C = 0$.
        tangent: its derivative with respect to $\bar C(0)$, in which only the overlap moves.
    """

    solution: Solution
    tangent: Solution

    def amplification(self, t: Times) -> Float[Array, "..."]:
        r"""$\bar C(t) / \bar C(0)$."""
        read = eqx.filter_jvp(lambda s: s.overlap(t), (self.solution,), (self.tangent,))
        return read[1]

    def growth_rate(self, t: Times) -> Float[Array, "..."]:
        r"""$d \log \bar C / dt$.

        Its sign at a finite time is no criterion: beyond the threshold of gradient flow it decays to
        zero from above, like $1/t$. See `limiting_rate`.
        """
        # Checked here: differentiated times are not looked at any more.
        self.solution.overlap(t)
        times = jnp.asarray(t, self.solution.t_max.dtype)
        value, slope = jax.jvp(self.amplification, (times,), (jnp.ones_like(times),))
        return slope / value

    def limiting_rate(self, since: ScalarLike, points: int = 64) -> Scalar:
        r"""The growth rate at $t \to \infty$: $a$ of a fit of $a + b\, t^{-2/3} + c/t$ by least squares.

        The multiplier relaxes with the power $t^{-2/3}$ of the energy of gradient flow in glasses; a
        power law's own rate is $c/t$.

        Args:
            since: the time from which on to fit, up to the last one.
            points: how many times, evenly spaced.
        """
        check_number("since", since, minimum=0.0, strict=True)
        last = self.solution.t_max
        t = since + (last - since) * jnp.arange(points, dtype=last.dtype) / (points - 1)
        powers = jnp.stack([jnp.ones_like(t), t ** (-2 / 3), 1 / t], axis=1)
        return jnp.linalg.lstsq(powers, self.growth_rate(t))[0][0]


def linear_response(
    problem: SphericalDynamics,
    t_max: ScalarLike,
    *,
    solver: UniformGrid | RatioGrid | None = None,
    throw: bool = True,
) -> LinearResponse:
    r"""How an infinitesimal overlap with the signal grows, by the linearised equation.

    $$ \dot{\bar C} = [Q_s''(0) - \mu(t)]\, \bar C + \int_0^t R(t,s) Q''(C(t,s)) \bar C(s)\, ds $$

    with the correlation and response of the landscape where nothing is found.

    Args:
        problem: landscape and noise; its own initial overlap is not used.
        t_max: the last time.
        solver: see `solve`.
        throw: as in `solve`.

    Raises:
        ValueError: if the start is drawn from equilibrium: its overlap is one.

    Example:
        >>> from jaxsp import dmft, spiked
        >>> problem = dmft.SphericalDynamics(spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0))
        >>> response = dmft.linear_response(problem, 2.0)
        >>> round(float(response.amplification(0.0)), 6), bool(response.growth_rate(2.0) > 0)
        (1.0, True)
    """
    if problem.initial_temperature is not None:
        raise ValueError(
            "Argument `problem` must start from infinite temperature: from equilibrium at "
            f"`initial_temperature` {problem.initial_temperature} the overlap is 1."
        )
    known, dtype = prepared(problem)
    if isinstance(solver, RatioGrid):
        solver = solver.with_panels(known, jnp.asarray(t_max, dtype))

    def solved(overlap):
        start = eqx.tree_at(
            lambda p: p.initial_overlap, problem, overlap, is_leaf=lambda x: x is None
        )
        return solve(start, t_max, solver=solver, throw=False)

    start, move = jnp.zeros((), dtype), jnp.ones((), dtype)
    solution, tangent = eqx.filter_jvp(solved, (start,), (move,))
    raise_unless_successful(solution.result, "dmft.linear_response", throw)
    return LinearResponse(solution, tangent)


def asymptotic_growth_rate(problem: SphericalDynamics) -> Scalar:
    r"""The rate at which an overlap grows at late times of gradient flow, in closed form.

    In the marginal minima that the flow ages towards, with $\theta = Q''(0)/\sqrt{Q''(1)}$, the signal adds
    an eigenvalue beyond the edge if $\theta > 1$ (arXiv 1902.00139):

    $$ \sqrt{Q''(1)}\, (\theta + 1/\theta - 2), $$

    and the rate is zero for $\theta \le 1$, from `jaxsp.spiked.gradient_flow_threshold` on.

    Args:
        problem: of temperature zero, with a signal.

    Raises:
        ValueError: for another temperature, protocols, or no signal.

    Example:
        >>> from jaxsp import dmft, spiked
        >>> problem = dmft.SphericalDynamics(spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0))
        >>> round(float(dmft.asymptotic_growth_rate(problem)), 5)
        0.08772
    """
    T = problem.temperature
    if callable(T) or (is_concrete(T) and np.any(np.asarray(T) != 0)):
        raise ValueError(
            f"Argument `problem` must be of temperature 0 for a closed form, but has {T}."
        )
    if problem.strengths is not None or not problem.planted:
        raise ValueError(
            "Argument `problem` must have a signal, and no protocol of its strengths, for a closed form."
        )
    Q = problem.covariance
    zero = jnp.zeros((), Q.coefficients.dtype)
    width = jnp.sqrt(Q.derivative(zero + 1, 2))
    theta = Q.derivative(zero, 2) / width
    beyond = theta > 1
    theta = jnp.where(beyond, theta, 1.0)
    return jnp.where(beyond, width * (theta - 1) ** 2 / theta, 0.0)


class EscapeTime(eqx.Module):
    """When an overlap is reached.

    Attributes:
        time: the first time; infinite if the solution ends before.
        result: `RESULTS.successful`; `not_bracketed` if the level is not reached, `invalid_input` if the
            start is beyond it.
    """

    time: Scalar
    result: RESULTS


def escape_time(solution: Solution, level: ScalarLike, *, throw: bool = True) -> EscapeTime:
    r"""The first time at which the overlap reaches a level, $\bar C(t) = \ell$.

    Differentiable with respect to the level and all parameters of the problem: the root of the dense
    output, by the implicit function theorem.

    Args:
        solution: of a problem with a start below the level.
        level: $\ell$.
        throw: raise a `SolverError` if the level is not reached.

    Raises:
        SolverError: if the level is not reached, or is no higher than the start.

    Example:
        >>> from jaxsp import dmft, spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.4, deltap=4.0)
        >>> solution = dmft.solve(dmft.SphericalDynamics(model, initial_overlap=0.1), 3.0)
        >>> escape = dmft.escape_time(solution, 0.5)
        >>> round(float(solution.overlap(escape.time)), 5)
        0.5
    """
    check_number("level", level, minimum=-1.0, maximum=1.0)
    dtype = solution.t_max.dtype
    level, times = jnp.asarray(level, dtype), solution.times
    above = solution.overlap(frozen(times)) >= level
    reached, beyond = jnp.any(above), above[0]
    index = jnp.maximum(jnp.argmax(above), 1)
    low, high = frozen((times[index - 1], times[index]))
    inside = reached & ~beyond
    middle = 0.5 * (low + high)
    root = bracketed_root(
        lambda t: jnp.where(inside, solution.overlap(t) - level, t - middle), low, high
    )
    result = RESULTS.where(reached, root.result, RESULTS.not_bracketed)
    result = RESULTS.where(beyond, RESULTS.invalid_input, result)
    raise_unless_successful(result, "dmft.escape_time", throw)
    time = jnp.where(inside, root.value, jnp.where(beyond, 0.0, jnp.inf))
    return EscapeTime(time, result)


def extrapolated_transition(
    parameter: Float[Array | np.ndarray, " n"],
    rate: Float[Array | np.ndarray, " n"],
    *,
    power: float = 0.5,
    degree: int = 2,
) -> Scalar:
    r"""Where a rate of escape vanishes: the parameter as a polynomial in `rate ** power`, at rate zero.

    At the threshold of gradient flow the rate $\propto (\theta - 1)^2$ and the inverse escape time vanish
    quadratically, so that their square roots do linearly; where the disordered state itself turns
    unstable (Langevin dynamics at high temperature) the rate vanishes linearly, and `power` is 1.

    Args:
        parameter: where the rates were measured, more than `degree` places on one side.
        rate: growth rates or inverse escape times, positive.
        power: which power of them is smooth at the transition.
        degree: of the polynomial, fitted by least squares.

    Raises:
        ValueError: if there are too few points, or rates that are not positive.

    Example:
        >>> import numpy as np
        >>> from jaxsp import dmft
        >>> x = np.array([1.0, 1.5, 2.0, 2.5])
        >>> round(float(dmft.extrapolated_transition(x, (x - 0.8) ** 2)), 6)
        0.8
    """
    dtype = real_dtype(parameter, rate)
    parameter, rate = jnp.asarray(parameter, dtype), jnp.asarray(rate, dtype)
    if parameter.size <= degree:
        raise ValueError(
            f"Argument `parameter` must hold more than {degree} places for a polynomial of degree "
            f"{degree}, but holds {parameter.size}."
        )
    check_number("rate", rate, minimum=0.0, strict=True)
    smooth = rate**power
    return jnp.polyfit(smooth, parameter, degree)[-1]
