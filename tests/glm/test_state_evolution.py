"""State evolution against iteration by hand, and its limits against the explicit curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, glm, priors

from . import reference

BINARY = glm.GLM(priors.Rademacher(), channels.Sign())


def test_trajectory_against_scipy():
    alpha, V = 1.2, 0.7
    found = glm.state_evolution(BINARY, alpha, 1 - V, steps=6)
    for t in range(6):
        np.testing.assert_allclose(found.mean_squared_error_trajectory[t], V, rtol=1e-10)
        V = reference.rademacher_error(alpha * reference.sign_information(V))


@pytest.mark.parametrize("init", ["uninformed", "informed", 0.4, 0.99])
def test_limit_is_where_the_iteration_goes(init):
    """In the hard phase the start decides; the limit by the curve and by many steps agree."""
    found = glm.state_evolution(BINARY, 1.4, init, steps=400)
    np.testing.assert_allclose(found.trajectory[-1], found.overlap, atol=1e-9)
    assert found.iterations < 400
    recovered = float(found.overlap) > 0.99
    assert recovered == (init in ("informed", 0.99))


def test_algorithmic_threshold_separates_the_limits():
    threshold = float(glm.thresholds(BINARY).algorithmic)
    below = glm.state_evolution(BINARY, threshold - 1e-6)
    above = glm.state_evolution(BINARY, threshold + 1e-6)
    assert float(below.overlap) < 0.95
    assert float(above.overlap) == 1.0


def test_weak_recovery():
    """Phase retrieval stays at zero overlap below 1 / (2 E dg^2) = 1 / E_y [E(z^2 | y) - 1]^2."""
    model = glm.GLM(priors.Gaussian(), channels.AbsoluteValue(noise_variance=0.1))
    z, y = np.linspace(-9, 9, 1201), np.linspace(-3, 10, 1301)
    joint = np.exp(-0.5 * z**2 - (y[:, None] - np.abs(z)) ** 2 / 0.2)
    density = joint.sum(axis=1)
    threshold = density.sum() / np.sum(density * (joint @ z**2 / density - 1) ** 2)
    assert float(glm.state_evolution(model, 0.99 * threshold).overlap) == 0.0
    assert float(glm.state_evolution(model, 1.01 * threshold).overlap) > 1e-3


def error(alpha, noise):
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))
    return glm.state_evolution(model, alpha, steps=1).generalization_error


@jax.jit
def errors(alphas, noise):
    return jax.vmap(lambda a: error(a, noise))(alphas)


ALPHAS, NOISE = jnp.array([0.6, 1.1]), 0.05


def difference(move, h=1e-4):
    values = [move(s * h) for s in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)


def test_gradient_of_the_limit():
    """Implicit derivative against central differences, in reverse mode, under jit and vmap."""
    by_alpha = difference(lambda s: errors(ALPHAS + s, NOISE))
    by_noise = difference(lambda s: errors(ALPHAS, NOISE + s))
    reverse = jax.jit(jax.vmap(jax.grad(error, (0, 1)), (0, None)))(ALPHAS, NOISE)
    np.testing.assert_allclose(reverse[0], by_alpha, rtol=1e-6)
    np.testing.assert_allclose(reverse[1], by_noise, rtol=1e-6)


@pytest.mark.slow
def test_forward_derivative_of_the_limit():
    by_noise = difference(lambda s: errors(ALPHAS, NOISE + s))
    forward = jax.jit(jax.jacfwd(errors, 1))(ALPHAS, NOISE)
    np.testing.assert_allclose(forward, by_noise, rtol=1e-6)


def test_bad_start():
    with pytest.raises(ValueError, match="'uninformed', 'informed'"):
        glm.state_evolution(BINARY, 1.0, "uniformed")
    with pytest.raises(ValueError, match="Argument `init`"):
        glm.state_evolution(BINARY, 1.0, -0.5)
    with pytest.raises(ValueError, match="Argument `steps`"):
        glm.state_evolution(BINARY, 1.0, steps=0)
