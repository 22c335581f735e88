"""Random instances and the structured design."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from jaxsp import channels, glm, priors

MODEL = glm.GLM(priors.Rademacher(), channels.Sign())


def test_entries_have_variance_one_over_p():
    data = glm.sample_instance(MODEL, weights=200, samples=300, key=jax.random.key(0))
    assert data.X.shape == (300, 200)
    # The variance of 60000 entries is known to a relative sqrt(2 / 60000).
    assert abs(float(jnp.var(data.X)) * 200 - 1) < 5 * np.sqrt(2 / 60000)
    np.testing.assert_array_equal(data.y, jnp.where(data.X @ data.weights >= 0, 1.0, -1.0))
    assert set(np.unique(data.weights)) == {-1.0, 1.0}


def test_same_key_same_instance():
    one, two = (
        glm.sample_instance(MODEL, weights=20, samples=30, key=jax.random.key(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.X, two.X)


@pytest.mark.parametrize(("weights", "samples"), [(40, 60), (61, 30), (32, 32)])
def test_structured_design_is_its_matrix(weights, samples):
    X = glm.structured_design(weights, samples, key=jax.random.key(1))
    matrix = X.as_matrix()
    assert matrix.shape == (samples, weights)
    a, g = jnp.arange(float(weights)), jnp.arange(float(samples))
    np.testing.assert_allclose(X.mv(a), matrix @ a, atol=1e-11)
    np.testing.assert_allclose(X.T.mv(g), matrix.T @ g, atol=1e-11)
    np.testing.assert_allclose(lx.materialise(X).as_matrix(), matrix)
    assert X.T.in_size() == samples
    # The mean square of a row is one, as that of p entries of variance 1/p.
    np.testing.assert_allclose(jnp.sum(matrix**2) / samples, 1.0, rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_structured_design_has_the_gaussian_spectrum(ratio):
    """Moments of X^T X / p against those of the Marchenko-Pastur law, 1, 1 + 1/r, ..."""
    p = 512
    X = glm.structured_design(p, int(ratio * p), key=jax.random.key(2)).as_matrix()
    gram = X.T @ X
    moments = [jnp.trace(jnp.linalg.matrix_power(gram, k)) / p for k in (1, 2, 3)]
    a = ratio
    np.testing.assert_allclose(moments, [a, a + a**2, a + 3 * a**2 + a**3], rtol=5e-3)


def test_bad_sizes():
    with pytest.raises(ValueError, match="Argument `weights`"):
        glm.sample_instance(MODEL, weights=0, samples=3, key=jax.random.key(0))
    X = glm.structured_design(40, 60, key=jax.random.key(1))
    with pytest.raises(ValueError, match="Argument `design` must have shape \\(50, 40\\)"):
        glm.sample_instance(MODEL, weights=40, samples=50, key=jax.random.key(0), design=X)
