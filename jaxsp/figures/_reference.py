"""Independent computations that the reports compare with: scipy's adaptive quadrature, no JAX."""

import numpy as np
from scipy import integrate, optimize, special


def _sign_integral(f, ratio: float) -> float:
    """Integral of f(u) exp(-ratio u^2 / 2) over the real line, for an even f."""
    value, _ = integrate.quad(
        lambda u: f(u) * np.exp(-ratio * u * u / 2), 0, 40, epsabs=0, epsrel=1e-12, limit=400
    )
    return 2 * value


def _sign_information(V: float, noise: float = 0.0) -> float:
    ratio = (V + noise) / (1 - V)

    def density(u):
        return np.exp(-u * u - special.log_ndtr(u) - special.log_ndtr(-u)) / (2 * np.pi)

    return _sign_integral(density, ratio) * np.sqrt(ratio / (2 * np.pi)) / (V + noise)


def _sign_potential(V: float) -> float:
    ratio = V / (1 - V)

    def entropy(u):
        p, q = special.log_ndtr(u), special.log_ndtr(-u)
        return np.exp(p) * p + np.exp(q) * q

    return _sign_integral(entropy, ratio) * np.sqrt(ratio / (2 * np.pi))


def _binary_error(snr: float) -> float:
    value, _ = integrate.quad(
        lambda b: np.exp(-b * b / (2 * snr)) / np.cosh(b), 0, 60, epsabs=0, epsrel=1e-12, limit=400
    )
    return 2 * np.exp(-snr / 2) * value / np.sqrt(2 * np.pi * snr)


def _binary_information(snr: float) -> float:
    def log_cosh(x):
        return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)

    value, _ = integrate.quad(
        lambda z: np.exp(-z * z / 2) * log_cosh(snr + np.sqrt(snr) * z), -12, 12,
        points=[-np.sqrt(snr)], epsabs=0, epsrel=1e-12, limit=400,
    )  # fmt: skip
    return snr - value / np.sqrt(2 * np.pi)


def binary_perceptron_thresholds() -> tuple[float, float]:
    """Information-theoretic and algorithmic thresholds of the noiseless binary perceptron."""

    def alpha(snr):
        return snr / _sign_information(_binary_error(snr))

    peak = optimize.minimize_scalar(
        lambda x: -alpha(x), bounds=(1.0, 12.0), method="bounded", options={"xatol": 1e-9}
    )

    def gap(snr):
        V = _binary_error(snr)
        f = -_binary_information(snr) + V * snr / 2 + alpha(snr) * _sign_potential(V)
        return f + np.log(2)

    return alpha(optimize.brentq(gap, 0.5, peak.x, xtol=1e-13)), -peak.fun


def spherical_perceptron_coefficients() -> tuple[float, float]:
    r"""Limits of alpha times the Gibbs and the Bayes-optimal error of the spherical perceptron.

    At large alpha $F = K/\sqrt V$ and $V = 1/\hat m$, so $\sqrt V = 1/(K\alpha)$.
    """

    def density(u):
        return np.exp(-u * u - special.log_ndtr(u) - special.log_ndtr(-u)) / (2 * np.pi)

    K = _sign_integral(density, 0.0) / np.sqrt(2 * np.pi)
    return np.sqrt(2) / (np.pi * K), 1 / (np.pi * K)


def spherical_perceptron_error_variance(alpha: float) -> float:
    """V = 1 / (1 + snr) on the only branch of the spherical perceptron."""

    def gap(log_v):
        V = np.exp(log_v)
        return np.log((1 - V) / V) - np.log(alpha * _sign_information(V))

    root = optimize.root_scalar(gap, bracket=(np.log(1e-9), np.log(1 - 1e-4)), xtol=1e-15).root
    return float(np.exp(root))
