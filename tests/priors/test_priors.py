"""Every prior against its own density, integrated by other means (numpy sums, mpmath)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

from jaxsp import channels, glm, priors
from jaxsp.glm.potentials import weight_potential

# name: (prior, law as (atoms, weights of atoms, density of the rest, support of the rest))
NORMAL = stats.norm
LAWS = {
    "Gaussian": (priors.Gaussian(0.5, 2.0), [], [], NORMAL(0.5, np.sqrt(2)).pdf, (-20, 20)),
    "Rademacher": (priors.Rademacher(), [-1, 1], [0.5, 0.5], None, None),
    "biased": (priors.Rademacher(bias=0.3), [-1, 1], [0.35, 0.65], None, None),
    "sparse": (
        priors.GaussBernoulli(0.2, mean=0.0, variance=3.0),
        [0.0],
        [0.8],
        lambda w: 0.2 * NORMAL(0, np.sqrt(3)).pdf(w),
        (-20, 20),
    ),
    "sparse, off centre": (
        priors.GaussBernoulli(0.6, mean=-1.0, variance=0.5),
        [0.0],
        [0.4],
        lambda w: 0.6 * NORMAL(-1, np.sqrt(0.5)).pdf(w),
        (-12, 10),
    ),
    "ternary": (
        priors.Discrete(jnp.array([-1.0, 0.0, 2.0]), jnp.array([0.3, 0.5, 0.2])),
        [-1, 0, 2],
        [0.3, 0.5, 0.2],
        None,
        None,
    ),
    "many values": (
        priors.Discrete(jnp.linspace(-2, 2, 11), jnp.arange(1, 12) / 66),
        np.linspace(-2, 2, 11),
        np.arange(1, 12) / 66,
        None,
        None,
    ),
    "mixture": (
        priors.GaussianMixture(
            weights=jnp.array([0.4, 0.6]),
            means=jnp.array([-1.0, 1.5]),
            variances=jnp.array([0.2, 1.0]),
        ),
        [],
        [],
        lambda w: 0.4 * NORMAL(-1, np.sqrt(0.2)).pdf(w) + 0.6 * NORMAL(1.5, 1).pdf(w),
        (-12, 14),
    ),
    "Laplace": (priors.Laplace(0.7), [], [], stats.laplace(0, 0.7).pdf, (-30, 30)),
    "exponential": (priors.Exponential(1.5), [], [], stats.expon(0, 1 / 1.5).pdf, (0, 30)),
    "truncated": (
        priors.TruncatedGaussian(-0.5, 2.0),
        [],
        [],
        stats.truncnorm(0.5 / np.sqrt(2), np.inf, -0.5, np.sqrt(2)).pdf,
        (0, 16),
    ),
    "log-density": (
        priors.FromLogDensity(lambda w: -(w**4), support=(-3.5, 3.5)),
        [],
        [],
        stats.gennorm(4).pdf,
        (-3.5, 3.5),
    ),
}
NAMES = pytest.mark.parametrize("name", LAWS)


def points_of(name):
    """The law as many atoms: its own, and Gauss-Legendre points, in panels that crowd at the origin."""
    _, atoms, weights, density, support = LAWS[name]
    w, p = np.asarray(atoms, float), np.asarray(weights, float)
    if density is not None:
        low, high = support
        pieces = [(low, high)] if low >= 0 else [(low, 0.0), (0.0, high)]
        for a, b in pieces:
            unit, steps = np.polynomial.legendre.leggauss(40)
            edges = np.sort((a + b) * np.linspace(0, 1, 51) ** 3)  # one of the ends is the origin
            half = 0.5 * np.diff(edges)[:, None]
            nodes = (edges[:-1, None] + half * (1 + unit)).ravel()
            w = np.append(w, nodes)
            p = np.append(p, (half * steps).ravel() * density(nodes))
    return w, p


@NAMES
def test_moments(name):
    prior = LAWS[name][0]
    w, p = points_of(name)
    np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-10)
    mean, variance = jax.jit(lambda: prior.moments())()
    np.testing.assert_allclose(mean, p @ w, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(variance, p @ (w - p @ w) ** 2, rtol=1e-10)
    np.testing.assert_allclose(jax.jit(lambda: prior.second_moment())(), p @ w**2, rtol=1e-10)


@NAMES
def test_log_partition_and_denoiser(name):
    """Sums over the law, at fields within and beyond what the law can give."""
    prior = LAWS[name][0]
    w, p = points_of(name)
    A = np.repeat([0.0, 0.3, 20.0, 1e3], 4)
    b = A * np.tile([-2.5, -0.4, 0.0, 1.3], 4) + np.tile([-0.2, 0.5, 0.0, 0.3], 4)
    exponent = b[:, None] * w - 0.5 * A[:, None] * w**2
    top = exponent.max(axis=1, keepdims=True)
    tilted = p * np.exp(exponent - top)
    total = tilted.sum(axis=1, keepdims=True)
    expected = (np.log(total) + top)[:, 0]
    tilted /= total
    exact_mean = tilted @ w
    exact_variance = (tilted * (w - exact_mean[:, None]) ** 2).sum(axis=1)
    found = jax.jit(jax.vmap(prior.log_partition))(jnp.asarray(A), jnp.asarray(b))
    mean, variance = jax.jit(jax.vmap(prior.denoise))(A, b)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(variance, exact_variance, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("count", [3, 20])
def test_variance_of_a_posterior_that_sits_on_one_value(count):
    """Relative to itself, and its derivatives in both modes, against sums of a hundred digits."""
    prior = priors.Discrete(jnp.arange(float(count)), jnp.full(count, 1 / count))
    variance = lambda b: prior.denoise(0.0, b)[1]  # noqa: E731
    with mpmath.workdps(100):

        def exact(b):
            p = [mpmath.exp(b * v) for v in range(count)]
            mean = sum(v * p_v for v, p_v in enumerate(p)) / sum(p)
            return sum((v - mean) ** 2 * p_v for v, p_v in enumerate(p)) / sum(p)

        for b in (-90.0, -0.3, 40.0, 90.0):
            np.testing.assert_allclose(variance(b), float(exact(b)), rtol=1e-13)
            slope = float(mpmath.diff(exact, b))
            for derivative in (jax.grad, jax.jacfwd):
                np.testing.assert_allclose(derivative(variance)(b), slope, rtol=1e-12)


@NAMES
def test_scalar_problem(name):
    """Overlap, error and information of one observed weight, by sums over weight and observation."""
    prior = LAWS[name][0]
    w, p = points_of(name)
    snrs = np.array([1e-2, 1.0, 30.0])
    found = potentials_of(prior, jnp.asarray(snrs))
    overlap, information = [], []
    for snr in snrs:
        y = np.linspace(np.sqrt(snr) * w.min() - 9, np.sqrt(snr) * w.max() + 9, 4001)
        likelihood = np.exp(-0.5 * (y[:, None] - np.sqrt(snr) * w) ** 2) / np.sqrt(2 * np.pi)
        evidence = likelihood @ p
        mean = (likelihood @ (p * w)) / np.maximum(evidence, 1e-300)
        step = y[1] - y[0]
        overlap.append(step * np.sum(evidence * mean**2))
        logarithm = np.log(np.maximum(evidence, 1e-300) * np.sqrt(2 * np.pi)) + 0.5
        information.append(step * np.sum(evidence * logarithm))
    np.testing.assert_allclose(found.overlap, overlap, rtol=1e-9)
    np.testing.assert_allclose(found.overlap + found.error_variance, p @ w**2, rtol=1e-10)
    np.testing.assert_allclose(found.negative_information, information, rtol=1e-8)
    np.testing.assert_allclose(found.normalisation, 1.0, rtol=1e-10)


def glm_of(prior):
    return glm.GLM(prior, channels.Sign())


def potentials_of(prior, snr, order=32):
    """The weight's potential at each of several signal-to-noise ratios."""
    return jax.jit(jax.vmap(lambda s: weight_potential(glm_of(prior), s, order)))(snr)


@NAMES
def test_information_and_error(name):
    """I-MMSE: the information grows by half of the error per snr (Guo, Shamai, Verdu 2005)."""
    model = glm_of(LAWS[name][0])

    @jax.jit
    @jax.vmap
    def both(snr):
        slope = jax.grad(lambda s: -weight_potential(model, s, 32).negative_information)(snr)
        return slope, weight_potential(model, snr, 32).error_variance

    slope, error = both(jnp.geomspace(1e-3, 1e4, 15))
    np.testing.assert_allclose(slope, 0.5 * error, rtol=2e-7, atol=1e-13)


@pytest.mark.parametrize("snr", [1e2, 1e6, 1e12])
def test_rademacher_at_large_snr(snr):
    """Nothing is lost where the error is e^(-snr/2): mpmath, and the bulk of the observations."""
    found = weight_potential(glm_of(priors.Rademacher()), jnp.asarray(snr), 32)
    np.testing.assert_allclose(found.overlap, 1.0, rtol=1e-10)
    if snr > 500:
        assert found.error_variance < 1e-100
        return
    with mpmath.workdps(40):
        # V = e^(-snr/2) int Dy-like sech: E sech^2 is E sech for a Nishimori field.
        r = mpmath.sqrt(snr)
        exact = mpmath.quad(
            lambda y: mpmath.exp(-(y**2) / 2 - snr / 2) * mpmath.sech(r * y) / mpmath.sqrt(2 * mpmath.pi),
            [-8, -2, -0.5, 0, 0.5, 2, 8],
        )  # fmt: skip
    np.testing.assert_allclose(found.error_variance, float(exact), rtol=1e-10)


@NAMES
def test_continuous_weights_at_large_snr(name):
    """snr V tends to the information dimension (Wu and Verdu 2011)."""
    prior = LAWS[name][0]
    snr = jnp.array([1e10])
    found = potentials_of(prior, snr)
    np.testing.assert_allclose(snr * found.error_variance, prior.dimension(), atol=2e-3)


@NAMES
def test_samples(name):
    prior = LAWS[name][0]
    draws = np.asarray(prior.sample(jax.random.key(0), (40000,)))
    w, p = points_of(name)
    for power in (1, 2, 3):
        error = np.sqrt((p @ w ** (2 * power) - (p @ w**power) ** 2) / draws.size)
        assert abs(np.mean(draws**power) - p @ w**power) < 5 * error + 1e-12


def with_type(prior, dtype):
    """The prior with every parameter an array."""
    return jax.tree.map(lambda a: a if callable(a) else jnp.asarray(a, dtype), prior)


@NAMES
def test_single_precision(name):
    """float32 in, float32 out, close to float64."""
    prior = with_type(LAWS[name][0], jnp.float32)
    snr = jnp.array([1e-2, 1.0, 1e3])
    found = potentials_of(prior, snr.astype(jnp.float32), 16)
    exact = potentials_of(LAWS[name][0], snr)
    assert found.overlap.dtype == jnp.float32
    np.testing.assert_allclose(found.overlap, exact.overlap, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(found.error_variance, exact.error_variance, rtol=1e-3, atol=1e-30)


@NAMES
def test_parameters_have_gradients(name):
    """d V / d parameter against central differences, in both modes."""
    prior = with_type(LAWS[name][0], jnp.float64)
    numbers, rest = eqx.partition(prior, eqx.is_inexact_array)
    if not jax.tree.leaves(numbers):
        pytest.skip("a prior without parameters")

    @jax.jit
    def error(numbers):
        model = glm_of(eqx.combine(numbers, rest))
        return weight_potential(model, jnp.asarray(2.0), 32).error_variance

    direction = jax.tree.map(jnp.ones_like, numbers)
    slope = jax.jvp(error, (numbers,), (direction,))[1]
    reverse = sum(jnp.sum(g) for g in jax.tree.leaves(jax.grad(error)(numbers)))
    h = 1e-4
    moved = [error(jax.tree.map(lambda a, s=s: a + s * h, numbers)) for s in (-2, -1, 1, 2)]
    difference = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(reverse, difference, rtol=1e-6, atol=1e-9)


BAD = {
    "variance": lambda: priors.Gaussian(variance=-1.0),
    "bias": lambda: priors.Rademacher(bias=1.5),
    "sparsity": lambda: priors.GaussBernoulli(1.2),
    "weights": lambda: priors.Discrete(jnp.array([0.0, 1.0]), jnp.array([0.7, 0.7])),
    "scale_length": lambda: priors.Laplace(0.0),
    "rate": lambda: priors.Exponential(-2.0),
    "support": lambda: priors.FromLogDensity(lambda w: -w, support=(1.0, 0.0)),
    "breakpoints": lambda: priors.FromLogDensity(
        lambda w: -w, support=(0.0, 1.0), breakpoints=(3.0,)
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_are_named(name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        BAD[name]()


def test_shapes_that_disagree():
    with pytest.raises((ValueError, TypeError)):
        priors.Discrete(jnp.array([0.0, 1.0, 2.0]), jnp.array([0.5, 0.5]))


def test_a_prior_of_one_function():
    """A uniform weight from its log-partition function alone: error by hand."""

    class Uniform(priors.Prior):
        def log_partition(self, A, b):
            nodes, weights = np.polynomial.legendre.leggauss(400)
            return jax.scipy.special.logsumexp(
                b * nodes - 0.5 * A * nodes**2, b=jnp.asarray(weights / 2)
            )

    w, step = np.polynomial.legendre.leggauss(400)
    p, snr = step / 2, 3.0
    y = np.linspace(-12, 12, 8001)
    likelihood = np.exp(-0.5 * (y[:, None] - np.sqrt(snr) * w) ** 2) / np.sqrt(2 * np.pi)
    evidence = likelihood @ p
    overlap = (y[1] - y[0]) * np.sum((likelihood @ (p * w)) ** 2 / np.maximum(evidence, 1e-300))
    found = weight_potential(glm_of(Uniform()), jnp.asarray(snr), 32)
    np.testing.assert_allclose(found.overlap, overlap, rtol=1e-9)


@pytest.mark.parametrize("snr", [1e-3, 1.0, 30.0, 1e4])
def test_derivatives_of_gaussian_weights(snr):
    """First and second ones by Gauss-Hermite points, against those of the closed forms."""
    mean, variance = 0.7, 1.8

    def closed(x):
        snr, mean, variance = x
        spread = 1 + snr * variance
        gained = snr * variance**2 / spread
        return jnp.array([mean**2 + gained, variance / spread, -0.5 * jnp.log(spread), 1.0])

    def quadrature(x):
        snr, mean, variance = x
        model = glm.GLM(priors.Gaussian(mean, variance), channels.Sign())
        seen = weight_potential(model, snr, 32)
        parts = seen.overlap, seen.error_variance, seen.negative_information, seen.normalisation
        return jnp.stack(parts)

    point = jnp.array([snr, mean, variance])
    # In units of the argument: of log(snr), and of the others' sizes.
    for order in (1, 2):
        got, want = quadrature, closed
        for _ in range(order):
            got, want = jax.jacfwd(got), jax.jacfwd(want)
        unit = point if order == 1 else point[:, None] * point
        np.testing.assert_allclose(got(point) * unit, want(point) * unit, rtol=1e-10, atol=1e-11)
    reverse = jax.jacrev(jax.jacrev(quadrature))(point)
    np.testing.assert_allclose(reverse, got(point), rtol=1e-9, atol=1e-11)
