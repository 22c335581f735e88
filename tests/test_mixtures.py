"""Covariance functions against numpy's polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp.mixtures import Mixture


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_are_those_of_the_polynomial(order):
    mixture = Mixture((2, 3, 7), jnp.array([0.5, 0.25, 1.5]))
    exact = np.polynomial.Polynomial([0, 0, 0.5, 0.25, 0, 0, 0, 1.5]).deriv(order)
    x = jnp.linspace(-1.0, 1.0, 11).reshape(1, 11)
    np.testing.assert_allclose(mixture.derivative(x, order), exact(x), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_increments_have_the_digits_of_the_change(order):
    """Next to one, where the difference of two values has lost all of them: against a Taylor series."""
    mixture = Mixture((2, 3, 7), jnp.array([0.5, 0.25, 1.5]))
    exact = np.polynomial.Polynomial([0, 0, 0.5, 0.25, 0, 0, 0, 1.5])
    x, change = jnp.asarray(1.0), jnp.array([1e-20, -3e-13, 1e-7])
    series = sum(exact.deriv(order + k)(1.0) * change**k / [1, 1, 2, 6][k] for k in (1, 2, 3))
    np.testing.assert_allclose(mixture.increment(x, change, order), series, rtol=1e-14)
    far = mixture.increment(x, jnp.asarray(-1.7), order)
    np.testing.assert_allclose(far, exact.deriv(order)(-0.7) - exact.deriv(order)(1.0), rtol=1e-13)


def test_parts_and_gradients():
    def total(coefficients):
        return Mixture((2, 4), coefficients)(jnp.asarray(0.5))

    c = jnp.array([1.0, 2.0])
    parts = jnp.stack(Mixture((2, 4), c).terms(jnp.asarray(0.5)))
    np.testing.assert_allclose(parts, [0.25, 0.125])
    np.testing.assert_allclose(jax.grad(total)(c), [0.25, 0.0625])


@pytest.mark.parametrize(
    ("degrees", "coefficients", "name"),
    [
        ((1, 3), [1.0, 1.0], "degrees"),
        ((), [], "degrees"),
        ((3, 3), [1.0, 1.0], "degrees"),
        ((2, 3), [1.0, -1.0], "coefficients"),
        ((2, 3), [np.nan, 1.0], "coefficients"),
        ((2, 3), [1.0], "coefficients"),
    ],
)
def test_bad_input(degrees, coefficients, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        Mixture(degrees, jnp.asarray(coefficients, float))
