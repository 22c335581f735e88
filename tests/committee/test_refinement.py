"""Quadratures that an error is estimated with: more points at every order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jaxsp import committee, priors
from jaxsp.committee._field_rules import full_rule, symmetric_rule
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric
from jaxsp.numerics import refined_order

KINK = committee.SoftCommittee(jax.nn.relu, 0.2, breakpoints=(0.0,))
SMOOTH = committee.SoftCommittee(jnp.tanh, 0.2)


@pytest.mark.parametrize("output", [KINK, SMOOTH, committee.MajorityVote()])
@pytest.mark.parametrize("units", [1, 2, 3])
def test_refined_rules_have_more_points_at_every_order(units, output):
    model = prepare(committee.CommitteeMachine(units, priors.Gaussian(), output))[0]
    q = jnp.asarray([0.3, 0.8])

    def points(order):
        root, V = jnp.linalg.cholesky(symmetric(q, units)), symmetric(1 - q, units)
        rules = [symmetric_rule(model, q, 1 - q, order), full_rule(model, root, V, order)]
        if output.noise_dimensions(units) and not output.noiseless:
            rules.append(output.noise_rule(jnp.zeros(units), jnp.linalg.cholesky(V), order))
        return [rule.weights for rule in rules]

    for order in range(4, 13):
        few, more = (
            [weights.size for weights in eqx.filter_eval_shape(points, n)]
            for n in (order, refined_order(order))
        )
        assert all(a < b for a, b in zip(few, more, strict=True)), (order, few, more)
