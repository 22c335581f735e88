"""Quadrant probabilities against mpmath's quadrature of their definition and scipy's bivariate normal."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxsp.committee._orthant import log_quadrants

quadrants = jax.jit(jax.vmap(log_quadrants))


def log_first_quadrant(a, b, kappa):
    """The one-dimensional integral over the first entry, at forty digits."""
    with mp.workdps(40):
        a, b, kappa = map(mp.mpf, (a, b, kappa))
        rho, s = (kappa**2 - 1) / (kappa**2 + 1), 2 * kappa / (1 + kappa**2)

        def density(z):
            return mp.npdf(z) * mp.ncdf((b + rho * z) / s)

        # Cut finely: the step may be narrow and far out.
        edges = [-a + mp.mpf(j) / 8 for j in range(120)] + [-a + 60]
        return float(mp.log(mp.quad(density, edges)))


@pytest.mark.parametrize(
    ("a", "b", "kappa"),
    [
        (0.3, -0.2, 1.4), (2.0, 1.0, 0.05), (-4.0, 5.0, 0.3), (-6.0, -5.0, 2.0), (-3.0, -9.0, 0.7),
        # Means that are next to alike, or to opposite.
        (0.9, 0.9 + 1e-8, 0.8), (-22.8, 22.8 + 1e-12, 2.7), (-0.4, -0.4, 3.0),
    ],
)  # fmt: skip
def test_matches_high_precision_quadrature_in_the_tails(a, b, kappa):
    point = tuple(jnp.asarray([x]) for x in (a, b, kappa))
    expected = log_first_quadrant(a, b, kappa)
    np.testing.assert_allclose(quadrants(*point)[0, 0], expected, rtol=3e-12, atol=3e-12)


def test_probabilities_sum_to_one_and_match_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200)) * 2
    kappa = np.exp(rng.normal(size=200))
    found = np.exp(quadrants(a, b, kappa))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    for row in range(5):
        rho = (kappa[row] ** 2 - 1) / (kappa[row] ** 2 + 1)
        law = multivariate_normal(cov=[[1, rho], [rho, 1]])
        np.testing.assert_allclose(found[row, 0], law.cdf([a[row], b[row]]), atol=1e-8)


def test_derivatives_match_finite_differences():
    x = jnp.asarray([0.7, -1.1, 0.6])

    def f(x):
        return log_quadrants(*x)

    def hessian(x):
        return jax.jacrev(jax.jacfwd(f))(x)

    step = 1e-5
    moves = step * jnp.eye(3)
    central = jax.jit(jax.vmap(lambda e: (f(x + e) - f(x - e)) / (2 * step)))(moves)
    second = jax.jit(
        jax.vmap(lambda e: (jax.jacfwd(f)(x + e) - jax.jacfwd(f)(x - e)) / (2 * step))
    )(moves)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(f))(x), central.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        jax.jit(hessian)(x), jnp.moveaxis(second, 0, -1), rtol=1e-7, atol=1e-9
    )


def test_far_tails_stay_finite_in_single_precision():
    x = jnp.asarray([-40.0, 30.0, 40.0], jnp.float32)
    values, slopes = jax.vmap(
        lambda a: jax.jvp(
            lambda a: log_quadrants(a, jnp.float32(-25.0), jnp.float32(0.3)), (a,), (a,)
        )
    )(x)
    assert values.dtype == jnp.float32
    assert bool(jnp.all(jnp.isfinite(values)) & jnp.all(jnp.isfinite(slopes)))
