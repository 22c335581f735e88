"""AMP on instances against state evolution, a linear solve, and itself in other arrangements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsp
from jaxsp import channels, glm, priors

PAIRS = {
    "spherical perceptron": (glm.GLM(priors.Gaussian(), channels.Sign()), 2.0),
    "binary perceptron": (glm.GLM(priors.Rademacher(), channels.Sign()), 1.1),
    "probit, ternary": (
        glm.GLM(
            priors.Discrete(jnp.array([-1.0, 0.0, 1.0]), jnp.array([0.25, 0.5, 0.25])),
            channels.Sign(noise_variance=0.1),
        ),
        1.5,
    ),
    "compressed sensing": (
        glm.GLM(priors.GaussBernoulli(sparsity=0.2), channels.Linear(noise_variance=0.01)), 0.7,
    ),
    "ReLU": (glm.GLM(priors.Gaussian(), channels.ReLU(noise_variance=0.1)), 1.5),
    "Laplace regression": (glm.GLM(priors.Laplace(), channels.Linear(noise_variance=0.1)), 1.0),
    "leaky ReLU, non-negative": (
        glm.GLM(priors.TruncatedGaussian(), channels.LeakyReLU(slope=0.2, noise_variance=0.1)), 0.8,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_amp_follows_state_evolution(name):
    """p = 4000: within five standard errors over instances, at the first steps and at the end."""
    model, alpha = PAIRS[name]
    p, repeats = 4000, 6
    theory = glm.state_evolution(model, alpha, steps=8)
    errors = []
    for key in jax.random.split(jax.random.key(1), repeats):
        data = glm.sample_instance(
            model, weights=p, samples=round(alpha * p), key=key, dtype=jnp.float32
        )
        run = glm.amp(model, data.X, data.y, teacher=data.weights)
        errors.append(
            np.append(run.mean_squared_error_trajectory[1:7], run.mean_squared_error_trajectory[-1])
        )
    mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1) / np.sqrt(repeats)
    expected = np.append(theory.mean_squared_error_trajectory[1:7], theory.mean_squared_error)
    # Corrections to the mean are of order 1/p beside fluctuations of order 1/sqrt(p).
    assert np.all(np.abs(mean - expected) < 5 * spread + 4 / p)


def small_instance(key=0, noise=0.1, dtype=None):
    model = glm.GLM(priors.Gaussian(), channels.Linear(noise_variance=noise))
    return model, glm.sample_instance(
        model, weights=300, samples=450, key=jax.random.key(key), dtype=dtype
    )


def test_linear_regression_is_the_wiener_filter():
    """The fixed point's estimate solves (A + X^T X / (noise + V)) w = ... up to its own variances."""
    model, data = small_instance()
    run = glm.amp(model, data.X, data.y, tolerance=1e-12, max_steps=1000)
    exact = np.linalg.solve(data.X.T @ data.X + 0.1 * np.eye(300), data.X.T @ data.y)
    # AMP's fixed point satisfies w = X^T g + A w ... with g = (y - X w + V g)/(noise + V), so that
    # g = (y - X w) / noise and X^T (y - X w) / noise = w: the ridge estimate, whatever the variances.
    np.testing.assert_allclose(run.mean, exact, atol=1e-9)


def test_batch_equals_loop():
    model, one = small_instance(0)
    _, two = small_instance(1)
    X, y = jnp.stack([one.X, two.X]), jnp.stack([one.y, two.y])
    batch = jax.jit(jax.vmap(lambda X, y: glm.amp(model, X, y).mean))(X, y)
    for mean, data in zip(batch, (one, two), strict=True):
        np.testing.assert_allclose(mean, glm.amp(model, data.X, data.y).mean, atol=1e-10)


def test_damping_and_start_do_not_move_the_fixed_point():
    model = glm.GLM(priors.Gaussian(), channels.Sign(noise_variance=0.1))
    data = glm.sample_instance(model, weights=400, samples=800, key=jax.random.key(2))
    plain = glm.amp(model, data.X, data.y, tolerance=1e-10, max_steps=1000)
    damped = glm.amp(model, data.X, data.y, damping=0.5, tolerance=1e-10, max_steps=1000)
    near = glm.amp(model, data.X, data.y, init=data.weights, tolerance=1e-10, max_steps=1000)
    np.testing.assert_allclose(damped.mean, plain.mean, atol=1e-7)
    np.testing.assert_allclose(near.mean, plain.mean, atol=1e-7)


def test_random_start_breaks_the_symmetry():
    model = glm.GLM(priors.Gaussian(), channels.AbsoluteValue(noise_variance=0.01))
    data = glm.sample_instance(model, weights=400, samples=1200, key=jax.random.key(3))
    stuck = glm.amp(model, data.X, data.y, teacher=data.weights)
    assert abs(float(stuck.overlap_trajectory[-1])) < 1e-12
    free = glm.amp(
        model, data.X, data.y, key=jax.random.key(0), damping=0.2, teacher=data.weights,
        max_steps=500,
    )  # fmt: skip
    assert abs(float(free.overlap_trajectory[-1])) > 0.9


def test_damped_phase_retrieval_escapes_and_follows_state_evolution():
    """Outputs with a steep g must not oscillate against the echo of their own last message."""
    model = glm.GLM(priors.Gaussian(), channels.AbsoluteValue())

    @jax.jit
    def squared_errors(damping, keys):
        def squared_error(keys):
            data = glm.sample_instance(model, weights=400, samples=400, key=keys[0])
            run = glm.amp(
                model, data.X, data.y, key=keys[1], damping=damping, max_steps=300, throw=False
            )
            overlap = jnp.abs(jnp.mean(run.mean * data.weights))
            return jnp.mean(run.mean**2) + jnp.mean(data.weights**2) - 2 * overlap

        return jax.vmap(squared_error)(keys)

    expected = glm.state_evolution(model, 1.0).mean_squared_error
    for damping in (0.2, 0.5):
        errors = squared_errors(damping, jax.random.split(jax.random.key(0), (16, 2)))
        standard_error = jnp.std(errors) / 4
        assert standard_error < 0.08
        assert abs(jnp.mean(errors) - expected) < 3 * standard_error


def test_what_has_not_converged_says_so():
    model, data = small_instance()
    run = glm.amp(model, data.X, data.y, max_steps=3, throw=False)
    assert run.result == jaxsp.RESULTS.max_steps_reached
    assert int(run.iterations) == 3
    assert run.residual > 1e-8
    with pytest.raises(jaxsp.SolverError, match="maximum number of steps"):
        glm.amp(model, data.X, data.y, max_steps=3)


def test_divergence_is_caught():
    """A design ten times too large: the last finite estimate is kept."""
    model, data = small_instance()
    run = glm.amp(model, 10 * data.X, 10 * data.y, throw=False, max_steps=500)
    assert run.result != jaxsp.RESULTS.successful
    assert np.all(np.isfinite(run.mean))


def test_derivative_through_the_iteration():
    """Forward mode through a fixed number of steps, against central differences."""
    _, data = small_instance()

    def estimate(noise):
        model = glm.GLM(priors.Gaussian(), channels.Linear(noise_variance=noise))
        return glm.amp(model, data.X, data.y, max_steps=5, throw=False).mean[0]

    h = 1e-5
    expected = (estimate(0.1 + h) - estimate(0.1 - h)) / (2 * h)
    np.testing.assert_allclose(jax.jacfwd(estimate)(0.1), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": jnp.zeros(10)}, "Argument `y` must have shape"),
        ({"y": jnp.full(450, jnp.nan)}, "Argument `y` must be finite"),
        ({"X": jnp.full((450, 300), jnp.nan)}, "Argument `X` must be"),
        ({"X": jnp.zeros(5)}, "Argument `X` must have shape"),
        ({"damping": 1.0}, "Argument `damping`"),
        ({"damping": -0.1}, "Argument `damping`"),
        ({"max_steps": 0}, "Argument `max_steps`"),
        ({"tolerance": 0.0}, "Argument `tolerance`"),
        ({"teacher": jnp.zeros(3)}, "Argument `teacher` must have shape"),
        ({"init": jnp.zeros(3)}, "Argument `init` must have shape"),
    ],
)
def test_bad_input(change, message):
    model, data = small_instance()
    arguments = {"X": data.X, "y": data.y, **change}
    X, y = arguments.pop("X"), arguments.pop("y")
    with pytest.raises(ValueError, match=message):
        glm.amp(model, X, y, **arguments)


def test_labels_outside_of_the_channels_range():
    _, data = small_instance()
    model = glm.GLM(priors.Gaussian(), channels.Sign())
    with pytest.raises(ValueError, match="labels"):
        glm.amp(model, data.X, jnp.zeros(450))


@pytest.mark.slow
def test_a_million_weights():
    """A sparse design, never formed: AMP reaches the Bayes-optimal overlap."""
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=0.5))
    p = 1_000_000
    key, design = jax.random.split(jax.random.key(0))
    X = glm.structured_design(p, p, key=design, dtype=jnp.float32)
    data = glm.sample_instance(model, weights=p, samples=p, key=key, design=X, dtype=jnp.float32)
    run = glm.amp(model, X, data.y, teacher=data.weights)
    expected = glm.bayes_optimal(model, 1.0).overlap
    # Fluctuations are of order 1e-3, the correction of 32 entries per row of a percent.
    np.testing.assert_allclose(run.overlap_trajectory[-1], expected, rtol=2e-2)
