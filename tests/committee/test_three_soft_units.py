"""Three units of a soft committee, erf and ReLU: integrals over characteristic functions, and Monte Carlo."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, roots_hermitenorm

from jaxsp import committee, priors
from jaxsp.committee.fields import symmetric_potential
from jaxsp.committee.model import prepare

NOISE, V_D, V_S = 0.2, 0.3, 0.5
V = jnp.asarray([V_D, V_S])
OUTPUT = committee.SoftCommittee(jax.scipy.special.erf, noise_variance=NOISE)


def relu(h):
    return np.maximum(h, 0.0)


@functools.cache
def exact(activation, low, high, points):
    """Information (difference, sum), potential and error.

    V_s > V_d: given a common shift of all fields they are independent, and the law of the output is a
    Fourier integral of a product of three one-dimensional characteristic functions.
    """
    k = np.linspace(0, 7.5 / np.sqrt(NOISE), 61)
    y = np.linspace(low, high, 161)
    dk, dy = k[1] - k[0], y[1] - y[0]
    window = np.exp(-0.5 * NOISE * k**2) * np.where(k > 0, 1.0, 0.5) * dk / np.pi
    fourier = np.exp(-1j * np.outer(k, y)) * window[:, None]
    legendre, heights = np.polynomial.legendre.leggauss(24)
    nodes, weights = roots_hermitenorm(points)
    weights = weights / weights.sum()
    shift, shifts = roots_hermitenorm(8)
    shift, shifts = np.sqrt((V_S - V_D) / 3) * shift, shifts / shifts.sum()
    mean = np.full((3, 3), 1 / 3)
    root = np.sqrt(1 - V_D) * (np.eye(3) - mean) + np.sqrt(1 - V_S) * mean
    information, potential, squared = np.zeros((3, 3)), 0.0, 0.0
    # Permutations of the units are alike.
    for places in itertools.combinations_with_replacement(range(nodes.size), 3):
        weight = np.prod(weights[list(places)]) * len(set(itertools.permutations(places)))
        if weight < 1e-8:
            continue
        omega = root @ nodes[list(places)]
        centre = omega[:, None] + shift
        # Panels that meet where the field vanishes.
        cut = np.clip(-centre / np.sqrt(V_D), -6.5, 6.5)[..., None]
        z = np.concatenate([0.5 * (end + cut + (cut - end) * s) for end, s in
                            ((-6.5, legendre), (6.5, -legendre))], axis=-1)  # fmt: skip
        w = np.concatenate([0.5 * np.abs(cut - end) * heights for end in (-6.5, 6.5)], axis=-1)
        w = w * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        fields = centre[..., None] + np.sqrt(V_D) * z
        waves = np.exp(1j * activation(fields)[..., None] * k)
        f = np.einsum("luz,luzk->luk", w, waves)
        d = np.einsum("luz,luzk->luk", w * z / np.sqrt(V_D), waves)
        Z = (shifts @ (f[0] * f[1] * f[2]) @ fourier).real
        slopes = [(shifts @ (d[i] * f[i - 1] * f[i - 2]) @ fourier).real for i in range(3)]
        possible = Z > 1e-11
        slopes, safe = np.where(possible, slopes, 0.0), np.where(possible, Z, 1.0)
        information += weight * dy * np.einsum("ky,ly->kl", slopes, slopes / safe)
        potential += weight * dy * np.sum(Z * np.log(safe))
        squared += weight * dy * np.sum(Z * (y - dy * np.sum(Z * y)) ** 2)
    total = information.sum() / 3
    return np.array([(np.trace(information) - total) / 2, total]), potential, squared


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "activation", "low", "high", "points"),
    [(OUTPUT, erf, -6, 6, 14), (committee.ReLUCommittee(NOISE), relu, -4, 14, 22)],
    ids=["erf", "relu"],
)
def test_quadrature_of_a_soft_committee_matches_characteristic_functions(
    output, activation, low, high, points
):
    model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), output))[0]
    found = symmetric_potential(model, 1 - V, V, 12)
    information, potential, squared = exact(activation, low, high, points)
    np.testing.assert_allclose(found.information, information, atol=5e-6)
    np.testing.assert_allclose(found.potential, potential, atol=5e-6)
    np.testing.assert_allclose(found.squared_error, squared, atol=5e-6)


@pytest.mark.slow
def test_monte_carlo_of_a_soft_committee_is_within_its_error():
    model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), OUTPUT, monte_carlo=True))[0]
    found = symmetric_potential(model, 1 - V, V, 12)
    information = exact(erf, -6, 6, 14)[0]
    error = float(found.statistical_error) * information[1]
    assert 0 < error < 0.02
    np.testing.assert_array_less(np.abs(found.information - information), 3 * error)
