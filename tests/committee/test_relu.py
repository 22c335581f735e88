"""Rectified linear units: integrals over the fields, the GLM, linear units, the arc-cosine kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import wofz

from jaxsp import channels, committee, priors
from jaxsp.committee.fields import full_potential, symmetric_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric

# Points are set, so that all slopes share a program.
POINTS = 64
RELU = committee.ReLUCommittee(noise_variance=0.2, output_points=POINTS)
OMEGA = jnp.asarray([0.4, -0.3, 0.1])
V = jnp.asarray([[0.7, -0.2, 0.1], [-0.2, 0.5, -0.1], [0.1, -0.1, 0.6]])


@jax.jit
def log_partitions(output, y, omega, covariance):
    return output.outcome_log_partitions(y, omega, covariance, 12, None)


def log_integral(output, y, omega, covariance):
    """Gauss-Legendre in each octant of the fields."""
    omega, covariance, units = np.asarray(omega), np.asarray(covariance), omega.size
    nodes, weights = np.polynomial.legendre.leggauss(40)
    rules = []
    for mean, variance in zip(omega, np.diag(covariance), strict=True):
        ends = np.array(
            [min(mean, 0.0) - 8.5 * variance**0.5, 0.0, max(mean, 0.0) + 8.5 * variance**0.5]
        )
        half, middle = 0.5 * np.diff(ends), 0.5 * (ends[1:] + ends[:-1])
        rules.append(
            ((middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel())
        )
    h = np.stack(np.meshgrid(*(rule[0] for rule in rules), indexing="ij"), axis=-1).reshape(
        -1, units
    )
    w = np.prod(
        np.stack(np.meshgrid(*(rule[1] for rule in rules), indexing="ij"), axis=-1), axis=-1
    )
    slope, noise = float(output.slope), float(output.noise_variance)
    away = y - float(output.readout) * np.where(h > 0, h, slope * h).sum(axis=1)
    exponent = away**2 / noise + np.einsum(
        "nk,kl,nl->n", h - omega, np.linalg.inv(covariance), h - omega
    )
    size = np.log(2 * np.pi * noise) + np.linalg.slogdet(2 * np.pi * covariance)[1]
    return np.log(w.ravel() @ np.exp(-0.5 * exponent)) - 0.5 * size


@pytest.mark.parametrize("units", [1, 2, 3])
@pytest.mark.parametrize(("slope", "readout"), [(0.0, 1.0), (-1.0, 0.6), (0.3, -1.2)])
def test_partition_function_matches_the_integral_over_the_fields(units, slope, readout):
    output = committee.ReLUCommittee(*map(jnp.asarray, (0.2, slope, readout)), POINTS)
    omega, covariance = OMEGA[:units], V[:units, :units]
    y = np.array([-1.3, 0.1, 0.9])
    found = log_partitions(output, jnp.asarray(y), omega, covariance)
    expected = [log_integral(output, value, omega, covariance) for value in y]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_slopes_of_the_partition_function_match_finite_differences():
    directions = jnp.asarray([0.5, 1.0, -0.7]), V @ V

    def value(t):
        output = committee.ReLUCommittee(0.2 + t[2], 0.1 + t[3], 1.0 + t[4], POINTS)
        moved = OMEGA + t[0] * directions[0], V + t[1] * directions[1]
        return output.log_partition(jnp.asarray(0.6), *moved)

    zero, step = jnp.zeros(5), 1e-4
    ends = jax.jit(jax.vmap(jax.value_and_grad(value)))(step * jnp.vstack([np.eye(5), -np.eye(5)]))
    central = [(end[:5] - end[5:]) / (2 * step) for end in ends]
    np.testing.assert_allclose(jax.jit(jax.grad(value))(zero), central[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(value))(zero), central[0], rtol=1e-6, atol=1e-8)
    hessian = jax.jit(jax.jacfwd(jax.grad(value)))(zero)
    np.testing.assert_allclose(hessian, central[1], rtol=1e-6, atol=1e-7)


def test_far_outputs_stay_finite_in_single_precision():
    y = jnp.asarray([-40.0, 0.0, 60.0], jnp.float32)
    omega, covariance = OMEGA.astype(jnp.float32), (1e-3 * V).astype(jnp.float32)
    relu = committee.ReLUCommittee(jnp.float32(0.2))
    both = jax.vmap(jax.value_and_grad(relu.log_partition, 1), (0, None, None))
    values, slopes = jax.jit(both)(y, omega, covariance)
    assert values.dtype == jnp.float32
    assert bool(jnp.all(jnp.isfinite(values)) & jnp.all(jnp.isfinite(slopes)))


@pytest.mark.parametrize("units", [1, 2, 3])
def test_units_of_slope_one_are_linear(units):
    output = committee.ReLUCommittee(*map(jnp.asarray, (0.2, 1.0, 0.7)), POINTS)
    linear = committee.LinearOutput(0.2, 0.7)
    y, omega, covariance = jnp.asarray([-1.0, 0.1, 2.0]), OMEGA[:units], V[:units, :units]
    expected = jax.vmap(lambda y: linear.log_partition(y, omega, covariance))(y)
    np.testing.assert_allclose(log_partitions(output, y, omega, covariance), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("slope", "channel"),
    [
        (0.0, channels.ReLU(noise_variance=0.2)),
        (0.3, channels.LeakyReLU(slope=0.3, noise_variance=0.2)),
        (-1.0, channels.AbsoluteValue(noise_variance=0.2)),
    ],
)
def test_one_unit_is_the_channel(slope, channel):
    output = committee.ReLUCommittee(*map(jnp.asarray, (0.2, slope, 1.0)), POINTS)
    y = jnp.asarray([-1.0, 0.1, 2.0])
    found = log_partitions(output, y, OMEGA[:1], V[:1, :1])
    expected = jax.vmap(lambda y: channel.log_partition(y, OMEGA[0], V[0, 0]))(y)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def arc_cosine_error(q, slope=0.0, noise=0.2):
    """E Var(y | omega) by the covariance of the outputs of two replicas (Cho and Saul, 2009)."""

    def kernel(c):
        return (np.sqrt(1 - c * c) + c * (np.pi / 2 + np.arcsin(c))) / (2 * np.pi)

    def covariance(c):
        return (1 + slope**2) * kernel(c) - 2 * slope * kernel(-c)

    return noise + np.sum(covariance(np.eye(len(q))) - covariance(np.asarray(q)))


@pytest.mark.slow
@pytest.mark.parametrize(("units", "order"), [(2, 6), (3, 10)])
def test_error_matches_the_arc_cosine_kernel(units, order):
    model = prepare(committee.CommitteeMachine(units, priors.Gaussian(), RELU))[0]
    q = jnp.asarray([0.3, 0.8])
    found = symmetric_potential(model, q, 1 - q, order)
    expected = arc_cosine_error(symmetric(q, units))
    np.testing.assert_allclose(found.squared_error, expected, rtol=1e-8)
    assert found.missing_probability < 1e-10


@pytest.mark.slow
def test_error_of_nearly_known_fields_and_of_little_noise_matches_the_arc_cosine_kernel():
    # Kinks are then narrow beside the law of the fields.
    for q, slope, noise in (([0.97, 0.97], 0.0, 1e-3), ([0.95, 0.98], -1.0, 0.2)):
        q = jnp.asarray(q)
        output = committee.ReLUCommittee(*map(jnp.asarray, (noise, slope, 1.0)), 128)
        model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), output))[0]
        found = symmetric_potential(model, q, 1 - q, 12)
        expected = arc_cosine_error(symmetric(q, 3), slope, noise)
        np.testing.assert_allclose(found.squared_error, expected, rtol=1e-6)
        assert found.missing_probability < 1e-10


@pytest.mark.slow
def test_full_matrix_of_nearly_known_fields_matches_the_arc_cosine_kernel():
    # To different degrees; units do not have to be alike.
    model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), RELU))[0]
    q = jnp.asarray([[0.97, 0.01, -0.01], [0.01, 0.9, 0.03], [-0.01, 0.03, 0.8]])
    found = full_potential(model, q, jnp.eye(3) - q, 8)
    np.testing.assert_allclose(found.squared_error, arc_cosine_error(q), rtol=1e-5)
    assert found.missing_probability < 1e-10


@pytest.mark.slow
def test_three_units_in_single_precision_match_the_arc_cosine_kernel():
    single = jnp.float32
    output = committee.ReLUCommittee(single(0.2), single(0.0), single(1.0), POINTS)
    prior = priors.Gaussian(mean=single(0.0), variance=single(1.0))
    model = committee.CommitteeMachine(3, prior, output)
    for pair in ([0.3, 0.8], [0.97, 0.97], [0.0, 0.5], [0.999, 0.999]):
        q = jnp.asarray(pair, jnp.float32)
        found = symmetric_potential(model, q, 1 - q, 8)
        assert found.squared_error.dtype == jnp.float32
        assert bool(jnp.all(jnp.isfinite(found.information)) & jnp.isfinite(found.potential))
        expected = arc_cosine_error(np.asarray(symmetric(q, 3), float))
        np.testing.assert_allclose(found.squared_error, expected, rtol=1e-4)


def test_outputs_too_few_for_the_noise_are_said_to_be():
    q = jnp.asarray([0.3, 0.8])
    output = committee.ReLUCommittee(*map(jnp.asarray, (1e-4, 0.0, 1.0)), POINTS)
    model = prepare(committee.CommitteeMachine(3, priors.Gaussian(), output))[0]
    found = symmetric_potential(model, q, 1 - q, 4)
    away = found.squared_error / arc_cosine_error(symmetric(q, 3), noise=1e-4) - 1
    assert abs(away) > 1e-3
    assert found.missing_probability > 0.5 * abs(away)


@pytest.mark.parametrize("noise", [1e-2, 1e-3])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_partition_function_of_little_noise_matches_characteristic_functions(slope, noise):
    """Independent fields: a Fourier integral of a product, each factor by Faddeeva's function."""
    omega, variances = np.asarray(OMEGA), np.array([0.7, 0.5, 0.6])
    y, k = np.array([-0.02, 0.3, 1.3]), np.linspace(0, 8.5 / np.sqrt(noise), 40_001)

    def half(mean, variance, k):
        # E exp(i k h) over the positive fields.
        z = (1j * mean - k * variance) / np.sqrt(2 * variance)
        return 0.5 * np.exp(-(mean**2) / (2 * variance)) * wofz(-z)

    waves = np.exp(-0.5 * noise * k**2 - 1j * np.outer(y, k))
    for mean, variance in zip(omega, variances, strict=True):
        waves = waves * (half(mean, variance, k) + half(-mean, variance, -slope * k))
    expected = (waves.sum(axis=1) - 0.5 * waves[:, 0]).real * k[1] / np.pi
    output = committee.ReLUCommittee(*map(jnp.asarray, (noise, slope, 1.0)), POINTS)
    found = log_partitions(output, jnp.asarray(y), OMEGA, jnp.diag(jnp.asarray(variances)))
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-6, atol=1e-6)


def test_refuses_more_units_and_no_noise():
    with pytest.raises(ValueError, match="`hidden_units` must be at most 3 for an output of ReLU"):
        committee.CommitteeMachine(4, priors.Gaussian(), RELU)
    with pytest.raises(ValueError, match="`noise_variance` must be greater than 0"):
        committee.ReLUCommittee(noise_variance=0.0)
