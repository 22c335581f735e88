"""Derivatives of free entropies and errors, forward and reverse, against finite differences; float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import committee, priors
from jaxsp.committee.fields import full_potential
from jaxsp.committee.model import prepare

GAUSSIAN = committee.CommitteeMachine(2, priors.Gaussian())


def numbers(alpha, start="broken", model=GAUSSIAN):
    found = committee.state_evolution(model, alpha, start, throw=False)
    return jnp.stack(
        [found.free_entropy, found.generalization_error, found.gibbs_error, found.q_d, found.q_a]
    )


def test_slopes_in_alpha_match_finite_differences_under_vmap():
    alpha, step = 3.0, 1e-4

    @jax.jit
    def all_of_them(alphas):
        return jax.vmap(lambda a: jax.jvp(numbers, (a,), (jnp.ones_like(a),)))(alphas)

    values, slopes = all_of_them(alpha + step * jnp.asarray([-1.0, 0.0, 1.0]))
    central = (values[2] - values[0]) / (2 * step)
    np.testing.assert_allclose(slopes[1], central, rtol=1e-6)
    # Stationarity: the free entropy's slope is the output's potential alone.
    overlap = committee.state_evolution(GAUSSIAN, alpha, "broken").overlap
    potential = full_potential(prepare(GAUSSIAN)[0], overlap, jnp.eye(2) - overlap, 14).potential
    np.testing.assert_allclose(slopes[1, 0], potential, rtol=1e-9)
    # Ordered as they must be: specialisation lowers the error.
    assert values[1, 1] < 2 * values[1, 2]


@pytest.mark.slow
def test_reverse_mode_and_the_priors_parameters():
    def of(parameters):
        alpha, sparsity = parameters
        model = committee.CommitteeMachine(2, priors.GaussBernoulli(sparsity))
        return numbers(alpha, "uninformed", model)[:3]

    point, step = jnp.asarray([1.2, 0.6]), 1e-4
    value = jax.jit(of)
    central = [(value(point + step * e) - value(point - step * e)) / (2 * step) for e in jnp.eye(2)]
    backward = jax.jit(jax.jacrev(of))(point)
    np.testing.assert_allclose(backward, np.stack(central, axis=1), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_slopes_of_binary_jump_thresholds_match_finite_differences():
    def of(bias):
        model = committee.CommitteeMachine(2, priors.Rademacher(bias=bias), order=8)
        th = committee.thresholds(model, throw=False)
        return jnp.stack([th.specialization, th.algorithmic, th.information_theoretic])

    both = jax.jit(lambda bias: jax.jvp(of, (bias,), (jnp.ones_like(bias),)))
    step = 1e-3
    (high, _), (low, _) = both(jnp.asarray(0.1 + step)), both(jnp.asarray(0.1 - step))
    central = (high - low) / (2 * step)
    np.testing.assert_allclose(both(jnp.asarray(0.1))[1], central, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(jax.jacrev(of))(jnp.asarray(0.1)), central, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("units", [2])
def test_slopes_of_the_specialisation_threshold_match_finite_differences(units):
    def of(bias):
        model = committee.CommitteeMachine(units, priors.Rademacher(bias=bias))
        return committee.specialization_threshold(model, throw=False)

    bias, step = jnp.asarray(0.1), 1e-4
    value = jax.jit(of)
    central = (value(bias + step) - value(bias - step)) / (2 * step)
    forward = jax.jit(lambda b: jax.jvp(of, (b,), (jnp.ones_like(b),))[1])(bias)
    np.testing.assert_allclose(forward, central, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(of))(bias), central, rtol=1e-6)


@pytest.mark.slow
def test_slopes_of_the_specialisation_threshold_in_the_noise_match_finite_differences():
    # Three units. At order 4 the slope, with the points at rest, is off by 4 per cent.
    def of(noise):
        output = committee.ReLUCommittee(noise, output_points=48)
        model = committee.CommitteeMachine(3, priors.Gaussian(), output, order=8)
        return committee.specialization_threshold(model, throw=False)

    noise, step = jnp.asarray(0.2), 1e-3
    along = jax.jit(lambda x: jax.lax.map(lambda b: jax.jvp(of, (b,), (jnp.ones_like(b),)), x))
    values, forward = along(noise + step * jnp.asarray([-1.0, 0.0, 1.0]))
    central = (values[2] - values[0]) / (2 * step)
    np.testing.assert_allclose(forward[1], central, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.grad(of))(noise), central, rtol=1e-5)


@pytest.mark.slow
def test_single_precision_is_finite_and_close():
    single = committee.CommitteeMachine(2, priors.Gaussian(variance=jnp.float32(1.0)))
    found = committee.state_evolution(single, jnp.float32(3.0), "broken", throw=False)
    assert found.q_d.dtype == jnp.float32
    expected = committee.state_evolution(GAUSSIAN, 3.0, "broken")
    for name in ("q_d", "q_a", "free_entropy", "generalization_error", "gibbs_error"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=2e-3)
    th = committee.thresholds(single, throw=False)
    np.testing.assert_allclose(th.specialization, 2.0523824, rtol=2e-3)
