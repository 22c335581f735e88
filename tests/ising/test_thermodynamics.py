"""Exact thermodynamics against enumeration, elliptic integrals (mpmath), scipy, series and literature."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import integrate

from jaxsp import ising
from jaxsp.ising.exact import gap
from jaxsp.ising.model import strengths

CRITICAL = 2 / np.log(1 + np.sqrt(2))


def enumerate_states(horizontal, vertical, size, temperature):
    """log Z, energy and heat capacity per spin, and moments of |m|, by summing over all states."""
    sites = size[0] * size[1]
    bits = (np.arange(2**sites)[:, None] >> np.arange(sites)) & 1
    s = (1 - 2 * bits).reshape(-1, *size)
    energy = -horizontal * (s * np.roll(s, 1, 2)).sum((1, 2))
    energy = energy - vertical * (s * np.roll(s, 1, 1)).sum((1, 2))
    lowest = energy.min()
    weight = np.exp(-(energy - lowest) / temperature)
    total = weight.sum()
    weight /= total
    mean = weight @ energy
    variance = weight @ (energy - mean) ** 2
    m = np.abs(s.mean((1, 2)))
    return {
        "log_partition": (np.log(total) - lowest / temperature) / sites,
        "energy": mean / sites,
        "heat_capacity": variance / temperature**2 / sites,
        "magnetization": weight @ m,
        "susceptibility": sites / temperature * (weight @ m**2 - (weight @ m) ** 2),
        "binder_cumulant": 1 - weight @ m**4 / (3 * (weight @ m**2) ** 2),
    }


@jax.jit
def thermodynamics(model, temperature):
    return {
        "log_partition": ising.log_partition(model, 1 / temperature),
        "energy": ising.energy(model, temperature),
        "heat_capacity": ising.heat_capacity(model, temperature),
    }


@pytest.mark.parametrize(
    ("size", "couplings"),
    [
        ((4, 4), [(1.0, 1.0), (-1.0, 0.5)]),
        ((3, 4), [(1.0, 0.3), (0.2, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (-1.0, 0.5)]),
        ((3, 3), [(1.0, 1.0)]),
        ((1, 3), [(1.0, 0.7)]),
    ],
)  # fmt: skip
def test_torus_is_the_sum_over_states(size, couplings):
    for (horizontal, vertical), temperature in itertools.product(couplings, (0.3, CRITICAL, 10.0)):
        model = ising.Ising2D(jnp.asarray(horizontal), jnp.asarray(vertical), size)
        found = thermodynamics(model, jnp.asarray(temperature))
        expected = enumerate_states(horizontal, vertical, size, temperature)
        for name, value in found.items():
            # Rounding at low temperature is amplified by beta once for each derivative.
            scale = max(1.0, 1 / temperature**2)
            np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=2e-13 * scale)


INFINITE = ising.Ising2D(jnp.asarray(1.0), jnp.asarray(1.0))


@pytest.mark.parametrize("offset", [-0.5, -1e-3, -1e-9, 1e-12, 1e-6, 0.1, 5.0])
def test_onsager_energy_and_heat_capacity(offset):
    """Onsager's closed forms by mpmath's elliptic integrals, with 40 digits."""
    temperature = CRITICAL * (1 + offset)
    found = thermodynamics(INFINITE, jnp.asarray(temperature))
    with mpmath.workdps(40):
        K = 1 / mpmath.mpf(temperature)
        k = 2 * mpmath.sinh(2 * K) / mpmath.cosh(2 * K) ** 2
        k1 = 2 * mpmath.tanh(2 * K) ** 2 - 1
        first, second = mpmath.ellipk(k**2), mpmath.ellipe(k**2)
        energy = -mpmath.coth(2 * K) * (1 + 2 / mpmath.pi * k1 * first)
        bracket = first - second - (1 - k1) / 2 * (mpmath.pi / 2 + k1 * first)
        capacity = 4 / mpmath.pi * (K * mpmath.coth(2 * K)) ** 2 * bracket
    np.testing.assert_allclose(found["energy"], float(energy), rtol=1e-14)
    # The argument's own rounding moves a heat capacity close to the critical point by eps / offset.
    rtol = 1e-12 + 1e-15 / abs(offset)
    np.testing.assert_allclose(found["heat_capacity"], float(capacity), rtol=rtol)


@pytest.mark.parametrize(("horizontal", "vertical"), [(1.0, 1.0), (1.0, 0.2), (0.3, -0.8)])
def test_free_energy_is_onsagers_double_integral(horizontal, vertical):
    """The double integral by scipy: the inner one in closed form, adaptive quadrature for the other."""
    model, temperature = ising.Ising2D(horizontal, vertical), 1.7
    x, y = 2 * horizontal / temperature, 2 * vertical / temperature

    def inner(angle):
        a, b = np.cosh(x) * np.cosh(y) - np.sinh(x) * np.cos(angle), np.sinh(y)
        return np.log((a + np.sqrt(a * a - b * b)) / 2)

    mean = integrate.quad(inner, 0, np.pi, epsabs=1e-14, epsrel=1e-13, limit=200)[0] / np.pi
    expected = -temperature * (np.log(2) + mean / 2)
    np.testing.assert_allclose(ising.free_energy(model, temperature), expected, rtol=1e-12)


def test_critical_point():
    """Onsager 1944: the energy is -sqrt 2, and the free energy has Catalan's constant."""
    assert float(ising.critical_temperature(INFINITE)) == pytest.approx(CRITICAL, rel=2e-16)
    at = jnp.asarray(CRITICAL)
    np.testing.assert_allclose(ising.energy(INFINITE, at), -np.sqrt(2), rtol=2e-14)
    expected = -CRITICAL * (np.log(2) / 2 + 2 * 0.915965594177219015 / np.pi)
    np.testing.assert_allclose(ising.free_energy(INFINITE, at), expected, rtol=1e-15)
    # C = -(2/pi) (2 K_c)^2 ln|1 - T/T_c| + regular part.
    near = CRITICAL * (1 + np.array([1e-8, 1e-6]))
    first, second = jax.vmap(lambda t: ising.heat_capacity(INFINITE, t))(near)
    slope = 2 / np.pi * (2 / CRITICAL) ** 2
    np.testing.assert_allclose(first - second, slope * np.log(1e2), rtol=1e-5)


def test_heat_capacity_is_infinite_at_a_vanishing_gap():
    """On the critical line rounding leaves a gap of a few eps, or none: large, or infinite."""
    within = jnp.linspace(0.2, 1.0, 100)
    between = -jnp.log(jnp.tanh(within)) / 2

    def at(K_h, K_v):
        model = ising.Ising2D(K_h, K_v)
        return ising.heat_capacity(model, 1.0), gap(strengths(model, jnp.asarray(1.0)))

    found, gaps = (np.asarray(a) for a in jax.vmap(at)(within, between))
    # Fused operations round the gap a little differently from one compiled function to another.
    assert np.isinf(found).any()
    assert np.all(np.abs(gaps[np.isinf(found)]) < 1e-15)
    assert np.all((found > 8) & ~np.isnan(found))


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.01, 1e-6])
def test_critical_temperature_of_unequal_couplings(ratio):
    t = float(ising.critical_temperature(ising.Ising2D(2.0, -2.0 * ratio)))
    with mpmath.workdps(30):
        expected = mpmath.findroot(
            lambda x: mpmath.sinh(4 / x) * mpmath.sinh(4 * ratio / x) - 1,
            (0.9 * t, 1.1 * t), solver="anderson",
        )  # fmt: skip
    assert t == pytest.approx(float(expected), rel=1e-14)


def test_no_order_without_bonds_in_one_direction():
    chain = ising.Ising2D(jnp.asarray(0.0), jnp.asarray(1.0))
    assert float(ising.critical_temperature(chain)) == 0.0
    assert float(ising.spontaneous_magnetization(chain, 0.1)) == 0.0
    # The Ising chain: log Z / N = ln(2 cosh K).
    for temperature in (0.002, 0.5, 3.0):
        found = thermodynamics(chain, jnp.asarray(temperature))
        K = 1 / temperature
        np.testing.assert_allclose(found["log_partition"], np.logaddexp(K, -K), rtol=1e-15)
        np.testing.assert_allclose(found["energy"], -np.tanh(K), rtol=1e-14)
        np.testing.assert_allclose(
            found["heat_capacity"], K**2 * (2 / (np.exp(K) + np.exp(-K))) ** 2
            if K < 300 else 0.0, rtol=1e-12, atol=1e-13,
        )  # fmt: skip


def test_high_and_low_temperature_series():
    """Closed polygons of 4, 6, 8 bonds; overturned spins singly and in pairs (Domb 1960)."""
    t = np.tanh(0.02)
    expected = np.log(2 * np.cosh(0.02) ** 2) + t**4 + 2 * t**6 + 4.5 * t**8
    np.testing.assert_allclose(ising.log_partition(INFINITE, 0.02), expected, rtol=1e-15)
    u = np.exp(-4 * 2.0)
    expected = 2 * 2.0 + u**2 + 2 * u**3 + 4.5 * u**4
    np.testing.assert_allclose(ising.log_partition(INFINITE, 2.0), expected, rtol=1e-15)


@pytest.mark.parametrize("temperature", [0.02, 1.0, 2.0, CRITICAL * (1 - 1e-10)])
@pytest.mark.parametrize("vertical", [1.0, 0.9])
def test_yangs_magnetization(temperature, vertical):
    found = ising.spontaneous_magnetization(ising.Ising2D(1.0, vertical), temperature)
    with mpmath.workdps(60):
        K = 2 / mpmath.mpf(temperature)
        inside = 1 - 1 / (mpmath.sinh(K) * mpmath.sinh(K * mpmath.mpf(vertical))) ** 2
        expected = inside ** mpmath.mpf("0.125") if inside > 0 else 0
    np.testing.assert_allclose(found, float(expected), rtol=1e-6 if temperature > 2.2 else 1e-13)


def test_no_magnetization_above_the_critical_temperature():
    assert float(ising.spontaneous_magnetization(INFINITE, CRITICAL * (1 + 1e-12))) == 0.0


def test_torus_approaches_the_infinite_lattice():
    """Ferdinand and Fisher 1969: -energy(T_c) = sqrt 2 + theta_2 theta_3 theta_4 / sum theta / L."""
    small, large = (
        ising.energy(ising.Ising2D(size=(L, L)), CRITICAL) + np.sqrt(2) for L in (64, 128)
    )
    theta = [float(mpmath.jtheta(k, 0, mpmath.exp(-mpmath.pi))) for k in (2, 3, 4)]
    expected = -2 * np.prod(theta) / np.sum(theta)
    np.testing.assert_allclose(64 * small, expected, rtol=1e-3)
    np.testing.assert_allclose(128 * large, expected, rtol=3e-4)
    # Away from it the corrections are exponentially small.
    for temperature in (1.5, 3.5):
        torus = thermodynamics(ising.Ising2D(jnp.asarray(1.0), size=(64, 128)), temperature)
        infinite = thermodynamics(INFINITE, temperature)
        # Two ordered states below the critical temperature.
        infinite["log_partition"] += np.log(2) / (64 * 128) if temperature < CRITICAL else 0.0
        for name, value in torus.items():
            np.testing.assert_allclose(value, infinite[name], rtol=1e-9, err_msg=name)


def central(f, x, h=1e-3):
    a, b, c, d = (f(x + k * h) for k in (-2, -1, 1, 2))
    return (a - 8 * b + 8 * c - d) / (12 * h)


@pytest.mark.parametrize("size", [None, (4, 6)])
def test_gradients(size):
    """Both modes under jit and vmap, in temperature and both couplings, against differences."""

    def at(point):
        model = ising.Ising2D(point[1], point[2], size)
        values = [ising.free_energy(model, point[0]), ising.heat_capacity(model, point[0])]
        values.append(ising.spontaneous_magnetization(model, point[0]))
        values.append(ising.critical_temperature(model))
        return jnp.stack(values)

    points = jnp.array([[1.7, 1.0, 0.9], [2.9, 0.8, -1.1]])
    forward = jax.jit(jax.vmap(jax.jacfwd(at)))(points)
    reverse = jax.jit(jax.vmap(jax.jacrev(at)))(points)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-13)
    batched = jax.jit(jax.vmap(at))
    for axis in range(3):
        step = np.eye(3)[axis]
        slope = central(lambda h, step=step: batched(points + h * step), 0.0)
        np.testing.assert_allclose(forward[..., axis], slope, rtol=1e-8, atol=1e-10)


def test_slope_of_the_critical_temperature():
    """dT_c / d ln J for equal couplings: T_c is linear, each direction has half of it."""
    slopes = jax.grad(lambda J: ising.critical_temperature(ising.Ising2D(*J)))((1.0, 1.0))
    np.testing.assert_allclose(slopes, [CRITICAL / 2] * 2, rtol=1e-14)


def test_derivatives_at_vanishing_coupling():
    """d^2 log Z / dJ^2 = beta^2 (1 - tanh^2(beta J_v) ...) at J_h = 0: bonds between two free chains.

    The second cumulant of sum s s' over a bond of two independent chains: sum over distance of the
    squared chain correlation tanh(K)^2|r|.
    """
    K = 0.7
    second = jax.jacfwd(jax.jacrev(lambda J: ising.log_partition(ising.Ising2D(J, 1.0), K)))(0.0)
    t = np.tanh(K) ** 2
    np.testing.assert_allclose(second, K**2 * (1 + t) / (1 - t), rtol=1e-12)


@pytest.mark.parametrize("size", [None, (16, 16)])
def test_single_precision(size):
    model = ising.Ising2D(jnp.float32(1), size=size)
    exact = ising.Ising2D(jnp.float64(1), size=size)
    for temperature in (0.05, 1.0, 2.26, 2.28, 50.0):
        low = thermodynamics(model, jnp.float32(temperature))
        high = thermodynamics(exact, jnp.float64(np.float32(temperature)))
        for name, value in low.items():
            assert value.dtype == jnp.float32
            rtol = 2e-4 if name == "heat_capacity" else 2e-6
            atol = 1e-6 * max(1.0, temperature**-2)
            np.testing.assert_allclose(value, high[name], rtol=rtol, atol=atol)


def test_large_lattices_and_low_temperatures_stay_finite():
    for size in (None, (1000, 1000)):
        model = ising.Ising2D(jnp.asarray(1.0), size=size)
        found = thermodynamics(model, jnp.asarray(1e-3))
        np.testing.assert_allclose(found["energy"], -2.0, rtol=1e-13)
        np.testing.assert_allclose(found["heat_capacity"], 0.0, atol=1e-7)
    np.testing.assert_allclose(ising.entropy(INFINITE, 0.01), 0.0, atol=1e-12)


def test_entropy_is_minus_the_slope_of_the_free_energy():
    slope = jax.grad(lambda t: ising.free_energy(INFINITE, t))(2.0)
    np.testing.assert_allclose(ising.entropy(INFINITE, 2.0), -slope, rtol=1e-13)


def test_a_traced_frustrating_coupling_is_nan_not_wrong():
    f = jax.jit(lambda J: ising.log_partition(ising.Ising2D(J, 1.0, (4, 3)), 0.5))
    assert np.isnan(f(-1.0))
    assert np.isfinite(f(1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ising.Ising2D(size=(0, 3)), "Argument `size`"),
        (lambda: ising.Ising2D(np.nan), "Argument `vertical`|Argument `horizontal`"),
        (lambda: ising.Ising2D(-1.0, 1.0, (4, 3)), "Argument `horizontal` .* odd"),
        (lambda: ising.Ising2D(1.0, -1.0, (3, 4)), "Argument `vertical` .* odd"),
        (lambda: ising.free_energy(INFINITE, 0.0), "Argument `temperature`"),
        (lambda: ising.heat_capacity(INFINITE, -1.0), "Argument `temperature`"),
        (lambda: ising.spontaneous_magnetization(INFINITE, np.nan), "Argument `temperature`"),
        (lambda: ising.log_partition(INFINITE, -0.1), "Argument `inverse_temperature`"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
