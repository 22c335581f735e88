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
