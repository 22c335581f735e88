"""Every channel against its own likelihood, integrated over the field by numpy, and its labels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import special, stats

from jaxsp import channels, glm, priors
from jaxsp.glm.potentials import output_potential

KNOTS, SLOPES = np.array([-0.5, 1.0]), np.array([-1.0, 0.0, 2.0])


def bend(z):
    return np.where(z < -0.5, -z - 0.5, np.where(z < 1.0, 0.0, 2 * (z - 1)))


def noisy(activation, variance):
    return lambda y, z: stats.norm.pdf(y, activation(z), np.sqrt(variance))


def door(y, z):
    inside = stats.norm.cdf((0.9 - z) / np.sqrt(0.2)) - stats.norm.cdf((-0.9 - z) / np.sqrt(0.2))
    return np.where(y < 0, inside, 1 - inside)


def step(z, kappa=0.6744897501960817):
    return np.where(np.abs(z) >= kappa, 1.0, -1.0)


def leaky(z):
    return np.where(z < 0, 0.2 * z, z)


def flip(y, z):
    return jnp.where(y * z > 0, jnp.log(0.9), jnp.log(0.1))


def secant(y, z):
    """Noise of density 1 / (pi cosh), around z."""
    return -jnp.log(jnp.pi * jnp.cosh(y - z))


BENT = channels.PiecewiseLinear(jnp.asarray(KNOTS), jnp.asarray(SLOPES), noise_variance=0.3)
# name: (channel, likelihood of y at z, fields where it breaks, outputs to look at)
LAWS = {
    "sign": (channels.Sign(), lambda y, z: 1.0 * (y * z > 0), [0.0], [-1, 1]),
    "probit": (
        channels.Sign(noise_variance=0.3),
        lambda y, z: stats.norm.cdf(y * z / np.sqrt(0.3)),
        [],
        [-1, 1],
    ),
    "door": (
        channels.SymmetricDoor(),
        lambda y, z: 1.0 * (y == step(z)),
        [-0.6744897501960817, 0.6744897501960817],
        [-1, 1],
    ),
    "noisy door": (channels.SymmetricDoor(noise_variance=0.2, width=0.9), door, [], [-1, 1]),
    "linear": (channels.Linear(0.1), noisy(lambda z: z, 0.1), [], [-1.2, 0.3]),
    "absolute value": (channels.AbsoluteValue(0.1), noisy(np.abs, 0.1), [0.0], [-0.3, 0.1, 1.4]),
    "ReLU": (channels.ReLU(0.05), noisy(lambda z: np.maximum(z, 0), 0.05), [0.0], [-0.3, 0.2, 1.4]),
    "leaky ReLU": (channels.LeakyReLU(0.2, 0.1), noisy(leaky, 0.1), [0.0], [-0.9, 0.1, 1.4]),
    "piecewise": (BENT, noisy(bend, 0.3), [-0.5, 1.0], [-0.4, 0.2, 2.4]),
    "logistic": (channels.Logistic(), lambda y, z: special.expit(y * z), [], [-1, 1]),
    "Poisson": (
        channels.Poisson(2.0),
        lambda y, z: stats.poisson.pmf(y, 2 * np.exp(z)),
        [],
        [0, 1, 3, 12],
    ),
    "tanh": (channels.Activation(jnp.tanh, 0.1), noisy(np.tanh, 0.1), [], [-1.1, 0.2, 0.9]),
    "kink": (
        channels.Activation(lambda z: jnp.abs(z) + 0.25 * z**2, 0.2, breakpoints=(0.0,)),
        noisy(lambda z: np.abs(z) + 0.25 * z**2, 0.2),
        [0.0],
        [-0.3, 0.5, 4.0],
    ),
    "flipped": (
        channels.FromLogLikelihood(flip, values=(-1, 1), breakpoints=(0.0,)),
        lambda y, z: np.where(y * z > 0, 0.9, 0.1),
        [0.0],
        [-1, 1],
    ),
    "secant": (
        channels.FromLogLikelihood(secant, support=(-40.0, 40.0), output_points=512),
        lambda y, z: 1 / (np.pi * np.cosh(y - z)),
        [],
        [-1.0, 0.0, 6.0],
    ),
}
NAMES = pytest.mark.parametrize("name", LAWS)
FIELDS = [(0.0, 1.0), (0.7, 0.2), (-1.6, 0.5), (0.3, 1e-3)]


def fields(omega, V, breaks):
    """Gauss-Legendre points of the Gaussian field in panels, cut where the likelihood breaks."""
    edges = omega + np.sqrt(V) * np.linspace(-16, 16, 65)
    edges = np.unique(np.clip(np.append(edges, breaks), edges[0], edges[-1]))
    unit, weights = np.polynomial.legendre.leggauss(40)
    half = 0.5 * np.diff(edges)[:, None]
    z = (edges[:-1, None] + half * (1 + unit)).ravel()
    return z, (half * weights).ravel() * stats.norm.pdf(z, omega, np.sqrt(V))


@NAMES
def test_partition_and_denoiser(name):
    """Evidence of an output, mean and variance of the field given it."""
    channel, likelihood, breaks, outputs = LAWS[name]
    cases = [(y, omega, V) for omega, V in FIELDS for y in outputs]
    expected = []
    for y, omega, V in cases:
        z, p = fields(omega, V, breaks)
        p = p * likelihood(float(y), z)
        evidence = max(p.sum(), 1e-200)
        g = p @ (z - omega) / evidence / V
        spread = p @ (z - omega - V * g) ** 2 / evidence
        expected.append((np.log(evidence), g, spread / V**2 - 1 / V, V))
    log_z, g, dg, V = np.array(expected).T
    y, omega, variance = jnp.asarray(cases, float).T
    # What cannot be seen in numpy's sum is not compared.
    seen = log_z > -100
    assert seen.sum() >= len(cases) - 2
    found = jax.jit(jax.vmap(channel.log_partition))(y, omega, variance)
    np.testing.assert_allclose(found[seen], log_z[seen], rtol=1e-9, atol=1e-11)
    slope, curvature = jax.jit(jax.vmap(channel.denoise))(y, omega, variance)
    np.testing.assert_allclose(slope[seen], g[seen], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose((V * curvature)[seen], (V * dg)[seen], rtol=1e-7, atol=1e-7)


@NAMES
def test_outputs_add_up(name):
    """Total probability and first moments of the outputs at a field."""
    channel = LAWS[name][0]

    @jax.jit
    @jax.vmap
    def moments(omega, V):
        rule = channel.output_rule(omega, V, 32)
        p = rule.weights * jnp.exp(
            jax.vmap(channel.log_partition, (0, None, None))(rule.nodes, omega, V)
        )
        return jnp.sum(p), jnp.sum(p * rule.nodes), jnp.sum(p * rule.nodes**2)

    omegas, variances = np.array(FIELDS).T
    total, mean, square = moments(jnp.asarray(omegas), jnp.asarray(variances))
    np.testing.assert_allclose(total, 1.0, rtol=1e-9)
    exact = [exact_moments(name, omega, V) for omega, V in FIELDS]
    np.testing.assert_allclose(mean, [m for m, _ in exact], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(square, [s for _, s in exact], rtol=1e-9, atol=1e-9)


def exact_moments(name, omega, V):
    """First two moments of the output, from those at given field."""
    _, likelihood, breaks, _ = LAWS[name]
    z, p = fields(omega, V, breaks)
    given = {
        "linear": (z, z**2 + 0.1),
        "absolute value": (np.abs(z), z**2 + 0.1),
        "ReLU": (np.maximum(z, 0), np.maximum(z, 0) ** 2 + 0.05),
        "leaky ReLU": (leaky(z), leaky(z) ** 2 + 0.1),
        "piecewise": (bend(z), bend(z) ** 2 + 0.3),
        "Poisson": (2 * np.exp(z), 2 * np.exp(z) + 4 * np.exp(2 * z)),
        "tanh": (np.tanh(z), np.tanh(z) ** 2 + 0.1),
        "kink": (np.abs(z) + 0.25 * z**2, (np.abs(z) + 0.25 * z**2) ** 2 + 0.2),
        "secant": (z, z**2 + np.pi**2 / 4),
    }
    if name in given:
        first, second = given[name]
        return p @ first, p @ second
    return p @ likelihood(1.0, z) - p @ likelihood(-1.0, z), 1.0


@NAMES
def test_samples(name):
    """First two moments of drawn outputs, within five standard errors."""
    channel = LAWS[name][0]
    omega, V, count = 0.4, 0.6, 10_000
    field, output = jax.random.split(jax.random.key(1))
    z = omega + np.sqrt(V) * jax.random.normal(field, (count,))
    y = np.asarray(eqx.filter_jit(channel.sample)(output, z))
    channel.check_outputs(jnp.asarray(y))
    mean, square = exact_moments(name, omega, V)
    for power, exact in ((1, mean), (2, square)):
        error = np.std(y**power) / np.sqrt(count)
        assert abs(np.mean(y**power) - exact) < 5 * error + 1e-12


@pytest.mark.parametrize(
    "channel",
    [
        channels.AbsoluteValue(),
        channels.ReLU(),
        channels.LeakyReLU(0.2),
        channels.PiecewiseLinear(jnp.asarray(KNOTS), jnp.array([-1.0, 0.5, 2.0])),
    ],
    ids=["absolute value", "ReLU", "leaky ReLU", "piecewise"],
)
def test_without_noise(channel):
    """Densities of the fields that give the output, and the atoms of flat pieces."""
    omega, V = 0.4, 0.3
    normal = stats.norm(omega, np.sqrt(V))
    expected = {
        "AbsoluteValue": {0.7: normal.pdf(0.7) + normal.pdf(-0.7)},
        "ReLU": {0.7: normal.pdf(0.7), 0.0: normal.cdf(0)},
        "LeakyReLU": {0.7: normal.pdf(0.7), -0.1: normal.pdf(-0.5) / 0.2},
        "PiecewiseLinear": {
            0.5: normal.pdf(-1.0) + normal.pdf(0.5) / 0.5,
            1.0: normal.pdf(-1.5) + normal.pdf(1.125) / 2,
        },
    }[type(channel).__name__]
    for y, probability in expected.items():
        found = channel.log_partition(*map(jnp.asarray, (y, omega, V)))
        np.testing.assert_allclose(found, np.log(probability), rtol=1e-12)


@NAMES
def test_potential_grows_by_the_information(name):
    """d Phi_out / dm at fixed m + V is half of E g^2: the Nishimori identity of an output."""
    model = glm.GLM(priors.Rademacher(), LAWS[name][0])

    @jax.jit
    def both(m):
        slope = jax.grad(lambda m: output_potential(model, m, 1 - m, 32).potential)(m)
        return slope, output_potential(model, m, 1 - m, 32).information

    for m in (0.1, 0.8):
        slope, information = both(jnp.asarray(m))
        # The fields of a kinked integrand are summed to nine digits only (the default rule).
        np.testing.assert_allclose(slope, 0.5 * information, rtol=1e-7)


@NAMES
def test_single_precision(name):
    """float32 in, float32 out, close to float64."""
    channel = LAWS[name][0]
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32) if eqx.is_inexact_array_like(a) else a, channel
    )

    def information(channel, dtype, order):
        model = glm.GLM(priors.Rademacher(), channel)
        potential = jax.jit(lambda m: output_potential(model, m, 1 - m, order))
        return [potential(jnp.asarray(m, dtype)) for m in (0.05, 0.9)]

    for found, exact in zip(
        information(single, jnp.float32, 16), information(channel, jnp.float64, 32), strict=True
    ):
        assert found.information.dtype == jnp.float32
        np.testing.assert_allclose(found.information, exact.information, rtol=3e-4)
        np.testing.assert_allclose(found.potential, exact.potential, rtol=3e-4, atol=1e-5)


@NAMES
def test_parameters_have_gradients(name):
    """dF / d parameter against central differences, in both modes."""
    channel = jax.tree.map(
        lambda a: jnp.asarray(a, float) if eqx.is_inexact_array_like(a) else a, LAWS[name][0]
    )
    numbers, rest = eqx.partition(channel, eqx.is_inexact_array)
    if not jax.tree.leaves(numbers) or name in ("sign", "door"):
        pytest.skip("no parameter, or a noise of zero at the end of its range")

    @jax.jit
    def information(numbers):
        model = glm.GLM(priors.Rademacher(), eqx.combine(numbers, rest))
        return output_potential(model, jnp.asarray(0.4), jnp.asarray(0.6), 32).information

    direction = jax.tree.map(jnp.ones_like, numbers)
    slope = jax.jit(lambda n: jax.jvp(information, (n,), (direction,))[1])(numbers)
    reverse = sum(jnp.sum(g) for g in jax.tree.leaves(jax.jit(jax.grad(information))(numbers)))
    h = 1e-3
    moved = [information(jax.tree.map(lambda a, s=s: a + s * h, numbers)) for s in (-2, -1, 1, 2)]
    difference = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(reverse, difference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("omega", [-40.0, -8.0, 8.0])
@pytest.mark.parametrize("name", ["sign", "door", "probit", "noisy door"])
def test_labels_at_far_fields(name, omega):
    """Improbable labels keep their digits: mpmath."""
    channel = LAWS[name][0]
    V = 0.01
    s = mpmath.sqrt(V + channel.noise_variance)
    for y in (-1.0, 1.0):
        with mpmath.workdps(120):
            if "door" in name:
                kappa = mpmath.mpf(channel.width)
                far, near = abs(omega) + kappa, abs(omega) - kappa
                left, right = mpmath.ncdf(-far / s), mpmath.ncdf(near / s)
                inside = mpmath.ncdf(-near / s) - left
                exact = mpmath.log(left + right if y > 0 else inside)
            else:
                exact = mpmath.log(mpmath.ncdf(y * omega / s))
        found = channel.log_partition(*map(jnp.asarray, (y, omega, V)))
        np.testing.assert_allclose(found, float(exact), rtol=1e-11, atol=1e-300)


BAD = {
    "noise_variance": [
        lambda: channels.Sign(noise_variance=-0.1),
        lambda: channels.SymmetricDoor(noise_variance=-0.1),
        lambda: channels.ReLU(noise_variance=-1.0),
        lambda: channels.Activation(jnp.tanh, noise_variance=0.0),
        lambda: channels.AbsoluteValue(noise_variance=float("nan")),
    ],
    "width": [lambda: channels.SymmetricDoor(width=0.0)],
    "rate": [lambda: channels.Poisson(-1.0)],
    "slope": [lambda: channels.LeakyReLU(slope=-0.5)],
    "values": [lambda: channels.FromLogLikelihood(flip, values=(1, 1))],
    "support": [lambda: channels.FromLogLikelihood(secant, support=(2.0, -2.0))],
    "output_points": [
        lambda: channels.FromLogLikelihood(secant, support=(-9.0, 9.0), output_points=3)
    ],
    "points": [lambda: channels.Activation(jnp.tanh, 0.1, points=-3)],
    "breakpoints": [
        lambda: channels.Activation(jnp.tanh, 0.1, breakpoints=(float("inf"),))
    ],
    "function": [lambda: channels.FromLogLikelihood(lambda y, z: -y * z, values=(-1, 1))],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_are_named(name):
    for make in BAD[name]:
        with pytest.raises(ValueError, match=f"[Aa]rgument `{name}`"):
            make()


def test_a_likelihood_needs_outputs():
    with pytest.raises(ValueError, match="`values`.*`support`"):
        channels.FromLogLikelihood(flip)


@pytest.mark.parametrize(
    ("channel", "y", "message"),
    [
        (channels.Sign(), [1.0, 0.0], "labels out of"),
        (channels.Logistic(), [2.0], "labels out of"),
        (channels.Poisson(), [-1.0], "`y`"),
        (channels.Poisson(), [0.5], "whole numbers"),
        (channels.AbsoluteValue(), [-0.5], "`y`"),
        (channels.ReLU(), [-0.5], "`y`"),
        (channels.Linear(0.1), [float("nan")], "finite"),
        (channels.FromLogLikelihood(secant, support=(-40.0, 40.0)), [50.0], "`y`"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_impossible_outputs_are_refused(channel, y, message):
    with pytest.raises(ValueError, match=message):
        channel.check_outputs(jnp.asarray(y))


def test_a_channel_of_one_function():
    """The probit written again as a log-partition function and its labels."""

    class Probit(channels.Channel):
        @property
        def labels(self):
            return jnp.array([-1.0, 1.0])

        def log_partition(self, y, omega, V):
            return jax.scipy.special.log_ndtr(y * omega / jnp.sqrt(V + 0.3))

    # One step of state evolution and the potential: all that a theory takes of a channel.
    own, library = (
        glm.GLM(priors.Rademacher(), channel) for channel in (Probit(), channels.Sign(0.3))
    )
    for m in jnp.array([0.3, 0.9]):
        ours, theirs = (output_potential(model, m, 1 - m, 32) for model in (own, library))
        np.testing.assert_allclose(ours.information, theirs.information, rtol=1e-10)
        np.testing.assert_allclose(ours.potential, theirs.potential, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (channels.FromLogLikelihood(lambda y, z: jax.scipy.special.log_ndtr(y * z / 0.3**0.5),
                                    values=(-1, 1)), channels.Sign(0.3)),
        (channels.Activation(lambda z: z, 0.2), channels.Linear(0.2)),
    ],
    ids=["probit", "linear"],
)  # fmt: skip
def test_generic_channels_solve_known_models(first, second):
    """The quadrature and the closed form of the same law give the same theory."""
    generic, closed = (
        glm.bayes_optimal(glm.GLM(priors.Rademacher(), channel), 1.1) for channel in (first, second)
    )
    np.testing.assert_allclose(generic.overlap, closed.overlap, rtol=1e-10)
    np.testing.assert_allclose(generic.free_entropy, closed.free_entropy, rtol=1e-9)
    np.testing.assert_allclose(generic.generalization_error, closed.generalization_error, rtol=1e-9)
