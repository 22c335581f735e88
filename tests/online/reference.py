"""The theory once more in numpy: Saad and Solla's integrals as printed, loops, scipy's integrator."""

import itertools

import numpy as np
from scipy import integrate, special

PI = np.pi


class Erf:
    """I2, I3, I4 and J2 as in Saad and Solla 1995."""

    vectorized = True

    def i2(self, C, a, b):
        return 2 / PI * np.arcsin(C[a, b] / np.sqrt((1 + C[a, a]) * (1 + C[b, b])))

    def j2(self, C, a, b):
        return 2 / PI / np.sqrt((1 + C[a, a]) * (1 + C[b, b]) - C[a, b] ** 2)

    def i3(self, C, a, b, c):
        root = np.sqrt((1 + C[a, a]) * (1 + C[c, c]) - C[a, c] ** 2)
        return 2 / PI * (C[b, c] * (1 + C[a, a]) - C[a, b] * C[a, c]) / (1 + C[a, a]) / root

    def i4(self, C, a, b, c, d):
        A, B = 1 + C[a, a], 1 + C[b, b]
        l4 = A * B - C[a, b] ** 2
        l0 = (
            l4 * C[c, d]
            - C[b, c] * C[b, d] * A
            - C[a, c] * C[a, d] * B
            + C[a, b] * (C[a, c] * C[b, d] + C[a, d] * C[b, c])
        )

        def one(x):
            cross = 2 * C[a, b] * C[a, x] * C[b, x]
            return l4 * (1 + C[x, x]) - C[b, x] ** 2 * A - C[a, x] ** 2 * B + cross

        return 4 / PI**2 / np.sqrt(l4) * np.arcsin(l0 / np.sqrt(one(c) * one(d)))


class ReLU:
    """I2, I3 and J2 in closed form, I4 by nested Gauss-Legendre quadrature over an orthant."""

    vectorized = False

    def _r(self, C, a, b):
        return np.clip(C[a, b] / np.sqrt(C[a, a] * C[b, b]), -1, 1)

    def i2(self, C, a, b):
        r = self._r(C, a, b)
        bracket = np.sqrt(1 - r * r) + r * (PI / 2 + np.arcsin(r))
        return np.sqrt(C[a, a] * C[b, b]) / (2 * PI) * bracket

    def j2(self, C, a, b):
        return 0.25 + np.arcsin(self._r(C, a, b)) / (2 * PI)

    def i3(self, C, a, b, c):
        left = max(C[c, c] - C[a, c] ** 2 / C[a, a], 0.0)
        return C[a, b] / (2 * PI) * np.sqrt(left / C[a, a]) + C[b, c] * self.j2(C, a, c)

    def i4(self, C, a, b, c, d):
        fields = sorted({a, b, c, d})
        powers = [(c == f) + (d == f) for f in fields]
        return orthant_moment(C[np.ix_(fields, fields)], powers)


_NODES, _WEIGHTS = special.roots_legendre(40)


def orthant_moment(C, powers):
    """E prod_x h_x^p_x over h > 0: nested quadrature, the innermost variable in closed form."""
    L = np.linalg.cholesky(C)
    size = len(C)
    z = np.zeros((1, 0))
    mass = np.ones(1)
    for x in range(size - 1):
        mean = z @ L[x, :x]
        lower = np.clip(-mean / L[x, x], -9, 9)
        t = lower[:, None] + (9 - lower[:, None]) * 0.5 * (_NODES + 1)
        weight = 0.5 * (9 - lower[:, None]) * _WEIGHTS * np.exp(-t * t / 2) / np.sqrt(2 * PI)
        field = mean[:, None] + L[x, x] * t
        mass = (mass[:, None] * weight * field ** powers[x]).ravel()
        z = np.concatenate([np.repeat(z, len(_NODES), axis=0), t.reshape(-1, 1)], axis=1)
    mean, s, p = z @ L[-1, :-1], L[-1, -1], powers[-1]
    x = mean / s
    tail, density = special.ndtr(x), np.exp(-x * x / 2) / np.sqrt(2 * PI)
    inner = (tail, mean * tail + s * density, (mean**2 + s * s) * tail + mean * s * density)[p]
    return float(mass @ inner)


def rates(unit, C, v, A, eta, eta_v, sigma, kappa=0.0, batch=1):
    """Time derivatives of Q, R and v, term by term."""
    K, M = len(v), len(A)
    n = K + M
    u = np.concatenate([v, -A])
    dQ, dR, dv = np.zeros((K, K)), np.zeros((K, M)), np.zeros(K)
    for i in range(K):
        dv[i] = -eta_v * sum(u[a] * unit.i2(C, i, a) for a in range(n)) - kappa * v[i] * (eta_v > 0)
        for m in range(M):
            pull = sum(u[a] * unit.i3(C, i, K + m, a) for a in range(n))
            dR[i, m] = -eta * v[i] * pull - kappa * C[i, K + m]
        for k in range(i, K):
            pull = v[i] * sum(u[a] * unit.i3(C, i, k, a) for a in range(n))
            pull += v[k] * sum(u[a] * unit.i3(C, k, i, a) for a in range(n))
            noise = sigma**2 * unit.j2(C, i, k)
            if unit.vectorized:
                a, b = np.indices((n, n))
                noise += u @ unit.i4(C, i, k, a, b) @ u
            else:
                for a, b in itertools.combinations_with_replacement(range(n), 2):
                    noise += (1 + (a != b)) * u[a] * u[b] * unit.i4(C, i, k, a, b)
            dQ[i, k] = -eta * pull + eta**2 * v[i] * v[k] * noise / batch - 2 * kappa * C[i, k]
            dQ[k, i] = dQ[i, k]
    return dQ, dR, dv


def error(unit, C, v, A):
    u = np.concatenate([v, -A])
    n = len(u)
    return 0.5 * sum(u[a] * u[b] * unit.i2(C, a, b) for a in range(n) for b in range(n))


def trajectory(unit, Q, R, T, v, A, times, rtol=1e-12, method="DOP853", **settings):
    """Q, R and v at the times, by one of scipy's integrators."""
    K, M = R.shape

    def unpack(y):
        Q, R, v = y[: K * K].reshape(K, K), y[K * K : K * K + K * M].reshape(K, M), y[-K:]
        return np.block([[Q, R], [R.T, T]]), v

    def slope(t, y):
        C, v = unpack(y)
        return np.concatenate([x.ravel() for x in rates(unit, C, v, A, **settings)])

    start = np.concatenate([Q.ravel(), R.ravel(), v])
    sol = integrate.solve_ivp(slope, (0, times[-1]), start, method, times, rtol=rtol, atol=1e-14)
    return [unpack(y) for y in sol.y.T]
