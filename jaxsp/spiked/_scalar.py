"""One entry of the signal seen through Gaussian noise, whatever its prior."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import bracketed_root
from ..priors import Prior, WeightPotential, observation_potential
from .model import Spherical


def limits(prior: Spherical | Prior, dtype: jnp.dtype) -> tuple[Scalar, Scalar]:
    r"""Overlaps of no and of perfect information: $(\mathbb E x)^2$ and $\rho = \mathbb E x^2$."""
    if isinstance(prior, Spherical):
        return jnp.zeros((), dtype), jnp.ones((), dtype)
    mean, variance = prior.moments()
    return jnp.asarray(mean**2, dtype), jnp.asarray(mean**2 + variance, dtype)


def observe(prior: Spherical | Prior, log_snr: Scalar) -> WeightPotential:
    r"""Overlap, error and information of an entry observed at the snr $\hat m = e^z$.

    On the sphere, entries are Gaussian to leading order: $m = \hat m / (1 + \hat m)$.
    """
    if isinstance(prior, Spherical):
        return WeightPotential(
            overlap=jax.nn.sigmoid(log_snr),
            error_variance=jax.nn.sigmoid(-log_snr),
            negative_information=-0.5 * jax.nn.softplus(log_snr),
            normalisation=jnp.ones_like(log_snr),
        )
    return observation_potential(prior, jnp.exp(log_snr), _order(log_snr))


def log_snr_at(prior: Spherical | Prior, m: Scalar) -> Scalar:
    """The logarithm of the snr at which the overlap is `m`."""
    low, rho = limits(prior, m.dtype)
    target = jnp.log(m - low) - jnp.log(rho - m)
    if isinstance(prior, Spherical):
        return target
    mean, _ = prior.moments()

    def gap(z):
        seen = observe(prior, z)
        return jnp.log(seen.overlap - mean**2) - jnp.log(seen.error_variance) - target

    grid = log_snr_grid(prior, m.dtype)
    return bracketed_root(gap, grid[0], grid[-1]).value


def log_snr_grid(prior: Spherical | Prior, dtype: jnp.dtype) -> Float[Array, " n"]:
    """Logarithms of the snr, from as good as no information to as good as all."""
    double = dtype == jnp.float64
    if isinstance(prior, Spherical):
        low, high, points = (-34.0, 36.0, 281) if double else (-14.0, 16.0, 121)
    else:
        low, high, points = (-18.0, 36.0, 109) if double else (-10.0, 14.0, 49)
    return jnp.linspace(low, high, points, dtype=dtype)


def _order(x: Scalar) -> int:
    return 32 if x.dtype == jnp.float64 else 16
