"""Roots: what is found, in how many steps, what is said when nothing is, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxsp import numerics
from jaxsp.numerics import RESULTS, bracketed_root, newton_root

SMOOTH = {
    "cubic": (lambda x: x**3 - 2 * x - 5, 2.0, 3.0),
    "transcendental": (lambda x: jnp.cos(x) - x, 0.0, 1.0),
    "steep": (lambda x: jnp.exp(20 * x) - 3, -1.0, 1.0),
    "flat": (lambda x: jnp.tanh(1e-3 * (x - 0.1)), -1.0, 2.0),
    "pole outside": (lambda x: 1 / (x + 1e-3) - 7, 0.0, 1.0),
    "decreasing": (lambda x: 1 - x**5, 0.0, 30.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_roots(name):
    """Against scipy's Brent, in not many more evaluations."""
    f, lower, upper = SMOOTH[name]
    root = bracketed_root(f, lower, upper)
    expected, report = scipy.optimize.brentq(
        lambda x: float(f(x)), lower, upper, xtol=1e-15, rtol=1e-15, full_output=True
    )
    np.testing.assert_allclose(root.value, expected, rtol=2e-15)
    assert root.result == RESULTS.successful
    assert root.width <= 4e-16 * 4 * max(abs(lower), abs(upper))
    assert root.iterations <= report.function_calls + 12


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.0)])
def test_jump(ends):
    """A first-order jump has no small |f|: the interval alone says that it is found."""
    root = bracketed_root(lambda x: jnp.where(x > 1 / 3, 5.0, -2.0), *ends)
    assert abs(root.value - 1 / 3) < 1e-15
    assert root.residual >= 2.0
    assert root.result == RESULTS.successful
    assert root.iterations < 60


def test_pole_is_a_jump():
    root = bracketed_root(lambda x: 1 / (x - 0.3), 0.0, 1.0)
    assert abs(root.value - 0.3) < 1e-15
    assert root.result == RESULTS.successful


@pytest.mark.parametrize("power", [3, 9])
def test_multiple_root(power):
    """Interpolation gains nothing at a multiple root; bisection's worst case bounds the steps."""
    root = bracketed_root(lambda x: (x - 0.3) ** power, 0.0, 1.0)
    # Where f underflows the place is lost, not the sign: |f| < tiny within tiny^(1/power).
    assert abs(root.value - 0.3) < 1e-15
    assert root.result == RESULTS.successful
    assert root.iterations < 120


def test_near_double_root():
    """Two roots 2e-6 apart, separated by a bracket that ends between them."""
    root = bracketed_root(lambda x: (x - 0.5) ** 2 - 1e-12, 0.0, 0.5)
    np.testing.assert_allclose(root.value, 0.5 - 1e-6, rtol=1e-11)
    assert root.result == RESULTS.successful
    newton = newton_root(lambda x: (x - 0.5) ** 2 - 1e-12, jnp.asarray(0.0))
    np.testing.assert_allclose(newton.value, 0.5 - 1e-6, rtol=1e-10)
    assert newton.result == RESULTS.successful


def test_root_at_an_end():
    for ends in [(0.0, 1.0), (-1.0, 0.0)]:
        root = bracketed_root(lambda x: x, *ends)
        assert root.value == 0
        assert root.iterations == 0
        assert root.result == RESULTS.successful


def test_infinite_ends():
    """Infinite values have a sign, which is all that a bracket needs."""
    root = bracketed_root(lambda x: jnp.log(x) - jnp.log1p(-x), 0.0, 1.0)
    np.testing.assert_allclose(root.value, 0.5, rtol=1e-15)
    assert root.result == RESULTS.successful


def test_tolerance():
    root = bracketed_root(lambda x: jnp.cos(x) - x, 0.0, 1.0, xtol=1e-3)
    assert root.width <= 1e-3
    assert abs(root.value - 0.7390851332151607) <= 1e-3
    exact = bracketed_root(lambda x: jnp.cos(x) - x, 0.0, 1.0)
    assert root.iterations < exact.iterations


def test_failures():
    assert bracketed_root(lambda x: x**2 + 1, -1.0, 1.0).result == RESULTS.not_bracketed
    few = bracketed_root(lambda x: jnp.cos(x) - x, 0.0, 1.0, max_steps=2)
    assert few.result == RESULTS.max_steps_reached
    assert few.iterations == 2


@pytest.mark.parametrize("hole", [(-0.1, 0.1), (0.4, 0.6), (0.99, 1.1)])
def test_nan_is_never_a_root(hole):
    """Wherever the function is undefined: at an end, or at a point on the way."""

    def f(x):
        return jnp.where((x > hole[0]) & (x < hole[1]), jnp.nan, x - 0.3)

    assert bracketed_root(f, 0.0, 1.0).result == RESULTS.nonfinite


def test_single_precision():
    one = jnp.asarray(1.0, jnp.float32)
    root = bracketed_root(lambda x: jnp.cos(x) - x, 0 * one, one)
    assert root.value.dtype == jnp.float32
    assert root.result == RESULTS.successful
    np.testing.assert_allclose(root.value, 0.7390851332151607, rtol=2e-7)


def test_one_hard_lane():
    """A jump among smooth roots, one lane without bracket and one with a hole: each says its own."""

    def f(kind, x):
        smooth, jump = jnp.cos(x) - x, jnp.where(x > 0.7, 1.0, -1.0)
        hole = jnp.where((x > 0.2) & (x < 0.6), jnp.nan, x - 0.1)
        return jnp.stack([smooth, jump, 1 + x**2, hole])[kind]

    roots = jax.jit(jax.vmap(lambda kind: bracketed_root(lambda x: f(kind, x), 0.0, 1.0)))(
        jnp.arange(4)
    )
    expected = ["successful", "successful", "not_bracketed", "nonfinite"]
    for lane, name in enumerate(expected):
        assert jax.tree.map(lambda a, i=lane: a[i], roots.result) == getattr(RESULTS, name)
    np.testing.assert_allclose(roots.value[:2], [0.7390851332151607, 0.7], rtol=1e-15)
    alone = bracketed_root(lambda x: f(0, x), 0.0, 1.0)
    assert roots.iterations[0] == alone.iterations


def kepler(eccentricity):
    """x - e sin x = 1."""
    return bracketed_root(lambda x: x - eccentricity * jnp.sin(x) - 1, 0.0, 3.0).value


def test_derivatives_against_finite_differences():
    e, h = 0.4, 1e-3
    values = [float(kepler(e + k * h)) for k in (-2, -1, 0, 1, 2)]
    first = (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * h)
    second = (
        -values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]
    ) / (12 * h**2)  # fmt: skip
    np.testing.assert_allclose(jax.grad(kepler)(e), first, rtol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(kepler)(e), first, rtol=1e-9)
    np.testing.assert_allclose(jax.hessian(kepler)(e), second, rtol=1e-7)
    # The theorem itself.
    x = kepler(e)
    np.testing.assert_allclose(jax.grad(kepler)(e), jnp.sin(x) / (1 - e * jnp.cos(x)), rtol=1e-13)


def test_no_derivative_with_respect_to_the_bracket():
    slope = jax.grad(lambda b: bracketed_root(lambda x: x - 0.5, 0.0, b).value)(1.0)
    assert slope == 0


def test_newton_system():
    """Two coupled equations with pytrees that differ in structure, against scipy."""

    def residual(point):
        return jnp.exp(point["x"]) * point["y"] - 2.0, [point["x"] + point["y"][::-1] - 3.0]

    start = {"x": jnp.asarray(0.0), "y": jnp.array([3.0])}
    root = newton_root(residual, start)
    expected = scipy.optimize.root(
        lambda v: [np.exp(v[0]) * v[1] - 2, v[0] + v[1] - 3], [0.0, 3.0], tol=1e-14
    )
    np.testing.assert_allclose([root.value["x"], root.value["y"][0]], expected.x, rtol=1e-10)
    assert root.result == RESULTS.successful
    assert root.iterations <= 8
    assert root.residual < 1e-14


def test_newton_damps_its_steps():
    """The full step for arctan diverges from 3; the halved one does not."""
    root = newton_root(lambda x: jnp.arctan(x), jnp.asarray(3.0))
    assert abs(root.value) < 1e-12
    assert root.result == RESULTS.successful


def test_newton_failures():
    assert newton_root(lambda x: x**2 + 1, jnp.asarray(1.0)).result == RESULTS.stalled
    assert newton_root(lambda x: 0 * x + 1, jnp.asarray(1.0)).result == RESULTS.stalled
    assert newton_root(lambda x: jnp.log(x), jnp.asarray(-1.0)).result == RESULTS.nonfinite
    few = newton_root(lambda x: x**3 - 2, jnp.asarray(50.0), max_steps=2)
    assert few.result == RESULTS.max_steps_reached
    assert few.iterations == 2


def test_newton_starts_at_the_root():
    root = newton_root(lambda x: x**2 - 4, jnp.asarray(2.0))
    assert root.value == 2
    assert root.result == RESULTS.successful


def test_newton_lanes():
    """A batch with one lane that has no root and one that starts far away."""

    def solve(c, start):
        return newton_root(lambda x: x**2 - c, start)

    roots = jax.vmap(solve)(jnp.array([4.0, -1.0, 9.0]), jnp.array([1.0, 1.0, 1e8]))
    near, none, far = (jax.tree.map(lambda a, i=i: a[i], roots) for i in range(3))
    np.testing.assert_allclose([near.value, far.value], [2.0, 3.0], rtol=1e-14)
    assert near.result == far.result == RESULTS.successful
    assert none.result == RESULTS.stalled


def test_implicit_root_with_any_solver():
    """The theorem alone: a solver that cannot be differentiated, with integer statistics."""

    def solve(f, guess):
        return jax.lax.fori_loop(0, 60, lambda _, x: x - f(x) / 4, guess), jnp.asarray(60)

    def root(c):
        x, steps = numerics.implicit_root(lambda x: x**2 - c, jnp.asarray(1.0), solve)
        assert jnp.issubdtype(steps.dtype, jnp.integer)
        return x

    np.testing.assert_allclose(jax.grad(root)(2.0), 0.5 / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(jax.hessian(root)(2.0), -0.25 * 2**-1.5, rtol=1e-12)


def test_a_root_may_depend_on_whole_numbers():
    # x^n = c: the compiler's tracer of n is closed over as well, and carries no derivative.
    def root(c, n):
        return newton_root(lambda x: x**n - c, jnp.asarray(1.5)).value

    slope = jax.jit(jax.value_and_grad(lambda c, n: root(c, n) * n))(8.0, 3)
    np.testing.assert_allclose(slope, (6.0, 3 * 2.0 / 24), rtol=1e-6)


def test_nothing_of_a_derivative_is_written_out_unless_it_is_wanted():
    calls = []

    def root(c):
        def f(x):
            calls.append(None)
            return x**3 - c

        return numerics.implicit_root(f, jnp.asarray(2.0), lambda f, x: (x, None))[0]

    jax.make_jaxpr(root)(8.0)
    assert len(calls) == 1


def test_functions_may_close_over_numpy_arrays():
    weights = np.array([0.5, 0.5])

    def root(c):
        return bracketed_root(lambda x: jnp.sum(weights * x**3) - c, 0.0, 10.0).value

    np.testing.assert_allclose(jax.jit(jax.value_and_grad(root))(8.0), (2.0, 1 / 12), rtol=1e-5)
