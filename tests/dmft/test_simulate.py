"""Trajectories of finite size: their integrator on its own, and their averages beside the theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from jaxsp import dmft, mixtures, spiked

MODEL = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
TIMES = np.array([0.0, 0.5, 1.0, 2.0])
SOLVER = dmft.UniformGrid(steps=24)


def assert_extrapolates(small, large, expected):
    """The limit of two sizes, N and 2N, linear in 1/N, within four standard errors of the theory.

    Values have the instances on their first axis.
    """
    small, large = np.asarray(small), np.asarray(large)
    mean = 2 * large.mean(axis=0) - small.mean(axis=0)
    variance = 4 * large.var(axis=0, ddof=1) / len(large) + small.var(axis=0, ddof=1) / len(small)
    np.testing.assert_array_less(np.abs(mean - expected), 4 * np.sqrt(variance) + 1e-9)


def assert_agrees(problem, runs, solution):
    small, large = runs
    assert_extrapolates(small.overlap, large.overlap, solution.overlap(TIMES))
    assert_extrapolates(small.energies, large.energies, solution.energies(TIMES))
    assert_extrapolates(small.multiplier, large.multiplier, solution.multiplier(TIMES))
    t, s = TIMES[:, None], TIMES[None, :]
    assert_extrapolates(small.correlation, large.correlation, solution.correlation(t, s))
    # The constraint, and the starts.
    np.testing.assert_allclose(large.correlation.diagonal(axis1=1, axis2=2), 1.0, rtol=1e-12)
    np.testing.assert_allclose(large.overlap[:, 0], problem.initial_overlap, rtol=1e-12)


def both_sizes(problem, sizes, instances):
    return [
        dmft.simulate(problem, TIMES, size=N, instances=count, key=jax.random.key(N))
        for N, count in zip(sizes, instances, strict=True)
    ]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_matrix_and_tensor(temperature):
    problem = dmft.SphericalDynamics(MODEL, temperature, initial_overlap=0.3)
    runs = both_sizes(problem, (50, 100), (48, 24))
    assert_agrees(problem, runs, dmft.solve(problem, 2.0, solver=SOLVER))


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_fourth_order_tensor(temperature):
    model = spiked.MatrixTensor(p=4, delta2=0.5, deltap=2.0)
    problem = dmft.SphericalDynamics(model, temperature, initial_overlap=0.3)
    runs = both_sizes(problem, (24, 48), (96, 48))
    assert_agrees(problem, runs, dmft.solve(problem, 2.0, solver=SOLVER))


def test_landscape_without_a_signal():
    """Three and two spins, the degrees in this order, cooled while the pairs get weaker."""
    Q = mixtures.Mixture((3, 2), jnp.array([0.4, 0.3]))
    problem = dmft.SphericalDynamics(
        Q, temperature=lambda t: 1 / (1 + t), initial_overlap=0.5,
        strengths=lambda t: jnp.stack([jnp.ones_like(t), 1 / (1 + t)]),
    )  # fmt: skip
    runs = both_sizes(problem, (24, 48), (96, 48))
    assert_agrees(problem, runs, dmft.solve(problem, 2.0, solver=SOLVER))


@pytest.mark.slow
def test_equilibrium_is_stationary():
    """A start from equilibrium at the temperature of the dynamics: e = -Q(1) / T at all times."""
    pure = spiked.pure_p_spin(3)
    problem = dmft.SphericalDynamics(pure, temperature=0.8, initial_temperature=0.8)
    runs = both_sizes(problem, (24, 48), (96, 48))
    assert_extrapolates(runs[0].energy, runs[1].energy, -0.5 / 0.8)
    solution = dmft.solve(problem, 2.0, solver=SOLVER)
    lags = [run.correlation[:, 2:, 2] for run in runs]
    assert_extrapolates(*lags, solution.correlation(TIMES[2:] - 1.0, 0.0))


def test_gradient_flow_is_that_of_the_instance():
    """scipy's eighth-order integrator, in the tangent space; fourth order in the step."""
    data = spiked.sample_instance(MODEL, size=20, key=jax.random.key(0))
    start = spiked.on_sphere(jax.random.normal(jax.random.key(1), (20,)))
    problem = dmft.SphericalDynamics(MODEL)
    slope = jax.jit(lambda x: -spiked.gradient(MODEL, data, x))
    exact = scipy.integrate.solve_ivp(
        lambda t, x: np.asarray(slope(x)), (0, 1), start, "DOP853", rtol=1e-12, atol=1e-12
    ).y[:, -1]

    def error(step):
        path = dmft.trajectory(problem, data, 3 * start, [1.0], key=jax.random.key(2), step=step)
        return np.linalg.norm(path[0] - exact)

    assert abs(np.log2(error(0.1) / error(0.05)) - 4) < 0.3
    assert error(0.02) < 1e-6


@pytest.mark.slow
def test_large_matrix_flows_by_its_exponential():
    """x(t) is exp(A t) x(0) on the sphere, at N = 2000: scipy's matrix exponential."""
    model = spiked.spiked_wigner(0.5)
    data = spiked.sample_instance(model, size=2000, key=jax.random.key(0))
    start = spiked.on_sphere(data.signal + 3 * jax.random.normal(jax.random.key(1), (2000,)))
    path = dmft.trajectory(
        dmft.SphericalDynamics(model), data, start, [2.0], key=jax.random.key(2), step=0.05
    )
    A = np.asarray(data.Y) / (0.5 * np.sqrt(2000))
    exact = scipy.linalg.expm(2.0 * A) @ np.asarray(start)
    exact *= np.sqrt(2000) / np.linalg.norm(exact)
    np.testing.assert_allclose(path[0], exact, atol=2e-5)


def test_brownian_motion_on_the_sphere():
    """Without a landscape, C(t, s) = exp(-T (N-1)/N |t - s|) exactly, at any step."""
    flat = mixtures.Mixture((2,), jnp.array([0.0]))
    problem = dmft.SphericalDynamics(flat, temperature=0.7)
    run = dmft.simulate(
        problem, [0.5, 1.5], size=10, instances=2000, key=jax.random.key(0), step=0.3
    )
    found, expected = np.asarray(run.correlation[:, 1, 0]), np.exp(-0.7 * 0.9)
    assert abs(found.mean() - expected) < 4 * found.std() / 2000**0.5
    # The next harmonic decays at 2 N / N: by the same angle up to order 1/N of its step.
    second = (10 * found**2 - 1) / 9
    assert abs(second.mean() - np.exp(-0.7 * 2.0)) < 0.05
    assert not np.any(run.energies)


@pytest.mark.slow
def test_order_of_the_splitting():
    """Means at T > 0 are off by the square of the step, in the same landscapes."""
    problem = dmft.SphericalDynamics(
        spiked.spiked_wigner(0.5), temperature=1.0, initial_overlap=0.9
    )

    def mean(step):
        run = dmft.simulate(
            problem, [0.0, 1.0], size=200, instances=400, key=jax.random.key(5), step=step
        )
        return np.asarray(run.overlap[:, 1]).mean()

    exact = float(dmft.solve(problem, 1.0, solver=SOLVER).overlap(1.0))
    coarse, fine = mean(0.5) - exact, mean(0.25) - exact
    assert abs(np.log2(coarse / fine) - 2) < 0.5


def test_precision_and_bad_input():
    problem = dmft.SphericalDynamics(MODEL, 1.0, initial_overlap=0.2)
    key = jax.random.key(0)
    low = dmft.simulate(problem, [0.5], size=20, instances=2, key=key, dtype=jnp.float32)
    assert low.overlap.dtype == jnp.float32
    assert np.all(np.isfinite(low.overlap))
    for name, arguments in {
        "size": {"size": 1}, "instances": {"instances": 0}, "step": {"step": 0.0},
        "batch_size": {"batch_size": 0}, "times": {"times": [1.0, 0.5]},
    }.items():  # fmt: skip
        wanted = {"times": [0.5], "size": 20, "instances": 2, "key": key, **arguments}
        with pytest.raises(ValueError, match=f"`{name}`"):
            dmft.simulate(problem, **wanted)
    with pytest.raises(ValueError, match="`times`.*-1"):
        dmft.simulate(problem, [-1.0], size=20, instances=2, key=key)
    data = spiked.sample_instance(MODEL, size=20, key=key)
    with pytest.raises(ValueError, match="`start`"):
        dmft.trajectory(problem, data, jnp.ones(19), [1.0], key=key)
