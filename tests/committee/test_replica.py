"""Fixed points of the committee against the GLM, other quadratures, and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import roots_hermitenorm
from scipy.stats import multivariate_normal

from jaxsp import channels, committee, glm, priors
from jaxsp.committee.curve import state_at
from jaxsp.committee.fields import full_potential, symmetric_potential, unspecialized_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric
from jaxsp.committee.solution import SATURATED, solution_at
from jaxsp.committee.weights import full_weights, symmetric_weights

GAUSSIAN = committee.CommitteeMachine(2, priors.Gaussian())
BINARY = committee.CommitteeMachine(2, priors.Rademacher())


@pytest.mark.parametrize("prior", [priors.Gaussian(), priors.Rademacher()])
def test_one_unit_is_the_perceptron(prior):
    found = committee.state_evolution(committee.CommitteeMachine(1, prior), 1.3)
    expected = glm.state_evolution(glm.GLM(prior, channels.Sign()), 1.3)
    for name, other in (
        ("q_d", "overlap"),
        ("free_entropy", "free_entropy"),
        ("generalization_error", "generalization_error"),
        ("gibbs_error", "gibbs_error"),
        ("classification_error", "classification_error"),
    ):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, other), rtol=1e-10, err_msg=name
        )


def test_output_potential_matches_gauss_hermite_and_scipys_orthants():
    q, V = jnp.asarray([0.3, 0.5]), jnp.asarray([0.7, 0.5])
    found = symmetric_potential(GAUSSIAN, q, V, 16)
    nodes, weights = roots_hermitenorm(24)
    weights = weights / weights.sum()
    covariance = np.asarray(symmetric(V, 2))
    law = multivariate_normal(cov=covariance)
    entropy = squared = 0.0
    for z1, w1 in zip(nodes, weights, strict=True):
        for z2, w2 in zip(nodes, weights, strict=True):
            total, other = np.sqrt(q[1]) * z1 / np.sqrt(2), np.sqrt(q[0]) * z2 / np.sqrt(2)
            omega = np.array([total + other, total - other])
            both, neither = law.cdf(omega), law.cdf(-omega)
            p = np.clip([both, neither, 1 - both - neither], 1e-300, 1)
            entropy += w1 * w2 * np.sum(p * np.log(p))
            squared += w1 * w2 * (p[0] + p[1] - (p[0] - p[1]) ** 2)
    np.testing.assert_allclose(found.potential, entropy, atol=2e-6)
    np.testing.assert_allclose(found.squared_error, squared, atol=2e-6)


def test_classification_error_matches_sampled_fields():
    q, V = jnp.asarray([0.3, 0.5]), jnp.asarray([0.7, 0.5])
    found = symmetric_potential(GAUSSIAN, q, V, 16)
    key, other = jax.random.split(jax.random.key(0))
    count = 100_000
    omega = jax.random.multivariate_normal(key, jnp.zeros(2), symmetric(q, 2), (count,))
    noise = jax.random.multivariate_normal(other, jnp.zeros(2), symmetric(V, 2), (count,))
    vote = GAUSSIAN.output
    label = vote.sample(key, omega + noise)

    @jax.jit
    def best(omega):
        log_p = jax.vmap(lambda w: vote.log_partitions(w, symmetric(V, 2)))(omega)
        return vote.labels(2)[jnp.argmax(log_p, axis=1)]

    wrong = np.asarray(label != best(omega))
    error = np.sqrt(wrong.mean() * (1 - wrong.mean()) / count)
    assert abs(float(found.mistakes) - wrong.mean()) < 4 * error
    # Better than a sample from the posterior, and not twice as good.
    assert found.mistakes < found.disagreement < 2 * found.mistakes


@pytest.mark.slow
@pytest.mark.parametrize("start", ["uninformed", "broken"])
def test_errors_of_binary_units_match_sampled_teachers_and_students(start):
    # Between the instability, 1.589, and the spinodal, 1.977: two states beside perfect recovery.
    found = committee.state_evolution(BINARY, 1.7, start)
    assert (found.q_d > 0.05) == (start == "broken")
    rng = np.random.default_rng(0)
    count = 400_000
    known = rng.multivariate_normal(np.zeros(2), found.overlap, count)
    teacher, student = (
        np.sign(known + rng.multivariate_normal(np.zeros(2), found.error, count)) for _ in range(2)
    )
    y, other = (np.sign(signs.sum(axis=1)) for signs in (teacher, student))
    for value, samples in (
        (found.gibbs_error, y != other),
        # Half the squared difference of two draws is the variance.
        (found.generalization_error, 0.5 * (y - other) ** 2),
    ):
        error = samples.std() / np.sqrt(count)
        assert abs(float(value) - samples.mean()) < 4 * error


def test_full_matrix_agrees_with_the_symmetric_ansatz():
    q, V = jnp.asarray([0.2, 0.6]), jnp.asarray([0.8, 0.4])
    pair = symmetric_potential(GAUSSIAN, q, V, 20)
    full = full_potential(GAUSSIAN, symmetric(q, 2), symmetric(V, 2), 20)
    np.testing.assert_allclose(full.information, symmetric(pair.information, 2), rtol=1e-9)
    np.testing.assert_allclose(full.potential, pair.potential, rtol=1e-10)
    r = jnp.asarray([0.8, 3.0])
    pair, full = symmetric_weights(BINARY, r, 16), full_weights(BINARY, symmetric(r, 2), 16)
    np.testing.assert_allclose(full.overlap, symmetric(pair.overlap, 2), rtol=1e-10)
    np.testing.assert_allclose(full.negative_information, pair.negative_information, rtol=1e-10)


def test_full_matrix_is_covariant_under_permutations():
    q = jnp.asarray([[0.6, 0.1], [0.1, 0.3]])
    swap = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    one = full_potential(GAUSSIAN, q, jnp.eye(2) - q, 16)
    other = full_potential(GAUSSIAN, swap @ q @ swap, jnp.eye(2) - swap @ q @ swap, 16)
    np.testing.assert_allclose(other.information, swap @ one.information @ swap, rtol=1e-10)
    np.testing.assert_allclose(other.potential, one.potential, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "alpha", "start"), [(GAUSSIAN, 3.0, "broken"), (BINARY, 1.0, "uninformed")]
)
def test_fixed_points_stay_where_they_are_under_a_long_iteration_of_the_full_matrix(
    model, alpha, start
):
    # Other points, more of them, and no ansatz. That of binary weights is singular: the units are alike.
    found = committee.state_evolution(model, alpha, start)
    finer = committee.CommitteeMachine(2, model.prior, order=18)
    path = jax.jit(
        lambda q: committee.state_evolution(finer, alpha, q, steps=40, throw=False).trajectory
    )
    away = jnp.abs(path(found.overlap) - found.overlap)
    # Without specialisation it is 6e-15.
    assert jnp.max(away) < (1e-13 if start == "uninformed" else 3e-12)


def test_full_matrix_of_fields_that_are_not_known_or_alike():
    # Nothing known: P(++) = 1/4 with the slopes phi(0) / 2, and the tie tells nothing.
    nothing = full_potential(GAUSSIAN, jnp.zeros((2, 2)), jnp.eye(2), 12)
    np.testing.assert_allclose(nothing.information, np.full((2, 2), 1 / np.pi), rtol=1e-12)
    # Alike but for rounding, as a quadrature may leave them: one dimension is enough.
    q = 0.2 * jnp.ones((2, 2)) - 3e-16 * jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])
    alike = full_potential(GAUSSIAN, q, jnp.eye(2) - q, 12)
    expected = unspecialized_potential(GAUSSIAN, jnp.asarray(0.4), jnp.asarray([1.0, 0.6]), 16)
    np.testing.assert_allclose(
        jnp.sum(alike.information) / 2, expected.potential.information[1], rtol=1e-12
    )


@pytest.mark.parametrize("prior", [priors.Rademacher(), priors.GaussBernoulli(0.5)])
def test_independent_observations_of_the_weights_are_scalar_problems(prior):
    model = committee.CommitteeMachine(2, prior)
    found = symmetric_weights(prepare(model)[0], jnp.asarray([3.0, 3.0]), 16)
    expected = priors.observation_potential(prior, jnp.asarray(3.0), 32)
    np.testing.assert_allclose(found.error, expected.error_variance, rtol=1e-10)
    np.testing.assert_allclose(
        found.negative_information, 2 * expected.negative_information, rtol=1e-10
    )


def test_perfect_recovery_of_binary_weights_leaves_their_entropy():
    """Without noise in the labels: one of the 2^K weights of each input, of log-probability -K log 2."""

    @jax.jit
    def perfect(alpha):
        return solution_at(
            BINARY, alpha, jnp.asarray(SATURATED), jnp.zeros(2), jnp.eye(2), jnp.asarray(True), 16
        )

    found = perfect(1.0)
    np.testing.assert_allclose(found.free_entropy, -2 * np.log(2), rtol=1e-12)
    np.testing.assert_allclose(found.overlap, np.eye(2), atol=1e-12)
    assert found.error.max() == 0


def test_information_is_the_slope_of_the_potential():
    # State evolution as stationarity: r = 2 alpha dPhi_out/dq, q = 2 dPhi_w/dr.
    q = jnp.asarray([[0.5, 0.1], [0.1, 0.3]])
    direction = jnp.asarray([[0.3, 0.2], [0.2, -0.4]])

    def potential(t):
        moved = q + t * direction
        return full_potential(GAUSSIAN, moved, jnp.eye(2) - moved, 16).potential

    slope = jax.jit(jax.grad(potential))(0.0)
    information = full_potential(GAUSSIAN, q, jnp.eye(2) - q, 16).information
    np.testing.assert_allclose(2 * slope, jnp.sum(information * direction), rtol=1e-8)
    state = state_at(BINARY, jnp.asarray([0.5, 2.0]), 16)
    step = 1e-4
    ends = [
        symmetric_weights(BINARY, jnp.asarray([0.5 + s, 2.0]), 16).negative_information
        for s in (step, -step)
    ]
    np.testing.assert_allclose(
        -2 * (ends[0] - ends[1]) / (2 * step), state.weights.error[0], rtol=1e-7
    )
