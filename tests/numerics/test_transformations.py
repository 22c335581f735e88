"""Every solver under every transformation: values and derivatives against closed forms.

Each solver is a function of one parameter whose solution is known in closed form, so that the same
transformation of the closed form is the expected result.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from jaxsp import numerics


def by_bracket(theta):
    return numerics.bracketed_root(lambda x: x**3 - theta, 0.0, 10.0).value


def by_newton(theta):
    def residual(point):
        x, y = point
        return {"product": x * y - theta, "square": y - x**2}

    return numerics.newton_root(residual, (jnp.ones_like(theta), jnp.ones_like(theta))).value[0]


def by_iteration(iteration):
    def solve(theta):
        return numerics.fixed_point(lambda x: theta / (1 + x), 1.0, iteration=iteration).value

    return solve


def by_vector_iteration(theta):
    def step(x):
        return jnp.stack([theta / (1 + x[1]), theta / (1 + x[0])])

    return numerics.fixed_point(step, jnp.ones(2), iteration=numerics.Anderson(2)).value[0]


def by_extremum(theta):
    return numerics.bracketed_extremum(lambda x: theta * x - x**3 / 3, 0.0, 10.0).value


def by_stationary_point(theta):
    def saddle(point):
        return theta * point["x"] - point["x"] ** 3 / 3 + (point["y"] - point["x"]) ** 2 / 2

    return numerics.stationary_point(saddle, {"x": 1.0, "y": 1.0}).value["y"]


def by_known_root(theta):
    root = jax.lax.stop_gradient(jnp.sqrt(theta))
    return numerics.with_implicit_derivative(lambda x: x**2 - theta, root)


def by_quadrature(theta):
    return numerics.gaussian_expectation(lambda x: jnp.cos(x), 0.0, theta).value


def by_moving_panels(theta):
    """E |z - theta| with the landmark of the rule at the kink, where no derivative flows."""
    rule = numerics.gaussian_panels(jax.lax.stop_gradient(theta)[None], jnp.ones(1))
    return numerics.integrate(lambda z: jnp.abs(z - theta) * (z - theta), rule).value


def cube_root(theta):
    return theta ** (1 / 3)


def golden(theta):
    return (jnp.sqrt(1 + 4 * theta) - 1) / 2


def signed_square_mean(theta):
    """E (z - t)|z - t| = -(1 + t^2) erf(t / sqrt 2) - t sqrt(2/pi) exp(-t^2/2)."""
    density = jnp.exp(-(theta**2) / 2) * np.sqrt(2 / np.pi)
    return -(1 + theta**2) * jax.scipy.special.erf(theta / np.sqrt(2)) - theta * density


SOLVERS = {
    "bracketed_root": (by_bracket, cube_root),
    "newton_root": (by_newton, cube_root),
    "plain": (by_iteration(numerics.Damped()), golden),
    "damped": (by_iteration(numerics.Damped(0.3)), golden),
    "anderson": (by_iteration(numerics.Anderson(1)), golden),
    "anderson_vector": (by_vector_iteration, golden),
    "bracketed_extremum": (by_extremum, jnp.sqrt),
    "stationary_point": (by_stationary_point, jnp.sqrt),
    "with_implicit_derivative": (by_known_root, jnp.sqrt),
    "gaussian_expectation": (by_quadrature, lambda theta: jnp.exp(-theta / 2)),
    "moving_panels": (by_moving_panels, signed_square_mean),
}

# One of each kind of loop; the others differ from these in a step or in the residual only.
DISTINCT = [
    "bracketed_root",
    "newton_root",
    "plain",
    "anderson_vector",
    "bracketed_extremum",
    "moving_panels",
]


@pytest.fixture(params=SOLVERS)
def pair(request):
    return SOLVERS[request.param]


def derivatives(f):
    """Value, reverse, forward, forward over reverse, reverse over forward."""

    def stacked(theta):
        slope, curvature = jax.jvp(jax.grad(f), (theta,), (jnp.ones_like(theta),))
        forward, reverse_of_forward = jax.value_and_grad(jax.jacfwd(f))(theta)
        return jnp.stack([f(theta), slope, forward, curvature, reverse_of_forward])

    return stacked


THETAS = np.linspace(0.5, 3.0, 8)


def close(actual, wanted):
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-11)


def test_eager(pair):
    solve, exact = pair
    theta = jnp.asarray(1.3)
    slope = jax.grad(exact)(theta)
    close(jnp.stack(jax.value_and_grad(solve)(theta)), jnp.stack([exact(theta), slope]))


def test_jit_and_vmap(pair):
    solve, exact = pair
    close(jax.jit(jax.vmap(derivatives(solve)))(THETAS), jax.vmap(derivatives(exact))(THETAS))


def test_reverse_over_reverse_of_a_batch(pair):
    """Derivatives taken outside of the batch, and outside of jit."""
    solve, exact = pair

    def total(f):
        return lambda scale: jnp.sum(jax.vmap(f)(scale * THETAS))

    batched = jax.jit(total(solve))
    close(jax.grad(jax.grad(batched))(1.1), jax.grad(jax.grad(total(exact)))(1.1))


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("name", DISTINCT)
def test_meshes(name, axis_type):
    """On four devices: a sharded batch under jit, vmap inside shard_map, gradients outside of it."""
    solve, exact = SOLVERS[name]
    mesh = jax.make_mesh((4,), ("i",), axis_types=(axis_type,))

    def in_shards(f, *specs):
        return jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=P("i"))

    # A parameter that all devices share, beside the sharded one.
    shared = in_shards(lambda scale, t: jax.vmap(lambda x: solve(scale * x))(t), P(), P("i"))

    @jax.jit
    def everything(scale, thetas):
        def total(scale):
            return jnp.sum(shared(scale, thetas))

        batch = jax.vmap(derivatives(solve))
        return batch(thetas), in_shards(batch, P("i"))(thetas), jax.grad(total)(scale)

    with jax.set_mesh(mesh):
        thetas = jax.device_put(jnp.asarray(THETAS), NamedSharding(mesh, P("i")))
        sharded, inside, slope = everything(jnp.asarray(1.1), thetas)
    wanted = jax.vmap(derivatives(exact))(THETAS)
    close(sharded, wanted)
    close(inside, wanted)
    close(slope, jax.grad(lambda scale: jnp.sum(exact(scale * THETAS)))(1.1))


def test_best_entry_of_leaves_with_axes_of_their_own():
    score = jnp.asarray([[1.0, 3.0, 2.0], [5.0, 4.0, -jnp.inf]])
    leaf = jnp.arange(24.0).reshape(2, 3, 2, 2)
    found = numerics.best_entry((score, leaf), score)
    np.testing.assert_array_equal(found[0], [3.0, 5.0])
    np.testing.assert_array_equal(found[1], np.stack([leaf[0, 1], leaf[1, 0]]))
    one = numerics.best_entry(leaf[0], score[0])
    np.testing.assert_array_equal(one, leaf[0, 1])
