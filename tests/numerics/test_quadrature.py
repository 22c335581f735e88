"""Gaussian expectations against closed forms and mpmath: smooth, discontinuous and log-singular."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import special, stats

from jaxsp import numerics
from jaxsp.numerics import RESULTS, gaussian_expectation, gaussian_panels, integrate, tanh_sinh

EULER = 0.5772156649015329
ZERO, ONE = jnp.zeros(1), jnp.ones(1)


def at(*places):
    return jnp.asarray(places)


# name: (function, rule, exact value, relative accuracy)
ONE_DIMENSION = {
    "cos": (lambda z: jnp.cos(2 * z), None, np.exp(-2), 1e-13),
    "cos, Hermite": (lambda z: jnp.cos(2 * z), numerics.gauss_hermite(), np.exp(-2), 1e-13),
    "moment": (lambda z: z**10, numerics.gauss_hermite(), 945.0, 1e-13),
    "exponential": (jnp.exp, None, np.exp(0.5), 1e-14),
    "characteristic": (lambda z: jnp.exp(1j * z), None, np.exp(-0.5), 1e-14),
    "resolvent": (
        lambda z: 1 / (1 + z**2 / 0.09),
        numerics.trapezoid(97, scale=0.3),
        np.sqrt(np.pi / 2) * 0.3 * special.erfcx(0.3 / np.sqrt(2)),
        1e-13,
    ),
    "absolute value": (jnp.abs, gaussian_panels(ZERO, ONE), np.sqrt(2 / np.pi), 1e-14),
    "positive part": (
        lambda z: jnp.maximum(z - 0.7, 0.0),
        gaussian_panels(at(0.7), ONE),
        stats.norm.pdf(0.7) - 0.7 * stats.norm.sf(0.7),
        1e-14,
    ),
    "step": (lambda z: z > 0.3, gaussian_panels(at(0.3), ONE), stats.norm.sf(0.3), 1e-14),
    "window": (
        lambda z: (z > -0.2) & (z < 1.1),
        gaussian_panels(at(1.1, -0.2), jnp.ones(2)),
        stats.norm.cdf(1.1) - stats.norm.cdf(-0.2),
        1e-14,
    ),
    # To 1e-18 absolutely: beyond nine standard deviations the weight is left out.
    "far step": (lambda z: z > 7.0, gaussian_panels(at(7.0), ONE), stats.norm.sf(7.0), 1e-6),
    "no step": (lambda z: z > 40.0, gaussian_panels(at(40.0), ONE), 0.0, 0.0),
    "logarithm": (lambda z: jnp.log(jnp.abs(z)), tanh_sinh(ZERO), -(np.log(2) + EULER) / 2, 1e-11),
    "squared logarithm": (
        lambda z: jnp.log(jnp.abs(z)) ** 2,
        tanh_sinh(ZERO),
        ((np.log(2) + EULER) / 2) ** 2 + np.pi**2 / 8,
        1e-9,
    ),
    "square root": (
        lambda z: jnp.sqrt(jnp.abs(z)),
        tanh_sinh(ZERO),
        2**0.25 * special.gamma(0.75) / np.sqrt(np.pi),
        1e-11,
    ),
    "inverse square root": (
        lambda z: 1 / jnp.sqrt(jnp.abs(z)),
        tanh_sinh(ZERO),
        2**-0.25 * special.gamma(0.25) / np.sqrt(np.pi),
        1e-7,
    ),
}


@pytest.mark.parametrize("name", ONE_DIMENSION)
def test_closed_forms(name):
    """The value is right, and the error estimate is not below its error."""
    f, rule, exact, accuracy = ONE_DIMENSION[name]
    out = gaussian_expectation(f, rule=rule)
    np.testing.assert_allclose(out.value, exact, rtol=accuracy, atol=1e-300)
    assert abs(out.value - exact) <= out.error + 4e-16 * max(1, abs(exact))
    assert out.result == RESULTS.successful


SINGLE = {
    "cos": lambda zero, one: None,
    "exponential": lambda zero, one: None,
    "absolute value": lambda zero, one: gaussian_panels(zero, one, 16),
    "step": lambda zero, one: gaussian_panels(zero + jnp.float32(0.3), one, 16),
    "logarithm": lambda zero, one: tanh_sinh(zero),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision(name):
    f, _, exact, _ = ONE_DIMENSION[name]
    zero, one = jnp.zeros(1, jnp.float32), jnp.ones(1, jnp.float32)
    out = gaussian_expectation(f, zero[0], one[0], SINGLE[name](zero, one))
    assert out.value.dtype == jnp.float32
    np.testing.assert_allclose(out.value, exact, rtol=1e-4)


@pytest.mark.parametrize("width", [1e-2, 1e-5, 1e-9])
def test_narrow_layers(width):
    """A smooth step of any width beside the Gaussian, by three groups of points; E h^2 and E x h."""
    place = 0.3
    rule = gaussian_panels(at(place), at(width), subdivisions=3)
    out = integrate(lambda z: jnp.stack([jnp.tanh((z - place) / width) ** 2, z]), rule)
    with mpmath.workdps(30):
        cuts = [-40, -20, -5, 0, 5, 20, 40]
        inside = mpmath.quad(lambda u: mpmath.sech(u) ** 2 * mpmath.npdf(place + width * u), cuts)
    np.testing.assert_allclose(1 - out.value[0], float(inside) * width, rtol=1e-6, atol=2e-15)
    assert abs(out.value[1]) < 1e-14


def test_even_rules():
    """Half of the points for a mirror-symmetric integrand."""

    def f(z):
        return jnp.abs(jnp.abs(z) - 0.8) * jnp.cos(z)

    whole = gaussian_panels(at(-0.8, 0.0, 0.8), jnp.ones(3))
    half = gaussian_panels(at(0.0, 0.8), jnp.ones(2), even=True)
    assert half.nodes.size <= whole.nodes.size / 2
    np.testing.assert_allclose(integrate(f, half).value, integrate(f, whole).value, rtol=1e-14)


def test_graded_panels():
    """Unsorted, coinciding and outer landmarks; an interval whose interior alone matters."""
    rule = numerics.graded_panels(at(5.0, 0.2, 0.2, -7.0), jnp.ones(4), 0.0, 2.0)
    np.testing.assert_allclose(jnp.sum(rule.weights), 2.0, rtol=1e-14)
    np.testing.assert_allclose(
        integrate(lambda x: jnp.abs(x - 0.2), rule).value, (0.04 + 3.24) / 2, rtol=1e-14
    )
    rule = numerics.graded_panels(at(0.0), at(1e-3), -1.0, 1.0, reach=at(0.04), subdivisions=3)
    assert jnp.max(jnp.abs(rule.nodes)) <= 0.04
    area = integrate(lambda x: jnp.exp(-((x / 1e-3) ** 2)), rule).value
    np.testing.assert_allclose(area, 1e-3 * np.sqrt(np.pi), rtol=1e-12)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.999])
def test_correlated_orthant(correlation):
    """P(x > 0, y > 0) = 1/4 + asin(r)/(2 pi) and E|xy|: one variable each, walls that move."""
    rest = np.sqrt(1 - correlation**2)

    def given_x(x):
        wall = -correlation * x / rest
        rule = gaussian_panels(wall[None], ONE)
        inner = integrate(
            lambda z: jnp.stack([z > wall, jnp.abs(correlation * x + rest * z)]), rule
        )
        return inner.value * jnp.stack([x > 0, jnp.abs(x)])

    layer = min(1.0, rest / max(abs(correlation), 1e-3))
    out = gaussian_expectation(given_x, rule=gaussian_panels(ZERO, at(layer), subdivisions=3))
    angle = np.arcsin(correlation)
    exact = [0.25 + angle / (2 * np.pi), 2 / np.pi * (rest + correlation * angle)]
    np.testing.assert_allclose(out.value, exact, rtol=1e-12)


COVARIANCE = jnp.array([[1.3, 0.4], [0.4, 0.7]])


def test_smooth_in_two_dimensions():
    """The characteristic function, and its derivatives in the mean and the covariance."""
    k = jnp.array([0.8, -1.1])

    def numeric(mean, covariance):
        return gaussian_expectation(lambda x: jnp.cos(k @ x), mean, covariance).value

    def exact(mean, covariance):
        return jnp.cos(k @ mean) * jnp.exp(-k @ covariance @ k / 2)

    mean = jnp.array([0.2, 0.5])
    np.testing.assert_allclose(numeric(mean, COVARIANCE), exact(mean, COVARIANCE), rtol=1e-13)
    for argument in (0, 1):
        slope = jax.grad(numeric, argument)(mean, COVARIANCE)
        expected = jax.grad(exact, argument)(mean, COVARIANCE)
        np.testing.assert_allclose(slope + slope.T, expected + expected.T, rtol=1e-12)


def test_singular_in_two_dimensions():
    """E log|x| at the origin of the plane, and E log|x - y| on a line through it."""
    rule = tanh_sinh(ZERO, 129)
    plane = gaussian_expectation(
        lambda x: jnp.log(x @ x) / 2, jnp.zeros(2), jnp.eye(2), numerics.product(rule, rule)
    )
    np.testing.assert_allclose(plane.value, (np.log(2) - EULER) / 2, rtol=1e-11)
    correlation, rest = 0.6, 0.8

    def given_x(x):
        line = (1 - correlation) * x / rest
        return integrate(lambda z: jnp.log(jnp.abs(rest * (line - z))), tanh_sinh(line[None])).value

    value = gaussian_expectation(given_x).value
    variance = 2 * (1 - correlation)
    np.testing.assert_allclose(value, (np.log(variance) - np.log(2) - EULER) / 2, rtol=1e-10)


def test_three_dimensions():
    covariance = jnp.eye(3) + 0.2
    k = jnp.array([0.3, -0.5, 0.4])
    value = gaussian_expectation(lambda x: jnp.cos(k @ x), jnp.zeros(3), covariance).value
    np.testing.assert_allclose(value, jnp.exp(-k @ covariance @ k / 2), rtol=1e-13)


def test_trees_of_integrands():
    out = gaussian_expectation(lambda z: {"mean": z, "moments": (z**2, jnp.stack([z**4, z**6]))})
    np.testing.assert_allclose(out.value["mean"], 0.0, atol=1e-15)
    np.testing.assert_allclose(out.value["moments"][0], 1.0, rtol=1e-14)
    np.testing.assert_allclose(out.value["moments"][1], [3.0, 15.0], rtol=1e-12)
    assert out.error["moments"][1].shape == (2,)


def test_derivative_with_respect_to_a_kink():
    """d/dt E max(z - t, 0) = -P(z > t), with the points held fixed or moving with the kink."""

    def value(t, place):
        return integrate(lambda z: jnp.maximum(z - t, 0.0), gaussian_panels(place[None], ONE)).value

    t = jnp.asarray(0.4)
    for g in (lambda t: value(t, jax.lax.stop_gradient(t)), lambda t: value(t, t)):
        np.testing.assert_allclose(jax.grad(g)(t), -stats.norm.sf(0.4), rtol=1e-13)


def test_derivative_with_respect_to_a_step():
    """A step's place is seen only by points that move with it."""

    def mass(t):
        return integrate(lambda z: z > t, gaussian_panels(t[None], ONE)).value

    t = jnp.asarray(0.4)
    np.testing.assert_allclose(jax.grad(mass)(t), -stats.norm.pdf(0.4), rtol=1e-12)
    np.testing.assert_allclose(jax.hessian(mass)(t), 0.4 * stats.norm.pdf(0.4), rtol=1e-11)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jax.jacfwd(mass)))(at(-1.0, 2.0)), -stats.norm.pdf([-1.0, 2.0]), rtol=1e-12
    )


def test_accepted_error():
    """A kink that no panel knows of is noticed; the same with a panel is accepted."""
    with pytest.raises(
        numerics.SolverError, match="gaussian_expectation: the estimated quadrature"
    ):
        gaussian_expectation(jnp.abs, rtol=1e-6)
    out = gaussian_expectation(jnp.abs, rtol=1e-6, throw=False)
    assert out.result == RESULTS.inaccurate
    assert gaussian_expectation(jnp.abs, rtol=1e-6, atol=0.1).result == RESULTS.successful
    rule = gaussian_panels(ZERO, ONE)
    assert gaussian_expectation(jnp.abs, rule=rule, rtol=1e-4).result == RESULTS.successful
    # One bad entry of a tree is enough.
    both = gaussian_expectation(
        lambda z: (z**2, jnp.stack([z, jnp.abs(z)])), rtol=1e-6, throw=False
    )
    assert both.result == RESULTS.inaccurate


def test_accepted_error_while_tracing():
    def result(rtol):
        return gaussian_expectation(jnp.abs, rtol=rtol).result

    batch = jax.jit(jax.vmap(result))(at(1e-6, 0.1))
    codes = [jax.tree.map(lambda a, i=i: a[i], batch) for i in range(2)]
    assert codes[0] == RESULTS.inaccurate
    assert codes[1] == RESULTS.successful


def test_values_that_are_not_finite():
    with pytest.raises(numerics.SolverError, match="not finite"):
        gaussian_expectation(lambda z: jnp.log(z))
    out = gaussian_expectation(lambda z: 1 / z, throw=False)
    assert out.result == RESULTS.nonfinite


def test_variance_far_from_one():
    for variance in (1e-12, 1e6):
        out = gaussian_expectation(lambda x: x**2, 0.0, variance)
        np.testing.assert_allclose(out.value, variance, rtol=1e-13)


def test_bad_arguments():
    for rule in (numerics.trapezoid, lambda n: tanh_sinh(ZERO, n)):
        with pytest.raises(ValueError, match="`points` must be odd and at least 3, but is 10"):
            rule(10)
