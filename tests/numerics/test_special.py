"""Special functions and their derivatives against mpmath, where double precision would cancel."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mpf

from jaxsp import numerics

PRECISION = {"float64": 1e-11, "float32": 1e-3}
# In float32 the direct forms just above the change to the tail's fraction cancel three digits more.
FOURTH = {"float64": 1e-10, "float32": 2e-3}


@pytest.fixture(autouse=True)
def many_digits():
    with mpmath.workdps(120):
        yield


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    return request.param


def nth_derivative(f, n):
    for _ in range(n):
        f = jax.grad(f)
    return jax.jit(f)


def relative_error(actual, wanted):
    if wanted == 0:
        return abs(float(actual))
    return float(abs(mpf(float(actual)) / wanted - 1))


def log_ndtr(x):
    return mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)


def log_ndtr_derivatives(x):
    """By the cumulants of the truncated normal, in exact arithmetic as far as it matters."""
    r = mpmath.npdf(x) * 2 / mpmath.erfc(-x / mpmath.sqrt(2))
    h = x + r
    w = 1 - r * h
    k = r * (h * h - w)
    return [log_ndtr(x), r, -r * h, k, -r * h * (h * h - w) + r * (2 * h * w - k)]


# Values below which e^x or a product of tails leaves the range of the type are left out.
TAILS = [
    -1e8,
    -1e4,
    -300.0,
    -37.0,
    -20.0,
    -9.0,
    -5.01,
    -4.99,
    -3.0,
    -1.0,
    0.0,
    0.3,
    1.0,
    3.0,
    6.0,
    9.0,
]


@pytest.mark.parametrize("order", range(5))
def test_log_ndtr(order, dtype):
    f = nth_derivative(numerics.log_ndtr, order)
    tolerance = (FOURTH if order == 4 else PRECISION)[dtype]
    for x in np.asarray(TAILS, dtype):
        wanted = log_ndtr_derivatives(mpf(float(x)))[order]
        assert relative_error(f(jnp.asarray(x)), wanted) < tolerance, x


def test_log_ndtr_underflow():
    """Where no digit is left the limits are right: 0 above, -x^2/2 and its derivatives below."""
    values = [nth_derivative(numerics.log_ndtr, n)(jnp.asarray(50.0)) for n in range(4)]
    assert not np.any(values)
    far = [nth_derivative(numerics.log_ndtr, n)(jnp.asarray(-1e100)) for n in range(4)]
    np.testing.assert_allclose(far, [-5e199, 1e100, -1.0, 0.0], rtol=1e-14, atol=1e-200)


@pytest.mark.parametrize("x", [-40.0, -5.0, -2.0, 0.5, 4.0])
def test_truncated_moments(x):
    """Mean and variance of N(x, 1) on the positive axis by mpmath's quadrature."""
    start = mpf(x)
    # The exponent relative to the one at the origin, so that nothing underflows.
    cuts = [0, mpf(1) / 50, mpf(1) / 4, 1, 4, 12, 20]
    z, first, second = (
        mpmath.quad(lambda t, n=n: t**n * mpmath.exp(start * t - t * t / 2), cuts) for n in range(3)
    )
    mean = first / z
    assert relative_error(numerics.mean_excess(jnp.asarray(x)), mean) < 1e-12
    assert relative_error(numerics.truncated_variance(jnp.asarray(x)), second / z - mean**2) < 1e-12


def interval_derivatives(a, b):
    """log[Phi(b) - Phi(a)]; first and second derivatives in a common shift, in b, and in a."""
    if a + b > 0:
        mass = (mpmath.erfc(a / mpmath.sqrt(2)) - mpmath.erfc(b / mpmath.sqrt(2))) / 2
    else:
        mass = (mpmath.erfc(-b / mpmath.sqrt(2)) - mpmath.erfc(-a / mpmath.sqrt(2))) / 2
    at_a, at_b = mpmath.npdf(a) / mass, mpmath.npdf(b) / mass
    shift = at_b - at_a
    return [
        mpmath.log(mass),
        shift,
        -b * at_b + a * at_a - shift**2,
        at_b,
        -b * at_b - at_b**2,
        -at_a,
        a * at_a - at_a**2,
    ]


INTERVALS = {
    "middle": (-0.5, 2.0),
    "one side": (-3.0, -2.0),
    "almost everything": (-6.0, 9.0),
    "tail": (-10.0, -9.5),
    "far tail": (-31.0, -30.0),
    "farther": (-1e4, -1e4 + 1),
    "mirrored": (20.0, 25.0),
    "one wall": (-1e3, -3.0),
    "close": (0.3, 0.301),
    "closer": (0.3, 0.30001),
    "close around zero": (-1e-5, 2e-5),
    "close in the tail": (-20.0, -19.999),
    "change of form": (0.5, 1.16),
}


@pytest.mark.parametrize("name", INTERVALS)
def test_log_ndtr_difference(name, dtype):
    a, b = (jnp.asarray(x, dtype) for x in INTERVALS[name])
    f = numerics.log_ndtr_difference

    def shifted(s):
        return f(a + s, b + s)

    zero = jnp.zeros((), dtype)
    actual = [f(a, b)]
    for g, point in ((shifted, zero), (lambda b: f(a, b), b), (lambda a: f(a, b), a)):
        actual += [jax.grad(g)(point), jax.grad(jax.grad(g))(point)]
    wanted = interval_derivatives(mpf(float(a)), mpf(float(b)))
    smallest = float(jnp.finfo(dtype).tiny)
    for value, exact in zip(actual, wanted, strict=True):
        if abs(exact) < smallest:
            assert abs(float(value)) < smallest
        else:
            assert relative_error(value, exact) < {"float64": 1e-13, "float32": 1e-5}[dtype]


STATES = [-1.0, 0.0, 1.0, 1.5]


def state_cumulants(b):
    """Cumulants of the value of a state with weights exp(b v - v^2)."""
    weights = [mpmath.exp(b * v - mpf(v) ** 2) for v in STATES]
    z = sum(weights)
    mean = sum(v * p for v, p in zip(STATES, weights, strict=True)) / z
    central = [
        sum((v - mean) ** n * p for v, p in zip(STATES, weights, strict=True)) / z
        for n in (2, 3, 4)
    ]
    return [mpmath.log(z), mean, central[0], central[1], central[2] - 3 * central[0] ** 2]


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("along", [tuple, jnp.stack])
def test_log_sum_exp(order, dtype, along):
    """The variance and the higher cumulants keep their digits when one state dominates."""

    def f(b):
        return numerics.log_sum_exp(along([b * v - v * v for v in STATES]))

    derivative = nth_derivative(f, order)
    fields = [-80.0, -30.0, -5.0, 0.0, 0.3, 5.0, 30.0, 80.0]
    if dtype == "float64":
        fields += [-600.0, 600.0]
    for b in np.asarray(fields, dtype):
        with mpmath.workdps(600):
            wanted = state_cumulants(mpf(float(b)))[order]
        assert (
            relative_error(derivative(jnp.asarray(b)), wanted)
            < {"float64": 5e-14, "float32": 5e-5}[dtype]
        )


@pytest.mark.parametrize("along", [tuple, jnp.stack])
def test_log_sum_exp_with_impossible_states(along):
    f = lambda x: numerics.log_sum_exp(along([x, 2 * x, jnp.full_like(x, -jnp.inf)]))  # noqa: E731
    x = jnp.asarray(0.4)
    expected = jax.nn.softmax(jnp.stack([x, 2 * x])) @ jnp.array([1.0, 2.0])
    np.testing.assert_allclose(jax.grad(f)(x), expected, rtol=1e-14)
    assert np.isfinite(jax.hessian(f)(x))


def test_log_normal_density():
    x, variance = jnp.asarray(1.3), jnp.asarray(0.4)
    wanted = mpmath.log(mpmath.npdf(mpf(1.3), 0, mpmath.sqrt(mpf(0.4))))
    assert relative_error(numerics.log_normal_density(x, variance), wanted) < 1e-15


def test_arcsin(dtype):
    """Values to two units in the last place, up to the ends; derivatives in both modes."""
    tiny = np.finfo(dtype).eps
    sizes = np.array(
        [0.0, 1e-30, 1e-9, 0.1, 0.3, 0.4999999, 0.5, 0.50001, 0.77, 0.999, 1 - tiny, 1.0]
    )
    x = np.concatenate([-sizes, sizes]).astype(dtype)
    found = jax.jit(numerics.arcsin)(jnp.asarray(x))
    assert found.dtype == dtype
    assert max(
        relative_error(a, mpmath.asin(mpf(float(b)))) for a, b in zip(found, x, strict=True)
    ) < (2 * tiny)
    assert jnp.isnan(numerics.arcsin(jnp.asarray(1.1, dtype)))
    point = jnp.asarray(0.97, dtype)
    for derivative, power in ((jax.grad, 1), (jax.jacfwd, 1), (lambda f: jax.grad(jax.grad(f)), 3)):
        at = mpf(float(point))
        wanted = (at if power == 3 else 1) / mpmath.sqrt(1 - at * at) ** power
        assert relative_error(jax.jit(derivative(numerics.arcsin))(point), wanted) < 100 * tiny
