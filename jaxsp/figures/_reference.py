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


def _peak(alpha, low: float, high: float) -> float:
    """Height of the maximum of alpha(log snr) in an interval: an algorithmic threshold."""
    found = optimize.minimize_scalar(
        lambda x: -alpha(x), bounds=(low, high), method="bounded", options={"xatol": 1e-7}
    )
    return float(-found.fun)


def _panels(cuts, points: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points between neighbouring cuts, with their weights."""
    unit, weight = np.polynomial.legendre.leggauss(points)
    cuts = np.asarray(cuts, float)
    half = 0.5 * np.diff(cuts)[:, None]
    return (cuts[:-1, None] + half * (1 + unit)).ravel(), (half * weight).ravel()


def _normal(z: np.ndarray, variance: float = 1.0) -> np.ndarray:
    return np.exp(-0.5 * z * z / variance) / np.sqrt(2 * np.pi * variance)


def phase_retrieval_spinodal() -> float:
    r"""Algorithmic threshold of noiseless phase retrieval with Gaussian weights.

    $F = \mathbb E (y \tanh(y \omega / V) - \omega)^2 / V^2$ with $y = |\omega + \sqrt V u|$, and
    $V = 1 / (1 + \hat m)$.
    """
    u, du = _panels(np.linspace(-9, 9, 37))

    def alpha(x):
        V = 1 / (1 + np.exp(x))
        deviation, scale = np.sqrt(V), np.sqrt(1 - V)
        layer = np.minimum(deviation / scale * np.array([0, 0.5, 1, 2, 4, 8, 16, 32]), 9)
        v, dv = _panels(np.unique(np.append(layer, 9)))
        omega = scale * v[:, None]
        z = omega + deviation * u
        g = (z * np.tanh(z * omega / V) - omega) / V
        information = 2 * (dv * _normal(v)) @ (g * g) @ (du * _normal(u))
        return np.exp(x) / information

    return _peak(alpha, 1.0, 4.0)


def sparse_relu_spinodal(sparsity: float) -> float:
    r"""Algorithmic threshold of noiseless ReLU outputs and Gauss-Bernoulli weights.

    A positive output gives its field, $g = u / \sqrt V$; a zero gives its sign. With
    $t = \omega / \sqrt V$,
    $V F = \mathbb E_\omega [\Phi(t) - t \phi(t) + \phi(t)^2 / \Phi(-t)]$.
    """

    def alpha(x):
        V = _gauss_bernoulli_error(np.exp(x), sparsity)
        spread = np.sqrt(sparsity / V - 1)
        layer = np.array([0, 1, 2, 4, 8, 16, 38])
        t, dt = _panels(np.unique(np.clip(np.append(-layer, layer), -9 * spread, 9 * spread)))
        zero = np.exp(-t * t - special.log_ndtr(-t)) / (2 * np.pi)
        inside = special.ndtr(t) - t * _normal(t) + zero
        # Beyond the layer the output tells all or nothing.
        information = dt @ (inside * _normal(t, spread**2)) + special.ndtr(-layer[-1] / spread)
        return np.exp(x) * V / information

    return _peak(alpha, np.log(2.0), np.log(2000.0))


def _gauss_bernoulli_error(snr: float, sparsity: float) -> float:
    """Mean posterior variance of one weight, with the observation as variable of integration."""
    spread = np.sqrt(1 + snr)
    y, dy = _panels(np.append(np.linspace(0, 10, 41), 10 + np.linspace(0, 1, 41)[1:] * 9 * spread))
    on, off = sparsity * _normal(y, spread**2), (1 - sparsity) * _normal(y)
    mean = np.sqrt(snr) * y / (1 + snr)
    total = on + off
    # P(on) variance + P(on) P(off) mean^2
    return float(2 * dy @ (on / (1 + snr) + on * off / total * mean**2))


def symmetric_door_spinodal(width: float) -> float:
    r"""Algorithmic threshold of the noiseless symmetric door with binary weights.

    $F = \mathbb E_\omega (\partial_\omega Z)^2 / [Z (1 - Z)]$ with $Z$ the probability of the inside.
    """

    def alpha(x):
        V = _binary_error(np.exp(x))
        s, scale = np.sqrt(V), np.sqrt(1 - V)
        layers = width + s * np.array([-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32])
        omega, d = _panels(np.unique(np.clip(np.append(layers, [0.0, 0.3]), 0, 9 * scale)))
        near, far = (omega - width) / s, (omega + width) / s
        inside = special.ndtr(-near) - special.ndtr(-far)
        outside = special.ndtr(near) + special.ndtr(-far)
        slope = (_normal(far) - _normal(near)) / s
        product = np.maximum(inside * outside, 1e-300)
        return np.exp(x) / (2 * d @ (slope**2 / product * _normal(omega, scale**2)))

    return _peak(alpha, -3.0, 1.5)


def binary_storage_entropy(alpha: float, margin: float) -> float:
    """Replica-symmetric entropy of binary weights that store labels (Krauth and Mezard 1989)."""
    z, dz = _panels(np.linspace(-10, 10, 81))
    weight = dz * _normal(z)

    def conjugate(q):
        def gap(c):
            return weight @ np.tanh(np.sqrt(c) * z) ** 2 - q

        return optimize.root_scalar(gap, bracket=(1e-8, 60), xtol=1e-13).root

    def action(q):
        c = conjugate(q)
        log_cosh = np.logaddexp(np.sqrt(c) * z, -np.sqrt(c) * z)
        labels = special.log_ndtr((np.sqrt(q) * z - margin) / np.sqrt(1 - q))
        return weight @ (log_cosh + alpha * labels) - c * (1 - q) / 2

    found = optimize.minimize_scalar(
        action, bounds=(0.02, 0.95), method="bounded", options={"xatol": 1e-8}
    )
    return float(found.fun)


def marchenko_pastur_error(alpha: float, noise: float) -> float:
    """MMSE of linear regression with Gaussian weights: V (1 + alpha / (V + noise)) = 1."""
    b = alpha + noise - 1
    root = np.hypot(b, 2 * np.sqrt(noise))
    return float(2 * noise / (b + root) if b > 0 else (root - b) / 2)


def marchenko_pastur_information(alpha: float, noise: float) -> float:
    """Information per weight of the same, (1/2) E log(1 + eigenvalue / noise) over the spectrum."""
    low, high = (1 - np.sqrt(alpha)) ** 2, (1 + np.sqrt(alpha)) ** 2

    def integrand(t):
        # eigenvalue = low + (high - low) sin^2 takes the square roots out of both edges.
        eigenvalue = low + (high - low) * np.sin(t) ** 2
        density = (high - low) ** 2 * (np.sin(t) * np.cos(t)) ** 2 / (np.pi * eigenvalue)
        return density * np.log1p(eigenvalue / noise)

    return float(0.5 * integrate.quad(integrand, 0, np.pi / 2, epsabs=1e-14, epsrel=1e-13)[0])


def onsager(temperature: float) -> tuple[float, float]:
    """Energy and heat capacity of the Ising model with equal couplings, by elliptic integrals."""
    K = 1 / temperature
    k = 2 * np.sinh(2 * K) / np.cosh(2 * K) ** 2
    k1 = 2 * np.tanh(2 * K) ** 2 - 1
    first, second = special.ellipkm1(k1**2), special.ellipe(k**2)
    energy = -(1 + 2 / np.pi * k1 * first) / np.tanh(2 * K)
    bracket = first - second - (1 - k1) / 2 * (np.pi / 2 + k1 * first)
    return float(energy), float(4 / np.pi * (K / np.tanh(2 * K)) ** 2 * bracket)


def ising_log_partition(horizontal: float, vertical: float, length: int, temperature: float):
    """Log-partition function per spin of a small torus, by summing over all of its states."""
    sites = length * length
    bits = (np.arange(2**sites)[:, None] >> np.arange(sites)) & 1
    spins = (1 - 2 * bits.astype(np.int8)).reshape(-1, length, length)
    bonds = [(spins * np.roll(spins, 1, axis)).sum((1, 2)) for axis in (2, 1)]
    exponent = (horizontal * bonds[0] + vertical * bonds[1]) / temperature
    return float(special.logsumexp(exponent)) / sites
