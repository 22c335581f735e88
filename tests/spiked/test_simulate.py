"""The landscape of instances: against sums over all tuples in numpy, and against its covariance."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import priors, spiked

MODEL = spiked.MatrixTensor(p=(3, 4), delta2=0.7, deltap=(1.5, 2.0))
SIZE = 13


@pytest.fixture(scope="module")
def data():
    return spiked.sample_instance(MODEL, size=SIZE, key=jax.random.key(1))


@pytest.fixture(scope="module")
def x():
    return spiked.on_sphere(jax.random.normal(jax.random.key(2), (SIZE,)))


def test_energies_are_sums_over_tuples(data, x):
    z, size = np.asarray(x), SIZE
    expected = []
    arrays = [np.asarray(data.Y)] + [np.asarray(t.dense()) for t in data.tensors]
    for p, delta, array in zip((2, 3, 4), (0.7, 1.5, 2.0), arrays, strict=True):
        total = sum(array[i] * np.prod(z[list(i)]) for i in itertools.combinations(range(size), p))
        expected.append(-math.sqrt(math.factorial(p - 1)) / (delta * size ** ((p - 1) / 2)) * total)
    np.testing.assert_allclose(spiked.energies(MODEL, data, x), expected, rtol=1e-12)
    np.testing.assert_allclose(spiked.hamiltonian(MODEL, data, x), sum(expected), rtol=1e-12)


def test_tensors_are_symmetric_and_without_diagonal(data):
    dense = np.asarray(data.tensors[0].dense())
    assert np.array_equal(dense, dense.transpose(1, 0, 2))
    assert np.array_equal(dense, dense.transpose(2, 1, 0))
    assert not np.any(dense[np.arange(SIZE), np.arange(SIZE)])
    assert np.count_nonzero(dense) == SIZE * (SIZE - 1) * (SIZE - 2)
    assert not np.any(np.diag(data.Y))
    np.testing.assert_array_equal(data.Y, data.Y.T)
    np.testing.assert_allclose(jnp.sum(data.signal**2), SIZE, rtol=1e-14)


def test_gradient_and_hessian_along_great_circles(data, x):
    """First and second derivative of H along x cos s + v sin s, by finite differences."""
    v = jax.random.normal(jax.random.key(3), (SIZE,))
    v = spiked.on_sphere(v - x * (v @ x) / SIZE)
    along = jax.jit(lambda s: spiked.hamiltonian(MODEL, data, x * jnp.cos(s) + v * jnp.sin(s)))
    h = 1e-3
    f = [float(along(k * h)) for k in (-2, -1, 0, 1, 2)]
    slope = (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h)
    bend = (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h * h)
    np.testing.assert_allclose(spiked.gradient(MODEL, data, x) @ v, slope, rtol=1e-8)
    second = spiked.hessian(MODEL, data, x)
    np.testing.assert_allclose(v @ second @ v, bend, rtol=1e-6)
    np.testing.assert_allclose(second @ x, 0.0, atol=1e-12)
    np.testing.assert_allclose(second, second.T, atol=1e-12)


def test_mean_and_covariance():
    """Over noise: <H> = -N Q(m) and Cov = N Q(q), with the exact sums over tuples at finite N."""
    model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=1.5)
    size, draws = 12, 4000
    x = spiked.on_sphere(jax.random.normal(jax.random.key(4), (size,)))
    y = spiked.on_sphere(x + jax.random.normal(jax.random.key(5), (size,)))

    @jax.jit
    @jax.vmap
    def sample(key):
        data = spiked.sample_instance(model, size=size, key=key)
        return spiked.energies(model, data, x), spiked.energies(model, data, y), data.signal

    a, b, signal = map(np.asarray, sample(jax.random.split(jax.random.key(6), draws)))

    def sums(z):
        """Elementary symmetric polynomials of order 2 and 3, from power sums."""
        s = [np.sum(z**k, axis=-1) for k in (1, 2, 3)]
        return (s[0] ** 2 - s[1]) / 2, (s[0] ** 3 - 3 * s[0] * s[1] + 2 * s[2]) / 6

    factors = 1 / (0.7 * size), 2 / (1.5 * size**2)
    for term in (0, 1):
        mean_a = -factors[term] * sums(signal * np.asarray(x))[term]
        mean_b = -factors[term] * sums(signal * np.asarray(y))[term]
        noise_a, noise_b = a[:, term] - mean_a, b[:, term] - mean_b
        products = noise_a * noise_b
        expected = factors[term] * sums(np.asarray(x * y))[term]
        for values, exact in ((noise_a, 0.0), (noise_b, 0.0), (products, expected)):
            assert abs(values.mean() - exact) < 4 * values.std() / draws**0.5


def test_limits_and_priors():
    wigner = spiked.spiked_wigner(0.5, priors.Rademacher())
    found = spiked.sample_instance(wigner, size=20, key=jax.random.key(0))
    assert found.tensors == ()
    assert set(np.asarray(found.signal)) == {-1.0, 1.0}
    tensor = spiked.MatrixTensor(3, jnp.inf, 1.0)
    found = spiked.sample_instance(tensor, size=20, key=jax.random.key(0), dtype=jnp.float32)
    assert found.Y is None
    assert found.tensors[0].blocks.dtype == jnp.float32
    assert float(spiked.energies(tensor, found, found.signal)[0]) == 0.0


def test_what_does_not_fit_is_refused():
    model = spiked.MatrixTensor(3, 1.0, 1.0)
    # 364 blocks of 417^3 entries, and the matrix.
    needed = 8 * (364 * 417**3 + 5000**2) / 2**30
    with pytest.raises(ValueError, match=f"size 5000 they take {needed:.0f} GiB .*would fit"):
        spiked.sample_instance(model, size=5000, key=jax.random.key(0), memory_limit=1e9)
    with pytest.raises(ValueError, match="Argument `size`"):
        spiked.sample_instance(model, size=1, key=jax.random.key(0))


def test_wrong_shape(data):
    with pytest.raises(ValueError, match="Argument `x`"):
        spiked.energies(MODEL, data, jnp.zeros(SIZE + 1))
