r"""State evolution: the overlap that AMP follows, step by step, and where it ends."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_choice, check_number
from .._types import Count, Scalar, ScalarLike
from ..numerics import raise_unless_successful
from .curve import scan
from .model import GLM
from .potentials import output_potential, prepare, weight_potential_from
from .replica import MAX_STABLE, find_candidates
from .solution import REGULAR, SATURATED, Solution, solution_at

# Overlap, relative to the second moment, that stands for an infinitesimal one at an uninformed
# start, and error variance that stands for it at an informed one.
_NUDGE = 1e-6


class StateEvolution(Solution):
    r"""The fixed point that a start flows to, and the way there.

    Attributes:
        trajectory: overlaps $m_0 \dots m_T$.
        mean_squared_error_trajectory: $V_t = \rho - m_t$.
        iterations: the first $t$ at which $m_t$ is within eight digits (three in float32) of the
            limit, or $T + 1$ if none is.
    """

    trajectory: Float[Array, " steps"]
    mean_squared_error_trajectory: Float[Array, " steps"]
    iterations: Count


def state_evolution(
    model: GLM,
    alpha: ScalarLike,
    init: str | ScalarLike = "uninformed",
    *,
    steps: int = 100,
    throw: bool = True,
) -> StateEvolution:
    r"""What AMP reaches from a given start in the large-size limit.

    $m_{t+1} = \rho - V(\hat m_t)$ with $\hat m_t = \alpha F(m_t)$ (arXiv 1708.03395, eq. 13). The
    trajectory is iterated; its limit is not: the map is monotone, so it is the first stable fixed
    point of the explicit curve in the direction of the first step, and is exact however slow the
    convergence.

    Args:
        model: the GLM.
        alpha: number of samples over number of weights, at least 0.
        init: "uninformed" (the prior's mean; where $m = 0$ is a fixed point, an infinitesimal overlap
            breaks the symmetry), "informed" (at the teacher), or any overlap in $[0, \rho)$.
        steps: length $T$ of the trajectory.
        throw: raise a `SolverError` if the limit is not to be trusted.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Rademacher(), channels.Sign())
        >>> se = glm.state_evolution(model, 1.4)
        >>> print(f"{se.overlap:.4f}", int(se.iterations) < 100)
        0.7897 True
    """
    check_number("alpha", alpha, minimum=0.0)
    if isinstance(init, str):
        check_choice("init", init, ("uninformed", "informed"))
        start, kind = 0.0, init
    else:
        check_number("init", init, minimum=0.0)
        start, kind = init, "given"
    if steps < 1:
        raise ValueError(f"Argument `steps` must be at least 1, but is {steps}.")
    model, (alpha, start), order = prepare(model, alpha, start)
    evolution = _state_evolution(model, alpha, start, kind, steps, order)
    raise_unless_successful(evolution.result, "state_evolution", throw)
    return evolution


@eqx.filter_jit
def _state_evolution(
    model: GLM, alpha: Scalar, start: Scalar, init: str, steps: int, order: int
) -> StateEvolution:
    mean, variance = model.prior.moments()
    rho = mean**2 + variance
    if init == "uninformed":
        V = variance - _NUDGE * rho
        m = mean**2 + _NUDGE * rho
    elif init == "informed":
        V = _NUDGE * rho
        m = rho - V
    else:
        m, V = start, rho - start

    # At perfect recovery the error variance underflows; the information in an output needs it.
    # An observation of snr beyond the inverse rounding is exact, and is not told from its atoms.
    floor = rho * jnp.finfo(alpha.dtype).tiny ** 0.45
    ceiling = 0.1 / (jnp.finfo(alpha.dtype).eps * variance)

    def step(state, _):
        m, V = state[0], jnp.maximum(state[1], floor)
        snr = alpha * output_potential(model, m, V, order).information
        weight = weight_potential_from(model, jnp.minimum(snr, ceiling), order)
        new = weight.overlap, weight.error_variance
        return new, new

    first, _ = step((m, V), None)
    _, (overlaps, errors) = jax.lax.scan(step, (m, V), length=steps)
    overlaps = jnp.concatenate([m[None], overlaps])
    errors = jnp.concatenate([V[None], errors])

    curve = scan(model, alpha.dtype, order)
    found = find_candidates(model, alpha, curve, order, MAX_STABLE, stable_only=True)
    position = jnp.where(found.kind == REGULAR, found.x, -jnp.inf)
    position = jnp.where(found.kind == SATURATED, jnp.inf, position)
    if init == "given":
        here = jnp.log(alpha * output_potential(model, m, V, order).information)
        rises = first[1] <= V
        ahead = found.stable & jnp.where(rises, position >= here, position <= here)
        lowest = jnp.argmin(jnp.where(ahead, position, jnp.inf))
        highest = found.kind.size - 1 - jnp.argmax(ahead[::-1])
        index, exists = jnp.where(rises, lowest, highest), jnp.any(ahead)
        # A start on the saturated side meets no finite position: the last candidate is it.
        index = jnp.where(rises & ~jnp.any(ahead[:-1]), found.kind.size - 1, index)
    else:
        last = found.kind.size - 1 - jnp.argmax(found.stable[::-1])
        index = jnp.argmax(found.stable) if init == "uninformed" else last
        exists = jnp.any(found.stable)
    solution = solution_at(model, alpha, curve, found.kind[index], found.x[index], exists, order)
    digits = 1e-8 if alpha.dtype == jnp.float64 else 1e-3
    close = jnp.abs(errors - solution.mean_squared_error) <= digits * rho
    iterations = jnp.where(jnp.any(close), jnp.argmax(close), steps + 1)
    fields = {name: getattr(solution, name) for name in solution.__dataclass_fields__}
    return StateEvolution(
        **fields,
        trajectory=overlaps,
        mean_squared_error_trajectory=errors,
        iterations=iterations,
    )
