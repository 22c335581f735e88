"""Where the hidden units specialise, and where AMP finds out."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Scalar
from ..numerics import (
    RESULTS,
    first_failure,
    frozen,
    raise_unless_successful,
    search_bracket,
    with_implicit_derivative,
)
from .curve import Curves, Onset, find_onset, log_alphas, log_gain, scan, table
from .model import CommitteeMachine, has_curves, prepare
from .solution import find_candidates, solution_at


def specialization_threshold(model: CommitteeMachine, *, throw: bool = True) -> Scalar:
    r"""The $\alpha$ at which the unspecialised fixed point, $q_d = 0$, becomes unstable.

    A small $q_d$ is multiplied in each step of state evolution by
    $\alpha\, \mathbb E\, C_d^2\; \mathbb E \sum_y Z h_d^2$, where $C_d$ is the posterior variance of a
    difference of two units' weights and $h_d$ the second derivative of $\log Z_{\rm out}$ in that of their
    fields: both are expectations in one dimension, at any number of hidden units. Differentiable with
    respect to the model's parameters.

    Where specialisation is continuous (Gaussian weights and two units, where arXiv 1806.05451 gives 2.04)
    this is its threshold. Elsewhere it is where AMP at last leaves the unspecialised fixed point.

    Args:
        model: the committee, of at least two hidden units.
        throw: raise a `SolverError` if there is none below an alpha of about $10^3$.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> round(float(committee.specialization_threshold(model)), 3)
        2.052
    """
    if model.hidden_units < 2:
        raise ValueError(
            "Argument `model` must have at least 2 hidden units to specialise, but has "
            f"{model.hidden_units}."
        )
    model, _, order = prepare(model)
    alpha, result = _specialization(model, order)
    raise_unless_successful(result, "specialization_threshold", throw)
    return alpha


@eqx.filter_jit
def _specialization(model: CommitteeMachine, order: int) -> tuple[Scalar, RESULTS]:
    fixed = frozen(model)
    dtype = jnp.result_type(fixed.prior.second_moment())
    return _onset_alpha(model, find_onset(fixed, table(fixed, dtype), order)[1], order)


def _onset_alpha(model: CommitteeMachine, onset: Onset, order: int) -> tuple[Scalar, RESULTS]:
    """The height at the onset, with its derivative.

    The gain is one there: with the slope of the height in it as a multiplier, their combination is
    stationary, and its derivatives are those of the threshold.
    """
    gain, height = log_gain(model, onset.x, order)
    tolerance = 1e-8 if gain.dtype == jnp.float64 else 1e-3
    result = RESULTS.where(jnp.abs(gain) < tolerance, RESULTS.successful, RESULTS.stalled)
    result = RESULTS.where(onset.exists, result, RESULTS.no_fixed_point)
    return jnp.where(onset.exists, jnp.exp(height - onset.rise * gain), jnp.inf), result


class Thresholds(eqx.Module):
    r"""The thresholds of a committee, as values of $\alpha = n / p$; infinite where there is none.

    Attributes:
        specialization: where the unspecialised fixed point becomes unstable.
        algorithmic: above it AMP from a broken start reaches the Bayes optimum: the highest spinodal of
            what is reached from there, or `specialization` if that is continuous.
        information_theoretic: where the Bayes optimum specialises, or jumps to perfect recovery.
        continuous: whether there is no jump, and all three are one.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
    """

    specialization: Float[Array, "..."]
    algorithmic: Float[Array, "..."]
    information_theoretic: Float[Array, "..."]
    continuous: Bool[Array, "..."]
    result: RESULTS

    @property
    def hard_phase(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The interval of alpha in which AMP misses the Bayes optimum; empty if there is none."""
        return self.information_theoretic, self.algorithmic

    def __str__(self) -> str:
        """One threshold a line."""
        if jnp.ndim(self.algorithmic) > 0 or isinstance(self.algorithmic, jax.core.Tracer):
            return repr(self)
        names = ("specialization", "algorithmic", "information_theoretic")
        lines = [f"  {n.replace('_', ' ')}: {float(getattr(self, n)):.8g}" for n in names]
        return "\n".join(["thresholds", *lines])


def thresholds(model: CommitteeMachine, *, throw: bool = True) -> Thresholds:
    r"""Specialisation, algorithmic and information-theoretic thresholds of two hidden units.

    Spinodals are maxima of the specialised curve $\alpha(r_d)$, where they are found as roots of its
    slope; the information-theoretic threshold is where the branch beyond, or perfect recovery, has the
    larger free entropy. Differentiable with respect to the model's parameters.

    Args:
        model: the committee.
        throw: raise a `SolverError` if one of them could not be found.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> bool(committee.thresholds(model).continuous)
        True
    """
    if model.hidden_units != 2:
        raise ValueError(
            f"Argument `model` must have 2 hidden units, but has {model.hidden_units}."
        )
    if not has_curves(model):
        raise ValueError(
            "Argument `model` must have labels of the signs of its fields, but its output is "
            f"{type(model.output).__name__}."
        )
    model, _, order = prepare(model)
    found = _thresholds(model, order)
    raise_unless_successful(found.result, "thresholds", throw)
    return found


@eqx.filter_jit
def _thresholds(model: CommitteeMachine, order: int) -> Thresholds:
    fixed = frozen(model)
    dtype = jnp.result_type(fixed.prior.second_moment())
    curves = scan(fixed, dtype, order)
    onset, onset_result = _onset_alpha(model, curves.onset, order)
    # The highest maximum of the curve, where it starts counted if it falls from there.
    heights = jnp.where(curves.extremum > 0, curves.heights, -jnp.inf)
    peak = jnp.argmax(heights)
    start = jnp.where(curves.falls_at_onset, curves.onset.log_alpha, -jnp.inf)
    inner = heights[peak] > start
    jump = inner | curves.falls_at_onset
    algorithmic = jnp.where(
        inner, _height(model, curves.pairs[peak], curves.slopes[peak], order), onset
    )
    transition, result = _transition(model, curves, algorithmic, jump, order)
    result = RESULTS.where(jump, result, RESULTS.successful)
    return Thresholds(
        specialization=onset,
        algorithmic=algorithmic,
        information_theoretic=jnp.where(jump, transition, onset),
        continuous=~jump,
        result=first_failure(onset_result, result),
    )


def _height(
    model: CommitteeMachine, pair: Float[Array, " 2"], slopes: Float[Array, "2 2"], order: int
) -> Scalar:
    r"""$\alpha$ at an extremum of the specialised curve, with its derivative.

    There a combination of the two heights, which are equal, is stationary in both ratios: its value is
    exact to second order in the place, and its derivatives are those of the threshold.
    """
    apart = slopes[0, 1] - slopes[1, 1]
    share = jnp.stack([-slopes[1, 1] / apart, slopes[0, 1] / apart])
    return jnp.exp(jnp.dot(share, log_alphas(model, pair, order)))


def _transition(
    model: CommitteeMachine, curves: Curves, high: Scalar, needed: Array, order: int
) -> tuple[Scalar, RESULTS]:
    """Where the branches before and after a jump have equal free entropies."""
    fixed = frozen(model)

    def entropies(model, alpha):
        found = find_candidates(model, alpha, curves)
        # They come by increasing specialisation: the first and the last that are stable.
        first = jnp.argmax(found.stable)
        last = found.stable.size - 1 - jnp.argmax(found.stable[::-1])
        pair = jnp.stack([first, last])

        def f(candidate):
            kind, x, slopes, exists = candidate
            return solution_at(model, alpha, kind, x, slopes, exists, order).free_entropy

        candidates = found.kind, found.x, found.slopes, found.exists
        values = jax.lax.map(f, tuple(entry[pair] for entry in candidates))
        # With a single stable branch there is nothing to be compared.
        lead = jnp.where(first == last, -1e3, values[1] - values[0])
        return jnp.nan_to_num(lead, nan=-1e3)

    top = jax.lax.stop_gradient(high)
    # The branch beyond begins at the curve's minimum; perfect recovery is there at any alpha.
    valley = jnp.min(jnp.where(curves.extremum < 0, curves.heights, jnp.inf))
    perfect = jnp.asarray(fixed.prior.dimension()) == 0
    low = jnp.where(perfect | ~jnp.isfinite(valley), 0.1 * top, jnp.exp(valley) * (1 + 1e-6))
    far = jnp.where(needed, 1.0, 0.0).astype(top.dtype)
    xtol = (1e-13 if top.dtype == jnp.float64 else 1e-6) * top
    root = search_bracket(
        lambda a: entropies(fixed, a), low, top * (1 - 1e-6), -far, far, xtol=xtol
    )
    # The signs at the ends are assumed; were they others, the search would end where nothing vanishes.
    small = root.residual < (1e-9 if top.dtype == jnp.float64 else 1e-4)
    result = RESULTS.where(small, root.result, RESULTS.not_bracketed)
    return with_implicit_derivative(lambda a: entropies(model, a), root.value), result
