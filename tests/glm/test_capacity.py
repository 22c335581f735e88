"""Storage capacity against closed forms, the literature and an independent scipy computation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special

import jaxsp
from jaxsp import glm, priors


def gardner(margin):
    value, _ = integrate.quad(
        lambda t: (t + margin) ** 2 * np.exp(-t * t / 2) / np.sqrt(2 * np.pi), -margin, 14,
        epsabs=1e-14,
    )  # fmt: skip
    return 1 / value


def binary_entropy(alpha, margin):
    """Extremum over q and its conjugate of Krauth and Mezard's entropy, by scipy."""

    def gauss(f):
        return integrate.quad(
            lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * f(z), -10, 10, limit=400,
            epsabs=1e-13,
        )[0]  # fmt: skip

    def log_cosh(x):
        return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)

    def action(q, conjugate):
        weights = gauss(lambda z: np.log(2) + log_cosh(np.sqrt(conjugate) * z))
        labels = gauss(lambda v: special.log_ndtr((np.sqrt(q) * v - margin) / np.sqrt(1 - q)))
        return weights - conjugate * (1 - q) / 2 + alpha * labels

    def best_conjugate(q):
        return optimize.brentq(
            lambda c: gauss(lambda z: np.tanh(np.sqrt(c) * z) ** 2) - q, 1e-6, 60, xtol=1e-13
        )

    found = optimize.minimize_scalar(
        lambda q: action(q, best_conjugate(q)), bounds=(0.05, 0.9), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    return found.fun


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
def test_spherical_capacity_is_gardners(margin):
    found = glm.storage_capacity(priors.Gaussian(), margin)
    np.testing.assert_allclose(found.capacity, gardner(margin), rtol=1e-10)


def test_spherical_capacity_is_where_the_volume_shrinks_to_a_point():
    """The closed form against the saddle of the potentials, close to q = 1."""
    capacity = float(glm.storage_capacity(priors.Gaussian(), 0.3).capacity)
    found = glm.storage_entropy(priors.Gaussian(), capacity * (1 - 1e-6), 0.3)
    assert 1 - float(found.overlap) < 1e-4
    beyond = glm.storage_entropy(priors.Gaussian(), capacity * 1.001, 0.3, throw=False)
    assert beyond.result == jaxsp.RESULTS.no_fixed_point
    with pytest.raises(jaxsp.SolverError):
        glm.storage_entropy(priors.Gaussian(), capacity * 1.001, 0.3)


@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_binary_capacity_is_where_an_independent_entropy_vanishes(margin):
    capacity = float(glm.storage_capacity(priors.Rademacher(), margin).capacity)
    assert abs(binary_entropy(capacity, margin)) < 1e-9


def test_binary_capacity_of_krauth_and_mezard():
    assert abs(float(glm.storage_capacity(priors.Rademacher()).capacity) - 0.833) < 5e-4


def test_entropy_against_scipy():
    found = glm.storage_entropy(priors.Rademacher(), 0.5, 0.2)
    np.testing.assert_allclose(found.entropy, binary_entropy(0.5, 0.2), atol=1e-10)


@pytest.mark.parametrize("prior", [priors.Gaussian(), priors.Rademacher()])
def test_entropy_without_labels_and_its_slope(prior):
    """s(0) counts all weights; ds/dalpha at 0 is log P(one label is stored); below the annealed bound."""
    start = np.log(2) if isinstance(prior, priors.Rademacher) else 0.0
    margin = 0.3
    np.testing.assert_allclose(glm.storage_entropy(prior, 0.0, margin).entropy, start, atol=1e-14)
    entropy = jax.vmap(lambda a: glm.storage_entropy(prior, a, margin).entropy)
    alphas = jnp.array([1e-3, 0.1, 0.3])
    annealed = start + alphas * special.log_ndtr(-margin)
    assert np.all(entropy(alphas) <= annealed)
    np.testing.assert_allclose(entropy(alphas)[0], annealed[0], atol=1e-5)


@pytest.mark.parametrize("prior", [priors.Gaussian(), priors.Rademacher()])
def test_gradient_in_the_margin(prior):
    def capacity(margin):
        return glm.storage_capacity(prior, margin).capacity

    h, margin = 1e-4, 0.3
    ends = [capacity(margin + s * h) for s in (-2, -1, 1, 2)]
    expected = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    both = jax.jit(jax.vmap(lambda k: (jax.grad(capacity)(k), jax.jacfwd(capacity)(k))))
    for slope in both(jnp.array([margin])):
        np.testing.assert_allclose(slope[0], expected, rtol=1e-7)


def test_single_precision():
    for prior in (priors.Gaussian(), priors.Rademacher()):
        low = glm.storage_capacity(prior, jnp.float32(0.2)).capacity
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, glm.storage_capacity(prior, 0.2).capacity, rtol=1e-4)


def test_bad_input():
    with pytest.raises(ValueError, match="Argument `alpha`"):
        glm.storage_entropy(priors.Gaussian(), -1.0)
    with pytest.raises(ValueError, match="Argument `margin`"):
        glm.storage_capacity(priors.Gaussian(), np.nan)
    with pytest.raises(ValueError, match="binary"):
        glm.storage_capacity(priors.Rademacher(bias=0.1))
