"""One weight seen through Gaussian noise: the scalar problem that many systems fall apart into."""

import equinox as eqx
import jax.numpy as jnp

from .._types import Scalar
from ..numerics import frozen, integrate
from ._base import Prior


class WeightPotential(eqx.Module):
    r"""One weight observed as $\sqrt{\hat m}\, w + \xi$.

    Attributes:
        overlap: $m = \mathbb E \langle w \rangle^2$.
        error_variance: $V = \mathbb E \,\mathrm{Var}(w|y) = \rho - m$, as a sum of positive terms.
        negative_information: $\Psi = \Phi_w - \rho \hat m / 2$, minus the mutual information between
            the weight and its observation.
        normalisation: total probability of the observation; one, up to the quadrature.
    """

    overlap: Scalar
    error_variance: Scalar
    negative_information: Scalar
    normalisation: Scalar


# Compiled functions within compiled functions: traced once for all of their uses.
@eqx.filter_jit
def observation_potential(prior: Prior, snr: Scalar, order: int) -> WeightPotential:
    r"""Expectations over $y \sim e^{\log\text{evidence}(y)}/\sqrt{2\pi}$ at snr $\hat m > 0$.

    Args:
        prior: law of the weight.
        snr: the signal-to-noise ratio, positive.
        order: points on each panel of the quadrature (32 saturates float64, 16 float32).
    """
    frozen_prior, frozen_snr = frozen((prior, snr))
    rule = frozen_prior.observation_rule(frozen_snr, order)

    def at(y):
        evidence = prior.log_evidence(snr, y)
        density = jnp.exp(evidence) / jnp.sqrt(2 * jnp.pi).astype(y.dtype)
        mean, variance = prior.denoise(snr, jnp.sqrt(snr) * y)
        # The evidence of an impossible observation is minus infinity: it weighs nothing.
        information = jnp.where(density > 0, evidence, 0.0) + 0.5
        return density * mean**2, density * variance, density * information, density

    return WeightPotential(*integrate(at, rule).value)
