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
from jaxsp.committee.weights import full_weights

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
    np.testing.assert_allclose(full.information, symmetric(vote.information, 3), rtol=1e-5)
    np.testing.assert_allclose(full.potential, vote.potential, rtol=1e-6)
    plain = jnp.asarray([0.0, 0.7])
    model = prepare(VOTE)[0]
    line = unspecialized_potential(model, plain[1], 1 - plain, 12).potential
    space = symmetric_potential(model, plain, 1 - plain, 8)
    np.testing.assert_allclose(space.information, line.information, atol=2e-5)
    np.testing.assert_allclose(space.potential, line.potential, rtol=1e-5)


@pytest.mark.slow
def test_full_matrix_is_covariant_under_permutations():
    q = jnp.asarray([[0.6, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.4]])
    order = jnp.asarray([2, 0, 1])
    model = prepare(VOTE)[0]
    one = full_potential(model, q, jnp.eye(3) - q, 8)
    p = q[order][:, order]
    other = full_potential(model, p, jnp.eye(3) - p, 8)
    np.testing.assert_allclose(other.information, one.information[order][:, order], atol=2e-5)
    np.testing.assert_allclose(other.potential, one.potential, rtol=1e-5)


@pytest.mark.slow
def test_information_is_the_slope_of_the_potential(vote):
    model, direction = prepare(VOTE)[0], jnp.asarray([0.7, -0.4])

    def potential(q):
        return symmetric_potential(model, q, 1 - q, 12).potential

    slope = jax.jvp(potential, (Q,), (direction,))[1]
    # Two differences and one sum.
    expected = jnp.sum(direction * jnp.asarray([2.0, 1.0]) * vote.information)
    np.testing.assert_allclose(2 * slope, expected, rtol=1e-5)


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
@pytest.mark.parametrize(
    "output",
    [
        committee.MajorityVote(),
        committee.SoftCommittee(jax.scipy.special.erf, noise_variance=0.5),
    ],
    ids=["vote", "erf"],
)
def test_monte_carlo_of_specialised_units_is_within_its_error(output):
    model = committee.CommitteeMachine(3, priors.Gaussian(), output, monte_carlo=True)
    exact = committee.CommitteeMachine(3, priors.Gaussian(), output)
    found, expected = (
        symmetric_potential(prepare(m)[0], Q, 1 - Q, order) for m, order in ((model, 6), (exact, 8))
    )
    error = float(found.statistical_error) * float(expected.information[1])
    assert 0 < error < 0.02 * float(expected.information[1])
    np.testing.assert_array_less(np.abs(found.information - expected.information), 3 * error)


@pytest.mark.slow
def test_branches_of_three_units():
    threshold = float(committee.specialization_threshold(VOTE))
    below = committee.state_evolution(VOTE, 0.9 * threshold, "broken")
    assert below.q_d == 0
    above = committee.state_evolution(VOTE, 1.3 * threshold, "broken")
    assert above.q_d > 0.1
    plain = committee.state_evolution(VOTE, 1.3 * threshold, "uninformed")
    assert above.free_entropy > plain.free_entropy
    assert above.generalization_error < plain.generalization_error
    # A fixed point of the map of matrices, by quadratures of other points.
    alpha = 1.3 * threshold
    model = prepare(VOTE)[0]
    r = alpha * full_potential(model, above.overlap, above.error, 10).information
    np.testing.assert_allclose(full_weights(model, r, 10).overlap, above.overlap, atol=2e-4)


@pytest.mark.slow
def test_first_steps_of_amp_follow_state_evolution():
    alpha, p, steps = 2.0, 200, 2
    first = jnp.asarray([[0.4, 0.1, 0.0], [0.1, 0.3, 0.0], [0.0, 0.0, 0.2]])
    root = jnp.linalg.cholesky(first - first @ first)

    @jax.jit
    @jax.vmap
    def run(key):
        instance, noise = jax.random.split(key)
        data = committee.sample_instance(VOTE, inputs=p, samples=int(alpha * p), key=instance)
        start = data.weights @ first + jax.random.normal(noise, (p, 3)) @ root.T
        return committee.amp(
            VOTE, data.X, data.y, init=start, max_steps=steps, teacher=data.weights, throw=False
        ).overlap_trajectory

    overlap = run(jax.random.split(jax.random.key(1), 6))
    theory = committee.state_evolution(
        VOTE, alpha, first, steps=steps, max_steps=1, throw=False
    ).trajectory
    error = jnp.std(overlap, axis=0, ddof=1) / jnp.sqrt(6)
    np.testing.assert_array_less(jnp.abs(jnp.mean(overlap, axis=0) - theory), 5 * error + 2 / p)
