"""Gaussian averages against other routes: nested quadrature, product rules, exact orthants."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import online
from jaxsp.online._orthants import four_steps

from . import reference

K = 2
U = np.array([1.0, -0.7, 0.4, 1.3, -0.5])


def covariance(n, scale=1.0):
    W = np.random.default_rng(n).normal(size=(n, 2 * n))
    return scale * W @ W.T / (2 * n)


def averages(unit, u=None):
    """All of them of a covariance, as one program: one by one they take much longer to compile."""

    def of(C):
        pairs = unit.products(C), unit.slopes(C, K), unit.curvatures(C, K)
        return pairs if u is None else (*pairs, unit.error_slopes(C, u, K))

    return jax.jit(of)


@pytest.mark.parametrize("unit", [online.Erf(), online.Linear()])
def test_pairs_agree_with_quadrature(unit):
    C = jnp.asarray(covariance(5))
    other = online.Custom(unit.__call__)
    for ours, theirs in zip(averages(unit)(C), averages(other)(C), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11)


def test_error_slopes_of_erf_against_a_product_rule_over_all_fields():
    """Small fields, for which Gauss-Hermite converges."""
    C = jnp.asarray(covariance(4, 0.1))
    u = jnp.asarray(U[:4])
    other = online.Custom(online.Erf().__call__)
    ours, theirs = (averages(unit, u)(C)[-1] for unit in (online.Erf(), other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("unit", ["Erf", "ReLU"])
def test_all_averages_against_the_reference(unit):
    C, n = covariance(5), 5
    theirs, ours = getattr(reference, unit)(), getattr(online, unit)()
    Cj, u = jnp.asarray(C), jnp.asarray(U)
    products, J, H, X = (np.asarray(x) for x in averages(ours, u)(Cj))
    i2 = [[theirs.i2(C, a, b) for b in range(n)] for a in range(n)]
    np.testing.assert_allclose(products, i2, atol=1e-14)
    for i in range(K):
        for b in range(n):
            assert abs(J[i, b] - theirs.j2(C, i, b)) < 1e-13
            for c in range(n):
                stein = H[i, c] * C[i, b] + J[i, c] * C[b, c]
                assert abs(stein - theirs.i3(C, i, b, c)) < 1e-13
    pairs = list(itertools.combinations_with_replacement(range(n), 2))
    for i, k in itertools.combinations_with_replacement(range(K), 2):
        want = sum((1 + (a != b)) * U[a] * U[b] * theirs.i4(C, i, k, a, b) for a, b in pairs)
        assert abs(X[i, k] - want) < 2e-9
        assert X[i, k] == X[k, i]


def test_orthants_of_four_fields():
    """1/16 without correlations, 1/5 at 1/2, 1/2 at one; scipy's cubature elsewhere."""
    equal = [jnp.full((4, 4), r).at[jnp.diag_indices(4)].set(1.0) for r in (0.0, 0.5, 1.0)]
    found = four_steps(jnp.stack(equal, axis=-1))
    np.testing.assert_allclose(found, [1 / 16, 1 / 5, 1 / 2], atol=1e-8)


def test_nearly_equal_fields_stay_precise():
    """Student units aligned with the teacher's up to rounding: the limit is a case with equal indices."""
    rng = np.random.default_rng(1)
    w, direction = rng.normal(size=(2, 6)) / 6**0.5, rng.normal(size=(2, 6))
    u = jnp.array([1.0, 1.0, -1.0, -0.5])

    @jax.jit
    def X(epsilon):
        both = jnp.concatenate([jnp.asarray(w), w + epsilon * direction])
        return online.ReLU().error_slopes(both @ both.T, u, 2)

    # Only the second unit's weight is left: 1 - 0.5 of it.
    C = w @ w.T
    left = reference.ReLU()
    limit = [[0.25 * left.i4(C, i, k, 1, 1) for k in range(2)] for i in range(2)]
    np.testing.assert_allclose(X(0.0), limit, atol=3e-7)
    np.testing.assert_allclose(X(1e-9), limit, atol=3e-7)


@pytest.mark.parametrize("unit", [online.Erf(), online.ReLU(), online.Custom(jnp.tanh)])
def test_gradients_with_respect_to_the_covariance(unit):
    C, direction = jnp.asarray(covariance(3)), jnp.asarray(covariance(3, 0.3))
    u = jnp.asarray(U[:3])

    @jax.jit
    def total(h):
        D = C + h * direction
        X = unit.error_slopes(D, u, K)
        return (
            (
                jnp.sum(unit.products(D))
                + jnp.sum(unit.slopes(D, K))
                + jnp.sum(unit.curvatures(D, K))
            )
            + X[0, 1]
            + X[0, 0]
        )

    h = 1e-5
    difference = (total(h) - total(-h)) / (2 * h)
    assert abs(jax.jit(jax.grad(total))(0.0) - difference) < 1e-7
    tangent = jax.jit(lambda: jax.jvp(total, (0.0,), (1.0,))[1])()
    assert abs(tangent - difference) < 1e-7


@pytest.mark.parametrize("unit", [online.Erf(), online.ReLU(), online.Custom(jnp.tanh)])
def test_float32_is_finite_where_fields_coincide(unit):
    C = jnp.ones((3, 3), jnp.float32)
    u = jnp.array([1.0, -0.5, -0.5], jnp.float32)
    X, slope = jax.jit(jax.value_and_grad(lambda C: jnp.sum(unit.error_slopes(C, u, 2))))(C)
    assert abs(X) < 1e-3
    assert jnp.all(jnp.isfinite(slope))
