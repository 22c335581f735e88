"""Routes to the dynamics that share nothing with the library's solver."""

import numpy as np
import scipy.integrate
import scipy.special


def euler(slopes, signal, temperature, overlap, t_max, steps):
    """First-order explicit scheme with rectangle sums, as the literature's codes have it.

    `slopes` are Q'(x, t, s) and Q''(x, t, s) between two times, `signal` are Q_s(x, t) and Q_s'(x, t).
    Returns the overlap, C(t, 0), the multiplier and the energy at the end.
    """
    h = t_max / steps
    first, second = slopes
    level, pull = signal
    C, R = np.eye(steps + 1), np.zeros((steps + 1, steps + 1))
    b = np.zeros(steps + 1)
    b[0] = overlap
    times = h * np.arange(steps + 1)
    for n in range(steps + 1):
        past, t = slice(0, n + 1), times[n]
        c, r = C[n, past], R[n, past]
        q1, k = first(c, t, times[past]), r * second(c, t, times[past])
        force = pull(b[n], t)
        mu = temperature + force * b[n] + h * np.sum(r * q1 + k * c)
        if n == steps:
            break
        rate = -mu * c + force * b[past] + h * (k @ C[past, past] + R[past, past] @ q1)
        C[n + 1, past] = c + h * rate
        C[past, n + 1] = C[n + 1, past]
        R[n + 1, past] = r + h * (-mu * r + h * (k @ R[past, past]))
        R[n + 1, n] = 1.0
        b[n + 1] = b[n] + h * (-mu * b[n] + force + h * k @ b[past])
    return np.array([b[-1], C[-1, 0], mu, -level(b[-1], t) - h * np.sum(r * q1)])


def extrapolated(steps, run):
    """Limit of vanishing steps of a first-order scheme, by a polynomial in the step."""
    h, values = 1 / np.array(steps, float), [run(n) for n in steps]
    factors = [np.prod([-other / (x - other) for other in h if other != x]) for x in h]
    return sum(f * value for f, value in zip(factors, values, strict=True))


class SpikedWigner:
    r"""Gradient flow on the sphere of a matrix alone: $x(t) \propto e^{At} x(0)$.

    $A$ is a semicircle of radius $2\sigma$ with $\sigma = \Delta^{-1/2}$, and a spike of strength
    $1/\Delta$ (or none) in the direction of the signal.
    """

    def __init__(self, delta, overlap, spike=True):
        self.sigma, self.theta, self.m = delta**-0.5, (1 / delta if spike else 0.0), overlap

    def moment(self, t, theta):
        """<v| e^{A t} |v> for the spike's direction v; theta = 0: for any other one."""
        sigma = self.sigma

        def density(x):
            g = (x - 1j * np.sqrt(4 * sigma**2 - x**2)) / (2 * sigma**2)
            return -np.imag(1 / (1 / g - theta)) / np.pi

        def integrand(phi):
            x = 2 * sigma * np.sin(phi)
            return density(x) * np.exp(x * t) * 2 * sigma * np.cos(phi)

        bulk = scipy.integrate.quad(integrand, -np.pi / 2, np.pi / 2, epsabs=1e-13, epsrel=1e-12)[0]
        if theta <= sigma:
            return bulk
        weight, place = 1 - (sigma / theta) ** 2, theta + sigma**2 / theta
        return bulk + weight * np.exp(place * t)

    def product(self, t, s):
        """x(t) . x(s) / N before it is put on the sphere."""
        return self.m**2 * self.moment(t + s, self.theta) + (1 - self.m**2) * self.moment(
            t + s, 0.0
        )

    def correlation(self, t, s):
        return self.product(t, s) / np.sqrt(self.product(t, t) * self.product(s, s))

    def overlap(self, t):
        return self.m * self.moment(t, self.theta) / np.sqrt(self.product(t, t))


def free_moment(delta, t):
    """The moment of a semicircle in closed form, I_1(2 sigma t) / (sigma t)."""
    sigma = delta**-0.5
    return scipy.special.iv(1, 2 * sigma * t) / (sigma * t)
