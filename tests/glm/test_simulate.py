"""Random instances and the sparse design."""

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


def test_sparse_design_is_its_matrix():
    X = glm.sparse_design(40, 60, entries=8, key=jax.random.key(1))
    matrix = X.as_matrix()
    assert matrix.shape == (60, 40)
    a, g = jnp.arange(40.0), jnp.arange(60.0)
    np.testing.assert_allclose(X.mv(a), matrix @ a, atol=1e-12)
    np.testing.assert_allclose(X.T.mv(g), matrix.T @ g, atol=1e-12)
    np.testing.assert_allclose(lx.materialise(X).as_matrix(), matrix)
    assert X.T.in_size() == 60


def test_sparse_rows_are_normalised():
    X = glm.sparse_design(2000, 500, entries=64, key=jax.random.key(1))
    fields = X.mv(jnp.ones(2000))
    assert abs(float(jnp.var(fields)) - 1) < 5 * np.sqrt(2 / 500)


def test_bad_sizes():
    with pytest.raises(ValueError, match="Argument `weights`"):
        glm.sample_instance(MODEL, weights=0, samples=3, key=jax.random.key(0))
    X = glm.sparse_design(40, 60, key=jax.random.key(1))
    with pytest.raises(ValueError, match="Argument `design` must have 50 rows"):
        glm.sample_instance(MODEL, weights=40, samples=50, key=jax.random.key(0), design=X)
