"""Where learning becomes possible, and where it becomes easy."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    RESULTS,
    frozen,
    raise_unless_successful,
    search_bracket,
    with_implicit_derivative,
)
from .curve import Curve, log_alpha, scan, value_and_slope
from .model import GLM
from .potentials import prepare, weak_information, weight_potential
from .replica import MAX_STABLE, find_candidates
from .solution import SATURATED, UNINFORMATIVE, free_entropy_at, state_at


class Existence(eqx.Module):
    """Which thresholds a model has; the fields are named like those of `Thresholds`."""

    weak_recovery: Bool[Array, "..."]
    algorithmic: Bool[Array, "..."]
    information_theoretic: Bool[Array, "..."]
    informative_spinodal: Bool[Array, "..."]


class Thresholds(eqx.Module):
    r"""The thresholds of a model, as values of $\alpha = n / p$.

    A threshold that does not exist is infinite, and `exists` says so.

    Attributes:
        weak_recovery: where $m = 0$, if it is a fixed point, becomes unstable.
        algorithmic: the highest spinodal of the uninformative branch. Above it state evolution (and
            AMP) from an uninformed start reaches the Bayes optimum.
        information_theoretic: where the informative branch becomes the one of largest free entropy.
        informative_spinodal: where the informative branch ends towards small alpha.
        exists: which of them exist.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
    """

    weak_recovery: Float[Array, "..."]
    algorithmic: Float[Array, "..."]
    information_theoretic: Float[Array, "..."]
    informative_spinodal: Float[Array, "..."]
    exists: Existence
    result: RESULTS

    @property
    def hard_phase(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The interval of alpha in which learning is possible but AMP fails; empty if there is none."""
        hard = self.exists.algorithmic & self.exists.information_theoretic
        low = jnp.where(hard, self.information_theoretic, jnp.inf)
        return low, jnp.where(hard, jnp.maximum(self.algorithmic, low), jnp.inf)

    def __str__(self) -> str:
        """One threshold a line."""
        if jnp.ndim(self.algorithmic) > 0 or isinstance(self.algorithmic, jax.core.Tracer):
            return repr(self)
        lines = ["thresholds"]
        for name in self.exists.__dataclass_fields__:
            value = f"{float(getattr(self, name)):.10g}"
            there = bool(getattr(self.exists, name))
            lines.append(f"  {name.replace('_', ' ')}: {value if there else 'does not exist'}")
        return "\n".join(lines)


def thresholds(model: GLM, *, throw: bool = True) -> Thresholds:
    r"""Weak-recovery, algorithmic and information-theoretic thresholds of a model.

    Spinodals are extrema of the explicit curve $\alpha(\hat m)$; the information-theoretic threshold is
    where the two branches next to the highest spinodal have equal free entropies. For continuous
    outputs without noise it is the limit of the curve at infinite snr, since the free entropy of
    perfect recovery is infinite. Differentiable with respect to the model's parameters.

    Args:
        model: the GLM.
        throw: raise a `SolverError` if one of them could not be found.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> print(glm.thresholds(glm.GLM(priors.Rademacher(), channels.Sign())))
        thresholds
          weak recovery: does not exist
          algorithmic: 1.492631818
          information theoretic: 1.24468399
          informative spinodal: does not exist
    """
    model, _, order = prepare(model)
    found = _thresholds(model, order)
    raise_unless_successful(found.result, "thresholds", throw)
    return found


@eqx.filter_jit
def _thresholds(model: GLM, order: int) -> Thresholds:
    fixed = frozen(model)
    dtype = jnp.result_type(fixed.prior.second_moment())
    curve = scan(fixed, dtype, order)
    bounded = jnp.isfinite(curve.end)

    # The highest maximum, the curve's two ends counted where it falls away from them.
    falls_at_start = curve.zero_fixed & ~_rises_first(curve)
    peak = jnp.argmax(jnp.where(curve.maxima, curve.log_alpha, -jnp.inf))
    inner_height = jnp.where(jnp.any(curve.maxima), curve.log_alpha[peak], -jnp.inf)
    start_height = jnp.where(curve.zero_fixed & (falls_at_start | bounded), curve.start, 0.0)
    end_height = jnp.where(bounded, curve.end, 0.0)
    inner = jnp.exp(inner_height) > jnp.maximum(start_height, end_height)
    at_start = ~inner & (start_height > end_height)
    algorithmic_exists = inner | at_start | bounded
    split = jnp.where(inner, curve.x[peak], jnp.where(at_start, -jnp.inf, jnp.inf))
    # The branch beyond the split: from its minimum, or from the end of the curve.
    beyond = curve.minima & (curve.x > split)
    valley = jnp.argmin(jnp.where(beyond, curve.log_alpha, jnp.inf))
    has_valley = jnp.any(beyond)

    @jax.vmap
    def at_extrema(x):
        x = with_implicit_derivative(lambda x: value_and_slope(model, x, order)[1], x)
        return jnp.exp(log_alpha(model, x, order))

    top, bottom = at_extrema(curve.x[jnp.stack([peak, valley])])

    weak = weak_information(model, order)[1]
    start = 1 / (model.prior.moments()[1] ** 2 * weak)
    start = jnp.where(curve.zero_fixed, start, jnp.inf)
    dimension = model.channel.dimension
    end = jnp.asarray(model.prior.dimension() / dimension if dimension > 0 else 0.0, dtype)
    algorithmic = jnp.where(inner, top, jnp.where(at_start, start, end))
    algorithmic = jnp.where(algorithmic_exists, algorithmic, jnp.inf)

    informative = jnp.where(has_valley, bottom, end)
    informative_exists = algorithmic_exists & (has_valley | (bounded & (curve.end > 0)))
    lowest = jnp.where(has_valley, jnp.exp(curve.log_alpha[valley]), jnp.inf)
    lowest = jnp.minimum(lowest, jnp.where(bounded, curve.end, jnp.inf))

    crossing, result = _equal_free_entropies(
        model, curve, split, lowest, jax.lax.stop_gradient(algorithmic), order
    )
    # Without a jump, or with an infinite free entropy beyond it, nothing is to be compared.
    jump = algorithmic_exists & (inner | at_start)
    compared = jump & ~curve.dense_information
    transition = jnp.where(compared, crossing, end)
    transition_exists = compared | (algorithmic_exists & bounded)
    return Thresholds(
        weak_recovery=start,
        algorithmic=algorithmic,
        information_theoretic=jnp.where(transition_exists, transition, jnp.inf),
        informative_spinodal=jnp.where(informative_exists, informative, jnp.inf),
        exists=Existence(
            curve.zero_fixed, algorithmic_exists, transition_exists, informative_exists
        ),
        result=RESULTS.where(compared, result, RESULTS.successful),
    )


def _rises_first(curve: Curve) -> Array:
    """Whether the curve rises where it first has a slope that is not rounding."""
    significant = curve.valid & (jnp.abs(curve.slope) > 1e-6)
    return curve.slope[jnp.argmax(significant)] > 0


def _equal_free_entropies(
    model: GLM, curve: Curve, split: Scalar, low: Scalar, high: Scalar, order: int
) -> tuple[Scalar, RESULTS]:
    """Alpha at which the best branches on the two sides of a spinodal have equal free entropies."""
    fixed = frozen(model)

    def best(alpha):
        found = find_candidates(
            fixed, alpha, curve, order, MAX_STABLE, stable_only=True, free_entropies=True
        )
        f = jnp.where(found.stable, found.free_entropy, -jnp.inf)
        upper = (found.kind == SATURATED) | ((found.kind != UNINFORMATIVE) & (found.x > split))
        above = jnp.argmax(jnp.where(upper, f, -jnp.inf))
        below = jnp.argmax(jnp.where(upper, -jnp.inf, f))
        gap = jnp.where(upper[above], f[above], -jnp.inf) - jnp.where(
            upper[below], -jnp.inf, f[below]
        )
        return gap, found, above, below

    def gap(alpha):
        # A branch that has ended loses against one that has not.
        return jnp.clip(jnp.nan_to_num(best(alpha)[0]), -1e3, 1e3)

    epsilon = jnp.finfo(high.dtype).eps
    inside = 1e3 * epsilon
    low = jnp.where(jnp.isfinite(low), low, high) * (1 + inside) + epsilon
    high = jnp.where(jnp.isfinite(high), high, 1.0) * (1 - inside)
    # The signs at the ends are known (only one of the branches is there); were they not as they
    # should be, the search would end at an end. Each evaluation written out is compiled on its own.
    far = jnp.full_like(high, 1e3)
    root = search_bracket(gap, low, high, -far, far, xtol=4 * epsilon * high)
    _, found, above, below = best(root.value)

    pair = jnp.stack([above, below])

    def difference(alpha):
        def entropy(kind, x):
            state = state_at(model, alpha, curve, kind, x, order)
            return free_entropy_at(alpha, curve, kind, state)

        f = jax.vmap(entropy)(found.kind[pair], found.x[pair])
        return f[0] - f[1]

    margin = 64 * epsilon * high
    at_end = (root.value - low < margin) | (high - root.value < margin)
    result = RESULTS.where(at_end, RESULTS.not_bracketed, root.result)
    return with_implicit_derivative(difference, root.value), result


class CriticalPoint(eqx.Module):
    r"""The end of a first-order line: two spinodals that meet.

    Attributes:
        parameter: value of the second parameter at which they do.
        alpha: where they do.
        overlap: overlap there.
        conjugate_overlap: snr there.
        result: `RESULTS.successful`, or why not.
    """

    parameter: Float[Array, "..."]
    alpha: Float[Array, "..."]
    overlap: Float[Array, "..."]
    conjugate_overlap: Float[Array, "..."]
    result: RESULTS


def critical_point(
    family: Callable[[Scalar], GLM],
    lower: ScalarLike,
    upper: ScalarLike,
    *,
    throw: bool = True,
) -> CriticalPoint:
    r"""The end point of a first-order line in a second parameter.

    At one end of the interval the model must have a first-order transition, at the other none. In
    between, a maximum and a minimum of the explicit curve meet: its slope touches zero.

    Args:
        family: the model as a function of the second parameter, for instance
            `lambda noise: GLM(Rademacher(), Sign(noise_variance=noise))`.
        lower: one end of the interval of the parameter.
        upper: the other end.
        throw: raise a `SolverError` if there is no such point in the interval.

    Returns:
        The `CriticalPoint`, differentiable once with respect to whatever `family` closes over.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> binary = lambda noise: glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))
        >>> end = glm.critical_point(binary, 0.01, 0.03)
        >>> 0.01 < float(end.parameter) < 0.02
        True
    """
    check_number("lower", lower)
    check_number("upper", upper)
    model, ends, order = prepare(family(jnp.asarray(lower, float)), lower, upper)

    def smallest_slope(parameter):
        curve = scan(family(parameter), parameter.dtype, order)
        inner = curve.slope[1:-1]
        dip = (inner < curve.slope[:-2]) & (inner <= curve.slope[2:]) & curve.valid[2:]
        place = jnp.argmin(jnp.where(dip, inner, jnp.inf)) + 1
        # Without any dip the curve is as monotone as can be.
        return jnp.where(jnp.any(dip), curve.slope[place], 1.0), curve.x[place]

    @jax.jit
    def solve(ends):
        values = jax.lax.map(lambda p: smallest_slope(p)[0], jnp.stack(ends))
        # The sign of the parabola-refined dip is good to about eight digits of the parameter.
        root = search_bracket(
            lambda p: smallest_slope(p)[0], *ends, *values,
            xtol=16 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(jnp.stack(ends))),
        )  # fmt: skip
        _, x = smallest_slope(root.value)
        return root.value, x, root.result

    parameter, x, result = solve(jax.lax.stop_gradient(ends))
    raise_unless_successful(result, "critical_point", throw)

    # The slope is stationary in x at the dip, so to first order x may stay where it is.
    parameter = with_implicit_derivative(
        lambda p: value_and_slope(family(p), x, order)[1], parameter
    )
    model = family(parameter)
    weight = weight_potential(model, jnp.exp(x), order)
    return CriticalPoint(
        parameter, jnp.exp(log_alpha(model, x, order)), weight.overlap, jnp.exp(x), result
    )
