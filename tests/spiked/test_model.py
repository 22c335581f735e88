"""The model's covariance function, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import spiked


def test_covariance_is_that_of_the_paper():
    model = spiked.MatrixTensor(p=4, delta2=0.7, deltap=3.0)
    x = jnp.linspace(-1.0, 1.0, 7)
    np.testing.assert_allclose(model.covariance(x), x**2 / 1.4 + x**4 / 12, rtol=1e-14)


def test_limits_and_sums():
    one = jnp.asarray(1.0)
    assert float(spiked.spiked_wigner(0.5).covariance(one)) == 1.0
    assert float(spiked.MatrixTensor(3, jnp.inf, 2.0).covariance(one)) == 1 / 6
    both = spiked.MatrixTensor(p=(3, 5), delta2=1.0, deltap=(2.0, 4.0))
    np.testing.assert_allclose(both.covariance(one), 1 / 2 + 1 / 6 + 1 / 20)
    np.testing.assert_allclose(spiked.pure_p_spin(3)(jnp.asarray(0.5)), 0.5**3 / 2)


@pytest.mark.parametrize(
    ("p", "delta2", "deltap", "name"),
    [
        (1, 1.0, 1.0, "p"), (2, 1.0, 1.0, "p"), ((3, 3), 1.0, (1.0, 1.0), "p"),
        (3, 0.0, 1.0, "delta2"), (3, -1.0, 1.0, "delta2"), (3, np.nan, 1.0, "delta2"),
        (3, 1.0, 0.0, "deltap"), (3, 1.0, -2.0, "deltap"), ((3, 4), 1.0, (1.0,), "deltap"),
    ],
)  # fmt: skip
def test_bad_models(p, delta2, deltap, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        spiked.MatrixTensor(p=p, delta2=delta2, deltap=deltap)


@pytest.mark.parametrize("p", [1, 0, -3])
def test_bad_glass(p):
    with pytest.raises(ValueError, match="Argument `p`"):
        spiked.pure_p_spin(p)
