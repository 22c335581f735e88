"""Finite-size gradient descent against the theory, within standard errors; modes against each other."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import RESULTS, SolverError, online

RUNS = 8


def agreement(net, law, networks, t_max, bias, **solve):
    """Measured overlaps at the last time lie within 4.5 standard errors, and 1/N, of the theory."""
    sim = online.simulate(
        net, law, t_max, key=jax.random.key(5), networks=networks, runs=RUNS, measurements=2
    )
    theory = online.solve(
        net, sim.times[-1], inputs=law, networks=networks, rtol=1e-7, times=sim.times[1:], **solve
    ).overlaps()
    for name in ("Q", "R", "v"):
        measured = np.asarray(getattr(sim.overlaps, name))[:, 1:]
        error = measured.std(axis=0, ddof=1) / RUNS**0.5
        difference = np.abs(measured.mean(axis=0) - getattr(theory, name))
        np.testing.assert_array_less(difference, 4.5 * error + bias / law.dimension)
    return sim, theory


CASES = {
    "erf, K = M": (2, 2, online.Erf(), False, 0.0, 0.8),
    "erf, K > M, two layers, noise": (3, 1, online.Erf(), True, 0.3, 0.5),
    "relu, K = M": (2, 2, online.ReLU(), False, 0.1, 0.2),
    "relu, K > M, two layers": (2, 1, online.ReLU(), True, 0.1, 0.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_iid_inputs(name):
    K, M, unit, both, noise, rate = CASES[name]
    net = online.TeacherStudent(K, M, unit, noise, rate, train_second_layer=both)
    law = online.GaussianInputs(1000)
    v = jnp.full(K, 0.5) if both else None
    networks = online.sample_networks(net, law, key=jax.random.key(1), scale=0.5, v=v)
    sim, theory = agreement(net, law, networks, 6.0, bias=5.0)
    error = online.generalization_error(net, jax.tree.map(lambda x: x[-1], theory))
    ours = sim.generalization_error[:, -1]
    assert abs(ours.mean() - error) < 4.5 * ours.std() / RUNS**0.5 + 0.005 * error


@pytest.mark.slow
def test_hidden_manifold():
    """N = 1000, D = 200; Gaussian equivalence is right up to 1 / D."""
    net = online.TeacherStudent(2, 2, online.Erf(), 0.1, 0.3, batch_size=2)
    law = online.HiddenManifoldInputs(1000, 200, jnp.sign, key=jax.random.key(1))
    networks = online.sample_networks(net, law, key=jax.random.key(2), scale=0.5)
    agreement(net, law, networks, 8.0, bias=10.0)


SMALL = online.HiddenManifoldInputs(40, 8, jnp.sign, key=jax.random.key(1))
NET = online.TeacherStudent(
    2, 2, online.Erf(), 0.1, 0.4, weight_decay=0.01, train_second_layer=True
)
START = online.sample_networks(NET, SMALL, key=jax.random.key(2), scale=0.5)


@pytest.fixture(scope="module")
def manifold():
    return online.solve(NET, 12.0, inputs=SMALL, networks=START)


def test_modes_of_the_latent_vector_and_of_the_inputs_agree(manifold):
    """D modes and the weights' second moment, or N modes of the equivalent Gaussian inputs."""
    law = online.CovariateInputs(SMALL.covariance, SMALL.cross_covariance)
    other = online.solve(NET, 12.0, inputs=law, networks=START)
    t = jnp.array([0.0, 1.3, 12.0])
    for name in ("Q", "R", "T", "v"):
        ours, theirs = (getattr(x.overlaps(t), name) for x in (manifold, other))
        np.testing.assert_allclose(ours, theirs, atol=2e-9)
    start = online.network_overlaps(law, START)
    np.testing.assert_allclose(other.overlaps(0.0).Q, start.Q, atol=1e-12)
    np.testing.assert_allclose(other.overlaps(0.0).R, start.R, atol=1e-12)


def test_reading_in_between_the_steps(manifold):
    t = np.linspace(0.1, 11.9, 20)
    saved = online.solve(NET, 12.0, inputs=SMALL, networks=START, times=t, rtol=1e-12)
    np.testing.assert_allclose(manifold.overlaps(t).Q, saved.overlaps().Q, atol=2e-9)


def test_unit_covariance_is_iid():
    law = online.CovariateInputs(jnp.eye(20), jnp.eye(20))
    start = online.sample_networks(NET, law, key=jax.random.key(3))
    modes = online.solve(NET, 5.0, inputs=law, networks=start).overlaps(5.0)
    whole = online.solve(NET, 5.0, online.network_overlaps(law, start)).overlaps(5.0)
    np.testing.assert_allclose(modes.covariance, whole.covariance, atol=1e-9)
    np.testing.assert_allclose(modes.v, whole.v, atol=1e-9)


def test_infinite_manifold_is_the_mean_over_large_ones():
    """Errors at D = 100 fluctuate; their mean is the limit's within 4 standard errors."""
    net = online.TeacherStudent(1, 1, online.Erf(), 0.1, 0.4)
    limit = online.HiddenManifoldLimit(0.4)
    errors = []
    for seed in range(8):
        a, b = jax.random.split(jax.random.key(seed))
        law = online.HiddenManifoldInputs(250, 100, jnp.sign, key=a)
        start = online.sample_networks(net, law, key=b, scale=0.5)
        start = online.Networks(start.w, start.v, start.B * 10 / jnp.linalg.norm(start.B), start.A)
        found = online.solve(
            net, 10.0, inputs=law, networks=start, rtol=1e-6, times=np.array([10.0])
        )
        errors.append(float(found.generalization_error()[0]))
    whole = online.Overlaps(0.25 * jnp.eye(1), jnp.zeros((1, 1)), jnp.eye(1))
    want = online.solve(net, 10.0, whole, inputs=limit).generalization_error(10.0)
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


def test_divergence_and_bad_input():
    net = online.TeacherStudent(1, 1, online.Linear(), learning_rate=20.0)
    law = online.GaussianInputs(50)
    run = online.simulate(net, law, 200.0, key=jax.random.key(0), measurements=1, throw=False)
    assert run.result == RESULTS.diverged
    with pytest.raises(SolverError, match="grows beyond"):
        online.simulate(net, law, 200.0, key=jax.random.key(0), measurements=1)
    wrong = online.Networks(jnp.ones((1, 49)), jnp.ones(1), jnp.ones((1, 50)), jnp.ones(1))
    with pytest.raises(ValueError, match=r"`networks.w` must have shape \(1, 50\)"):
        online.simulate(net, law, 1.0, key=jax.random.key(0), networks=wrong)
    with pytest.raises(ValueError, match="`networks`, and not `overlaps`"):
        online.solve(net, 1.0, inputs=SMALL)
    with pytest.raises(ValueError, match="`overlaps` must be given"):
        online.solve(net, 1.0)
