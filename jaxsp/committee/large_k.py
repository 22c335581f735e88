r"""Infinitely many hidden units, and $\alpha$ of order K (arXiv 1806.05451, "Large number of hidden units").

The normalised sum of the signs is Gaussian by the central limit theorem. With $c = q_d / \rho$ the overlap
of a unit with its teacher, that sum has the overlap

$$ Q = \tfrac2\pi (1 - c + \arcsin c), \qquad
   \frac f K = \tilde\alpha\, \Phi_{\rm out}(Q) + \Phi_w(r_d) - \tfrac12 r_d q_d, $$

since at $\alpha = \tilde\alpha K$ the sum of the units' weights is known. At $c = 0$ the slope of Q vanishes:
the unspecialised fixed point is stable at any $\tilde\alpha$.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import (
    RESULTS,
    first_failure,
    frozen,
    gaussian_panels,
    inverse_mills,
    log_ndtr,
    numbers_as_arrays,
    raise_unless_successful,
    real_dtype,
    search_bracket,
    with_implicit_derivative,
)
from ..priors import Gaussian, Prior, observation_potential


class LargeKThresholds(eqx.Module):
    r"""Thresholds of a committee of many hidden units.

    Attributes:
        information_theoretic: $\alpha / K$ at which the Bayes optimum specialises, by a jump.
        spinodal: $\alpha / K$ from which on a specialised fixed point exists.
        algorithmic: $\alpha / K$ at which AMP specialises: infinite, see the next.
        algorithmic_over_k_squared: $\lim \alpha / K^2$ of the instability of the unspecialised fixed point.
        overlap: $q_d$ just beyond the information-theoretic threshold.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
    """

    information_theoretic: Float[Array, "..."]
    spinodal: Float[Array, "..."]
    algorithmic: Float[Array, "..."]
    algorithmic_over_k_squared: Float[Array, "..."]
    overlap: Float[Array, "..."]
    result: RESULTS

    def __str__(self) -> str:
        """One threshold a line."""
        if isinstance(self.spinodal, jax.core.Tracer) or jnp.ndim(self.spinodal) > 0:
            return repr(self)
        names = [name for name in self.__dataclass_fields__ if name != "result"]
        lines = [f"  {name.replace('_', ' ')}: {float(getattr(self, name)):.8g}" for name in names]
        return "\n".join(["thresholds at many hidden units", *lines])


def large_k_thresholds(prior: Prior | None = None, *, throw: bool = True) -> LargeKThresholds:
    r"""Specialisation of infinitely many hidden units with the majority vote, in units of $\alpha / K$.

    AMP specialises where the unspecialised fixed point becomes unstable. By the central limit theorem the
    second derivative of an output's log-probability in a difference of two fields is
    $\mp \frac{A}{K} \frac{\phi(A)}{\Phi(\pm A)}$ with $A = \sqrt{2/(\pi - 2)}\, v$, so that happens at
    $\alpha / K^2 \to 1 / \mathbb E_v \frac{A^2 \phi(A)^2}{\Phi(A) \Phi(-A)}$, whatever the prior.

    Args:
        prior: law of the weights, of mean zero; Gaussian by default.
        throw: raise a `SolverError` if one of them could not be found.

    Raises:
        ValueError: if the prior's mean is not zero.

    Example:
        >>> from jaxsp import committee
        >>> found = committee.large_k_thresholds()    # arXiv 1806.05451: 7.65
        >>> round(float(found.information_theoretic), 1)
        7.7
    """
    prior = Gaussian() if prior is None else prior
    prior = numbers_as_arrays(prior, real_dtype(*jax.tree.leaves(prior)))
    mean, _ = prior.moments()
    if not isinstance(mean, jax.core.Tracer) and abs(float(mean)) > 1e-6:
        raise ValueError(
            f"Argument `prior` must have mean zero, but its mean is {float(mean):.6g}."
        )
    found = _large_k(prior)
    raise_unless_successful(found.result, "large_k_thresholds", throw)
    return found


@eqx.filter_jit
def _large_k(prior: Prior) -> LargeKThresholds:
    fixed = frozen(prior)
    rho = fixed.second_moment()
    dtype = rho.dtype
    order = 32 if dtype == jnp.float64 else 16
    x = jnp.linspace(jnp.log(0.05 / rho), jnp.log(100 / rho), 48).astype(dtype)
    heights, gaps = jax.lax.map(lambda x: _at(fixed, x, order), x)
    valley = jnp.argmin(heights)
    xtol = float(64 * jnp.finfo(dtype).eps)

    def slope(x):
        return jax.jvp(lambda x: _at(fixed, x, order)[0], (x,), (jnp.ones_like(x),))[1]

    one = jnp.ones_like(rho)
    low, high = x[jnp.maximum(valley - 1, 0)], x[jnp.minimum(valley + 1, x.size - 1)]
    bottom = search_bracket(slope, low, high, -one, one, xtol=xtol)
    spinodal = jnp.exp(_at(prior, bottom.value, order)[0])

    # Beyond the valley the curve is the stable branch; its gap to the unspecialised one grows.
    crossing = (gaps[:-1] < 0) & (gaps[1:] >= 0) & (jnp.arange(x.size - 1) >= valley)
    place = jnp.argmax(crossing)
    root = search_bracket(
        lambda x: _at(fixed, x, order)[1], x[place], x[place + 1], -one, one, xtol=xtol
    )
    at_root = with_implicit_derivative(lambda x: _at(prior, x, order)[1], root.value)
    # The signs at the ends are assumed; were they others, a search would end where nothing vanishes.
    found = jnp.any(crossing) & (valley > 0)
    found = found & (jnp.maximum(bottom.residual, root.residual) < jnp.finfo(dtype).eps ** 0.5)
    result = first_failure(
        RESULTS.where(found, RESULTS.successful, RESULTS.not_bracketed), bottom.result, root.result
    )
    # Weights without a continuous part are recovered perfectly, which is a fixed point at any alpha:
    # all of their entropy against the labels that the unspecialised one cannot tell.
    perfect = jnp.asarray(fixed.dimension()) == 0
    entropy = observation_potential(prior, 200 / rho, order).negative_information
    plain = jnp.full_like(rho, 1 - 2 / math.pi)
    recovered = entropy / _sign(1 - plain, plain, order)[1]
    continuous = jnp.exp(_at(prior, at_root, order)[0])
    overlap = observation_potential(prior, jnp.exp(at_root), order).overlap
    return LargeKThresholds(
        information_theoretic=jnp.where(perfect, recovered, continuous),
        spinodal=jnp.where(perfect, 0.0, spinodal),
        algorithmic=jnp.full_like(rho, jnp.inf),
        algorithmic_over_k_squared=_quadratic(dtype, order),
        overlap=jnp.where(perfect, prior.second_moment(), overlap),
        result=RESULTS.where(perfect, RESULTS.successful, result),
    )


def _at(prior: Prior, x: Scalar, order: int) -> tuple[Scalar, Scalar]:
    r"""$\log \tilde\alpha$ of the specialised fixed point at $x = \log r_d$, and its lead in $f / K$."""
    snr, rho = jnp.exp(x), prior.second_moment()
    weights = observation_potential(prior, snr, order)
    V = weights.error_variance / rho
    c = weights.overlap / rho
    # In terms of 1 - c, which does not cancel.
    angle = 2 * jnp.arcsin(jnp.sqrt(0.5 * V))
    missing = (2 / jnp.pi) * (angle - V)
    root = jnp.sqrt(V * (1 + c))
    # 1 / sqrt(1 - c^2) - 1 without its cancellation at small c.
    slope = (2 / jnp.pi) * c**2 / (root * (1 + root)) / rho
    information, potential = _sign(1 - missing, missing, order)
    alpha = snr / (information * slope)
    plain = jnp.full_like(missing, 1 - 2 / math.pi)
    _, unspecialized = _sign(1 - plain, plain, order)
    lead = alpha * (potential - unspecialized)
    lead = lead + weights.negative_information + 0.5 * weights.error_variance * snr
    return jnp.log(alpha), lead


def _sign(Q: Scalar, V: Scalar, order: int) -> tuple[Scalar, Scalar]:
    r"""Information and potential of the sign of a field of overlap Q and error variance V."""
    width = jnp.sqrt(V / Q)
    fixed = jax.lax.stop_gradient(width)
    rule = gaussian_panels(jnp.zeros_like(fixed)[None], fixed[None], order, subdivisions=3)
    field = rule.nodes / width
    p = jnp.exp(log_ndtr(field))
    # The two labels are mirror images of each other.
    information = 2 * jnp.dot(rule.weights, p * inverse_mills(field) ** 2) / V
    return information, 2 * jnp.dot(rule.weights, p * log_ndtr(field))


def _quadratic(dtype, order: int) -> Array:
    A = math.sqrt(2 / (math.pi - 2))
    one = jnp.ones((), dtype)
    rule = gaussian_panels(0 * one[None], one[None], order)
    field = A * rule.nodes
    squares = field**2 * inverse_mills(field) * inverse_mills(-field)
    return 1 / jnp.dot(rule.weights, squares)
