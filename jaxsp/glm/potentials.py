r"""The two scalar problems that a generalised linear model falls apart into.

Every quantity of the theory is an expectation over one of them: one weight seen through Gaussian
noise (snr $\hat m$), and one output whose field is known up to a Gaussian of variance $V = \rho - m$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar, ScalarLike
from ..channels import Channel
from ..numerics import frozen, integrate, numbers_as_arrays, real_dtype
from ..priors import WeightPotential, observation_potential
from .model import GLM


def prepare(model: GLM, *values: ScalarLike) -> tuple[GLM, tuple[Scalar, ...], int]:
    """Model and numbers as arrays of one floating-point type, and the quadrature's order.

    The type is that of the arrays among them. Python numbers become arrays, so that another value
    is not compiled again. The order is the model's, or what saturates the precision for the
    built-in priors and channels.
    """
    dtype = real_dtype(*jax.tree.leaves((model, values)))

    order = model.order if model.order is not None else (32 if dtype == jnp.float64 else 16)
    values = tuple(jnp.asarray(v, dtype) for v in values)
    return numbers_as_arrays(model, dtype), values, order


def weight_potential(model: GLM, snr: Scalar, order: int) -> WeightPotential:
    r"""Expectations over the observation of one weight at snr $\hat m > 0$."""
    return observation_potential(model.prior, snr, order)


def weight_potential_from(model: GLM, snr: Scalar, order: int) -> WeightPotential:
    r"""`weight_potential` that allows $\hat m = 0$, where only the prior is known."""
    mean, variance = model.prior.moments()
    informed = snr > 0
    at_snr = weight_potential(model, jnp.where(informed, snr, 1.0), order)
    uninformed = WeightPotential(
        mean**2, variance, jnp.zeros_like(variance), jnp.ones_like(variance)
    )
    return jax.tree.map(lambda a, b: jnp.where(informed, a, b), at_snr, uninformed)


def field_scale(m: Scalar) -> Scalar:
    r"""$\sqrt m$, with derivative zero where the overlap vanishes."""
    positive = m > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, m, 1.0)), 0.0)


class OutputPotential(eqx.Module):
    r"""One output whose field is known to be $\sqrt m\, v$ up to a Gaussian of variance $V = \rho - m$.

    Attributes:
        information: $F = \mathbb E\, g_{\rm out}^2 = 2\, d\Phi_{\rm out}/dm$ at fixed $\rho = m + V$: what
            one output tells about its field. State evolution is $\hat m = \alpha F$.
        potential: $\Phi_{\rm out} = \mathbb E_v \int dy\, Z_{\rm out} \log Z_{\rm out}$.
        squared_error: $\mathbb E_v \mathrm{Var}(y|\omega)$, the least squared error of a prediction.
        disagreement: $\mathbb E_v \sum_y Z_{\rm out}(y)(1 - Z_{\rm out}(y))$ for labels: how often two
            independent draws from the posterior predict different ones.
        missing_probability: $\mathbb E_v |1 - \int dy\, Z_{\rm out}|$; zero, up to the quadrature.
    """

    information: Scalar
    potential: Scalar
    squared_error: Scalar
    disagreement: Scalar
    missing_probability: Scalar


# Compiled functions within compiled functions: traced once for all of their uses.
@eqx.filter_jit
def output_potential(model: GLM, m: Scalar, V: Scalar, order: int) -> OutputPotential:
    r"""Expectations over $\omega = \sqrt m v$ and over the output at given $\omega$ and $V$."""
    frozen_channel, frozen_m, frozen_V = frozen((model.channel, m, V))
    rule = frozen_channel.field_rule(frozen_m, frozen_V, order)

    def at_field(v):
        return _at_field(model.channel, field_scale(m) * v, V, order)

    if model.channel.integrated:
        values = jax.lax.map(at_field, rule.nodes)
        return OutputPotential(*(jnp.dot(rule.weights, value) for value in values))
    return OutputPotential(*integrate(at_field, rule).value)


def _at_field(channel: Channel, omega: Scalar, V: Scalar, order: int) -> tuple[Scalar, ...]:
    frozen_channel, frozen_omega, frozen_V = frozen((channel, omega, V))
    rule = frozen_channel.output_rule(frozen_omega, frozen_V, order)
    log_z, g = jax.vmap(lambda y: jax.value_and_grad(channel.log_partition, 1)(y, omega, V))(
        rule.nodes
    )
    # Impossible outputs weigh nothing, whatever their denoiser.
    possible = log_z > -jnp.inf
    log_z, g = jnp.where(possible, log_z, 0.0), jnp.where(possible, g, 0.0)
    weight = jnp.where(possible, rule.weights * jnp.exp(log_z), 0.0)
    mean = jnp.sum(weight * rule.nodes)
    variance = jnp.sum(weight * (rule.nodes - mean) ** 2)
    if channel.labels is None:
        disagreement = jnp.zeros_like(mean)
    else:
        # Summed over pairs: one minus a probability close to one would cancel.
        disagreement = 2 * jnp.sum(jnp.tril(weight[:, None] * weight[None, :], -1))
    information, potential = jnp.sum(weight * g**2), jnp.sum(weight * log_z)
    missing = jnp.abs(1 - jnp.sum(weight))
    return information, potential, variance, disagreement, missing


def weak_information(model: GLM, order: int) -> tuple[Scalar, Scalar]:
    r"""$F$ at $m = 0$, and $dF/dm$ there for a channel that is symmetric.

    $F(0) = \int dy\, Z g^2$ vanishes iff nothing is learnt from the first outputs; then
    $F \simeq m \int dy\, Z\, (\partial_\omega g)^2$.
    """
    channel, rho = model.channel, model.prior.second_moment()
    zero = jnp.zeros_like(rho)
    frozen_channel, frozen_rho = frozen((channel, rho))
    rule = frozen_channel.output_rule(zero, frozen_rho, order)

    def squares(y):
        log_z = channel.log_partition(y, zero, rho)
        g, dg = channel.denoise(y, zero, rho)
        possible = log_z > -jnp.inf
        weight = jnp.exp(log_z)
        return jnp.where(possible, weight * g**2, 0.0), jnp.where(possible, weight * dg**2, 0.0)

    return integrate(squares, rule).value
