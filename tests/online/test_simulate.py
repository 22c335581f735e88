"""Finite-size gradient descent against the theory, within standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import RESULTS, SolverError, online

RUNS = 8


def agreement(net, law, networks, t_max, bias, **solve):
    """Measured overlaps at the last time lie within 4.5 standard errors, and 1/N, of the theory."""
    sim = online.simulate(
        net,
        inputs=law,
        t_max=t_max,
        key=jax.random.key(5),
        networks=networks,
        runs=RUNS,
        measurements=2,
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


def test_divergence_and_bad_input():
    net = online.TeacherStudent(1, 1, online.Linear(), learning_rate=20.0)
    law = online.GaussianInputs(dimension=50)
    run = online.simulate(
        net, inputs=law, t_max=200.0, key=jax.random.key(0), measurements=1, throw=False
    )
    assert run.result == RESULTS.diverged
    with pytest.raises(SolverError, match="grows beyond"):
        online.simulate(net, law, 200.0, key=jax.random.key(0), measurements=1)
    wrong = online.Networks(jnp.ones((1, 49)), jnp.ones(1), jnp.ones((1, 50)), jnp.ones(1))
    with pytest.raises(ValueError, match=r"`networks.w` must have shape \(1, 50\)"):
        online.simulate(net, law, 1.0, key=jax.random.key(0), networks=wrong)
    with pytest.raises(ValueError, match="`networks`, and not `overlaps`"):
        online.solve(net, 1.0, inputs=online.CovariateInputs(jnp.eye(2), jnp.eye(2)))
    with pytest.raises(ValueError, match="`overlaps` must be given"):
        online.solve(net, 1.0)
