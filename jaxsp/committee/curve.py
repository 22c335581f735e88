r"""All symmetric fixed points of a committee on two explicit curves.

With $r = (r_d, r_s)$ the signal-to-noise ratios of the differences of the units and of their sum, and
$F(r)$ what an output then tells about them, a fixed point is $r = \alpha F(r)$. Unspecialised ones have
$r_d = 0$ and lie on $\alpha(r_s) = r_s / F_s$. On a specialised one both ratios $r_d / F_d$ and
$r_s / F_s$ are $1/\alpha$'s inverse: for each $r_d$ this fixes $r_s$, and then $\alpha$. The specialised
curve starts on the unspecialised one where that is marginally stable. So nothing is iterated near a
critical point, and all branches at one alpha are crossings of a scalar function.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Scalar
from ..numerics import varying_like
from .fields import FieldPotential, symmetric_potential, unspecialized_potential
from .model import CommitteeMachine
from .weights import VectorPotential, symmetric_weights, unspecialized_weights

_POINTS = 40


class State(eqx.Module):
    """The two problems at one signal-to-noise ratio."""

    snr: Float[Array, " 2"]
    weights: VectorPotential
    fields: FieldPotential


def state_at(model: CommitteeMachine, r: Float[Array, " 2"], order: int) -> State:
    """Weights observed at r, and an output whose fields are known as well as they are then."""
    weights = symmetric_weights(model, r, order)
    fields = symmetric_potential(model, weights.overlap, weights.error, order)
    return State(r, weights, fields)


def unspecialized_state(model: CommitteeMachine, r: Scalar, order: int) -> tuple[State, Scalar]:
    r"""The same without specialisation, and the gain of a small one, $\partial F_d / \partial r_d$."""
    weights = unspecialized_weights(model, r, order)
    found = weights.potential
    fields = unspecialized_potential(model, found.overlap[1], found.error, order)
    pair = jnp.stack([jnp.zeros_like(r), r])
    return State(pair, found, fields.potential), weights.response * fields.response


def log_alphas(model: CommitteeMachine, x: Float[Array, " 2"], order: int) -> Float[Array, " 2"]:
    r"""$\log (r / F)$ of the differences and of the sum at $x = \log r$; equal at a fixed point."""
    return x - jnp.log(state_at(model, jnp.exp(x), order).fields.information)


def log_gain(model: CommitteeMachine, x: Scalar, order: int) -> tuple[Scalar, Scalar]:
    r"""Logarithm of the factor by which a small specialisation of it grows, and its $\log \alpha$."""
    state, gain = unspecialized_state(model, jnp.exp(x), order)
    height = x - jnp.log(state.fields.information[1])
    return height + jnp.log(gain), height


def _onset(model: CommitteeMachine, x: Scalar, order: int) -> tuple[Scalar, Scalar]:
    """Where that factor is one, by Newton's method from a start near it, and the height there."""

    def newton(_, state):
        x, _ = state
        (value, height), (slope, rise) = jax.jvp(
            lambda x: log_gain(model, x, order), (x,), (jnp.ones_like(x),)
        )
        move = -value / slope
        move = jnp.where(jnp.isfinite(move), jnp.clip(move, -1.0, 1.0), 0.0)
        return x + move, height + move * rise

    return jax.lax.fori_loop(0, 6, newton, varying_like((x, x), x))


class Curves(eqx.Module):
    r"""The two curves, tabulated; carries no derivative.

    Attributes:
        x: $\log r_s$ along the unspecialised curve.
        log_alpha: its height.
        onset: $\log r_s$ where it becomes unstable.
        onset_log_alpha: the height there.
        has_onset: whether it does, within the table.
        pairs: $\log r$ along the specialised curve, by increasing $r_d$.
        heights: its height, $\log \alpha$.
        valid: whether the entry is on the curve.
    """

    x: Float[Array, " n"]
    log_alpha: Float[Array, " n"]
    onset: Scalar
    onset_log_alpha: Scalar
    has_onset: Bool[Array, ""]
    pairs: Float[Array, "m 2"]
    heights: Float[Array, " m"]
    valid: Bool[Array, " m"]


def scan(model: CommitteeMachine, dtype, order: int) -> Curves:
    """Tabulate both curves with a coarser quadrature than they will be used with."""
    coarse = max(order // 2, 4)
    atoms = jnp.asarray(model.prior.dimension()) == 0
    variance = model.prior.moments()[1]
    largest = jnp.where(atoms, 30.0, 1e4) / variance
    x = jnp.linspace(jnp.log(1e-4 / variance), jnp.log(largest), _POINTS).astype(dtype)

    gains, log_alpha = jax.lax.map(lambda x: log_gain(model, x, coarse), x)
    if model.hidden_units == 1:
        # A single unit has nothing to be told apart from.
        gains = jnp.full_like(gains, -jnp.inf)
    crossing = (gains[:-1] < 0) & (gains[1:] >= 0)
    has_onset = jnp.any(crossing)
    place = jnp.argmax(crossing)
    fraction = jnp.where(has_onset, gains[place] / (gains[place] - gains[place + 1]), 0.0)
    onset, onset_height = _onset(model, x[place] + fraction * (x[place + 1] - x[place]), order)

    grid = jnp.linspace(jnp.log(1e-4 / variance), jnp.log(largest), _POINTS).astype(dtype)

    def follow(start, x_d):
        def mismatch(x_s):
            heights = log_alphas(model, jnp.stack([x_d, x_s]), coarse)
            return heights[1] - heights[0], heights[1]

        def unfinished(state):
            _, move, _, steps = state
            return (jnp.abs(move) > 1e-6) & (steps < 12)

        def newton(state):
            x_s, _, _, steps = state
            (value, height), (slope, rise) = jax.jvp(mismatch, (x_s,), (jnp.ones_like(x_s),))
            move = jnp.clip(-value / slope, -1.0, 1.0)
            return x_s + move, move, height + move * rise, steps + 1

        state = (start, jnp.ones_like(start), start, jnp.asarray(0))
        x_s, move, height, _ = jax.lax.while_loop(unfinished, newton, state)
        valid = (jnp.abs(move) <= 1e-6) & jnp.isfinite(height)
        following = jnp.where(valid, x_s, start)
        return following, (jnp.stack([x_d, x_s]), height, valid)

    if model.hidden_units == 1:
        pairs = jnp.stack([grid, grid], axis=1)
        heights, valid = jnp.full_like(grid, jnp.nan), jnp.zeros(grid.shape, bool)
    else:
        _, (pairs, heights, valid) = jax.lax.scan(follow, onset, grid)
        valid = valid & has_onset
    return Curves(x, log_alpha, onset, onset_height, has_onset, pairs, heights, valid)
