"""Kac-Rice against integrals, brute-force optimisation, exact finite-size counts and real Hessians."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxsp import SolverError, spiked

from .reference import log_potential, spike_cost

# (delta2, delta3, overlap): with the spike outside and inside of the bulk.
POINTS = [(0.7, 4.0, 0.1), (0.3, 2.0, 0.05), (0.5, 1.0, -0.4), (1.5, 0.6, 0.6), (0.4, 4.0, 0.75)]


def sigma(delta2, delta3, m, e2, e3, kind="minima"):
    """The formula of arXiv 1902.00139 with its integrals done by scipy."""
    a, b = 1 / delta2, 1 / delta3
    slope, curvature = a + b, a + 2 * b
    drift, bend = a * m + b * m**2, a + 2 * b * m
    t = -(2 * e2 + 3 * e3) / np.sqrt(curvature)
    theta = bend * (1 - m * m) / np.sqrt(curvature)
    value = 0.5 * np.log(curvature / slope) + 0.5 * np.log(1 - m * m)
    value -= drift**2 * (1 - m * m) / (2 * slope)
    value -= (e2 + a * m**2 / 2) ** 2 / a + 3 * (e3 + b * m**3 / 3) ** 2 / (2 * b)
    value += log_potential(t)
    return value - spike_cost(theta, t) if kind == "minima" else value


@pytest.mark.parametrize(("delta2", "delta3", "m"), POINTS)
def test_complexity_at_given_energies(delta2, delta3, m):
    model = spiked.MatrixTensor(3, delta2, delta3)
    unit = np.sqrt(1 / delta2 + 2 / delta3)
    for t in (2.0001, 2.3, 3.5):
        e2 = -0.3 * t * unit / 2
        e3 = -0.7 * t * unit / 3
        exact = sigma(delta2, delta3, m, e2, e3)
        ours = spiked.complexity(model, m, energies=[e2, e3])
        np.testing.assert_allclose(ours, exact, atol=2e-9, rtol=1e-9)
    inside = [-0.2 * unit, -0.1 * unit]
    assert float(spiked.complexity(model, m, energies=inside)) == -np.inf
    exact = sigma(delta2, delta3, m, *inside, kind="all")
    np.testing.assert_allclose(
        spiked.complexity(model, m, energies=inside, kind="all"), exact, atol=1e-7
    )


def best(delta2, delta3, m, kind, total=None):
    """Scipy's maximum over the energies (over t at a fixed sum of them)."""
    unit = np.sqrt(1 / delta2 + 2 / delta3)

    def negative(v):
        if total is None:
            t, e3 = v
        else:
            t, e3 = v[0], -v[0] * unit - 2 * total
        if kind == "minima":
            t = 2 + abs(t - 2)
            e3 = e3 if total is None else -t * unit - 2 * total
        return -sigma(delta2, delta3, m, -(t * unit + 3 * e3) / 2, e3, kind)

    start = [2.4, -0.4] if total is None else [2.4]
    found = optimize.minimize(negative, start, method="Nelder-Mead",
                              options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 600})  # fmt: skip
    return -found.fun


@pytest.mark.parametrize(("delta2", "delta3", "m"), POINTS)
@pytest.mark.parametrize("kind", ["minima", "all"])
def test_energies_are_optimised(delta2, delta3, m, kind):
    model = spiked.MatrixTensor(3, delta2, delta3)
    ours = float(spiked.complexity(model, m, kind=kind))
    np.testing.assert_allclose(ours, best(delta2, delta3, m, kind), atol=1e-7)
    # The typical energies that are reported give the same complexity.
    found = spiked.critical_points(model, m, kind=kind)
    again = spiked.complexity(model, m, energies=found.energies, kind=kind)
    np.testing.assert_allclose(again, ours, atol=1e-12)


def test_sum_of_the_energies_given():
    delta2, delta3, m, total = 0.7, 1.0, 0.2, -1.25
    model = spiked.MatrixTensor(3, delta2, delta3)
    found = spiked.critical_points(model, m, energy=total)
    np.testing.assert_allclose(jnp.sum(found.energies), total, rtol=1e-12)
    exact = best(delta2, delta3, m, "minima", total)
    np.testing.assert_allclose(found.complexity, exact, atol=1e-7)
    again = spiked.complexity(model, m, energies=found.energies)
    np.testing.assert_allclose(again, found.complexity, atol=1e-12)


def test_complexity_vanishes_at_the_maximum_likelihood_overlap():
    """The signal's own minimum is one: Sigma = 0, at the energy and multiplier of the replicas."""
    model = spiked.MatrixTensor(3, 0.5, 4.0)
    likely = spiked.maximum_likelihood(model)
    found = spiked.critical_points(model, likely.overlap)
    assert abs(float(found.complexity)) < 1e-12
    np.testing.assert_allclose(jnp.sum(found.energies), likely.energy, rtol=1e-10)
    np.testing.assert_allclose(found.multiplier, likely.multiplier, rtol=1e-10)


def test_pure_glass():
    """arXiv 1003.1129: E_infinity, E_0(3) = 1.6570 (rounded), total complexity log(p-1)/2."""
    constants = spiked.glass_constants(3)
    Q = spiked.pure_p_spin(3)
    assert abs(float(constants.ground_state_energy) * 2**0.5 + 1.6570) < 5e-5
    np.testing.assert_allclose(constants.threshold_energy * 2**0.5, -2 * np.sqrt(2 / 3), rtol=1e-14)
    # The annealed complexity of minima vanishes at the ground state of the replicas.
    assert abs(float(spiked.complexity(Q, energy=constants.ground_state_energy))) < 1e-10
    threshold = float(constants.threshold_energy)
    np.testing.assert_allclose(
        spiked.complexity(Q, energy=threshold - 1e-12), constants.minima_complexity, atol=1e-10
    )
    assert float(spiked.complexity(Q, energy=threshold + 1e-6)) == -np.inf
    np.testing.assert_allclose(spiked.complexity(Q), np.log(2) / 2 - 1 / 3, atol=1e-14)
    np.testing.assert_allclose(spiked.complexity(Q, kind="all"), np.log(2) / 2, atol=1e-14)
    np.testing.assert_allclose(constants.dynamic_temperature, np.sqrt(3 / 8), rtol=1e-13)
    assert abs(float(constants.static_temperature) - 0.5861) < 5e-5
    # log(p-1)/2 - (p-2)/(4(p-1)) E^2 - I_1(E) of arXiv 1003.1129, in its normalisation.
    for energy in (-1.64, -1.65):
        edge = 2 * np.sqrt(2 / 3)
        root = np.sqrt(energy**2 - edge**2)
        cost = -energy / edge**2 * root - np.log((-energy + root) / edge)
        exact = 0.5 * np.log(2) - energy**2 / 8 - cost
        ours = spiked.complexity(Q, energy=energy / 2**0.5)
        np.testing.assert_allclose(ours, exact, atol=1e-10)


def test_saddles():
    """A fraction of the semicircle, by scipy; as many saddles of index 1/2 as there are points at all."""
    from scipy import integrate

    density = lambda x: np.sqrt(4 - x * x) / (2 * np.pi)  # noqa: E731
    for index in (0.05, 0.3, 0.8):
        t = float(spiked.bulk_place(index))
        np.testing.assert_allclose(integrate.quad(density, -2, -t)[0], index, atol=1e-8)
    Q = spiked.pure_p_spin(3)
    np.testing.assert_allclose(
        spiked.complexity(Q, kind="index", index=0.5), np.log(2) / 2, atol=1e-12
    )
    values = [float(spiked.complexity(Q, kind="index", index=k)) for k in (1e-9, 0.1, 0.3, 0.5)]
    assert all(low < high for low, high in itertools.pairwise(values))
    np.testing.assert_allclose(values[0], np.log(2) / 2 - 1 / 3, atol=1e-5)


def count_minima(J, starts, key):
    """Distinct minima of H = sum J_ijk x_i x_j x_k on the sphere, found from random starts."""
    size = J.shape[0]

    def energy(x):
        return jnp.einsum("ijk,i,j,k->", J, x, x, x)

    def tangent(x):
        g = jax.grad(energy)(x)
        return g - x * (x @ g) / size

    def descend(x):
        step = lambda _, x: spiked.on_sphere(x - 0.15 * tangent(x))  # noqa: E731
        return jax.lax.fori_loop(0, 500, step, x)

    x = jax.random.normal(key, (starts, size))
    x = jax.vmap(descend)(jax.vmap(spiked.on_sphere)(x))
    close = x @ x.T / size > 1 - 1e-3
    # A minimum is counted at the first start that found it.
    first = ~jnp.any(jnp.tril(close, -1), axis=1)
    converged = jax.vmap(lambda x: jnp.max(jnp.abs(tangent(x))) < 1e-2)(x)
    return jnp.sum(first & converged)


@pytest.mark.parametrize("size", [10, 16, pytest.param(24, marks=pytest.mark.slow)])
def test_number_of_minima(size):
    """Counted on isotropic p = 3 glasses, against Kac-Rice at finite N (arXiv 1003.1129, Theorem 2.1).

    E N_min = 2 sqrt(2/p) (p-1)^(N/2) E exp(-N (p-2)/(2p) lambda_min^2) over GOE matrices of size N whose
    off-diagonal entries have variance 1/(2N), whose exponent is the complexity that the library gives.
    """
    samples, starts = 60, 20 * size
    variance = 1 / (2 * size**2)
    keys = jax.random.split(jax.random.key(size), samples)

    @jax.jit
    def counts(keys):
        def one(key):
            first, second = jax.random.split(key)
            J = jax.random.normal(first, (size,) * 3) * variance**0.5
            return count_minima(J, starts, second)

        return jax.lax.map(one, keys)

    found = np.asarray(counts(keys), float)
    generator = np.random.default_rng(0)
    A = generator.normal(size=(40000, size, size)) / np.sqrt(2 * size)
    lowest = np.linalg.eigvalsh((A + A.transpose(0, 2, 1)) / 2**0.5)[:, 0]
    weights = np.exp(-size / 6 * lowest**2) * 2 * np.sqrt(2 / 3) * 2 ** (size / 2)
    error = np.hypot(found.std() / samples**0.5, weights.std() / 200)
    assert abs(found.mean() - weights.mean()) < 4 * error


def test_growth_of_the_number_of_minima():
    """The exact finite-size mean grows as exp(N Sigma): extrapolated in 1/N to the library's Sigma."""
    # E exp(-N lambda^2 / 6) over the smallest eigenvalue, whose edge is at -sqrt(2) with N^(-2/3) spread.
    generator = np.random.default_rng(1)
    sizes, logs = np.array([16, 32, 64]), []
    for size in sizes:
        A = generator.normal(size=(2000, size, size)) / np.sqrt(2 * size)
        lowest = np.linalg.eigvalsh((A + A.transpose(0, 2, 1)) / 2**0.5)[:, 0]
        weights = np.exp(-size / 6 * (lowest**2 - 2))
        logs.append(np.log(weights.mean()))
    logs = np.array(logs)
    exact = float(spiked.complexity(spiked.pure_p_spin(3)))
    np.testing.assert_allclose(exact, 0.5 * np.log(2) - 2 / 6, atol=1e-14)
    # What is left beside exp(N Sigma) is subexponential: of the order of N^(1/3).
    rates = np.diff(logs) / np.diff(sizes)
    assert rates[1] < rates[0]
    assert 0 < rates[1] < 2 * (64 ** (1 / 3) - 32 ** (1 / 3)) / 32


def test_hessian_spectrum():
    """Bulk edges and outlier of a real Hessian at a random point and at the ML minimum."""
    model = spiked.MatrixTensor(3, 0.15, 0.5)
    size, m = 160, 0.1
    data = spiked.sample_instance(model, size=size, key=jax.random.key(0))
    other = jax.random.normal(jax.random.key(1), (size,))
    other = spiked.on_sphere(other - data.signal * (other @ data.signal) / size)
    x = m * data.signal + np.sqrt(1 - m**2) * other
    hessian = jax.jit(lambda x: spiked.hessian(model, data, x))

    def multiplier(x):
        e = spiked.energies(model, data, x) / size
        return -(2 * e[0] + 3 * e[1])

    def compare(x, m):
        mu = multiplier(x)
        values, vectors = np.linalg.eigh(np.asarray(hessian(x)))
        tangent = np.abs(vectors.T @ np.asarray(x)) < size**0.5 * 0.5
        values, vectors = values[tangent], vectors[:, tangent]
        spectrum = spiked.hessian_spectrum(model, m, mu)
        width = float(spectrum.upper - spectrum.lower) / 4
        fluctuation = 4 * width / size ** (2 / 3)
        assert abs(values[-1] - float(spectrum.upper)) < fluctuation
        pulled = float(spectrum.alignment) > 0
        assert abs(values[1 if pulled else 0] - float(spectrum.lower)) < fluctuation
        # The outlier fluctuates like N^(-1/2).
        assert abs(values[0] - float(spectrum.outlier)) < 4 * width / np.sqrt(size)
        v = np.asarray(data.signal) - np.asarray(x) * float(x @ data.signal) / size
        overlap = (vectors[:, 0] @ v) ** 2 / (v @ v)
        if pulled:
            assert abs(overlap - float(spectrum.alignment)) < 4 / np.sqrt(size)
        return pulled

    assert compare(x, m)
    found = spiked.ml_amp(model, data, data.signal, max_steps=300)
    assert not compare(found.mean, float(found.overlap))


def test_lowest_points_at_zero_overlap():
    """theta = 1 at m = 0 is the gradient-flow threshold."""
    line = float(spiked.gradient_flow_threshold(3, 4.0))
    found = spiked.critical_points(spiked.MatrixTensor(3, line, 4.0), 0.0)
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-14)
    np.testing.assert_allclose(found.t, 2.0, rtol=1e-12)


@pytest.mark.slow
def test_trivialisation_with_negative_overlaps():
    """max over m < 0 of Sigma is zero there, by a grid; the usual line lies above; even p has one line."""
    full = float(spiked.full_trivialization_threshold(3, 1.0))
    assert full < float(spiked.trivialization_threshold(3, 1.0))
    m = jnp.linspace(-0.15, 0.0, 3001)
    values = jax.jit(jax.vmap(lambda m: spiked.complexity(spiked.MatrixTensor(3, full, 1.0), m)))(m)
    best = int(jnp.argmax(values))
    assert 0 < best < 3000
    assert -1e-8 < float(values[best]) < 1e-12
    assert float(spiked.full_trivialization_threshold(4, 1.0)) == float(
        spiked.trivialization_threshold(4, 1.0)
    )
    # For p = 5 nothing outlives the usual line.
    exact = float(spiked.trivialization_threshold(5, 2.0))
    assert float(spiked.full_trivialization_threshold(5, 2.0)) == exact
    with pytest.raises(SolverError):
        spiked.full_trivialization_threshold(3, 1e-3)


def test_gradients():
    def numbers(v):
        model = spiked.MatrixTensor(3, v[0], v[1])
        return jnp.stack([spiked.complexity(model, v[2]), spiked.complexity(model, v[2], kind="all"),
                          spiked.complexity(model, v[2], energy=-1.4)])  # fmt: skip

    points, h = jnp.array([[0.7, 1.0, 0.2], [0.3, 2.0, 0.05]]), 1e-5
    batched = jax.jit(jax.vmap(numbers))
    forward = jax.jit(jax.vmap(jax.jacfwd(numbers)))(points)
    reverse = jax.jit(jax.vmap(jax.jacrev(numbers)))(points)
    for axis in range(3):
        step = h * np.eye(3)[axis]
        central = (batched(points + step) - batched(points - step)) / (2 * h)
        np.testing.assert_allclose(forward[..., axis], central, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)


def test_single_precision():
    model = spiked.MatrixTensor(3, jnp.float32(0.7), jnp.float32(4.0))
    ours = spiked.complexity(model, 0.2)
    assert ours.dtype == jnp.float32
    exact = spiked.complexity(spiked.MatrixTensor(3, 0.7, 4.0), 0.2)
    np.testing.assert_allclose(ours, exact, atol=2e-6)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"overlap": 1.2}, "overlap"), ({"overlap": -1.2}, "overlap"), ({"kind": "maxima"}, "kind"),
        ({"kind": "index"}, "index"), ({"index": 0.1}, "index"), ({"energies": [1.0]}, "energies"),
        ({"kind": "index", "index": 1.0}, "index"), ({"energies": [0.0, 0.0], "energy": 0.0}, "energies"),
    ],
)  # fmt: skip
def test_bad_input(options, name):
    with pytest.raises(ValueError, match=f"Arguments? `{name}`"):
        spiked.complexity(spiked.MatrixTensor(3, 0.7, 4.0), **options)
