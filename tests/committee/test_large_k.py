"""Many hidden units: scipy's minimisation of the free entropy, and thresholds of finite K."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special

from jaxsp import committee, priors
from jaxsp.committee.large_k import _large_k


def potential(Q):
    """Phi_out of the sign of a Gaussian field of overlap Q."""
    t = np.sqrt(Q / (1 - Q))

    def entropy(v):
        p = special.log_ndtr(t * v)
        return np.exp(-v * v / 2 + p) * p

    return 2 * integrate.quad(entropy, -12, 12, epsabs=1e-13, epsrel=1e-12)[0] / np.sqrt(2 * np.pi)


def overlap_of_sums(q):
    return 2 / np.pi * (1 - q + np.arcsin(q))


def test_gaussian_thresholds_match_scipys_extremisation():
    # At the transition the best q beats q = 0 for the first time: a minimum over q, and no stationarity.
    found = committee.large_k_thresholds()
    plain = potential(2 / np.pi)

    def needed(q):
        return -0.5 * (np.log1p(-q) + q) / (potential(overlap_of_sums(q)) - plain)

    best = optimize.minimize_scalar(
        needed, bounds=(0.6, 0.995), method="bounded", options={"xatol": 1e-7}
    )
    np.testing.assert_allclose(found.information_theoretic, best.fun, rtol=1e-8)
    np.testing.assert_allclose(found.overlap, best.x, atol=1e-5)
    # arXiv 1806.05451 prints 7.65 K: its equations give 0.4% more, by both routes.
    assert abs(float(found.information_theoretic) / 7.65 - 1) < 0.005

    def curve(q, step=1e-4):
        rise = potential(overlap_of_sums(q + step)) - potential(overlap_of_sums(q - step))
        return 0.5 * q / (1 - q) / (rise / (2 * step))

    lowest = optimize.minimize_scalar(
        curve, bounds=(0.5, 0.99), method="bounded", options={"xatol": 1e-6}
    )
    np.testing.assert_allclose(found.spinodal, lowest.fun, rtol=1e-6)
    assert np.isinf(found.algorithmic)


def test_binary_weights_jump_to_perfect_recovery():
    # All labels' entropy against that which the unspecialised fixed point cannot tell.
    found = committee.large_k_thresholds(priors.Rademacher())
    np.testing.assert_allclose(
        found.information_theoretic, -np.log(2) / potential(2 / np.pi), rtol=1e-9
    )
    assert found.spinodal == 0
    assert found.overlap == 1


def test_limit_over_k_squared_matches_scipy():
    found = committee.large_k_thresholds(priors.Rademacher())
    A = np.sqrt(2 / (np.pi - 2))

    def square(v):
        x = A * v
        density = np.exp(-0.5 * v * v - x * x) / (2 * np.pi) ** 1.5
        return x * x * density / (special.ndtr(x) * special.ndtr(-x))

    value = integrate.quad(square, -8, 8, epsrel=1e-12)[0]
    np.testing.assert_allclose(found.algorithmic_over_k_squared, 1 / value, rtol=1e-9)


@pytest.mark.slow
def test_slopes_in_the_priors_parameter_match_finite_differences():
    @jax.jit
    def at(sparsity):
        th = _large_k(priors.GaussBernoulli(sparsity))
        return jnp.stack([th.information_theoretic, th.spinodal])

    step = 1e-3
    central = (at(0.5 + step) - at(0.5 - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(at))(0.5), central, rtol=1e-5)


def test_refuses_a_prior_with_a_mean():
    with pytest.raises(ValueError, match="mean zero, but its mean is 0.5"):
        committee.large_k_thresholds(priors.Gaussian(mean=0.5))


@pytest.mark.slow
def test_instabilities_of_finite_k_tend_to_the_limit():
    # Odd K: corrections in powers of 1/K. A parabola through three of them, at 1/K = 0.
    units = np.array([9, 15, 25])
    ratios = [
        float(committee.specialization_threshold(
            committee.CommitteeMachine(int(k), priors.Gaussian()))) / k**2
        for k in units
    ]  # fmt: skip
    limit = np.polyval(np.polyfit(1 / units, ratios, 2), 0.0)
    expected = float(committee.large_k_thresholds().algorithmic_over_k_squared)
    np.testing.assert_allclose(limit, expected, rtol=5e-3)
