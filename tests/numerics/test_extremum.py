"""Extrema and stationary points, and the envelope theorem at them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsp.numerics import RESULTS, bracketed_extremum, stationary_point


def test_minimum_and_maximum():
    """To rounding, where comparing values would stop at 1e-8."""
    for ends, place in (((2.0, 4.0), np.pi), ((-1.0, 1.0), 0.0), ((7.0, 6.0), 2 * np.pi)):
        out = bracketed_extremum(jnp.cos, *ends)
        assert abs(out.value - place) < 4e-15
        assert out.residual < 4e-15
        assert out.result == RESULTS.successful


def test_monotone_function_has_none():
    assert bracketed_extremum(jnp.exp, 0.0, 1.0).result == RESULTS.not_bracketed


def free_energy(theta, m):
    """Mean-field Ising: its minima solve m = tanh(theta m)."""
    return 0.5 * theta * m**2 - jnp.log(2 * jnp.cosh(theta * m))


def test_extremum_of_a_free_energy():
    def magnetisation(theta):
        return bracketed_extremum(lambda m: free_energy(theta, m), 0.1, 1.0).value

    theta, h = 1.7, 1e-3
    m = magnetisation(theta)
    np.testing.assert_allclose(m, jnp.tanh(theta * m), rtol=1e-14)
    values = [float(magnetisation(theta + k * h)) for k in (-2, -1, 1, 2)]
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    np.testing.assert_allclose(jax.grad(magnetisation)(theta), slope, rtol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(magnetisation)(theta), slope, rtol=1e-9)


def test_envelope_theorem():
    """The derivative of the extremal value does not see the extremiser; the second one does."""

    def value(theta):
        m = bracketed_extremum(lambda m: free_energy(theta, m), 0.1, 1.0).value
        return free_energy(theta, m)

    theta, h = 1.7, 1e-3
    m = bracketed_extremum(lambda m: free_energy(theta, m), 0.1, 1.0).value
    np.testing.assert_allclose(jax.grad(value)(theta), jax.grad(free_energy)(theta, m), rtol=1e-12)
    slopes = [float(jax.grad(value)(theta + k * h)) for k in (-2, -1, 1, 2)]
    second = (slopes[0] - 8 * slopes[1] + 8 * slopes[2] - slopes[3]) / (12 * h)
    np.testing.assert_allclose(jax.grad(jax.grad(value))(theta), second, rtol=1e-8)


def test_saddle_point():
    """sup over m, inf over the conjugate: m = tanh(mhat), mhat = theta m as a two-variable saddle."""

    def potential(theta, point):
        m, conjugate = point
        return jnp.log(jnp.cosh(conjugate)) - m * conjugate + 0.5 * theta * m**2

    def solve(theta):
        return stationary_point(lambda p: potential(theta, p), (0.8, 1.2))

    theta = 1.7
    out = solve(theta)
    m, conjugate = out.value
    np.testing.assert_allclose(conjugate, theta * m, rtol=1e-13)
    np.testing.assert_allclose(m, jnp.tanh(conjugate), rtol=1e-13)
    assert out.result == RESULTS.successful
    expected = jax.grad(lambda t: bracketed_extremum(lambda m: free_energy(t, m), 0.1, 1.0).value)(
        theta
    )
    np.testing.assert_allclose(jax.grad(lambda t: solve(t).value[0])(theta), expected, rtol=1e-11)


def test_integer_starts():
    out = stationary_point(lambda p: (p[0] - 1.5) ** 2 + (p[0] - p[1]) ** 2, (1, 2))
    np.testing.assert_allclose(out.value, (1.5, 1.5), rtol=1e-14)
