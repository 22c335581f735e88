"""u v^T: closed forms for Gaussian factors, scipy's fixed point for binary ones, AMP on instances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize

from jaxsp import SolverError, priors, spiked


def test_gaussian_factors():
    """m_u = (alpha - delta^2)/(alpha + delta), m_v = (alpha - delta^2)/(alpha (1 + delta)); BBP line."""
    solve = jax.jit(jax.vmap(lambda d, a: spiked.wishart_optimal(spiked.SpikedWishart(d, a))))
    delta, alpha = jnp.array([0.3, 0.8, 1.3, 1.6]), jnp.array([0.5, 1.0, 2.0, 2.0])
    found = solve(delta, alpha)
    gain = np.maximum(alpha - delta**2, 0)
    np.testing.assert_allclose(found.overlap_u, gain / (alpha + delta), rtol=1e-9)
    np.testing.assert_allclose(found.overlap_v, gain / (alpha * (1 + delta)), rtol=1e-9)
    np.testing.assert_allclose(found.mean_squared_error_u, 1 - found.overlap_u, rtol=1e-9)


@pytest.mark.slow
def test_binary_factor_and_the_derivative_of_the_information():
    delta, alpha = 0.6, 1.5
    found = spiked.wishart_optimal(spiked.SpikedWishart(delta, alpha, priors.Rademacher()))

    def binary(snr):
        f = lambda z: np.tanh(snr + np.sqrt(snr) * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return integrate.quad(f, -12, 12, epsabs=1e-14, limit=200)[0]

    exact = optimize.brentq(
        lambda m: m - binary(alpha / delta * m / (delta + m)), 0.1, 1, xtol=1e-14
    )
    np.testing.assert_allclose(found.overlap_u, exact, rtol=1e-9)

    def information(snr):
        model = spiked.SpikedWishart(1 / snr, alpha, priors.Rademacher())
        return spiked.wishart_optimal(model, throw=False).mutual_information

    slope = jax.jit(jax.grad(information))(1 / delta)
    exact = alpha / 2 * (1 - found.overlap_u * found.overlap_v)
    np.testing.assert_allclose(slope, exact, rtol=1e-8)
    h = 1e-4
    central = (information(1 / delta + h) - information(1 / delta - h)) / (2 * h)
    np.testing.assert_allclose(slope, central, rtol=1e-7)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_amp_follows_state_evolution(delta):
    model = spiked.SpikedWishart(delta, 1.5, priors.Rademacher())
    start, instances, steps = 0.3, 8, 12

    @jax.jit
    def overlaps(keys):
        def one(key):
            first, second = jax.random.split(key)
            data = spiked.sample_wishart(model, size=500, key=first)
            noise = jax.random.normal(second, data.v.shape)
            init = start * data.v + (start - start**2) ** 0.5 * noise
            run = spiked.wishart_amp(
                model, data, init, max_steps=steps, tolerance=1e-12, throw=False
            )
            return run.overlap_u_trajectory, run.overlap_v_trajectory

        return jax.lax.map(one, keys)

    found = overlaps(jax.random.split(jax.random.key(0), instances))
    theory = spiked.wishart_state_evolution(model, start, steps=steps)
    for ours, exact in zip(map(np.asarray, found), theory, strict=True):
        error = ours.std(axis=0, ddof=1) / np.sqrt(instances)
        for t in (1, 2, steps):
            assert abs(ours[:, t].mean() - exact[t]) < 4 * error[t] + 5 / 500
    end = spiked.wishart_state_evolution(model, start, steps=2000)[0][-1]
    np.testing.assert_allclose(end, spiked.wishart_optimal(model).overlap_u, atol=1e-8)


def test_failures_and_bad_input():
    model = spiked.SpikedWishart(0.5, 1.0)
    data = spiked.sample_wishart(model, size=40, key=jax.random.key(0))
    with pytest.raises(SolverError):
        spiked.wishart_amp(model, data, 0.1 * data.v, max_steps=1)
    with pytest.raises(ValueError, match="Argument `init`"):
        spiked.wishart_amp(model, data, jnp.zeros(41))
    with pytest.raises(ValueError, match="Argument `delta`"):
        spiked.SpikedWishart(0.0, 1.0)
    with pytest.raises(ValueError, match="Argument `ratio`"):
        spiked.SpikedWishart(1.0, -1.0)
    with pytest.raises(ValueError, match="Argument `size`"):
        spiked.sample_wishart(model, size=0, key=jax.random.key(0))
