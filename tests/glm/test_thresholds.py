"""Thresholds against independent computations, closed forms and the literature; their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, glm, priors

from . import reference


def probit(noise):
    return glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))


@jax.jit
def probit_thresholds(noise):
    return glm.thresholds(probit(noise))


@pytest.fixture(scope="module")
def binary():
    return glm.thresholds(glm.GLM(priors.Rademacher(), channels.Sign()))


def test_binary_perceptron(binary):
    """Gyorgyi (1990) 1.245 and 1.493; eight digits by an independent scipy computation.

    arXiv 1708.03395 quotes 1.249 for the first one: both routes here exclude it.
    """
    model = reference.BinaryPerceptron()
    np.testing.assert_allclose(binary.algorithmic, model.algorithmic()[0], rtol=1e-9)
    np.testing.assert_allclose(
        binary.information_theoretic, model.information_theoretic(), rtol=1e-9
    )
    assert abs(float(binary.algorithmic) - 1.493) < 5e-4
    assert abs(float(binary.information_theoretic) - 1.245) < 5e-4
    assert not binary.exists.weak_recovery
    # Perfect recovery is a stable fixed point at every alpha: that branch never ends.
    assert not binary.exists.informative_spinodal
    low, high = binary.hard_phase
    assert float(low) == float(binary.information_theoretic)
    assert float(high) == float(binary.algorithmic)


@pytest.mark.parametrize("noise", [1e-3, 0.012])
def test_probit_spinodals_against_scipy(noise):
    from scipy import optimize

    found = probit_thresholds(noise)
    model = reference.BinaryPerceptron(noise)
    peak = model.algorithmic()
    np.testing.assert_allclose(found.algorithmic, peak[0], rtol=1e-9)
    valley = optimize.minimize_scalar(
        model.alpha, bounds=(peak[1], 40.0), method="bounded", options={"xatol": 1e-9}
    )
    np.testing.assert_allclose(found.informative_spinodal, valley.fun, rtol=1e-9)

    def stable(alpha, low, high):
        return optimize.brentq(lambda x: model.alpha(x) - alpha, low, high, xtol=1e-13)

    def gap(alpha):
        return model.free_entropy(stable(alpha, valley.x, 400.0)) - model.free_entropy(
            stable(alpha, 0.05, peak[1])
        )

    margin = 1e-3 * (peak[0] - valley.fun)
    transition = optimize.brentq(gap, valley.fun + margin, peak[0] - margin, xtol=1e-12)
    np.testing.assert_allclose(found.information_theoretic, transition, rtol=1e-8)


def test_no_transition_above_the_critical_noise():
    found = probit_thresholds(0.1)
    assert not found.exists.algorithmic
    assert not found.exists.information_theoretic
    assert np.isinf(found.algorithmic)
    assert np.all(np.isinf(jnp.stack(found.hard_phase)))
    assert "does not exist" in str(found)


def test_spherical_perceptron_has_no_thresholds():
    found = glm.thresholds(glm.GLM(priors.Gaussian(), channels.Sign()))
    assert not any(jax.tree.leaves(found.exists))


def test_critical_end_point():
    """The end of the first-order line: alpha' = alpha'' = 0, by finite differences of the reference."""
    from scipy import optimize

    end = glm.critical_point(probit, 0.01, 0.03)

    def smallest_slope(noise):
        model = reference.BinaryPerceptron(noise)
        h = 2e-3

        def slope(x):
            grid = [np.log(model.alpha(np.exp(x + k * h))) for k in (-2, -1, 1, 2)]
            return (grid[0] - 8 * grid[1] + 8 * grid[2] - grid[3]) / (12 * h)

        low = optimize.minimize_scalar(
            slope, bounds=(0.8, 3.0), method="bounded", options={"xatol": 1e-7}
        )
        return low.fun

    parameter = optimize.brentq(smallest_slope, 0.012, 0.025, xtol=1e-9)
    np.testing.assert_allclose(end.parameter, parameter, rtol=1e-6)
    alpha = reference.BinaryPerceptron(float(end.parameter)).alpha(float(end.conjugate_overlap))
    np.testing.assert_allclose(end.alpha, alpha, rtol=1e-9)
    # On either side of it: two spinodals, none.
    assert probit_thresholds(float(end.parameter) - 1e-5).exists.algorithmic
    assert not probit_thresholds(float(end.parameter) + 1e-5).exists.algorithmic


@pytest.mark.parametrize(
    "name",
    [
        # An extremum of the curve as the other spinodal.
        pytest.param("algorithmic", marks=pytest.mark.slow),
        "information_theoretic",
        "informative_spinodal",
    ],
)
def test_gradients_of_thresholds(name):
    """d threshold / d noise variance by central differences, reverse and forward, jitted and batched."""

    def value(noise):
        return getattr(glm.thresholds(probit(noise)), name)

    h, noise = 2e-6, 0.01
    ends = [getattr(probit_thresholds(noise + s * h), name) for s in (-2, -1, 1, 2)]
    expected = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    both = jax.jit(jax.vmap(lambda n: (jax.grad(value)(n), jax.jvp(value, (n,), (1.0,))[1])))
    reverse, forward = both(jnp.array([noise]))
    np.testing.assert_allclose(reverse[0], expected, rtol=1e-6)
    np.testing.assert_allclose(forward[0], expected, rtol=1e-6)


def test_phase_retrieval():
    """Weak recovery 1/2 (Mondelli and Montanari 2019), perfect recovery at 1 and, for AMP, 1.13."""
    found = glm.thresholds(glm.GLM(priors.Gaussian(), channels.AbsoluteValue()))
    np.testing.assert_allclose(found.weak_recovery, 0.5, rtol=1e-9)
    np.testing.assert_allclose(found.information_theoretic, 1.0, rtol=1e-10)
    # The maximum of alpha(snr), with the channel's integral by adaptive quadrature.
    np.testing.assert_allclose(found.algorithmic, phase_retrieval_spinodal(), rtol=1e-7)
    assert abs(float(found.algorithmic) - 1.13) < 5e-3


def phase_retrieval_spinodal():
    """F = E[(y tanh(y w / V) - w)^2] / V^2 with w = sqrt(1 - V) v and y = |w + sqrt(V) u|."""
    from scipy import integrate, optimize

    def information(V):
        s = np.sqrt(V)

        def inner(w):
            def f(u):
                z = w + s * u
                g = (z * np.tanh(z * w / V) - w) / V
                return np.exp(-u * u / 2) * g * g

            return integrate.quad(f, -9, 9, points=[-w / s] if abs(w / s) < 9 else None,
                                  epsabs=1e-11, epsrel=1e-10, limit=200)[0]  # fmt: skip

        scale = np.sqrt(1 - V)
        total = integrate.quad(
            lambda v: np.exp(-v * v / 2) * inner(scale * v), 0, 9, epsabs=1e-10, epsrel=1e-9, limit=200,
            points=[s / scale, 5 * s / scale],
        )[0]  # fmt: skip
        return 2 * total / (2 * np.pi)

    result = optimize.minimize_scalar(
        lambda x: -np.exp(x) / information(1 / (1 + np.exp(x))), bounds=(1.0, 4.0), method="bounded",
        options={"xatol": 1e-4},
    )  # fmt: skip
    return -result.fun


@pytest.mark.slow
def test_symmetric_door_with_gaussian_weights():
    """Recovery sets in continuously where 1/alpha = 16 K^2 phi(K)^2, and without a jump above."""
    width = 0.6744897501960817
    density = np.exp(-0.5 * width**2) / np.sqrt(2 * np.pi)
    found = glm.thresholds(glm.GLM(priors.Gaussian(), channels.SymmetricDoor()))
    np.testing.assert_allclose(found.weak_recovery, 1 / (16 * (width * density) ** 2), rtol=1e-9)
    assert not found.exists.algorithmic
    assert not found.exists.information_theoretic
    assert not found.exists.informative_spinodal


@pytest.mark.slow
def test_symmetric_door():
    """m leaves 0 continuously near 1.36 and jumps to 1 near 1.57; counting gives 1 (arXiv 1708.03395)."""
    found = glm.thresholds(glm.GLM(priors.Rademacher(), channels.SymmetricDoor()))
    # P(out) = P(in) = 1/2 at K: F = m E[Z (dg)^2] = m (2 K phi(K))^2 / (1/4).
    K = 0.6744897501960817
    density = np.exp(-K * K / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found.weak_recovery, 1 / (4 * K * density) ** 2, rtol=1e-10)
    assert abs(float(found.weak_recovery) - 1.36) < 1e-2
    assert abs(float(found.algorithmic) - 1.57) < 1e-2
    np.testing.assert_allclose(found.information_theoretic, 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("channel", "dimension"),
    [(channels.Linear(), 1.0), (channels.ReLU(), 0.5), (channels.LeakyReLU(slope=0.5), 1.0)],
)
def test_noiseless_information_theoretic_threshold_counts_dimensions(channel, dimension):
    """Gaussian weights: one informative output a weight (Wu and Verdu 2012; 2 for ReLU, 1708.03395)."""
    found = glm.thresholds(glm.GLM(priors.Gaussian(), channel))
    np.testing.assert_allclose(found.information_theoretic, 1 / dimension, rtol=1e-12)
    assert found.algorithmic >= found.information_theoretic * (1 - 1e-12)
