"""The theory once more, in numpy and mpmath, straight from the papers' formulas."""

import mpmath as mp
import numpy as np
from scipy import integrate


def exact_overlaps(p, delta2, deltap):
    """All roots in (0, 1) of 1 + Q'(m) - Q'(m) / m, by numpy's companion matrix."""
    slope = np.zeros(p)
    slope[1], slope[p - 1] = 1 / delta2, 1 / deltap
    polynomial = np.polynomial.Polynomial(slope)
    shifted = np.polynomial.Polynomial(slope[1:])
    roots = (1 + polynomial - shifted).roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    return np.sort(real[(real > 1e-9) & (real < 1 - 1e-12)])


def potential(p, delta2, deltap, m):
    """Free entropy of the spherical signal."""
    return 0.5 * (np.log1p(-m) + m + m**2 / (2 * delta2) + m**p / (p * deltap))


def log_potential(t):
    """Phi as an integral over the semicircle law (plus a half)."""
    density = lambda x: np.sqrt(4 - x * x) / (2 * np.pi) * np.log(abs(t - x))  # noqa: E731
    points = [t] if abs(t) < 2 else None
    return 0.5 + integrate.quad(density, -2, 2, points=points, limit=400)[0]


def spike_cost(theta, t):
    """L as it is printed in arXiv 1902.00139: an integral from the outlier to t."""
    outlier = theta + 1 / theta
    if theta <= 1 or t >= outlier:
        return 0.0
    area = integrate.quad(lambda y: np.sqrt(y * y - 4), outlier, t)[0]
    return area / 4 - theta / 2 * (t - outlier) + (t**2 - outlier**2) / 8


def trivialization(p, deltap, guess):
    """delta2 and t at which max_t Sigma(0, t) = 0, by mpmath from the closed form of L."""

    def parts(delta2, t):
        a, b = 1 / delta2, mp.mpf(1) / deltap
        slope, curvature = a + b, a + (p - 1) * b
        theta, root = a / mp.sqrt(curvature), mp.sqrt(t * t - 4)
        phi = t * t / 4 - t / 4 * root + mp.log((t + root) / 2)
        cost = (mp.log(theta) + (t - theta) ** 2 / 2 - phi + mp.mpf(1) / 2) / 2
        weight = curvature / (slope + curvature)
        sigma = mp.log(curvature / slope) / 2 - t * t * weight / 2 + phi - cost
        return sigma, -t * weight + mp.mpf(3) / 4 * (t - root) - (t - theta) / 2

    with mp.workdps(30):
        grid = [2 + 10 ** (-4 + k / 20) for k in range(90)]
        theta = (1 / guess) / ((1 / guess) + (p - 1) / deltap) ** 0.5
        start = max((t for t in grid if t < theta + 1 / theta), key=lambda t: parts(guess, t)[0])
        if start == grid[0]:
            # The complexity falls from the edge on.
            return float(mp.findroot(lambda d: parts(d, mp.mpf(2))[0], guess, tol=1e-20)), 2.0
        inside = lambda d, w: parts(d, 2 + mp.exp(w))  # noqa: E731
        found = mp.findroot(inside, (guess, mp.log(start - 2)), tol=1e-20)
        return float(found[0]), float(2 + mp.exp(found[1]))
