"""The model, its outputs and its refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import committee, priors


@pytest.mark.parametrize(
    ("output", "labels"), [(committee.MajorityVote(), [1, 0, -1]), (committee.Parity(), [1, -1])]
)
def test_label_probabilities_match_sampled_frequencies(output, labels):
    omega, V = jnp.asarray([0.3, -0.5]), jnp.asarray([[1.0, -0.4], [-0.4, 0.7]])
    count = 200_000
    fields = jax.random.multivariate_normal(jax.random.key(0), omega, V, (count,))
    drawn = output.sample(jax.random.key(1), fields)
    found = jnp.exp(output.log_partitions(omega, V))
    assert output.labels(2).tolist() == labels
    for label, probability in zip(labels, found, strict=True):
        error = np.sqrt(probability * (1 - probability) / count)
        assert abs(float(jnp.mean(drawn == label)) - float(probability)) < 4 * error
        np.testing.assert_allclose(
            output.log_partition(jnp.asarray(float(label)), omega, V), jnp.log(probability)
        )


@pytest.mark.parametrize("units", [0, -1])
def test_refuses_less_than_one_unit(units):
    with pytest.raises(ValueError, match="Argument `hidden_units` must be at least 1"):
        committee.CommitteeMachine(units, priors.Gaussian())


def test_refuses_labels_outside_of_the_range():
    with pytest.raises(ValueError, match="out of \\[-1.0, 0.0, 1.0\\], but has the value 2.0"):
        committee.MajorityVote().check_outputs(jnp.asarray([1.0, 2.0]), 2)
    with pytest.raises(ValueError, match="must be finite"):
        committee.MajorityVote().check_outputs(jnp.asarray([1.0, jnp.nan]), 2)


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (jnp.eye(3), "must have shape \\(2, 2\\)"),
        (jnp.asarray([[0.5, 0.1], [0.2, 0.5]]), "must be symmetric"),
        (jnp.asarray([[0.1, 0.4], [0.4, 0.1]]), "no negative eigenvalue"),
        (jnp.asarray([[0.9, 0.4], [0.4, 0.9]]), "second moment, which it exceeds by 0.3"),
    ],
)
def test_refuses_overlaps_outside_of_their_cone(q, message):
    model = committee.CommitteeMachine(2, priors.Gaussian())
    with pytest.raises(ValueError, match=message):
        committee.state_evolution(model, 1.0, q)


def test_refuses_a_negative_alpha_an_unknown_start_and_an_unsupported_prior():
    model = committee.CommitteeMachine(2, priors.Gaussian())
    with pytest.raises(ValueError, match="Argument `alpha` must be at least 0"):
        committee.state_evolution(model, -1.0)
    with pytest.raises(ValueError, match="Did you mean 'specialized'"):
        committee.state_evolution(model, 1.0, "specialised")
    with pytest.raises(ValueError, match="mixture of Gaussians and atoms"):
        committee.state_evolution(committee.CommitteeMachine(2, priors.Laplace()), 1.0)
