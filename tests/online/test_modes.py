"""The equations of modes against each other and those of iid inputs; pairs of students, in theory and not."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, online

NET = online.TeacherStudent(
    2, 2, online.Erf(), 0.1, 0.4, train_second_layer=True, weight_decay=0.01
)
MANIFOLD = online.HiddenManifoldInputs(
    dimension=40, latent_dimension=8, fold=jnp.sign, key=jax.random.key(1)
)
TIMES = np.array([0.0, 3.0, 12.0])
ONE, OTHER = (
    online.sample_networks(NET, MANIFOLD, key=jax.random.key(k), scale=0.5) for k in (2, 3)
)


@pytest.fixture(scope="module")
def pair():
    return online.solve_pair(NET, 12.0, MANIFOLD, ONE, OTHER, times=TIMES, rtol=1e-10)


@pytest.fixture(scope="module")
def alone():
    found = online.solve(NET, 12.0, inputs=MANIFOLD, networks=ONE, times=TIMES, rtol=1e-11)
    return found.overlaps()


def test_each_student_learns_as_if_alone(pair, alone):
    K = NET.student_units
    np.testing.assert_allclose(pair.overlaps.Q[:, :K, :K], alone.Q, atol=1e-8)
    np.testing.assert_allclose(pair.overlaps.R[:, :K], alone.R, atol=1e-8)
    np.testing.assert_allclose(pair.overlaps.v[:, :K], alone.v, atol=1e-8)


def test_reading_in_between_the_steps(alone):
    found = online.solve(NET, 12.0, inputs=MANIFOLD, networks=ONE).overlaps(TIMES)
    np.testing.assert_allclose(found.covariance, alone.covariance, atol=2e-9)
    np.testing.assert_allclose(found.v, alone.v, atol=2e-9)


def test_modes_of_the_latent_vector_and_of_the_inputs_agree(pair):
    """D modes and the weights' second moment, or the modes of the equivalent Gaussian inputs.

    The norms are a quantity of their own in the one, and the mean over the modes in the other.
    """
    law = online.CovariateInputs(MANIFOLD.covariance, MANIFOLD.cross_covariance)
    other = online.solve_pair(NET, 12.0, law, ONE, OTHER, times=TIMES, rtol=1e-10)
    for name in ("Q", "R", "T", "v"):
        ours, theirs = (getattr(x.overlaps, name) for x in (pair, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    np.testing.assert_allclose(pair.norms, other.norms, atol=1e-8)
    w = jnp.concatenate([ONE.w, OTHER.w])
    start = online.network_overlaps(law, ONE)
    np.testing.assert_allclose(other.norms[0], w @ w.T / 40, atol=1e-12)
    np.testing.assert_allclose(other.overlaps.Q[0], w @ law.Omega @ w.T / 40, atol=1e-12)
    np.testing.assert_allclose(other.overlaps.R[0, :2], start.R, atol=1e-12)


def test_iid_inputs_are_inputs_of_unit_covariance():
    """One mode that stands for all, the equations without modes, and the closed form of the difference."""
    iid = online.GaussianInputs(20)
    law = online.CovariateInputs(jnp.eye(20), jnp.eye(20))
    one, other = (online.sample_networks(NET, iid, key=jax.random.key(k)) for k in (0, 1))
    ours, theirs = (
        online.solve_pair(NET, 5.0, x, one, other, times=np.array([0.0, 1.0, 5.0]), rtol=1e-9)
        for x in (iid, law)
    )
    np.testing.assert_allclose(ours.disagreement(), theirs.disagreement(), rtol=1e-7)
    np.testing.assert_allclose(ours.disagreement(), ours.disagreement_on_iid_inputs(), rtol=1e-12)
    start = online.disagreement(NET, one, other, iid)
    np.testing.assert_allclose(ours.disagreement()[0], start, rtol=1e-12)
    whole = online.solve(NET, 5.0, online.network_overlaps(iid, one)).overlaps(5.0)
    np.testing.assert_allclose(theirs.overlaps.Q[-1, :2, :2], whole.Q, atol=1e-7)
    np.testing.assert_allclose(theirs.overlaps.R[-1, :2], whole.R, atol=1e-7)
    np.testing.assert_allclose(theirs.overlaps.v[-1, :2], whole.v, atol=1e-7)


def test_equal_students_that_see_different_samples_part():
    """At first by half the rate at which gradient noise adds to their norms: d eps / dt in closed form."""
    net = online.TeacherStudent(1, 1, online.Linear(), noise=0.3, learning_rate=0.5)
    law = online.GaussianInputs(30)
    one = online.sample_networks(net, law, key=jax.random.key(0))
    times = np.array([0.0, 2.0, 40.0])
    found = online.solve_pair(net, 40.0, law, one, one, times=times, rtol=1e-9)
    # With e = Q - 2 R + T of each: d(2 eps)/dt = -2 eta (2 eps) + 2 eta^2 (e + sigma^2).
    eta, drive = 0.5, 0.25 * 0.09
    state = online.network_overlaps(law, one)
    e0 = float((state.Q - 2 * state.R + state.T)[0, 0])
    rate = 2 * eta - eta**2
    end = drive / rate
    a, b = 2 * eta**2 * (end + 0.09), 2 * eta**2 * (e0 - end)
    t = times
    exact = a / (2 * eta) * (1 - np.exp(-2 * eta * t))
    exact += b / (2 * eta - rate) * (np.exp(-rate * t) - np.exp(-2 * eta * t))
    np.testing.assert_allclose(2 * found.disagreement(), exact, atol=1e-8)


@pytest.mark.slow
def test_gradient_descent_of_pairs():
    """Differences on the task's and on iid inputs, within standard errors of 16 pairs at N = 500."""
    net = online.TeacherStudent(2, 2, online.Erf(), 0.1, 0.3)
    law = online.HiddenManifoldInputs(500, 100, jnp.sign, key=jax.random.key(1))
    one, other = (
        online.sample_networks(net, law, key=jax.random.key(k), scale=0.5) for k in (2, 3)
    )
    copies = 16
    starts = jax.tree.map(lambda a, b: jnp.stack([a, b] * copies), one, other)
    starts = online.Networks(
        starts.w, starts.v, jnp.stack([one.B] * 2 * copies), jnp.stack([one.A] * 2 * copies)
    )
    sim = online.simulate(
        net, law, 8.0, key=jax.random.key(4), networks=starts, runs=2 * copies, measurements=1
    )
    theory = online.solve_pair(net, sim.times[-1], law, one, other, times=sim.times[-1:])
    w, Omega = np.asarray(sim.networks.w), np.asarray(law.covariance)
    first, second = w[::2], w[1::2]
    for covariance, shared in (
        (Omega, theory.overlaps.Q[0, :2, 2:]), (np.eye(500), theory.norms[0, :2, 2:])
    ):  # fmt: skip
        values = np.einsum("pki,ij,plj->pkl", first, covariance, second) / 500
        error = values.std(axis=0, ddof=1) / copies**0.5
        difference = np.abs(values.mean(axis=0) - shared)
        np.testing.assert_array_less(difference, 4.5 * error + 5 / 500)


def test_infinite_manifold_is_the_mean_over_large_ones():
    """Errors at D = 100 fluctuate; their mean is the limit's within 4 standard errors."""
    net = online.TeacherStudent(1, 1, online.Erf(), 0.1, 0.4)
    # As many modes as the finite ones have: one compiled program.
    limit = online.HiddenManifoldLimit(0.4, modes=100)
    settings = {"rtol": 1e-6, "times": np.array([10.0])}
    errors = []
    for seed in range(8):
        a, b = jax.random.split(jax.random.key(seed))
        law = online.HiddenManifoldInputs(250, 100, jnp.sign, key=a)
        start = online.sample_networks(net, law, key=b, scale=0.5)
        start = online.Networks(start.w, start.v, start.B * 10 / jnp.linalg.norm(start.B), start.A)
        found = online.solve(net, 10.0, inputs=law, networks=start, **settings)
        errors.append(float(found.generalization_error()[0]))
    whole = online.Overlaps(0.25 * jnp.eye(1), jnp.zeros((1, 1)), jnp.eye(1))
    want = online.solve(net, 10.0, whole, inputs=limit, **settings).generalization_error()[0]
    error = np.std(errors, ddof=1) / 8**0.5
    assert error < 0.03 * want
    assert abs(np.mean(errors) - want) < 4 * error


@pytest.mark.slow
def test_gradients_through_the_modes():
    """Final error by the latent dimension's ratio, learning rate and noise, against finite differences."""
    start = online.Overlaps(0.25 * jnp.eye(1), 0.05 * jnp.eye(1), jnp.eye(1))

    def error(x, adjoint):
        net = online.TeacherStudent(1, 1, online.Erf(), x[2], x[1])
        found = online.solve(
            net, 5.0, start, inputs=online.HiddenManifoldLimit(x[0], modes=12),
            times=jnp.array([5.0]), rtol=1e-10, adjoint=adjoint, max_steps=512,
        )  # fmt: skip
        return found.generalization_error()[0]

    reverse = jax.jit(lambda x: error(x, diffrax.RecursiveCheckpointAdjoint()))
    point, direction, h = jnp.array([0.4, 0.6, 0.3]), jnp.array([0.5, -0.3, 0.7]), 1e-4
    difference = (reverse(point + h * direction) - reverse(point - h * direction)) / (2 * h)
    gradients = jax.jit(jax.vmap(jax.grad(reverse)))(jnp.stack([point, 1.1 * point]))
    assert abs(gradients[0] @ direction - difference) < 1e-8
    forward = jax.jit(lambda x: error(x, diffrax.ForwardMode()))
    tangent = jax.jit(lambda x: jax.jvp(forward, (x,), (direction,))[1])(point)
    assert abs(tangent - difference) < 1e-8


def test_bad_input():
    wrong = online.Networks(OTHER.w[:1], OTHER.v[:1], OTHER.B, OTHER.A)
    with pytest.raises(ValueError, match=r"`networks.w` must have shape \(2, 40\)"):
        online.solve_pair(NET, 1.0, MANIFOLD, ONE, wrong, times=np.array([1.0]))
    with pytest.raises(ValueError, match="`times` must be increasing"):
        online.solve_pair(NET, 1.0, MANIFOLD, ONE, OTHER, times=np.array([1.0, 0.5]))
    fast = online.TeacherStudent(1, 1, online.Linear(), noise=0.3, learning_rate=20.0)
    law = online.GaussianInputs(30)
    one = online.sample_networks(fast, law, key=jax.random.key(0))
    with pytest.raises(SolverError, match="stopped at t.*grows beyond"):
        online.solve_pair(fast, 40.0, law, one, one, times=np.array([0.0, 2.0, 40.0]))
