"""Growth from nothing against closed forms, and derivatives of escape times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxsp import SolverError, dmft, spiked

from . import reference

SMALL = dmft.UniformGrid(steps=24, levels=3)


def gradient_flow(delta2, deltap=4.0, **arguments):
    return dmft.SphericalDynamics(spiked.MatrixTensor(3, delta2, deltap), 0.0, **arguments)


def test_response_of_a_matrix_is_that_of_its_spectrum():
    """Linear response of exp(A t) x(0): the overlap over its start, from quadrature of the spectrum."""
    problem = dmft.SphericalDynamics(spiked.spiked_wigner(0.4), initial_overlap=0.7)
    response = dmft.linear_response(problem, 3.0, solver=dmft.UniformGrid(steps=48, levels=3))
    small = reference.SpikedWigner(0.4, 1e-7)
    t = np.array([0.0, 0.8, 3.0])
    expected = np.array([small.overlap(s) / 1e-7 for s in t])
    np.testing.assert_allclose(response.amplification(t), expected, rtol=1e-7)
    h = 1e-3
    slope = np.log(small.overlap(2 + h) / small.overlap(2 - h)) / (2 * h)
    np.testing.assert_allclose(response.growth_rate(2.0), slope, rtol=2e-5)


@pytest.mark.slow
def test_response_is_that_of_small_starts():
    """The whole nonlinear equations from small overlaps of either sign, where the tensor counts too."""
    response = dmft.linear_response(gradient_flow(0.5), 2.0, solver=SMALL)

    @jax.jit
    @jax.vmap
    def overlap(start):
        problem = gradient_flow(0.5, initial_overlap=start)
        return dmft.solve(problem, 2.0, solver=SMALL, throw=False).table.overlap

    plus, minus = overlap(jnp.array([1e-5, -1e-5]))
    found = response.amplification(response.solution.times)
    np.testing.assert_allclose(found, (plus - minus) / 2e-5, rtol=1e-8)


@pytest.fixture(scope="module")
def rates():
    """Fitted and closed-form rates of gradient flow at several noises of the matrix, p = 3."""
    delta2 = jnp.array([0.35, 0.4, 0.45, 0.5, 0.55])
    grid = dmft.UniformGrid(steps=120, levels=2)

    @jax.jit
    @jax.vmap
    def both(delta2):
        problem = gradient_flow(delta2)
        response = dmft.linear_response(problem, 20.0, solver=grid, throw=False)
        return response.limiting_rate(6.0), dmft.asymptotic_growth_rate(problem)

    return delta2, *both(delta2)


@pytest.mark.slow
def test_rates_reach_their_closed_form(rates):
    _, fitted, exact = rates
    np.testing.assert_allclose(fitted, exact, rtol=0.1)


@pytest.mark.slow
def test_transition_of_gradient_flow(rates):
    """Extrapolated to where they vanish: within a few percent of the closed form."""
    delta2, fitted, exact = rates
    threshold = 1 / spiked.gradient_flow_threshold(3, 4.0)
    ideal = dmft.extrapolated_transition(1 / delta2, exact)
    np.testing.assert_allclose(ideal, threshold, rtol=2e-3)
    np.testing.assert_allclose(
        dmft.extrapolated_transition(1 / delta2, fitted), threshold, rtol=0.06
    )


@pytest.mark.slow
def test_response_on_a_grid_of_ratios():
    """The same as on a uniform grid, which shares no step and no quadrature with it."""
    grid = dmft.RatioGrid(rtol=1e-5, nodes=5, estimate_error=False)
    found, expected = (
        dmft.linear_response(gradient_flow(0.5), 2.0, solver=solver) for solver in (grid, SMALL)
    )
    t = np.array([0.3, 1.1, 2.0])
    np.testing.assert_allclose(found.amplification(t), expected.amplification(t), rtol=3e-5)
    np.testing.assert_allclose(found.growth_rate(t), expected.growth_rate(t), rtol=3e-4)


def test_closed_form_vanishes_at_the_threshold_of_the_landscape():
    def rate(delta2):
        return dmft.asymptotic_growth_rate(gradient_flow(delta2, 1.3))

    threshold = spiked.gradient_flow_threshold(3, 1.3)
    assert float(rate(1.001 * threshold)) == 0.0
    assert 0 < float(rate(0.999 * threshold)) < 1e-5
    # The isolated eigenvalue of a spiked GOE beyond its edge (arXiv 1902.00139), by its resolvent.
    curvature = 1 / 0.3 + 2 / 1.3

    def outside(x):
        return (x - np.sqrt(x * x - 4 * curvature)) / (2 * curvature) - 0.3

    place = scipy.optimize.brentq(outside, 2.0001 * np.sqrt(curvature), 10.0)
    np.testing.assert_allclose(rate(0.3), place - 2 * np.sqrt(curvature), rtol=1e-10)
    slope = (rate(0.3 + 1e-5) - rate(0.3 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(rate)(0.3), slope, rtol=1e-7)
    np.testing.assert_allclose(jax.jacfwd(rate)(0.3), slope, rtol=1e-7)


@pytest.mark.slow
def test_langevin_leaves_the_disordered_state_where_it_turns_unstable():
    """Equilibrated at T > 1/sqrt(D): the spike's eigenvalue 1/D + 1 less mu = T + 1/(T D)."""
    inverse, T = jnp.array([3.3, 3.45, 3.6]), 3.0

    @jax.jit
    @jax.vmap
    def late_rate(inverse):
        problem = dmft.SphericalDynamics(spiked.spiked_wigner(1 / inverse), T)
        grid = dmft.UniformGrid(steps=160, levels=2)
        return dmft.linear_response(problem, 10.0, solver=grid, throw=False).growth_rate(10.0)

    found = late_rate(inverse)
    np.testing.assert_allclose(found, (inverse - T) * (1 - 1 / T), rtol=2e-3)
    threshold = 1 / spiked.langevin_threshold(3, 1e8, T)
    extrapolated = dmft.extrapolated_transition(inverse, found, power=1.0, degree=1)
    np.testing.assert_allclose(extrapolated, threshold, rtol=1e-3)


@pytest.mark.slow
def test_escape_times():
    def time(parameters):
        delta2, start, level = parameters
        problem = gradient_flow(delta2, initial_overlap=start)
        solution = dmft.solve(problem, 3.0, solver=grid, throw=False)
        time = dmft.escape_time(solution, level, throw=False).time
        return time, solution.overlap(jnp.append(jnp.linspace(0.0, 0.99, 20), 1.0) * time)

    grid = dmft.UniformGrid(steps=12, levels=2)
    point = jnp.array([0.4, 0.1, 0.5])
    moves = 1e-5 * jnp.eye(3)
    times, overlaps = jax.jit(jax.vmap(time))(jnp.concatenate([point + moves, point - moves]))
    np.testing.assert_allclose(overlaps[0, -1], 0.5, rtol=1e-12)
    assert np.all(overlaps[0, :-1] < 0.5)
    forward, reverse = (
        jax.jit(jax.vmap(mode(lambda x: time(x)[0])))(point[None])[0]
        for mode in (jax.jacfwd, jax.jacrev)
    )
    np.testing.assert_allclose(forward, reverse, rtol=1e-8)
    np.testing.assert_allclose(forward, (times[:3] - times[3:]) / 2e-5, rtol=1e-6)


def test_bad_input_and_what_does_not_escape():
    solution = dmft.solve(gradient_flow(2.0, initial_overlap=0.1), 2.0, solver=SMALL)
    with pytest.raises(SolverError, match="escape_time"):
        dmft.escape_time(solution, 0.9)
    never = dmft.escape_time(solution, 0.9, throw=False)
    assert np.isinf(never.time)
    with pytest.raises(SolverError, match="escape_time"):
        dmft.escape_time(solution, 0.05)
    with pytest.raises(ValueError, match="`level`.*2"):
        dmft.escape_time(solution, 2.0)
    hot = dmft.SphericalDynamics(spiked.spiked_wigner(0.5), 1.0)
    with pytest.raises(ValueError, match="temperature 0"):
        dmft.asymptotic_growth_rate(hot)
    pure = spiked.pure_p_spin(3)
    with pytest.raises(ValueError, match="a signal"):
        dmft.asymptotic_growth_rate(dmft.SphericalDynamics(pure))
    equilibrium = dmft.SphericalDynamics(pure, 1.0, initial_temperature=1.0)
    with pytest.raises(ValueError, match="infinite temperature"):
        dmft.linear_response(equilibrium, 1.0)
    with pytest.raises(ValueError, match="`rate`.*-1"):
        dmft.extrapolated_transition(np.arange(3.0), np.array([1.0, -1.0, 2.0]))
    with pytest.raises(ValueError, match="more than 2 places"):
        dmft.extrapolated_transition(np.arange(2.0), np.ones(2))
