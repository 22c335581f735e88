"""Three units and more: orthants, the ansatz against the full matrix, AMP, Monte Carlo."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxsp import committee, priors
from jaxsp.committee._points import product_normal
from jaxsp.committee.fields import full_potential, symmetric_potential, unspecialized_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric

VOTE = committee.CommitteeMachine(3, priors.Gaussian())
Q = jnp.asarray([0.3, 0.8])
OMEGA = jnp.asarray([0.4, -0.3, 0.1])
COVARIANCE = jnp.asarray([[0.7, -0.2, 0.1], [-0.2, 0.5, -0.1], [0.1, -0.1, 0.6]])


@pytest.fixture(scope="module")
def vote():
    return symmetric_potential(prepare(VOTE)[0], Q, 1 - Q, 16)


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


@pytest.mark.parametrize(
    "output",
    [committee.MajorityVote(), pytest.param(committee.Parity(), marks=pytest.mark.slow)],
)
def test_label_probabilities_by_orthants_match_the_averages_over_independent_fields(output):
    # Also next to singular covariances: as many points as these then need.
    points = product_normal(2, 301, jnp.float64)

    @jax.jit
    def both(omega, V):
        def mine(omega, V):
            return jnp.exp(output.outcome_log_partitions(output.labels(3), omega, V, 8, None))

        def other(omega, V):
            return jnp.exp(output.log_partitions(omega, V, noise=points))

        return [(f(omega, V), *jax.jacfwd(f, (0, 1))(omega, V)) for f in (mine, other)]

    for V in (COVARIANCE, symmetric(jnp.asarray([0.9, 0.03]), 3), 0.01 * COVARIANCE):
        found, expected = both(OMEGA, V)
        for x, y in zip(found, expected, strict=True):
            # Only the symmetric part of a derivative in a covariance means anything.
            x, y = (a + jnp.swapaxes(a, -1, -2) if a.ndim == 3 else a for a in (x, y))
            np.testing.assert_allclose(x, y, atol=1e-9)


@pytest.mark.slow
def test_ansatz_agrees_with_the_full_matrix():
    # They share no points: the full one has those for any overlap, in each of the orders of the fields.
    model = prepare(VOTE)[0]
    pair = symmetric_potential(model, Q, 1 - Q, 16)
    full = full_potential(model, symmetric(Q, 3), symmetric(1 - Q, 3), 12)
    np.testing.assert_allclose(full.information, symmetric(pair.information, 3), atol=1e-6)
    np.testing.assert_allclose(full.potential, pair.potential, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("output", [committee.MajorityVote(), committee.Parity()])
def test_ansatz_without_specialisation_agrees_with_one_dimension(output):
    model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), output))[0]
    plain = jnp.asarray([0.0, 0.7])
    line = unspecialized_potential(model, plain[1], 1 - plain, 12).potential
    space = symmetric_potential(model, plain, 1 - plain, 16)
    np.testing.assert_allclose(space.information, line.information, atol=1e-8)
    np.testing.assert_allclose(space.potential, line.potential, rtol=1e-8)
    np.testing.assert_allclose(space.squared_error, line.squared_error, rtol=1e-8)


@pytest.mark.slow
def test_full_information_is_the_slope_of_the_potential():
    # State evolution as stationarity: r = 2 alpha dPhi_out/dq.
    q = jnp.asarray([[0.6, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.4]])
    direction = jnp.asarray([[0.3, 0.2, -0.1], [0.2, -0.4, 0.1], [-0.1, 0.1, 0.2]])
    model, step = prepare(VOTE)[0], 5e-3
    moved = [q + t * direction for t in (0.0, step, -step)]
    here, high, low = (full_potential(model, p, jnp.eye(3) - p, 10) for p in moved)
    slope = (high.potential - low.potential) / (2 * step)
    np.testing.assert_allclose(2 * slope, jnp.sum(here.information * direction), rtol=1e-4)


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
