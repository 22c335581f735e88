"""Covariances of inputs against samples, spectra and folds against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import inputs


@pytest.mark.parametrize(
    ("fold", "mean", "b", "c"),
    [
        (jnp.sign, 0.0, (2 / np.pi) ** 0.5, 1.0),
        (lambda u: jax.scipy.special.erf(u / 2**0.5), 0.0, np.pi**-0.5, 1 / 3),
        (lambda u: jnp.maximum(u, 0), (2 * np.pi) ** -0.5, 0.5, 0.5 - 1 / (2 * np.pi)),
    ],
)
def test_moments_of_folds_in_closed_form(fold, mean, b, c):
    found = jax.jit(lambda: inputs.fold_moments(fold))()
    np.testing.assert_allclose(found, (mean, b, c), atol=1e-12)


@pytest.mark.parametrize("ratio", [0.2, 0.9, 3.0])
def test_marchenko_pastur_moments(ratio):
    """Moments are Narayana polynomials; the mean of 1 / (1 + x) is the known Stieltjes transform."""
    law = inputs.marchenko_pastur(ratio)
    moments = [law.weights @ law.eigenvalues**k for k in range(4)]
    np.testing.assert_allclose(moments, [1, 1, 1 + ratio, 1 + 3 * ratio + ratio**2], rtol=1e-12)
    z = -1.0
    root = np.sqrt((z - 1 - ratio) ** 2 - 4 * ratio)
    stieltjes = ((1 - ratio - z) - root) / (2 * ratio * z)
    want = -stieltjes
    np.testing.assert_allclose(law.weights @ (1 / (1 + law.eigenvalues)), abs(want), rtol=1e-10)


LAWS = {
    "iid": inputs.GaussianInputs(6),
    "manifold": inputs.HiddenManifoldInputs(40, 15, jnp.tanh, key=jax.random.key(0)),
    "teacher on x": inputs.HiddenManifoldInputs(
        40, 15, jnp.tanh, key=jax.random.key(0), teacher_on_inputs=True
    ),
    "covariates": inputs.CovariateInputs(
        jnp.array([[2.0, 0.5], [0.5, 1.0]]), jnp.array([[0.3, -0.4]]), jnp.array([[0.7]])
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_covariances_are_those_of_samples(name):
    law, n = LAWS[name], 40_000
    x, latent = law.sample(jax.random.key(1), n)
    assert x.shape == (n, law.dimension)
    assert latent.shape == (n, law.latent_dimension)
    # Gaussian equivalence of the manifold holds up to 1 / D.
    slack = 5 / np.sqrt(n) * 2 + (0.02 if "iid" not in name and "cov" not in name else 0.0)
    np.testing.assert_allclose(x.T @ x / n, law.covariance, atol=slack)
    np.testing.assert_allclose(latent.T @ x / n, law.cross_covariance, atol=slack)
    np.testing.assert_allclose(latent.T @ latent / n, law.latent_covariance, atol=slack)


def test_covariances_from_data():
    x, latent = LAWS["covariates"].sample(jax.random.key(2), 500)
    law = inputs.CovariateInputs.from_data(x, latent[:, 0])
    np.testing.assert_allclose(law.Omega, np.cov(x.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(law.Psi[0, 0], np.var(latent), atol=1e-12)
    shrunk = inputs.CovariateInputs.from_data(x, latent[:, 0], shrinkage=1.0)
    np.testing.assert_allclose(shrunk.Omega, jnp.eye(2) * jnp.trace(law.Omega) / 2, atol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="`Omega` must be positive semidefinite, but the lowest"):
        inputs.CovariateInputs(jnp.diag(jnp.array([1.0, -0.1])), jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="together must be positive semidefinite"):
        inputs.CovariateInputs(jnp.eye(2), jnp.array([[0.9, 0.9]]))
    with pytest.raises(ValueError, match=r"`Omega` must have shape \(3, 3\)"):
        inputs.CovariateInputs(jnp.eye(2), jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="`Psi` must be symmetric"):
        inputs.CovariateInputs(jnp.eye(2), jnp.zeros((2, 2)), jnp.array([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="`dimension` must be a positive integer"):
        inputs.GaussianInputs(0)
    with pytest.raises(ValueError, match="`key` must be given"):
        inputs.HiddenManifoldInputs(4, 2)
    with pytest.raises(ValueError, match="`ratio` must be greater than"):
        inputs.marchenko_pastur(0.0)
