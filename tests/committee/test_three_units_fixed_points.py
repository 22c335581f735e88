"""Specialised states of three units: full-matrix steps, both starts, perfect recovery, other priors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import norm, qmc

from jaxsp import committee, priors
from jaxsp.committee.fields import full_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric
from jaxsp.committee.weights import full_weights, symmetric_weights
from jaxsp.numerics import RESULTS

GAUSSIAN = committee.CommitteeMachine(3, priors.Gaussian())
BINARY = committee.CommitteeMachine(3, priors.Rademacher())


@pytest.mark.slow
def test_specialised_gaussian_units_are_a_fixed_point_of_the_full_matrix():
    # Above the threshold, 19.23, an infinitesimal difference of the units and the teacher flow to one state.
    alpha = 22.0
    broken, informed = (
        committee.state_evolution(GAUSSIAN, alpha, start) for start in ("broken", "specialized")
    )
    for found in (broken, informed):
        assert found.result == RESULTS.successful
        assert found.residual < 1e-6
    np.testing.assert_allclose(broken.overlap, informed.overlap, rtol=1e-9)
    assert informed.q_d > 0.9
    # One step of the full matrix: other points, and no ansatz.
    q, model = informed.overlap, prepare(GAUSSIAN)[0]
    information = full_potential(model, q, informed.error, 12).information
    image = full_weights(model, alpha * information, 12).overlap
    np.testing.assert_allclose(image, q, atol=2e-6)


@pytest.mark.slow
def test_binary_units_recover_the_teacher_perfectly():
    # One of the 2^3 weights of each input is left: -3 log 2.
    for alpha, start in ((8.0, "specialized"), (30.0, "broken")):
        found = committee.state_evolution(BINARY, alpha, start)
        np.testing.assert_allclose(found.overlap, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(found.free_entropy, -3 * np.log(2), rtol=1e-12)
        assert found.gibbs_error == 0


@pytest.mark.parametrize("prior", [priors.Rademacher(), priors.GaussBernoulli(0.5)])
def test_ansatz_of_the_weights_agrees_with_the_full_matrix(prior):
    model = prepare(committee.CommitteeMachine(3, prior))[0]
    r = jnp.asarray([0.8, 3.0])
    pair, full = symmetric_weights(model, r, 10), full_weights(model, symmetric(r, 3), 10)
    np.testing.assert_allclose(full.overlap, symmetric(pair.overlap, 3), rtol=1e-5)
    np.testing.assert_allclose(full.negative_information, pair.negative_information, rtol=1e-5)
    # Independent observations are scalar problems.
    apart = symmetric_weights(model, jnp.asarray([3.0, 3.0]), 16)
    expected = priors.observation_potential(prior, jnp.asarray(3.0), 32)
    np.testing.assert_allclose(apart.error, expected.error_variance, rtol=1e-5)


@pytest.mark.parametrize("units", [4, 5])
def test_many_binary_units_are_averaged_with_a_reported_error(units):
    model = prepare(committee.CommitteeMachine(units, priors.Rademacher()))[0]
    found = jax.jit(lambda r: symmetric_weights(model, r, 8))(jnp.asarray([2.0, 2.0]))
    # Independent observations are scalar problems.
    expected = priors.observation_potential(priors.Rademacher(), jnp.asarray(2.0), 32)
    overlap = 1 - expected.error_variance
    assert 0 < found.statistical_error < 0.01
    error = 4 * found.statistical_error * overlap
    np.testing.assert_array_less(np.abs(found.overlap - overlap), error)


def test_refuses_more_components_than_can_be_summed():
    model = committee.CommitteeMachine(7, priors.Rademacher())
    with pytest.raises(ValueError, match="`hidden_units` must be at most 6 for a prior of 2 comp"):
        committee.state_evolution(model, 1.0)
    with pytest.raises(ValueError, match="but is 7"):
        committee.amp(model, jnp.ones((3, 2)), jnp.ones(3))
    with pytest.raises(ValueError, match="`monte_carlo_tolerance` must be greater than 0"):
        committee.CommitteeMachine(4, priors.Gaussian(), monte_carlo_tolerance=0.0)


@pytest.mark.slow
def test_full_matrix_of_three_units_is_covariant_under_permutations():
    # Nothing makes it so: a Cholesky factor of the observations and an orthant's integral single units out,
    # and the second model has other points, so that those of permuted units are not the same ones.
    q = jnp.asarray([[0.6, 0.1, 0.05], [0.1, 0.3, -0.1], [0.05, -0.1, 0.45]])
    r = jnp.asarray([[1.5, 0.2, 0.1], [0.2, 0.7, 0.3], [0.1, 0.3, 1.1]])
    places = jnp.asarray([2, 0, 1])
    models = [committee.CommitteeMachine(3, priors.Rademacher(), order=n) for n in (10, 12)]
    matrices = (q, r), (q[places][:, places], r[places][:, places])

    def numbers(model, q, r):
        step = committee.state_evolution(model, 2.0, q, steps=1, max_steps=1, throw=False)
        return committee.free_entropy(model, 2.0, q, r), step.trajectory[1]

    # Compiled: of the state evolution no more than the step is then computed.
    (plain, one), (moved, other) = (
        jax.jit(numbers)(model, *pair) for model, pair in zip(models, matrices, strict=True)
    )
    np.testing.assert_allclose(moved, plain, rtol=1e-5)
    np.testing.assert_allclose(other, one[places][:, places], atol=1e-5)
    assert jnp.max(jnp.abs(one - one[places][:, places])) > 0.01


@pytest.mark.slow
def test_branches_of_three_units_are_what_both_starts_reach():
    # Below the threshold of the instability, 19.23, perfect recovery of binary weights is there already.
    found = committee.branches(BINARY, 8.0)
    assert found.exists.tolist() == [True, True]
    assert found.stable.tolist() == [True, True]
    assert (found.solution.result == RESULTS.successful).all()
    plain = committee.state_evolution(BINARY, 8.0, "uninformed")
    np.testing.assert_allclose(found.solution.overlap[0], plain.overlap, rtol=1e-9)
    np.testing.assert_allclose(found.solution.overlap[1], np.eye(3), atol=1e-12)
    # df / dalpha of the former is the potential of an output; that of the latter vanishes.
    np.testing.assert_allclose(found.optimal.free_entropy, -3 * np.log(2), rtol=1e-12)


def sampled_information(q, nodes, points, sets=8):
    """E g g^T of a majority vote over sampled fields, and its standard error.

    Given two normal numbers in the plane of the differences and the sum, the fields are independent.
    """
    V = np.eye(3) - q
    values, vectors = np.linalg.eigh(V)
    least = values[0]
    node, weight = np.polynomial.hermite_e.hermegauss(nodes)
    u = np.stack(np.meshgrid(node, node), axis=-1).reshape(-1, 2)
    w = np.outer(weight, weight).ravel() / weight.sum() ** 2
    shift = u @ (vectors[:, 1:] * np.sqrt(values[1:] - least)).T
    values, vectors = np.linalg.eigh(q)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    found = []
    for seed in range(sets):
        z = ndtri(np.clip(qmc.Sobol(3, seed=seed).random(points), 1e-9, 1 - 1e-9))
        x = ((z @ root.T)[:, None] + shift) / np.sqrt(least)
        p = ndtr(x)
        both = [p[..., i - 1] * p[..., i - 2] for i in range(3)]
        Z = (sum(both) - 2 * np.prod(p, axis=-1)) @ w
        # It matters if just one of the two others is positive.
        tied = [p[..., i - 1] + p[..., i - 2] - 2 * both[i] for i in range(3)]
        slope = np.stack([(norm.pdf(x[..., i]) * tied[i]) @ w for i in range(3)], axis=1)
        size = np.maximum(Z * (1 - Z), 1e-15)[:, None]
        found.append(slope.T @ (slope / size) / (least * points))
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(sets)


@pytest.mark.slow
def test_branches_of_three_gaussian_units_are_fixed_points_of_a_sampled_map():
    # Below the threshold of the instability, 19.23, there is nothing else; above it attracts no more.
    below, above = (committee.branches(GAUSSIAN, alpha) for alpha in (10.0, 22.0))
    assert below.exists.tolist() == below.stable.tolist() == [True, False]
    assert above.exists.tolist() == [True, True]
    assert above.stable.tolist() == [False, True]
    assert above.solution.q_d[0] == 0
    assert above.solution.q_d[1] > 0.9
    assert above.optimal.free_entropy == above.solution.free_entropy[1]
    assert above.solution.free_entropy[1] > above.solution.free_entropy[0]
    for found, alpha, entry in ((below, 10.0, 0), (above, 22.0, 0), (above, 22.0, 1)):
        q, r = (
            np.asarray(m[entry]) for m in (found.solution.overlap, found.solution.conjugate_overlap)
        )
        # Gaussian weights observed in Gaussian noise.
        np.testing.assert_allclose(np.eye(3) - q, np.linalg.inv(np.eye(3) + r), atol=1e-10)
        # Fields that are alike are one number, but are known to little in their differences.
        size = (16, 2**12) if entry else (96, 2**5)
        information, error = sampled_information(q, *size)
        assert np.all(alpha * error < 0.01 * r[0, 0])
        away = np.abs(alpha * information - r)
        np.testing.assert_array_less(away, 4 * alpha * error + 1e-4 * r[0, 0])
