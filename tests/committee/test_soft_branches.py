"""Branches of two soft units: a map of its own points, and what decides between branches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, roots_hermitenorm

from jaxsp import committee, priors
from jaxsp.numerics import RESULTS

NOISE, ALPHA = 0.2, 6.0
MODEL = committee.CommitteeMachine(
    2,
    priors.Gaussian(),
    committee.SoftCommittee(function=jax.scipy.special.erf, noise_variance=NOISE),
)


def plane(points):
    x, w = roots_hermitenorm(points)
    w = w / w.sum()
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid, np.outer(w, w).ravel()


def output(q, fields=20, noise=24, outputs=81):
    """Information and potential of an output at any overlap: Gauss-Hermite points and a sum over outputs."""
    values, vectors = np.linalg.eigh(q)
    omegas, weights = plane(fields)
    omegas = omegas @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    root = np.linalg.cholesky(np.eye(2) - q)
    z, measure = plane(noise)
    slopes = z @ np.linalg.inv(root)
    y = np.linspace(-2 - 7 * NOISE**0.5, 2 + 7 * NOISE**0.5, outputs)
    information, potential = np.zeros((2, 2)), 0.0
    for omega, weight in zip(omegas, weights, strict=True):
        if weight < 1e-10:
            continue
        mean = erf(omega + z @ root.T).sum(axis=1)
        p = measure * np.exp(-0.5 * (y[:, None] - mean) ** 2 / NOISE) / np.sqrt(2 * np.pi * NOISE)
        Z, dZ = np.maximum(p.sum(axis=1), 1e-300), p @ slopes
        information += weight * (y[1] - y[0]) * dZ.T @ (dZ / Z[:, None])
        potential += weight * (y[1] - y[0]) * Z @ np.log(Z)
    return information, potential


def image(q, **points):
    """Gaussian weights observed in Gaussian noise."""
    r = ALPHA * output(q, **points)[0]
    return r @ np.linalg.inv(np.eye(2) + r)


@pytest.fixture(scope="module")
def found():
    return committee.branches(MODEL, ALPHA)


@pytest.mark.slow
def test_branches_are_fixed_points_of_another_quadrature(found):
    assert found.exists.tolist() == [True, True]
    assert found.stable.tolist() == [False, True]
    assert (found.solution.result == RESULTS.successful).all()
    for entry in range(2):
        q = np.asarray(found.solution.overlap[entry])
        information, potential = output(q, noise=48, fields=32)
        r = ALPHA * information
        np.testing.assert_allclose(found.solution.conjugate_overlap[entry], r, rtol=1e-4)
        f = 0.5 * (np.trace(r) - np.linalg.slogdet(np.eye(2) + r)[1] - np.trace(q @ r))
        np.testing.assert_allclose(
            found.solution.free_entropy[entry], f + ALPHA * potential, atol=1e-4
        )
    assert found.optimal.free_entropy == found.solution.free_entropy[1]
    assert found.solution.free_entropy[1] > found.solution.free_entropy[0] + 0.03


@pytest.mark.slow
def test_random_starts_flow_to_the_stable_branch(found):
    rng = np.random.default_rng(0)
    expected = np.sort(np.asarray(found.solution.overlap[1]), axis=None)
    for _ in range(3):
        root = rng.normal(size=(2, 2))
        q = root @ root.T
        q = 0.5 * rng.uniform() * q / np.linalg.eigvalsh(q)[1]
        for _ in range(40):
            q = image(q, fields=12, noise=16, outputs=41)
        # Units may be exchanged.
        np.testing.assert_allclose(np.sort(q, axis=None), expected, atol=5e-3)


def test_free_entropies_closer_than_their_errors_decide_nothing():
    model = committee.CommitteeMachine(1, priors.Gaussian())
    solution = committee.state_evolution(model, 1.0)

    def optimal(error):
        two = jax.tree.map(lambda x: jnp.stack([x, x]), solution)
        two = eqx.tree_at(
            lambda s: (s.free_entropy, s.free_entropy_error),
            two,
            (jnp.asarray([-1.0, -1.01]), jnp.asarray([1e-6, error])),
        )
        yes = jnp.asarray([True, True])
        return committee.Branches(two, yes, yes).optimal

    assert optimal(1e-3).result == RESULTS.successful
    assert optimal(2e-2).result == RESULTS.inaccurate
    assert optimal(2e-2).free_entropy == -1.0
