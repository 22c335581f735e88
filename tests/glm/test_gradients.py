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
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("phase retrieval", "sparsity")))
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


def test_second_derivative_of_the_free_entropy():
    """f''(alpha) and the mixed one, forward over forward and forward over reverse."""

    def f(point):
        model = glm.GLM(priors.Rademacher(), channels.Sign(point[1]))
        return glm.bayes_optimal(model, point[0], throw=False).free_entropy

    point = jnp.array([0.8, 0.2])
    exact = central(jax.jit(jax.vmap(jax.jacfwd(f))), point)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(jax.jacfwd(f)))(point), exact, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(jax.jacrev(f)))(point), exact, rtol=1e-6)
