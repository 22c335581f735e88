r"""Symmetric fixed points by iteration, for the models whose explicit curves are not tabulated.

Those of more than two units, and of outputs that are averages themselves, where a table would cost too
much. An iteration says which fixed point it is; the point itself is then polished, so that neither its
accuracy nor its derivatives depend on where the iteration stopped.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Scalar
from ..numerics import frozen, varying_like
from .curve import log_alphas, table, unspecialized_state
from .model import CommitteeMachine
from .solution import SATURATED, SPECIALIZED, UNSPECIALIZED
from .weights import as_pair

_STEPS, _TOLERANCE = 600, 1e-4
# Signal-to-noise ratios below this, relative to the inverse second moment, are none.
_NONE = 1e-9
# A difference of the units that has fallen so far behind their sum is on its way to zero.
_VANISHED = 1e-7
_APART = 1e-2
# What stands for an infinitesimal difference of the units, relative to their sum.
_NUDGE = 1e-4


class Limit(eqx.Module):
    """Where an iteration ends, as the start of a polish; carries no derivative.

    Attributes:
        kind: `UNSPECIALIZED`, `SPECIALIZED` or `SATURATED`.
        x: logarithms of the signal-to-noise ratios.
        slopes: derivatives of what vanishes at the fixed point.
        stable: whether state evolution is attracted.
    """

    kind: Array
    x: Float[Array, " 2"]
    slopes: Float[Array, "2 2"]
    stable: Bool[Array, ""]


def unspecialized_limit(model: CommitteeMachine, alpha: Scalar, order: int) -> Limit:
    """The fixed point that all units alike flow to from the prior's mean."""
    model, alpha = frozen((model, alpha))
    rho = as_pair(model.second_moment())
    least = _NONE / rho[0]

    def image(r):
        state, _ = unspecialized_state(model, r, order)
        return jnp.maximum(alpha * state.fields.information[1], least)

    def unfinished(state):
        r, before, steps = state
        return (jnp.abs(r - before) > _TOLERANCE * r) & (steps < _STEPS)

    def step(state):
        r, _, steps = state
        return image(r), r, steps + 1

    # An infinitesimal one: without it a symmetric output would tell nothing.
    first = 1e-3 / rho[0]
    state = varying_like((first, jnp.zeros_like(first), jnp.asarray(0)), first * alpha)
    r, _, _ = jax.lax.while_loop(unfinished, step, state)

    shift = 1e-3 if alpha.dtype == jnp.float64 else 1e-2

    def height(x):
        state, gain = unspecialized_state(model, jnp.exp(x), order)
        return x - jnp.log(state.fields.information[1]), gain

    heights, gains = jax.lax.map(height, jnp.log(r) + shift * jnp.asarray([0.0, 1.0], r.dtype))
    slope = (heights[1] - heights[0]) / shift
    slopes = jnp.eye(2, dtype=r.dtype).at[1, 1].set(slope)
    x = jnp.stack([jnp.log(r) - 1.0, jnp.log(r)])
    stable = alpha * gains[0] < 1
    return Limit(jnp.asarray(UNSPECIALIZED), x, slopes, stable | (model.hidden_units == 1))


def limit_from(
    model: CommitteeMachine,
    alpha: Scalar,
    plain: Limit,
    order: int,
    *,
    specialized: bool,
) -> Limit:
    """Where an infinitesimal difference of the units, or the teacher itself, flows to."""
    model, alpha = frozen((model, alpha))
    dtype = alpha.dtype
    top = table(model, dtype)[-1]
    # Where the data leave no room for an error the teacher is a fixed point, and what comes near it
    # flows there: signal-to-noise ratios grow without end.
    atoms = (jnp.asarray(model.prior.dimension()) == 0) & (alpha > 0)
    perfect = atoms if model.output.noiseless else jnp.asarray(False)
    if specialized:
        first, needed = jnp.full(2, top), ~perfect
    else:
        first = plain.x + jnp.log(jnp.asarray([_NUDGE, 1.0], dtype))
        needed = ~plain.stable

    def unfinished(state):
        x, before, steps = state
        moving = jnp.max(jnp.abs(x - before)) > _TOLERANCE
        arrived = perfect & (x[0] > top)
        return needed & moving & ~arrived & (x[0] - x[1] > jnp.log(_VANISHED)) & (steps < _STEPS)

    def step(state):
        x, _, steps = state
        return x - log_alphas(model, x, order) + jnp.log(alpha), x, steps + 1

    state = varying_like((first, first - 1.0, jnp.asarray(0)), first + alpha)
    x, _, _ = jax.lax.while_loop(unfinished, step, state)
    arrived = perfect & ((x[0] > top) | specialized)
    x = jnp.where(arrived, top, x)

    shift = 1e-3 if dtype == jnp.float64 else 1e-2
    moves = shift * jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype)
    heights = jax.lax.map(lambda m: log_alphas(model, x + m, order), moves)
    slopes = ((heights[1:] - heights[0]) / shift).T
    # Beside a stable fixed point of equal units there is another one only at some distance: a closer one
    # is an error of the quadrature.
    least = jnp.where(plain.stable, _APART, _VANISHED)
    good = needed & (x[0] - x[1] > jnp.log(least)) & jnp.all(jnp.isfinite(slopes))
    kind = jnp.where(arrived, SATURATED, SPECIALIZED)
    slopes = jnp.where(arrived, jnp.eye(2, dtype=dtype), slopes)
    found = Limit(kind, x, slopes, jnp.asarray(True))
    good = good | arrived
    return jax.tree.map(lambda a, b: jnp.where(good, a, b), found, plain)
