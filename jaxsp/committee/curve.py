r"""All symmetric fixed points of a committee on two explicit curves.

With $r = (r_d, r_s)$ the signal-to-noise ratios of the differences of the units and of their sum, and
$F(r)$ what an output then tells about them, a fixed point is $r = \alpha F(r)$. Unspecialised ones have
$r_d = 0$ and lie on $\alpha(r_s) = r_s / F_s$. On a specialised one both ratios $r_d / F_d$ and
$r_s / F_s$ are $1/\alpha$'s inverse: for each $r_d$ this fixes $r_s$, and then $\alpha$. The specialised
curve starts on the unspecialised one where that is marginally stable. So nothing is iterated near a
critical point, and all branches at one alpha are crossings of a scalar function.

Each expectation that is written out takes a second or two to compile. So tables and the search for what
lies between their entries share one loop, and slopes are taken by differences.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._types import Scalar
from ..numerics import varying_like
from .fields import FieldPotential, symmetric_potential, unspecialized_potential
from .model import CommitteeMachine
from .weights import VectorPotential, symmetric_weights, unspecialized_weights

_POINTS = 24
# Extrema of the specialised curve that are looked for, and evaluations that each of them gets.
_EXTREMA, _REFINEMENTS = 2, 9


class State(eqx.Module):
    """The two problems at one signal-to-noise ratio: a pair for the ansatz, or a matrix."""

    snr: Float[Array, "..."]
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


class Onset(eqx.Module):
    r"""Where the unspecialised fixed point becomes unstable, within the table.

    Attributes:
        x: $\log r_s$ there.
        log_alpha: the height there.
        rise: the slope of the height in the logarithm of the gain.
        exists: whether it does.
    """

    x: Scalar
    log_alpha: Scalar
    rise: Scalar
    exists: Bool[Array, ""]


class Curves(eqx.Module):
    r"""The two curves, tabulated; carries no derivative.

    Attributes:
        x: $\log r_s$ along the unspecialised curve.
        log_alpha: its height.
        onset: where it becomes unstable.
        pairs: $\log r$ along the specialised curve, by increasing $r_d$, its extrema among them.
        heights: its height, $\log \alpha$.
        slopes: derivatives of the two heights (rows) in the two entries of a pair (columns).
        valid: whether the entry is on the curve.
        extremum: 1 at a maximum, -1 at a minimum, else 0.
        falls_at_onset: whether it falls from where it starts.
    """

    x: Float[Array, " n"]
    log_alpha: Float[Array, " n"]
    onset: Onset
    pairs: Float[Array, "m 2"]
    heights: Float[Array, " m"]
    slopes: Float[Array, "m 2 2"]
    valid: Bool[Array, " m"]
    extremum: Int[Array, " m"]
    falls_at_onset: Bool[Array, ""]


def table(model: CommitteeMachine, dtype) -> Float[Array, " n"]:
    """Signal-to-noise ratios from hardly any to next to perfect, in logarithms."""
    atoms = jnp.asarray(model.prior.dimension()) == 0
    variance = model.prior.moments()[1]
    largest = jnp.where(atoms, 30.0, 1e4) / variance
    return jnp.linspace(jnp.log(1e-4 / variance), jnp.log(largest), _POINTS).astype(dtype)


class _Bracket(eqx.Module):
    """An interval on which a function changes sign, by the Illinois variant of false position."""

    low: Scalar
    high: Scalar
    f_low: Scalar
    f_high: Scalar
    side: Int[Array, ""]

    def next(self) -> Scalar:
        """Where to look; the middle if the values say nothing."""
        t = self.f_low / (self.f_low - self.f_high)
        t = jnp.where((t >= 0) & (t <= 1), t, 0.5)
        return self.low + t * (self.high - self.low)

    def update(self, x: Scalar, f: Scalar) -> "_Bracket":
        """The part that still changes sign; an end that stays twice counts half."""
        left = jnp.sign(f) == jnp.sign(self.f_low)
        half_low = jnp.where(~left & (self.side < 0), 0.5, 1.0)
        half_high = jnp.where(left & (self.side > 0), 0.5, 1.0)
        return _Bracket(
            jnp.where(left, x, self.low),
            jnp.where(left, self.high, x),
            jnp.where(left, f, half_low * self.f_low),
            jnp.where(left, half_high * self.f_high, f),
            jnp.where(left, 1, -1),
        )


def _cell(x: Array, f: Array, place: Array) -> _Bracket:
    return _Bracket(x[place], x[place + 1], f[place], f[place + 1], jnp.asarray(0))


def find_onset(model: CommitteeMachine, x: Float[Array, " n"], order: int) -> tuple[Array, Onset]:
    """Heights of the unspecialised curve, and where it becomes unstable."""
    points, nudge = x.size, 1e-5 if x.dtype == jnp.float64 else 1e-2

    def crossings(gains):
        return (gains[:-1] < 0) & (gains[1:] >= 0)

    # The table, then refinements, then a neighbour of the last of them for the slopes.
    def look(carry, step):
        gains, bracket, last = carry
        first = _cell(x, gains, jnp.argmax(crossings(gains)))
        bracket = jax.tree.map(lambda a, b: jnp.where(step <= points, a, b), first, bracket)
        at = jnp.where(step < points, x[jnp.minimum(step, points - 1)], bracket.next())
        at = jnp.where(step == points + _REFINEMENTS, last + nudge, at)
        gain, height = log_gain(model, at, order)
        gains = jnp.where(jnp.arange(points) == step, gain, gains)
        return (gains, bracket.update(at, gain), at), (at, gain, height)

    nothing = jnp.full_like(x, -jnp.inf)
    carry = varying_like((nothing, _cell(x, nothing, jnp.asarray(0)), x[0]), x)
    (gains, _, _), (at, gain, heights) = jax.lax.scan(
        look, carry, jnp.arange(points + _REFINEMENTS + 1)
    )
    exists = jnp.any(crossings(gains)) & (model.hidden_units > 1)
    rise = (heights[-1] - heights[-2]) / (gain[-1] - gain[-2])
    height = heights[-2] - rise * gain[-2]
    x_onset = at[-2] - nudge * gain[-2] / (gain[-1] - gain[-2])
    return heights[:points], Onset(x_onset, height, rise, exists)


def _along(
    model: CommitteeMachine, x_d: Scalar, start: Scalar, needed: Array, order: int
) -> tuple[Scalar, Scalar, Float[Array, "2 2"], Bool[Array, ""]]:
    """The point of the specialised curve at $x_d$: $x_s$, its height, slopes, whether it is one."""
    double = x_d.dtype == jnp.float64
    step, tolerance = (1e-6, 1e-6) if double else (3e-3, 1e-4)
    steps = step * jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], x_d.dtype)

    def unfinished(state):
        _, move, _, _, count = state
        return needed & (jnp.abs(move) > tolerance) & (count < 12)

    def newton(state):
        x_s, _, _, _, count = state
        points = jnp.stack([x_d, x_s]) + steps
        values = jax.vmap(lambda x: log_alphas(model, x, order))(points)
        slopes = ((values[1:] - values[0]) / step).T
        move = (values[0, 0] - values[0, 1]) / (slopes[1, 1] - slopes[0, 1])
        move = jnp.clip(move, -1.0, 1.0)
        height = values[0, 1] + move * slopes[1, 1]
        return x_s + move, move, height, slopes, count + 1

    zero = jnp.zeros_like(start)
    state = (start, zero + 1, zero, jnp.zeros((2, 2), x_d.dtype), jnp.asarray(0))
    x_s, move, height, slopes, _ = jax.lax.while_loop(
        unfinished, newton, varying_like(state, x_d + start)
    )
    good = needed & (jnp.abs(move) <= tolerance) & jnp.isfinite(height)
    return x_s, height, slopes, good


def _tangent(slopes: Float[Array, "2 2"]) -> tuple[Scalar, Scalar]:
    """Slopes of $x_s$ and of the height in $x_d$, along the specialised curve."""
    apart = slopes[1] - slopes[0]
    turn = -apart[0] / apart[1]
    return turn, slopes[1, 0] + slopes[1, 1] * turn


def scan(model: CommitteeMachine, dtype, order: int) -> Curves:
    """Tabulate both curves; the specialised one with a coarser quadrature than it will be used with."""
    x = table(model, dtype)
    log_alpha, onset = find_onset(model, x, order)
    if model.hidden_units == 1:
        never = jnp.zeros(x.shape, bool)
        return Curves(
            x, log_alpha, onset, jnp.stack([x, x], axis=1), jnp.full_like(x, jnp.nan),
            jnp.zeros((x.size, 2, 2), dtype), never, jnp.zeros(x.shape, int), never[0],
        )  # fmt: skip
    points, coarse = x.size, max(order // 2, 4)
    total = points + _EXTREMA * _REFINEMENTS

    def cells(rises):
        turning = jnp.isfinite(rises[:-1] + rises[1:]) & ((rises[:-1] > 0) != (rises[1:] > 0))
        return jnp.nonzero(turning, size=_EXTREMA, fill_value=points)[0]

    def look(carry, step):
        x_s, turns, rises, bracket = carry
        tabulating = step < points
        index = jnp.minimum(step, points - 1)
        place = cells(rises)[jnp.maximum(step - points, 0) // _REFINEMENTS]
        exists = tabulating | (place < points)
        place = jnp.minimum(place, points - 2)
        fresh = (step - points) % _REFINEMENTS == 0
        bracket = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), _cell(x, rises, place), bracket)
        at = jnp.where(tabulating, x[index], bracket.next())
        before = jnp.where(tabulating, jnp.maximum(index - 1, 0), place)
        start = jnp.where(step == 0, onset.x, x_s[before] + turns[before] * (at - x[before]))
        found, height, slopes, good = _along(model, at, start, exists & onset.exists, coarse)
        turn, rise = _tangent(slopes)
        here = tabulating & (jnp.arange(points) == index)
        x_s = jnp.where(here, jnp.where(good, found, start), x_s)
        turns = jnp.where(here, jnp.where(good, turn, 0.0), turns)
        rises = jnp.where(here, jnp.where(good, rise, jnp.nan), rises)
        entry = (jnp.where(exists, at, jnp.inf), found, height, slopes, good, rise)
        return (x_s, turns, rises, bracket.update(at, rise)), entry

    zero = jnp.zeros_like(x)
    carry = (zero, zero, jnp.full_like(x, jnp.nan), _cell(x, zero, jnp.asarray(0)))
    (_, _, rises, _), (x_d, x_s, heights, slopes, valid, rise) = jax.lax.scan(
        look, varying_like(carry, x), jnp.arange(total)
    )
    # Kept are the table and the last refinement of each extremum, in order.
    last = points - 1 + _REFINEMENTS * np.arange(1, _EXTREMA + 1)
    kept = np.concatenate([np.arange(points), last])
    kind = jnp.where(rises[jnp.minimum(cells(rises), points - 1)] > 0, 1, -1)
    # A change of sign that is no root, of quadrature errors, is no extremum.
    small = jnp.abs(rise[last]) < (1e-5 if dtype == jnp.float64 else 1e-2)
    extremum = jnp.concatenate([jnp.zeros(points, int), jnp.where(small & valid[last], kind, 0)])
    columns = (x_d, x_s, heights, *slopes.reshape(-1, 4).T, valid)
    x_d, x_s, heights, *four, valid, extremum = jax.lax.sort(
        (*(column[kept] for column in columns), extremum), num_keys=1
    )
    return Curves(
        x, log_alpha, onset, jnp.stack([x_d, x_s], axis=1), heights,
        jnp.stack(four, axis=1).reshape(-1, 2, 2), valid, extremum, valid[0] & (rises[0] < 0),
    )  # fmt: skip
