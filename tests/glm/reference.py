"""An independent implementation of a few models with scipy: other formulas, other quadrature.

Adaptive Gauss-Kronrod instead of graded panels, hand-written denoisers instead of autodiff, iteration
and bounded minimisation instead of the explicit curve.
"""

import numpy as np
from scipy import integrate, optimize, special

_SQRT_2PI = np.sqrt(2 * np.pi)


def gauss(f, points=None):
    """E f(z) over a standard normal by adaptive quadrature."""
    value, _ = integrate.quad(
        lambda z: np.exp(-z * z / 2) / _SQRT_2PI * f(z), -12, 12,
        points=points, epsabs=1e-14, epsrel=1e-13, limit=400,
    )  # fmt: skip
    return value


def rademacher_error(snr):
    """1 - E tanh^2 in the form without cancellation."""
    root = np.sqrt(snr)
    value, _ = integrate.quad(
        lambda b: np.exp(-b * b / (2 * snr)) / np.cosh(b), 0, 60, epsabs=0, epsrel=1e-12, limit=400,
        points=[1.0, 5.0],
    )  # fmt: skip
    return 2 * np.exp(-snr / 2) * value / (root * _SQRT_2PI)


def rademacher_information(snr):
    """I = snr - E log cosh(snr + sqrt(snr) z)."""

    def log_cosh(x):
        return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)

    kink = -np.sqrt(snr)
    points = [kink] if kink > -12 else None
    return snr - gauss(lambda z: log_cosh(snr + np.sqrt(snr) * z), points)


def sign_information(V, noise=0.0, rho=1.0):
    """F = E g^2 for the (noisy) sign, in units of the layer."""
    s2 = V + noise
    ratio = s2 / (rho - V)

    def integrand(u):
        log_both = special.log_ndtr(u) + special.log_ndtr(-u)
        return np.exp(-u * u - u * u * ratio / 2 - log_both)

    value, _ = integrate.quad(integrand, 0, 40, epsabs=0, epsrel=1e-13, limit=400)
    return 2 * value * np.sqrt(ratio) / s2 / (2 * np.pi) / _SQRT_2PI


def sign_entropy(V, noise=0.0, rho=1.0):
    """Phi_out = -E H(y | omega) for the (noisy) sign."""
    ratio = (V + noise) / (rho - V)

    def integrand(u):
        plus, minus = special.log_ndtr(u), special.log_ndtr(-u)
        entropy = np.exp(plus) * plus + np.exp(minus) * minus
        return entropy * np.exp(-u * u * ratio / 2)

    value, _ = integrate.quad(integrand, 0, 40, epsabs=0, epsrel=1e-13, limit=400)
    return 2 * value * np.sqrt(ratio) / _SQRT_2PI


class BinaryPerceptron:
    """Rademacher weights, sign outputs with noise."""

    def __init__(self, noise=0.0):
        self.noise = noise

    def alpha(self, snr):
        return snr / sign_information(rademacher_error(snr), self.noise)

    def free_entropy(self, snr):
        V = rademacher_error(snr)
        return (
            -rademacher_information(snr)
            + V * snr / 2
            + self.alpha(snr) * sign_entropy(V, self.noise)
        )

    def iterate(self, alpha, V, steps=2000):
        for _ in range(steps):
            new = rademacher_error(alpha * sign_information(V, self.noise))
            if abs(new - V) < 1e-15:
                break
            V = new
        return V

    def algorithmic(self):
        result = optimize.minimize_scalar(
            lambda x: -self.alpha(x), bounds=(1.0, 12.0), method="bounded", options={"xatol": 1e-9}
        )
        return -result.fun, result.x

    def information_theoretic(self):
        """Noiseless: where the uninformed branch's free entropy is that of perfect recovery, -log 2."""
        _, peak = self.algorithmic()
        snr = optimize.brentq(lambda x: self.free_entropy(x) + np.log(2), 0.5, peak, xtol=1e-13)
        return self.alpha(snr)


class SphericalPerceptron:
    """Gaussian weights, noiseless sign: V = 1 / (1 + snr)."""

    def error_variance(self, alpha):
        def gap(log_v):
            V = np.exp(log_v)
            return np.log((1 - V) / V) - np.log(alpha * sign_information(V))

        return np.exp(optimize.brentq(gap, np.log(1e-9), np.log(1 - 1e-4), xtol=1e-15, rtol=1e-15))


def marchenko_pastur_information(alpha, noise):
    """I / p of linear regression with Gaussian weights: (1/2) E log(1 + lambda / noise)."""
    low, high = (1 - np.sqrt(alpha)) ** 2, (1 + np.sqrt(alpha)) ** 2

    def integrand(t):
        # lambda = low + (high - low) sin^2: the square-root edges become smooth.
        lam = low + (high - low) * np.sin(t) ** 2
        density = (high - low) * np.sin(t) * np.cos(t) / (2 * np.pi * lam)
        return density * np.log1p(lam / noise) * 2 * (high - low) * np.sin(t) * np.cos(t)

    return 0.5 * integrate.quad(integrand, 0, np.pi / 2, epsabs=1e-14, epsrel=1e-13)[0]


def marchenko_pastur_error(alpha, noise):
    """MMSE of linear regression with Gaussian weights: V (1 + alpha / (V + noise)) = 1."""
    b = alpha + noise - 1
    return (-b + np.sqrt(b * b + 4 * noise)) / 2
