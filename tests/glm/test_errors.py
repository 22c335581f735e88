"""The error of the Bayes-optimal classifier against scipy's quadrature of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special

from jaxsp import channels, glm, priors
from jaxsp.glm.errors import classification_error
from jaxsp.numerics import log_ndtr, log_ndtr_difference

M, V, NOISE, CUTS = 0.6, 0.4, 0.3, (-0.4, 0.7)
PHI = scipy.special.ndtr


def ordered(y, z):
    """Three ordered classes of a field with unit noise."""
    low, high = CUTS[0] - z, CUTS[1] - z
    middle = log_ndtr_difference(low, high)
    return jnp.where(y == 0, log_ndtr(low), jnp.where(y == 1, middle, log_ndtr(-high)))


def logistic(omega, variance):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    z = omega + np.sqrt(variance) * nodes
    return [np.sum(weights * scipy.special.expit(s * z)) / np.sqrt(2 * np.pi) for s in (1, -1)]


def door(omega, variance, width=0.6744897501960817):
    s = np.sqrt(variance + NOISE)
    inside = PHI((width - omega) / s) - PHI((-width - omega) / s)
    return [inside, 1 - inside]


def classes(omega, variance):
    low, high = (PHI((cut - omega) / np.sqrt(variance + 1)) for cut in CUTS)
    return [low, high - low, 1 - high]


# The channel, and the probabilities of its labels written with scipy.
CASES = {
    "sign": (
        channels.Sign(NOISE),
        lambda omega, v: [PHI(s * omega / np.sqrt(v + NOISE)) for s in (1, -1)],
    ),
    "door": (channels.SymmetricDoor(NOISE), door),
    "door without walls": (
        channels.SymmetricDoor(NOISE, width=0.3),
        lambda omega, v: door(omega, v, 0.3),
    ),
    "logistic": (channels.Logistic(), logistic),
    "three classes": (channels.FromLogLikelihood(ordered, values=(0, 1, 2)), classes),
}


def by_definition(probabilities, m, v):
    """1 - E max_y Z(y): adaptive, told where the most probable label changes."""
    grid = np.linspace(-8, 8, 401)
    best = np.array([np.argmax(probabilities(np.sqrt(m) * x, v)) for x in grid])
    changes = []
    for i in np.flatnonzero(best[1:] != best[:-1]):

        def margin(x, before=best[i], after=best[i + 1]):
            p = probabilities(np.sqrt(m) * x, v)
            return p[after] - p[before]

        changes.append(scipy.optimize.brentq(margin, grid[i], grid[i + 1], xtol=1e-14))

    def wrong(x):
        density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
        return (1 - max(probabilities(np.sqrt(m) * x, v))) * density

    return scipy.integrate.quad(
        wrong, -9, 9, points=[0.0, *changes], epsabs=1e-12, epsrel=1e-12, limit=200
    )[0]


@pytest.mark.parametrize("name", CASES)
def test_classification_error_is_its_definition(name):
    channel, probabilities = CASES[name]
    model = glm.GLM(priors.Gaussian(), channel)

    @jax.jit
    def error_and_slope(m, v):
        return jax.value_and_grad(lambda v: classification_error(model, m, v, 32))(v)

    error, slope = error_and_slope(jnp.asarray(M), jnp.asarray(V))
    np.testing.assert_allclose(error, by_definition(probabilities, M, V), rtol=1e-8)
    step = 1e-4
    up, down = (by_definition(probabilities, M, V + s * step) for s in (1, -1))
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-5)
