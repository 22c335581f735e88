"""The binary perceptron as a user would write it with numpy and scipy: the baseline of the timings.

One (alpha, noise) point: state evolution from both starts to 1e-10, and the free entropy of where each
ends. Integrals by `scipy.integrate.quad`, as in most scripts of papers.
"""

import numpy as np
from scipy import integrate, special


def normal(z):
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


def expectation(function):
    return integrate.quad(lambda z: normal(z) * function(z), -9, 9, epsabs=1e-12, limit=200)[0]


def overlap(m_hat):
    """E tanh(m_hat + sqrt(m_hat) z)."""
    return expectation(lambda z: np.tanh(m_hat + np.sqrt(m_hat) * z))


def conjugate(m, alpha, noise):
    """Alpha times the information of one label."""
    s = np.sqrt(1 - m + noise)

    def at(z):
        t = np.sqrt(m) * z / s
        return np.exp(-t * t - special.log_ndtr(t)) / (2 * np.pi)

    return 2 * alpha * expectation(at) / s**2


def free_entropy(m, m_hat, alpha, noise):
    prior = expectation(
        lambda z: np.logaddexp(m_hat + np.sqrt(m_hat) * z, -m_hat - np.sqrt(m_hat) * z) - np.log(2)
    )
    s = np.sqrt(1 - m + noise)

    def at(z):
        t = np.sqrt(m) * z / s
        return special.ndtr(t) * special.log_ndtr(t)

    channel = 2 * expectation(at)
    return prior - 0.5 * m_hat + alpha * channel - 0.5 * m * m_hat


def fixed_points(alpha, noise, tolerance=1e-10, max_steps=10000):
    """Overlap and free entropy that the iteration reaches from no and from full information."""
    found = []
    for m in (1e-6, 1 - 1e-6):
        for _ in range(max_steps):
            m_hat = conjugate(m, alpha, noise)
            new = overlap(m_hat)
            moved, m = abs(new - m), new
            if moved < tolerance:
                break
        found.append((m, free_entropy(m, m_hat, alpha, noise)))
    return found
