"""Fixed points: iterations, their status, and derivatives, near critical points too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxsp.numerics import RESULTS, Anderson, Damped, fixed_point

ITERATIONS = [Damped(), Damped(0.5), Anderson(1), Anderson(3)]


@pytest.mark.parametrize("iteration", ITERATIONS, ids=str)
def test_scalar_map(iteration):
    out = fixed_point(jnp.cos, 0.5, iteration=iteration)
    np.testing.assert_allclose(out.value, 0.7390851332151607, rtol=1e-12)
    assert out.result == RESULTS.successful
    # The residual is that of the map itself, not of the damped step.
    np.testing.assert_allclose(out.residual, abs(jnp.cos(out.value) - out.value), atol=1e-16)


def linear_map(radius, n=12):
    """A symmetric matrix with eigenvalues in [-radius, radius], and an offset."""
    rng = np.random.default_rng(3)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = q @ np.diag(np.linspace(-radius, radius, n)) @ q.T
    return jnp.asarray(matrix), jnp.asarray(rng.normal(size=n))


@pytest.mark.parametrize("iteration", [Damped(), Damped(0.3), Anderson(5)], ids=str)
def test_linear_map(iteration):
    matrix, offset = linear_map(0.9)
    out = fixed_point(lambda x: matrix @ x + offset, jnp.zeros(12), iteration=iteration)
    expected = np.linalg.solve(np.eye(12) - matrix, offset)
    np.testing.assert_allclose(out.value, expected, rtol=1e-11, atol=1e-12)
    assert out.result == RESULTS.successful


def test_damping_tames_an_oscillation():
    """Eigenvalues down to -1.5: the plain iteration diverges, half a step converges."""
    matrix, offset = linear_map(0.9)
    matrix = 0.7 * matrix - 0.8 * jnp.eye(12)
    expected = np.linalg.solve(np.eye(12) - matrix, offset)

    def step(x):
        return matrix @ x + offset

    plain = fixed_point(step, jnp.zeros(12), max_steps=50_000)
    assert plain.result == RESULTS.nonfinite
    damped = fixed_point(step, jnp.zeros(12), iteration=Damped(0.5))
    np.testing.assert_allclose(damped.value, expected, rtol=1e-11, atol=1e-12)
    accelerated = fixed_point(step, jnp.zeros(12), iteration=Anderson(6))
    np.testing.assert_allclose(accelerated.value, expected, rtol=1e-9, atol=1e-10)


def magnetisation(coupling):
    return scipy.optimize.brentq(
        lambda x: np.tanh(coupling * x) - x, 1e-3, 1.0, xtol=1e-16, rtol=1e-15
    )


def test_near_critical():
    """m = tanh(1.0001 m) contracts by 2e-4 a step: hopeless plainly, a few secant steps."""

    def step(x):
        return jnp.tanh(1.0001 * x)

    plain = fixed_point(step, 0.5, max_steps=2000)
    assert plain.result == RESULTS.max_steps_reached
    assert plain.iterations == 2000
    secant = fixed_point(step, 0.5, iteration=Anderson(1), rtol=1e-16, atol=1e-17, max_steps=200)
    # The map moves by 2e-4 of the distance: rounding of the map is amplified by 5e3.
    np.testing.assert_allclose(secant.value, magnetisation(1.0001), rtol=1e-10)
    assert secant.iterations < 60


def test_near_critical_coupled():
    """Two magnetisations: Anderson with memory against scipy's root."""

    def step(m):
        return jnp.tanh(1.01 * jnp.stack([0.5 * m[0] + 0.5 * m[1], 0.9 * m[0] + 0.1 * m[1]]))

    out = fixed_point(step, jnp.array([0.9, 0.5]), iteration=Anderson(2))
    plain = fixed_point(step, jnp.array([0.9, 0.5]))
    expected = scipy.optimize.root(lambda m: np.asarray(step(m)) - m, [0.2, 0.2], tol=1e-15)
    np.testing.assert_allclose(out.value, expected.x, rtol=1e-9)
    assert out.result == RESULTS.successful
    assert out.iterations < plain.iterations / 10


@pytest.mark.parametrize("iteration", ITERATIONS, ids=str)
def test_lanes(iteration):
    """A batch in which one lane diverges and one starts at its fixed point."""

    def solve(c, start):
        return fixed_point(
            lambda x: jnp.where(c > 2, jnp.exp(c + x), jnp.cos(c * x)), start, iteration=iteration
        )

    out = jax.jit(jax.vmap(solve))(jnp.array([1.0, 3.0, 0.0]), jnp.array([0.5, 1.0, 1.0]))
    converges, diverges, starts_there = (jax.tree.map(lambda a, i=i: a[i], out) for i in range(3))
    np.testing.assert_allclose(converges.value, 0.7390851332151607, rtol=1e-12)
    assert converges.result == RESULTS.successful
    assert diverges.result != RESULTS.successful
    assert starts_there.result == RESULTS.successful
    assert starts_there.iterations == 1
    assert starts_there.residual == 0


def test_trees_and_precision():
    def step(state):
        return {"a": 0.5 * jnp.cos(state["b"]), "b": (0.3 * state["a"]).sum()}

    start = {"a": jnp.zeros(2, jnp.float32), "b": jnp.zeros((), jnp.float32)}
    out = fixed_point(step, start)
    assert out.value["a"].shape == (2,)
    assert out.value["a"].dtype == jnp.float32
    assert out.result == RESULTS.successful
    b = scipy.optimize.brentq(lambda b: 0.3 * np.cos(b) - b, 0, 1)
    # The residual may be 1e-6, absolute and relative.
    np.testing.assert_allclose(out.value["b"], b, rtol=1e-6, atol=1e-6)


def test_tolerance():
    loose = fixed_point(jnp.cos, 0.5, rtol=1e-3, atol=0.0)
    tight = fixed_point(jnp.cos, 0.5)
    assert loose.iterations < tight.iterations
    assert loose.residual <= 1e-3 * loose.value


def ising(iteration):
    def solve(coupling):
        return fixed_point(lambda m: jnp.tanh(coupling * m), 0.9, iteration=iteration).value

    return solve


@pytest.mark.parametrize("iteration", ITERATIONS, ids=str)
def test_derivatives(iteration):
    """Against finite differences of scipy's solution, and the closed form of the theorem."""
    solve, coupling, h = ising(iteration), 1.4, 1e-3
    values = [magnetisation(coupling + k * h) for k in (-2, -1, 0, 1, 2)]
    first = (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * h)
    second = (
        -values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]
    ) / (12 * h**2)  # fmt: skip
    np.testing.assert_allclose(jax.grad(solve)(coupling), first, rtol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(solve)(coupling), first, rtol=1e-9)
    np.testing.assert_allclose(jax.hessian(solve)(coupling), second, rtol=1e-7)


def test_derivative_of_a_linear_map():
    matrix, offset = linear_map(0.8, 4)

    def solve(offset):
        return fixed_point(lambda x: matrix @ x + offset, jnp.zeros(4)).value

    expected = np.linalg.inv(np.eye(4) - matrix)
    np.testing.assert_allclose(jax.jacrev(solve)(offset), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(solve)(offset), expected, rtol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`damping` must be in \[0, 1\), but is 1.0"):
        Damped(1.0)
    with pytest.raises(ValueError, match="`depth` must be at least 1, but is 0"):
        Anderson(0)
