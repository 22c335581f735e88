"""Theory curves are differentiable: both modes, under jit and vmap, against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, glm, priors

# (alpha, parameter of the model) -> model; away from thresholds.
FAMILIES = {
    "binary perceptron": lambda noise: glm.GLM(priors.Rademacher(), channels.Sign(noise)),
    "variance": lambda variance: glm.GLM(priors.Gaussian(variance=variance), channels.Sign(0.1)),
    "sparsity": lambda rho: glm.GLM(priors.GaussBernoulli(rho), channels.Linear(0.1)),
    "phase retrieval": lambda noise: glm.GLM(priors.Gaussian(), channels.AbsoluteValue(noise)),
}
QUANTITIES = ("free_entropy", "generalization_error", "overlap", "mutual_information")


def quantities(family):
    """The four numbers as a vector, of alpha and the parameter as a vector."""

    def at(point):
        solution = glm.bayes_optimal(family(point[1]), point[0], throw=False)
        return jnp.stack([getattr(solution, name) for name in QUANTITIES])

    return at


def central(f, x, h=1e-3):
    """Derivative along each axis, of fourth order."""
    columns = []
    for axis in range(x.size):
        step = h * np.eye(x.size)[axis]
        a, b, c, d = f(jnp.stack([x - 2 * step, x - step, x + step, x + 2 * step]))
        columns.append((a - 8 * b + 8 * c - d) / (12 * h))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "binary perceptron"))
        for name in FAMILIES
    ],
)
def test_learning_curves(name):
    at = quantities(FAMILIES[name])
    points = jnp.array([[0.8, 0.2], [2.5, 0.3]])
    batched = jax.jit(jax.vmap(at))
    forward = jax.jit(jax.vmap(jax.jacfwd(at)))(points)
    reverse = jax.jit(jax.vmap(jax.jacrev(at)))(points)
    for point, slopes in zip(points, forward, strict=True):
        np.testing.assert_allclose(slopes, central(batched, point), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)


def test_second_derivatives_of_the_free_entropy():
    """f'' along a direction, forward over reverse, and the gradient that it comes with."""
    at = quantities(FAMILIES["binary perceptron"])
    f = lambda point: at(point)[0]  # noqa: E731
    point, direction, h = jnp.array([0.8, 0.2]), jnp.array([0.4, -0.1]), 0.05
    steps = point + h * jnp.arange(-3.0, 4.0)[:, None] * direction
    values = jax.jit(jax.vmap(f))(steps)
    # Of sixth order, from values alone.
    slope = np.array([-1, 9, -45, 0, 45, -9, 1]) @ values / (60 * h)
    curve = np.array([2, -27, 270, -490, 270, -27, 2]) @ values / (180 * h**2)
    gradient, hessian = jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (direction,)))(point)
    np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6)
    np.testing.assert_allclose(hessian @ direction, curve, rtol=1e-6)


@pytest.mark.slow
def test_second_derivatives_forward_over_forward():
    f = lambda point: quantities(FAMILIES["binary perceptron"])(point)[0]  # noqa: E731
    point = jnp.array([0.8, 0.2])
    exact = central(jax.jit(jax.vmap(jax.jacfwd(f))), point)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(jax.jacfwd(f)))(point), exact, rtol=1e-6)
