r"""The two scalar problems that a generalised linear model falls apart into.

Every quantity of the theory is an expectation over one of them: one weight seen through Gaussian
noise (snr $\hat m$), and one output whose field is known up to a Gaussian of variance $V = \rho - m$.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Scalar, ScalarLike
from ..numerics import integrate, real_dtype
from .model import GLM


class WeightPotential(eqx.Module):
    r"""One weight observed as $\sqrt{\hat m}\, w + \xi$.

    Attributes:
        overlap: $m = \mathbb E \langle w \rangle^2$.
        error_variance: $V = \mathbb E \,\mathrm{Var}(w|y) = \rho - m$, as a sum of positive terms.
        negative_information: $\Psi = \Phi_w - \rho \hat m / 2$, minus the mutual information between
            the weight and its observation.
    """

    overlap: Scalar
    error_variance: Scalar
    negative_information: Scalar


def prepare(model: GLM, *values: ScalarLike) -> tuple[GLM, tuple[Scalar, ...], int]:
    """Model and numbers as arrays of one floating-point type, and the quadrature's order.

    The type is that of the arrays among them. Python numbers become arrays, so that another value
    is not compiled again. The order is the model's, or what saturates the precision for the
    built-in priors and channels.
    """
    leaves = [leaf for leaf in jax.tree.leaves((model, values)) if eqx.is_array_like(leaf)]
    dtype = real_dtype(*leaves)

    def convert(leaf):
        is_number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
        return jnp.asarray(leaf, dtype) if is_number else leaf

    order = model.order if model.order is not None else (32 if dtype == jnp.float64 else 16)
    return jax.tree.map(convert, model), tuple(jnp.asarray(v, dtype) for v in values), order


def weight_potential(model: GLM, snr: Scalar, order: int) -> WeightPotential:
    r"""Expectations over $y \sim e^{\log\text{evidence}(y)}/\sqrt{2\pi}$ at snr $\hat m > 0$."""
    prior = model.prior
    frozen_prior, frozen_snr = jax.lax.stop_gradient((prior, snr))
    rule = frozen_prior.observation_rule(frozen_snr, order)

    def at(y):
        evidence = prior.log_evidence(snr, y)
        density = jnp.exp(evidence) / jnp.sqrt(2 * jnp.pi).astype(y.dtype)
        mean, variance = prior.denoise(snr, jnp.sqrt(snr) * y)
        # The evidence of an impossible observation is minus infinity: it weighs nothing.
        information = jnp.where(density > 0, evidence, 0.0) + 0.5
        return density * mean**2, density * variance, density * information

    return WeightPotential(*integrate(at, rule).value)


def field_scale(m: Scalar) -> Scalar:
    r"""$\sqrt m$, with derivative zero where the overlap vanishes."""
    positive = m > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, m, 1.0)), 0.0)


def over_fields(
    model: GLM, m: Scalar, V: Scalar, order: int, f: Callable[[Scalar], Any]
) -> Any:
    r"""$\mathbb E_v f(\sqrt m\, v)$ for an `f` that vanishes where the output is certain."""
    channel, *point = jax.lax.stop_gradient((model.channel, m, V))
    rule = channel.field_rule(*point, order)
    return integrate(lambda v: f(field_scale(m) * v), rule).value


def over_outputs(
    model: GLM, omega: Scalar, V: Scalar, order: int, f: Callable[[Scalar, Scalar], Any]
) -> Any:
    r"""$\int dy\, Z_{\rm out}(y) f(\log Z_{\rm out}, y)$ at one field; impossible outputs weigh nothing."""
    channel = model.channel
    frozen, *point = jax.lax.stop_gradient((channel, omega, V))
    rule = frozen.output_rule(*point, order)

    def at_output(y):
        log_z = channel.log_partition(y, omega, V)
        possible = log_z > -jnp.inf
        value = f(jnp.where(possible, log_z, 0.0), y)
        weight = jnp.exp(log_z)
        return jax.tree.map(lambda x: jnp.where(possible, weight * x, 0.0), value)

    return integrate(at_output, rule).value


def output_potential(model: GLM, m: Scalar, V: Scalar, order: int) -> Scalar:
    r"""$\Phi_{\rm out} = \mathbb E_v \int dy\, Z_{\rm out} \log Z_{\rm out}$ (arXiv 1708.03395, eq. 5)."""
    return over_fields(
        model, m, V, order,
        lambda omega: over_outputs(model, omega, V, order, lambda log_z, y: log_z),
    )  # fmt: skip


def output_information(model: GLM, m: Scalar, V: Scalar, order: int) -> Scalar:
    r"""$F = \mathbb E\, g_{\rm out}^2 = 2\, d\Phi_{\rm out}/dm$ at fixed $\rho = m + V$.

    What one output tells about its field; state evolution is $\hat m = \alpha F$.
    """
    slope = jax.grad(model.channel.log_partition, 1)

    def at_field(omega):
        return over_outputs(model, omega, V, order, lambda log_z, y: slope(y, omega, V) ** 2)

    return over_fields(model, m, V, order, at_field)


def weak_information(model: GLM, rho: Scalar, order: int) -> tuple[Scalar, Scalar]:
    r"""$F$ at $m = 0$, and $dF/dm$ there for a channel that is symmetric.

    $F(0) = \int dy\, Z g^2$ vanishes iff nothing is learnt from the first outputs; then
    $F \simeq m \int dy\, Z\, (\partial_\omega g)^2$.
    """
    zero = jnp.zeros_like(rho)

    def squares(log_z, y):
        g, dg = model.channel.denoise(y, zero, rho)
        return g**2, dg**2

    return over_outputs(model, zero, rho, order, squares)
