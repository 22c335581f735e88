"""Plateaus and final states against the limits of Saad and Solla and Goldt et al., and the dynamics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, online

# As many times wherever a trajectory is saved: one compiled program.
POINTS = 5001


def test_plateau_is_where_different_students_of_equal_overlaps_stay():
    """The dynamics from such a start at a finite learning rate; equal students would end elsewhere."""
    net = online.TeacherStudent(2, 2, online.Erf(), learning_rate=1.0)
    state = online.plateau(net)
    start = online.Overlaps(0.2 * jnp.eye(2), jnp.full((2, 2), 1e-2), jnp.eye(2))
    # Long enough for its slowest symmetric mode, before rounding has grown.
    t = 300.0
    end = online.solve(net, t, start, rtol=1e-11, times=np.linspace(0.0, t, POINTS)).overlaps()
    np.testing.assert_allclose(end.Q[-1], state.overlaps.Q, atol=3e-3)
    np.testing.assert_allclose(end.R[-1], state.overlaps.R, atol=3e-3)
    assert end.Q[-1, 0, 0] - end.Q[-1, 0, 1] > 0.1


@pytest.mark.parametrize("K", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_plateau_of_erf_units_at_small_learning_rate(K):
    """Saad and Solla 1995: overlaps and height, up to O(eta)."""
    net = online.TeacherStudent(K, K, online.Erf(), learning_rate=1e-7)
    state = online.plateau(net)
    Q, R = state.overlaps.Q, state.overlaps.R
    np.testing.assert_allclose(Q, 1 / (2 * K - 1), rtol=1e-5)
    np.testing.assert_allclose(R, 1 / np.sqrt(K * (2 * K - 1)), rtol=1e-5)
    height = K / np.pi * (np.pi / 6 - K * np.arcsin(1 / (2 * K)))
    np.testing.assert_allclose(state.generalization_error, height, rtol=1e-5)


def test_escape_rate_and_logarithmic_escape_time():
    """The dynamics from states ever closer to the plateau: it takes log(10) / rate longer each decade."""
    net = online.TeacherStudent(2, 2, online.Erf(), learning_rate=0.3)
    state = online.plateau(net)
    assert state.growth_rate > 0
    times = []
    for asymmetry in (1e-3, 1e-4, 1e-5):
        push = asymmetry * jnp.array([[1.0, -1.0], [-1.0, 1.0]])
        start = online.Overlaps(state.overlaps.Q, state.overlaps.R + push, state.overlaps.T)
        t = np.linspace(0.0, 500.0, POINTS)
        found = online.solve(net, 500.0, start, times=t)
        R = found.overlaps().R
        times.append(np.interp(0.05, R[:, 0, 0] - R[:, 0, 1], t))
    per_decade = np.diff(times)
    rate = float(state.growth_rate)
    np.testing.assert_allclose(per_decade[1], np.log(10) / rate, rtol=2e-3)
    np.testing.assert_allclose(
        state.escape_time(1e-5) - state.escape_time(1e-4), np.log(10) / rate, rtol=1e-10
    )


@pytest.mark.parametrize(("M", "L"), [(1, 0), (2, 1)])
def test_final_error_is_linear_in_noise_and_learning_rate(M, L):
    r"""arXiv 1906.08632: $\epsilon_g^* = \sigma^2 \eta (L + M / \sqrt 3) / 2 \pi + O(\eta^2)$."""
    sigma, K = 0.1, M + L
    law = sigma**2 / (2 * np.pi) * (L + M / 3**0.5)
    slopes = []
    for eta in (2e-3, 1e-3):
        net = online.TeacherStudent(K, M, online.Erf(), sigma, eta)
        Q = jnp.diag(jnp.array([1.0] * M + [eta * sigma**2] * L))
        R = jnp.eye(K, M) * (1 - 1e-4)
        final = online.stationary_state(net, online.Overlaps(Q, R, jnp.eye(M)))
        assert final.growth_rate < 0
        slopes.append(float(final.generalization_error) / eta)
    # Richardson's extrapolation to eta = 0.
    np.testing.assert_allclose(2 * slopes[1] - slopes[0], law, rtol=1e-4)


@pytest.mark.slow
def test_gradients_of_plateau_and_escape_rate():
    def numbers(eta):
        state = online.plateau(online.TeacherStudent(2, 2, online.Erf(), 0.1, eta), throw=False)
        return jnp.stack([state.generalization_error, state.growth_rate])

    h, eta = 1e-5, 0.4
    difference = (numbers(eta + h) - numbers(eta - h)) / (2 * h)
    forward = jax.jit(jax.jacfwd(numbers))(eta)
    np.testing.assert_allclose(forward, difference, rtol=1e-6)
    reverse = jax.jit(jax.vmap(jax.jacrev(numbers)))(jnp.array([eta, 0.5]))[0]
    np.testing.assert_allclose(reverse, difference, rtol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match="must have a fixed second layer"):
        online.plateau(online.TeacherStudent(2, 2, online.Erf(), train_second_layer=True))
    with pytest.raises(ValueError, match="`asymmetry` must be in"):
        online.plateau(online.TeacherStudent(2, 2, online.Erf(), learning_rate=0.1)).escape_time(
            2.0
        )
    linear = online.TeacherStudent(1, 1, online.Linear(), noise=1.0, learning_rate=3.0)
    state = online.Overlaps(*(jnp.eye(1) * x for x in (1.0, 0.5, 1.0)))
    with pytest.raises(SolverError, match="there is no such fixed point"):
        online.stationary_state(linear, state)
