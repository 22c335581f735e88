"""Three units and more: orthants, the ansatz against the full matrix, AMP, Monte Carlo."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxsp import committee, priors
from jaxsp.committee.fields import full_potential, symmetric_potential, unspecialized_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric

VOTE = committee.CommitteeMachine(3, priors.Gaussian(), order=8)
Q = jnp.asarray([0.3, 0.8])
OMEGA = jnp.asarray([0.4, -0.3, 0.1])
COVARIANCE = jnp.asarray([[0.7, -0.2, 0.1], [-0.2, 0.5, -0.1], [0.1, -0.1, 0.6]])


@pytest.fixture(scope="module")
def vote():
    return symmetric_potential(prepare(VOTE)[0], Q, 1 - Q, 8)


def test_label_probabilities_match_scipys_orthants():
    found = np.exp(committee.MajorityVote().log_partitions(OMEGA, COVARIANCE))
    expected = 0.0
    for signs in itertools.product((1.0, -1.0), repeat=3):
        if sum(signs) > 0:
            s = np.asarray(signs)
            law = multivariate_normal(
                -s * np.asarray(OMEGA), np.asarray(COVARIANCE) * np.outer(s, s), seed=0,
                abseps=1e-9, releps=1e-9, maxpts=10**6,
            )  # fmt: skip
            expected += law.cdf(np.zeros(3))
    np.testing.assert_allclose(found, [expected, 1 - expected], atol=2e-8)


def test_slopes_of_label_probabilities_match_finite_differences():
    # Those in V are second derivatives in the means: the heat equation.
    vote = committee.MajorityVote()
    direction = jnp.asarray([0.5, 1.0, -0.7]), jnp.asarray(COVARIANCE @ COVARIANCE)

    @jax.jit
    def at(t):
        moved = COVARIANCE + t * direction[1]

        def value(s):
            return vote.log_partitions(OMEGA + (t + s) * direction[0], moved)

        return value(0.0), jax.jvp(value, (0.0,), (1.0,))[1]

    step = 1e-4
    slopes = jax.jit(jax.jacrev(at))(0.0)
    for slope, high, low in zip(slopes, at(step), at(-step), strict=True):
        np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-6)


@pytest.mark.slow
def test_ansatz_agrees_with_the_full_matrix_and_with_one_dimension(vote):
    # The three quadratures share no points, and the last is another formula.
    full = full_potential(prepare(VOTE)[0], symmetric(Q, 3), symmetric(1 - Q, 3), 8)
    # What the points of this order leave.
    np.testing.assert_allclose(full.information, symmetric(vote.information, 3), atol=2e-4)
    np.testing.assert_allclose(full.potential, vote.potential, rtol=1e-4)
    plain = jnp.asarray([0.0, 0.7])
    model = prepare(VOTE)[0]
    line = unspecialized_potential(model, plain[1], 1 - plain, 12).potential
    space = symmetric_potential(model, plain, 1 - plain, 8)
    np.testing.assert_allclose(space.information, line.information, atol=2e-4)
    np.testing.assert_allclose(space.potential, line.potential, rtol=1e-4)


@pytest.mark.slow
def test_full_matrix_is_covariant_under_permutations():
    q = jnp.asarray([[0.6, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.4]])
    order = jnp.asarray([2, 0, 1])
    model = prepare(VOTE)[0]
    one = full_potential(model, q, jnp.eye(3) - q, 8)
    p = q[order][:, order]
    other = full_potential(model, p, jnp.eye(3) - p, 8)
    np.testing.assert_allclose(other.information, one.information[order][:, order], atol=3e-4)
    np.testing.assert_allclose(other.potential, one.potential, rtol=3e-4)


def test_monte_carlo_is_within_its_error_of_the_quadrature():
    # Without specialisation one dimension and another formula are exact.
    plain = jnp.asarray([0.0, 0.7])
    exact = unspecialized_potential(prepare(VOTE)[0], plain[1], 1 - plain, 12).potential
    model = committee.CommitteeMachine(3, priors.Gaussian(), monte_carlo=True)
    found = symmetric_potential(prepare(model)[0], plain, 1 - plain, 6)
    error = float(found.statistical_error) * float(exact.information[1])
    assert 0 < error < 0.01
    np.testing.assert_array_less(np.abs(found.information - exact.information), 3 * error)


@pytest.mark.slow
def test_monte_carlo_of_specialised_units_is_within_its_error(vote):
    model = committee.CommitteeMachine(3, priors.Gaussian(), monte_carlo=True)
    found = symmetric_potential(prepare(model)[0], Q, 1 - Q, 6)
    error = float(found.statistical_error) * float(vote.information[1])
    assert 0 < error < 0.01
    np.testing.assert_array_less(np.abs(found.information - vote.information), 3 * error)
