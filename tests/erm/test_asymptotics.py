"""Asymptotic errors of convex fits against closed forms, scipy's quadrature, and finite-size fits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special

from jaxsp import RESULTS, SolverError, channels, erm, inputs

ONE = jnp.ones(1)
ISOTROPIC = erm.TeacherModes(ONE, ONE, ONE, jnp.asarray(1.0), channels.Sign())


def ridge(rho, f2, weights, lam, alpha, square, slope):
    """V, q, m of ridge regression: a scalar root, then linear equations; E y^2 and E y nu / E nu^2."""
    rho, f2 = np.asarray(rho), np.asarray(f2)
    mean = lambda x: np.sum(weights * x)  # noqa: E731
    V = optimize.brentq(
        lambda V: V - mean(rho / (lam + alpha / (1 + V) * rho)), 1e-12, 1e6, xtol=1e-15, rtol=1e-15
    )
    hat = alpha / (1 + V)
    below = lam + hat * rho
    m_hat = hat * slope
    m = m_hat * mean(f2 / below)
    # q = a + b (E y^2 - 2 slope m + q)
    a = mean(rho * m_hat**2 * f2 / below**2)
    b = alpha / (1 + V) ** 2 * mean(rho**2 / below**2)
    q = (a + b * (square - 2 * slope * m)) / (1 - b)
    return V, q, m


CONVEX_SQUARE = erm.Convex(lambda y, z: 0.5 * (y - z) ** 2)
OWN_SQUARE = erm.FromProximal(
    function=lambda y, z: 0.5 * (y - z) ** 2,
    proximal=lambda y, omega, V: (omega + V * y) / (1 + V),
    kinks=lambda y, V: jnp.zeros(1),
)


@pytest.mark.parametrize(
    ("loss", "lam", "alpha"),
    [(erm.Square(), 0.1, 2.0), (OWN_SQUARE, 1e-3, 0.7), (CONVEX_SQUARE, 0.3, 1.3)],
)
def test_ridge_on_labels_in_closed_form(loss, lam, alpha):
    fit = erm.asymptotics(ISOTROPIC, loss=loss, regularization=lam, alpha=alpha, order=32)
    V, q, m = ridge([1.0], [1.0], [1.0], lam, alpha, 1.0, (2 / np.pi) ** 0.5)
    np.testing.assert_allclose(fit.overlaps, (V, q, m), rtol=1e-10)
    np.testing.assert_allclose(fit.test_error, np.arccos(m / q**0.5) / np.pi, rtol=1e-10)
    # A training field is (omega + V y) / (1 + V).
    train_loss = 0.5 * (1 - 2 * (2 / np.pi) ** 0.5 * m + q) / (1 + V) ** 2
    np.testing.assert_allclose(fit.train_loss, train_loss, rtol=1e-10)


def covariances(p=4, d=6):
    A = np.random.default_rng(0).normal(size=(p + d, 20)) / 20**0.5
    C = A @ A.T
    return C[:p, :p], C[:p, p:], C[p:, p:]


@pytest.mark.slow
def test_ridge_regression_on_any_covariances():
    Psi, Phi, Omega = covariances()
    theta = np.array([1.0, -0.5, 0.3, 2.0])
    model = erm.GaussianCovariates(
        Psi=Psi, Phi=Phi, Omega=Omega, teacher=theta, channel=channels.Linear(0.3)
    )
    fit = erm.asymptotics(model, loss=erm.Square(), regularization=0.05, alpha=1.5, order=32)
    variance = theta @ Psi @ theta / 4
    rho, U = np.linalg.eigh(Omega)
    f2 = 6 * (theta @ Phi @ U) ** 2 / 4
    V, q, m = ridge(rho, f2, 1 / 6, 0.05, 1.5, variance + 0.3, 1.0)
    np.testing.assert_allclose(fit.overlaps, (V, q, m), rtol=1e-10)
    error = variance + 0.3 + q - 2 * m
    np.testing.assert_allclose(fit.test_error, error, rtol=1e-10)
    np.testing.assert_allclose(fit.train_error, error / (1 + V) ** 2, rtol=1e-10)


def logistic_averages(V, q, m):
    """-E dg, E g^2, E g g0 for sign labels by adaptive quadrature in omega, with the prox by Newton."""
    left = 1 - m**2 / q

    def at(omega):
        z = optimize.brentq(
            lambda z: z - omega - V * special.expit(-z), omega, omega + V, xtol=1e-14
        )
        g = special.expit(-z)
        curve = g * (1 - g)
        mu = m / q * omega
        density = np.exp(-(omega**2) / (2 * q)) / np.sqrt(2 * np.pi * q)
        tail = special.ndtr(mu / left**0.5)
        edge = np.exp(-(mu**2) / (2 * left)) / np.sqrt(2 * np.pi * left)
        values = (curve / (1 + V * curve) * tail, g**2 * tail, g * edge)
        return np.array(values) * density

    root = q**0.5
    breaks = [x for x in (-V, -V / 2, 0.0, 10.0) if abs(x) < 9 * root]
    points = [-9 * root, *breaks, 9 * root]
    parts = [
        integrate.quad_vec(at, a, b, epsabs=1e-14, epsrel=1e-11, limit=2000)[0]
        for a, b in itertools.pairwise(points)
    ]
    # Both labels give the same.
    return 2 * sum(parts)


@pytest.mark.parametrize(("lam", "alpha"), [(1e-4, 2.0), (1e-2, 0.5)])
def test_logistic_solves_its_equations_by_another_quadrature(lam, alpha):
    """Newton's correction from scipy's residual at our solution is below 1e-8 of it."""
    fit = erm.asymptotics(ISOTROPIC, erm.Logistic(), lam, alpha, order=32)

    def residual(x):
        V, q, m = x
        v_hat, q_hat, m_hat = alpha * logistic_averages(V, q, m)
        below = lam + v_hat
        return np.array(
            [V * below - 1, q * below**2 / (q_hat + m_hat**2) - 1, m * below / m_hat - 1]
        )

    x = np.array(fit.overlaps)
    slope = np.stack(
        [(residual(x + h) - residual(x - h)) / (2 * h.sum()) for h in np.diag(1e-4 * x)], axis=1
    )
    correction = np.linalg.solve(slope, residual(x))
    assert np.max(np.abs(correction / x)) < 1e-8
    np.testing.assert_allclose(fit.test_error, np.arccos(x[2] / x[1] ** 0.5) / np.pi, rtol=1e-9)


@pytest.mark.slow
def test_logistic_regression_on_a_hidden_manifold_against_finite_fits():
    """scikit-learn at d of about 1000: folded inputs against the Gaussian theory of their covariances."""
    from sklearn.linear_model import LogisticRegression

    d, D, n, lam, runs = 800, 400, 2400, 0.1, 8
    theory = erm.asymptotics(
        erm.hidden_manifold(inputs.HiddenManifoldLimit(0.5)), erm.Logistic(), lam, n / d
    )
    test, train, loss = [], [], []
    for seed in range(runs):
        law = inputs.HiddenManifoldInputs(d, D, jnp.sign, key=jax.random.key(seed))
        theta = jax.random.normal(jax.random.key(100 + seed), (D,))
        x, u = (np.asarray(a) for a in law.sample(jax.random.key(200 + seed), n + 4000))
        y = np.sign(u @ np.asarray(theta))
        x = x / d**0.5
        fit = LogisticRegression(
            C=1 / lam, fit_intercept=False, solver="newton-cholesky", tol=1e-8
        ).fit(x[:n], y[:n])
        test.append(1 - fit.score(x[n:], y[n:]))
        train.append(1 - fit.score(x[:n], y[:n]))
        loss.append(np.mean(np.log1p(np.exp(-y[:n] * (x[:n] @ fit.coef_[0])))))
    for values, want in (
        (test, theory.test_error), (train, theory.train_error), (loss, theory.train_loss)
    ):  # fmt: skip
        error = np.std(values, ddof=1) / runs**0.5
        assert error < 0.06 * want
        assert abs(np.mean(values) - want) < 4 * error + 2 / d


class SmoothHinge(erm.Loss):
    """The hinge with its kink rounded over a width."""

    width: jax.Array

    def __call__(self, y, z):
        return self.width * jax.nn.softplus((1 - y * z) / self.width)

    def features(self, y):
        return y[None], self.width[None]


@pytest.mark.slow
def test_hinge_by_its_proximal_operator_against_a_smooth_one():
    """Smoothed hinges, which need no proximal operator, extrapolated to the sharp one.

    Their difference has a term of first order in the width: a finite fraction of the training fields
    lies on the kink. Three widths remove the terms of first and second order.
    """

    def smooth(width):
        return erm.asymptotics(ISOTROPIC, SmoothHinge(jnp.asarray(width)), 0.5, 1.5, order=64)

    sharp = erm.asymptotics(ISOTROPIC, erm.Hinge(), 0.5, 1.5, order=64)
    coarse, middle, fine = (smooth(width) for width in (0.02, 0.01, 0.005))

    def extrapolated(a, b, c):
        return (4 * (2 * c - b) - (2 * b - a)) / 3

    assert (
        abs(extrapolated(*(x.test_error for x in (coarse, middle, fine))) - sharp.test_error) < 1e-6
    )
    ours = jax.tree.map(extrapolated, *(x.overlaps for x in (coarse, middle, fine)))
    np.testing.assert_allclose(ours, sharp.overlaps, rtol=1e-5)


@pytest.mark.slow
def test_gradients():
    """Test error by regularisation and samples, forward and reverse, against finite differences."""
    x, h, direction = jnp.array([0.1, 2.0]), 1e-4, jnp.array([0.5, 1.0])

    def error(x):
        return erm.asymptotics(
            ISOTROPIC, erm.Logistic(), x[0], x[1], order=32, throw=False
        ).test_error

    difference = (error(x + h * direction) - error(x - h * direction)) / (2 * h)
    batch = jax.jit(jax.vmap(jax.grad(error)))(jnp.stack([x, x + 0.1]))
    assert abs(batch[0] @ direction - difference) < 1e-8
    assert abs(jax.jvp(error, (x,), (direction,))[1] - difference) < 1e-8


@pytest.mark.slow
def test_quadrature_says_when_it_is_not_precise():
    fit = erm.asymptotics(ISOTROPIC, erm.Logistic(), 1e-4, 2.0, order=6, throw=False)
    assert fit.result == RESULTS.inaccurate
    with pytest.raises(SolverError, match="quadrature error"):
        erm.asymptotics(ISOTROPIC, erm.Logistic(), 1e-4, 2.0, order=6)


def test_bad_input():
    Psi, Phi, Omega = covariances()
    theta = np.ones(4)
    with pytest.raises(ValueError, match="`regularization` must be greater than 0"):
        erm.asymptotics(ISOTROPIC, erm.Logistic(), 0.0, 1.0)
    with pytest.raises(ValueError, match="`alpha` must be greater than 0"):
        erm.asymptotics(ISOTROPIC, erm.Logistic(), 1.0, -1.0)
    with pytest.raises(ValueError, match="`Omega` must be positive semidefinite"):
        erm.GaussianCovariates(Psi, Phi, -Omega, theta)
    with pytest.raises(ValueError, match=r"`teacher` must have shape \(4,\)"):
        erm.GaussianCovariates(Psi, Phi, Omega, np.ones(6))
    with pytest.raises(ValueError, match="`channel` must have labels or be"):
        erm.GaussianCovariates(Psi, Phi, Omega, theta, channels.ReLU())
    with pytest.raises(ValueError, match="more than one value"):
        erm.GaussianCovariates.from_data(np.eye(3), np.ones(3))


def test_data_and_inputs():
    """From data: the moments of outputs and inputs; from inputs: those of their law."""
    law = inputs.CovariateInputs(*(covariances()[k] for k in (2, 1, 0)))
    x, u = law.sample(jax.random.key(0), 200)
    model = erm.GaussianCovariates.from_data(x, u[:, 0])
    np.testing.assert_allclose(model.teacher_variance, np.var(u[:, 0]), rtol=1e-12)
    cross = np.mean((x - x.mean(0)) * u[:, :1], axis=0)
    np.testing.assert_allclose(jnp.sum(model.squared_teacher), 6 * cross @ cross, rtol=1e-10)
    same = erm.GaussianCovariates.from_inputs(law, jnp.ones(4))
    np.testing.assert_allclose(same.teacher_variance, np.ones(4) @ law.Psi @ np.ones(4) / 4)
