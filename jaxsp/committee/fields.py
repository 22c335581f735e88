r"""One output whose fields are known to be $\omega \sim \mathcal N(0, q)$ up to a Gaussian of covariance V.

Everything is an expectation over $\omega$ and the output. Two hidden units go by polar coordinates in
the plane of $\omega$ if the output has steps or kinks: all features (a field's change of sign, the exchange
of two labels) lie on lines through the origin, at known angles, so that panels crowd there however narrow
they are. Smooth outputs and three units go by products of trapezoid rules, and more units by several sets
of quasi-random points, whose spread is the statistical error.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import Rule, frozen
from ._field_rules import full_rule, in_order, line_rule, symmetric_rule
from ._points import relative_spread, replicated, triangle
from .model import CommitteeMachine
from .outputs import LabelOfSigns, symmetric
from .overlaps import lower_root

# Seeds of the points of inner averages, apart from those of the orders.
_INNER = 500


class FieldPotential(eqx.Module):
    r"""What one output tells about its fields, for a permutation-symmetric overlap or a full one.

    Attributes:
        information: $\mathbb E\, g g^T$ with $g = \nabla_\omega \log Z_{\rm out}$: its two eigenvalues for
            the symmetric ansatz, or the K x K matrix. State evolution is $r = \alpha\, \mathbb E\, g g^T$.
        potential: $\Phi_{\rm out} = \mathbb E_\omega \int dy\, Z_{\rm out} \log Z_{\rm out}$.
        squared_error: $\mathbb E_\omega \mathrm{Var}(y|\omega)$.
        disagreement: how often two draws from the posterior predict different labels; None without labels.
        mistakes: how often the most probable label is wrong; None without labels. The points are not cut
            where that label changes, which leaves it four digits or so for two units and more.
        missing_probability: $\mathbb E_\omega |1 - \int dy\, Z_{\rm out}|$; zero, up to the quadrature.
        statistical_error: of Monte Carlo averages the standard error of the information, relative to its
            largest entry; zero for quadratures.
    """

    information: Float[Array, "..."]
    potential: Scalar
    squared_error: Scalar
    disagreement: Scalar | None
    mistakes: Scalar | None
    missing_probability: Scalar
    statistical_error: Scalar


@eqx.filter_jit
def symmetric_potential(
    model: CommitteeMachine, q: Float[Array, " 2"], V: Float[Array, " 2"], order: int
) -> FieldPotential:
    """Expectations for a permutation-symmetric overlap, given by eigenvalues (difference, sum)."""
    K, output = model.hidden_units, model.output
    root = _square_root(q)
    rule = symmetric_rule(model, *frozen((q, V)), order)
    covariance = symmetric(V, K)
    # In a full rule the mirror images are there already.
    folded = K == 2 and not output.mirrored and not model.averaged

    def at(point, noise):
        if K == 1:
            omega = root[1:] * point
        elif model.averaged or in_order(model):
            omega = symmetric(root, K) @ point
        elif K == 2:
            total, difference = root[1] * point[0], root[0] * point[1]
            omega = jnp.stack([total + difference, total - difference]) / jnp.sqrt(2.0).astype(
                q.dtype
            )
        else:
            omega = (point * jnp.stack([root[1], root[0], root[0]])) @ triangle(q.dtype)
        here = _at_fields(model, omega, covariance, order, noise)
        if folded:
            here = jax.tree.map(
                lambda a, b: 0.5 * (a + b),
                here,
                _at_fields(model, -omega, covariance, order, noise),
            )
        matrix = here.information
        total = jnp.sum(matrix) / K
        # For a single unit there are no differences; the entry is inert.
        other = (jnp.trace(matrix) - total) / max(K - 1, 1)
        return eqx.tree_at(lambda f: f.information, here, jnp.stack([other, total]))

    return _average(model, at, rule, order)


class FieldResponse(eqx.Module):
    r"""What an output tells about unspecialised units, and about a first specialisation.

    Attributes:
        potential: the expectations at $q_d = 0$.
        response: $\partial F_d / \partial q_d$ there, with $F_d$ the information in a difference.
    """

    potential: FieldPotential
    response: Scalar


@eqx.filter_jit
def unspecialized_potential(
    model: CommitteeMachine, q: Scalar, V: Float[Array, " 2"], order: int
) -> FieldResponse:
    r"""Expectations when all fields have the same mean.

    A difference of the fields has no first derivative then. Its second derivative $h_d$ gives
    $F_d = q_d\, \mathbb E \sum_y Z h_d^2$, and since Z solves the heat equation in the covariance,
    $h_d = \frac{2}{K - 1} \partial_{V_d} \log Z$.
    """
    K, output = model.hidden_units, model.output
    fixed_q, fixed_V = frozen((q, V))
    rule = line_rule(model, fixed_q, fixed_V[1], order)
    closed = isinstance(output, LabelOfSigns)
    fixed_matrix = symmetric(fixed_V, K)

    def at(v, noise):
        if isinstance(output, LabelOfSigns):
            outputs = output.labels(K).astype(q.dtype)
            measure = jnp.ones_like(outputs)
        else:
            centre = jnp.full(K, _square_root(fixed_q) * v / jnp.sqrt(1.0 * K), q.dtype)
            found = frozen(output.output_rule(centre, fixed_matrix, order, noise))
            outputs, measure = found.nodes, found.weights

        def log_z(total, difference):
            pair = jnp.stack([difference, V[1]])
            if isinstance(output, LabelOfSigns):
                value = output.common_log_partitions(K, total, pair)
            else:
                omega = jnp.full(K, total / jnp.sqrt(1.0 * K), q.dtype)
                value = output.outcome_log_partitions(
                    outputs, omega, symmetric(pair, K), order, noise
                )
            return value, value

        (g, h), values = jax.jacfwd(log_z, (0, 1), has_aux=True)(_square_root(q) * v, V[0])
        possible = values > -jnp.inf
        values, g, h = (jnp.where(possible, x, 0.0) for x in (values, g, h))
        weight = measure * jnp.where(possible, jnp.exp(values), 0.0)
        information = jnp.sum(weight * g**2)
        potential = FieldPotential(
            information=jnp.stack([jnp.zeros_like(information), information]),
            potential=jnp.sum(weight * values),
            **_prediction(model, weight, outputs),
        )
        return FieldResponse(potential, jnp.sum(weight * (2 / max(K - 1, 1) * h) ** 2))

    if closed or not (model.averaged and output.noise_dimensions(K)):
        return _quadrature(model, at, rule, None)
    noise = replicated(output.noise_dimensions(K), 64 * order, order + _INNER, q.dtype)
    values = jax.lax.map(lambda n: _quadrature(model, at, rule, n), noise)
    fewer = jax.lax.map(lambda n: _quadrature(model, at, rule, n), _half(noise))
    found = jax.tree.map(lambda v: jnp.mean(v, axis=0), values)
    error = relative_spread(values.potential.information, fewer.potential.information)
    return eqx.tree_at(lambda f: f.potential.statistical_error, found, error)


@eqx.filter_jit
def full_potential(
    model: CommitteeMachine, q: Float[Array, "K K"], V: Float[Array, "K K"], order: int
) -> FieldPotential:
    """Expectations for any overlap matrix."""
    root = lower_root(q)
    rule = full_rule(model, *frozen((root, V)), order)

    def at(point, noise):
        return _at_fields(model, root @ jnp.atleast_1d(point), V, order, noise)

    return _average(model, at, rule, order)


def _average(model: CommitteeMachine, at, rule: Rule, order: int) -> FieldPotential:
    """The expectation, with its standard error if there are several sets of points."""
    K = model.hidden_units
    if rule.weights.ndim == 1:
        return _quadrature(model, at, rule, None)
    dimensions = model.output.noise_dimensions(K)
    dtype = rule.weights.dtype
    if dimensions:
        noise = replicated(dimensions, 64 * order, order + _INNER, dtype)
        values = jax.lax.map(lambda pair: _quadrature(model, at, *pair), (rule, noise))
        # What an average within a logarithm is biased by falls with the number of its points.
        fewer = jax.lax.map(lambda pair: _quadrature(model, at, *pair), (rule, _half(noise)))
    else:
        values = jax.lax.map(lambda rule: _quadrature(model, at, rule, None), rule)
        fewer = values
    found = jax.tree.map(lambda v: jnp.mean(v, axis=0), values)
    error = relative_spread(values.information, fewer.information)
    return eqx.tree_at(lambda f: f.statistical_error, found, error)


def _half(noise: Rule) -> Rule:
    """The first half of each set of equally weighted points."""
    count = noise.weights.shape[1] // 2
    nodes, weights = noise.nodes[:, :count], 2 * noise.weights[:, :count]
    return eqx.tree_at(lambda r: (r.nodes, r.weights), noise, (nodes, weights))


def _quadrature(model: CommitteeMachine, at, rule: Rule, noise: Rule | None):
    def here(point):
        return at(point, noise)

    # What averages over fields itself needs memory for each point of the rule.
    if model.output.integrated:
        values = jax.lax.map(here, rule.nodes)
    elif model.hidden_units > 2 or model.output.labels(model.hidden_units) is None:
        rule = _whole_batches(rule, 64)
        values = jax.lax.map(here, rule.nodes, batch_size=min(64, rule.weights.size))
    else:
        values = jax.vmap(here)(rule.nodes)
    return jax.tree.map(lambda v: jnp.tensordot(rule.weights, v, axes=1), values)


def _whole_batches(rule: Rule, size: int) -> Rule:
    """The rule with points of no weight, so that no rest is left, which would be compiled on its own."""
    points = rule.weights.size
    if points <= size:
        return rule
    repeated = jnp.minimum(jnp.arange(-(-points // size) * size), points - 1)
    weights = jnp.where(jnp.arange(repeated.size) < points, rule.weights[repeated], 0.0)
    return eqx.tree_at(lambda r: (r.nodes, r.weights), rule, (rule.nodes[repeated], weights))


def _at_fields(
    model: CommitteeMachine,
    omega: Float[Array, " K"],
    V: Float[Array, "K K"],
    order: int,
    noise: Rule | None,
) -> FieldPotential:
    """Sums over the outputs at given fields."""
    output = model.output
    outputs = frozen(output.output_rule(*frozen((omega, V)), order, noise))

    def with_value(omega):
        value = output.outcome_log_partitions(outputs.nodes, omega, V, order, noise)
        return value, value

    g, log_z = jax.jacfwd(with_value, has_aux=True)(omega)
    # Impossible outputs weigh nothing, whatever their denoiser.
    possible = log_z > -jnp.inf
    log_z, g = jnp.where(possible, log_z, 0.0), jnp.where(possible[:, None], g, 0.0)
    weight = outputs.weights * jnp.where(possible, jnp.exp(log_z), 0.0)
    return FieldPotential(
        information=jnp.einsum("y,yk,yl->kl", weight, g, g),
        potential=jnp.sum(weight * log_z),
        **_prediction(model, weight, outputs.nodes),
    )


def _prediction(
    model: CommitteeMachine, weight: Float[Array, " outputs"], outputs: Float[Array, " outputs"]
) -> dict[str, Any]:
    """What can be said of an output of known probabilities."""
    mean = jnp.sum(weight * outputs)
    labels = model.output.labels(model.hidden_units) is not None
    return {
        "squared_error": jnp.sum(weight * (outputs - mean) ** 2),
        # Summed over pairs: one minus a probability close to one would cancel.
        "disagreement": 2 * jnp.sum(jnp.tril(weight[:, None] * weight[None, :], -1))
        if labels
        else None,
        "mistakes": jnp.sum(jnp.where(jnp.arange(weight.size) == jnp.argmax(weight), 0.0, weight))
        if labels
        else None,
        "missing_probability": jnp.abs(1 - jnp.sum(weight)),
        "statistical_error": jnp.zeros_like(mean),
    }


def _square_root(q: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The square root, with derivative zero where the overlap vanishes."""
    positive = q > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, q, 1.0)), 0.0)
