"""A fixed point of the theory with everything that is known at it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import RESULTS, refined_order, with_implicit_derivative
from .curve import Curve, log_alpha
from .errors import classification_error
from .model import GLM
from .potentials import OutputPotential, WeightPotential, output_potential, weight_potential_from

# The three kinds of fixed points: at vanishing snr, on the curve, and beyond its end.
UNINFORMATIVE, REGULAR, SATURATED = 0, 1, 2


class Solution(eqx.Module):
    r"""A fixed point of the replica-symmetric theory of a GLM, per weight.

    Attributes:
        overlap: $m$, the overlap of the posterior mean with the teacher.
        mean_squared_error: $V = \rho - m$, the MMSE of a weight, accurate relative to itself.
        conjugate_overlap: $\hat m$, the snr at which a weight is effectively observed (infinite at
            perfect recovery).
        free_entropy: $f$, the limit of $\log Z / p$.
        mutual_information: $\lim I(w^*; y | X) / p = \alpha\, \mathbb E \log P_{\rm out}(y|z) - f$, in nats
            (infinite for continuous outputs without noise).
        generalization_error: Theorem 2 of arXiv 1708.03395, the least mean squared error
            $\mathbb E (y - \hat y)^2$ of a new output (its noise included).
        classification_error: for labels, the probability that the Bayes-optimal prediction is wrong;
            None for other channels.
        gibbs_error: for labels, the probability that the label predicted by one posterior sample is
            wrong; None for other channels.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
        residual: relative violation of the fixed-point equation, $|\hat m / (\alpha F) - 1|$, when each
            panel gets half as many points again as it was solved with.
        quadrature_error: the same, plus what the probabilities of observations and outputs lack of one.
    """

    overlap: Float[Array, "..."]
    mean_squared_error: Float[Array, "..."]
    conjugate_overlap: Float[Array, "..."]
    free_entropy: Float[Array, "..."]
    mutual_information: Float[Array, "..."]
    generalization_error: Float[Array, "..."]
    classification_error: Float[Array, "..."] | None
    gibbs_error: Float[Array, "..."] | None
    result: RESULTS
    residual: Float[Array, "..."]
    quadrature_error: Float[Array, "..."]

    def __str__(self) -> str:
        """The numbers of a single solution, one a line."""
        if jnp.ndim(self.overlap) > 0 or isinstance(self.overlap, jax.core.Tracer):
            return repr(self)
        names = [name for name in self.__dataclass_fields__ if name != "result"]
        lines = [
            f"  {name.replace('_', ' ')}: {float(value):.10g}"
            for name in names
            if (value := getattr(self, name)) is not None and jnp.ndim(value) == 0
        ]
        return "\n".join(["fixed point", *lines])


class State(eqx.Module):
    r"""$\hat m$, and the two scalar problems there."""

    snr: Scalar
    weight: WeightPotential
    output: OutputPotential


def state_at(model: GLM, alpha: Scalar, curve: Curve, kind: Array, x: Scalar, order: int) -> State:
    r"""The fixed point at $x = \log\hat m$, with derivatives by the implicit function theorem."""
    nothing, saturated = (kind == UNINFORMATIVE) & curve.zero_fixed, kind == SATURATED
    frozen_x = jax.lax.stop_gradient(x)

    def residual(x):
        on_curve = log_alpha(model, x, order) - jnp.log(some_data(alpha))
        return jnp.where(nothing | saturated, x - frozen_x, on_curve)

    return state_near(
        model, alpha, curve, kind, with_implicit_derivative(residual, frozen_x), order
    )


def state_near(
    model: GLM, alpha: Scalar, curve: Curve, kind: Array, x: Scalar, order: int
) -> State:
    r"""The two scalar problems at a given $x = \log\hat m$, a fixed point or not."""
    nothing, saturated = (kind == UNINFORMATIVE) & curve.zero_fixed, kind == SATURATED
    snr = jnp.where(saturated, 1.0, alpha / some_data(alpha)) * jnp.exp(x)
    snr = jnp.where(nothing, 0.0, snr)
    weight = weight_potential_from(model, snr, order)
    return State(snr, weight, output_potential(model, weight.overlap, weight.error_variance, order))


def some_data(alpha: Scalar) -> Scalar:
    """Alpha, but positive: without data the snr vanishes, and with it all but its slope in alpha."""
    return jnp.maximum(alpha, jnp.sqrt(jnp.finfo(alpha.dtype).tiny))


def free_entropy_at(alpha: Scalar, curve: Curve, kind: Array, state: State) -> Scalar:
    r"""$f = \Psi + V \hat m / 2 + \alpha \Phi_{\rm out}$, which has no large cancelling terms."""
    weight, saturated = state.weight, kind == SATURATED
    snr = jnp.where(saturated, 0.0, state.snr)
    f = weight.negative_information + 0.5 * weight.error_variance * snr
    f = f + alpha * state.output.potential
    return jnp.where(saturated & curve.dense_information, jnp.inf, f)


def solution_at(
    model: GLM, alpha: Scalar, curve: Curve, kind: Array, x: Scalar, exists: Array, order: int
) -> Solution:
    """Everything at one fixed point; NaN where it does not exist."""
    # With more points than the fixed point was found with: what it then lacks of one is the error of the
    # root and of the quadrature.
    finer = refined_order(order)
    state = state_at(model, alpha, curve, kind, x, finer)
    m, V = state.weight.overlap, state.weight.error_variance
    saturated, regular = kind == SATURATED, (kind == REGULAR) & exists
    perfect = saturated & jnp.isfinite(curve.end)
    f = free_entropy_at(alpha, curve, kind, state)
    rho = model.prior.second_moment()
    certain = output_potential(model, rho, _vanishing(rho), finer).potential
    information = jnp.where(curve.dense_information, jnp.inf, alpha * certain - f)
    labels = model.channel.labels is not None

    implied = alpha * state.output.information
    ratio = state.snr / jnp.where(implied > 0, implied, 1.0)
    residual = jnp.where(regular, jnp.abs(ratio - 1), 0.0)
    missing = jnp.abs(1 - state.weight.normalisation) + state.output.missing_probability
    quadrature_error = jnp.where(regular, residual + missing, 0.0)
    residual, quadrature_error = jax.lax.stop_gradient((residual, quadrature_error))
    result = RESULTS.where(
        jnp.isfinite(m + V) & ~jnp.isnan(f), RESULTS.successful, RESULTS.nonfinite
    )
    accurate = quadrature_error < jnp.finfo(m.dtype).eps ** 0.4
    result = RESULTS.where(accurate, result, RESULTS.inaccurate)
    result = RESULTS.where(exists, result, RESULTS.no_fixed_point)
    zero = jnp.zeros_like(m)
    conjugate = jnp.where(saturated, implied, state.snr)
    solution = Solution(
        overlap=jnp.where(perfect, rho, m),
        mean_squared_error=jnp.where(perfect, zero, V),
        conjugate_overlap=jnp.where(perfect, jnp.inf, conjugate),
        free_entropy=f,
        mutual_information=information,
        generalization_error=jnp.where(perfect, zero, state.output.squared_error),
        classification_error=(
            jnp.where(perfect, zero, classification_error(model, m, V, order)) if labels else None
        ),
        gibbs_error=jnp.where(perfect, zero, state.output.disagreement) if labels else None,
        result=result,
        residual=residual,
        quadrature_error=quadrature_error,
    )
    numbers, codes = eqx.partition(solution, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda a: jnp.where(exists, a, jnp.nan), numbers), codes)


def _vanishing(rho: Scalar) -> Scalar:
    """A variance that stands for zero: what is left of a field that is known exactly."""
    return rho * jnp.asarray(1e-30 if rho.dtype == jnp.float64 else 1e-14, rho.dtype)
