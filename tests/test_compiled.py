"""No compiled programme calls back to the host: such a one cannot be kept on disk, nor sharded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, committee, dmft, erm, glm, inputs, online, priors, spiked

NET = online.TeacherStudent(1, 1, online.Erf(), learning_rate=0.5)
LAW = inputs.GaussianInputs(20)
NETWORKS = [online.sample_networks(NET, LAW, key=jax.random.key(k)) for k in (0, 1)]
START = online.Overlaps(0.1 * jnp.eye(1), 0.01 * jnp.eye(1), jnp.eye(1))
BINARY = glm.GLM(priors.Rademacher(), channels.Sign())
TIMES = jnp.array([0.0, 2.0, 5.0])


def _pair(end):
    return online.solve_pair(NET, end, LAW, *NETWORKS, times=TIMES)


def _covariates(alpha):
    eye = jnp.eye(3)
    model = erm.GaussianCovariates(Psi=eye, Phi=eye, Omega=eye, teacher=jnp.ones(3))
    return erm.asymptotics(model, erm.Logistic(), regularization=1.0, alpha=alpha)


def _two_units(alpha):
    model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
    return committee.state_evolution(model, alpha)


def _five_units(variance):
    model = committee.CommitteeMachine(hidden_units=5, prior=priors.Gaussian(variance=variance))
    return committee.specialization_threshold(model)


def _noisy(variance):
    return glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=variance))


def _spiked(delta2):
    return spiked.MatrixTensor(p=3, delta2=delta2, deltap=4.0)


def _langevin(temperature):
    problem = dmft.SphericalDynamics(_spiked(0.5), temperature, initial_overlap=0.1)
    return dmft.solve(problem, 1.0, solver=dmft.UniformGrid(steps=8))


PATHS = {
    "glm.bayes_optimal": (lambda alpha: glm.bayes_optimal(BINARY, alpha), 1.0),
    "glm.thresholds": (lambda noise: glm.thresholds(_noisy(noise)), 0.01),
    "glm.phases": (lambda alpha: glm.phases(BINARY, alpha), 1.0),
    "glm.branches": (lambda alpha: glm.branches(BINARY, alpha), 1.0),
    "glm.storage_capacity": (lambda margin: glm.storage_capacity(BINARY.prior, margin), 0.0),
    "glm.storage_entropy": (lambda alpha: glm.storage_entropy(BINARY.prior, alpha), 0.5),
    "glm.critical_point": (lambda top: glm.critical_point(_noisy, 0.01, top), 0.03),
    "glm.amp": (lambda X: glm.amp(BINARY, X, jnp.ones(6)), np.ones((6, 4))),
    "committee.state_evolution": (_two_units, 2.0),
    "committee.specialization_threshold": (_five_units, 1.0),
    "spiked.bayes_optimal": (lambda delta: spiked.bayes_optimal(_spiked(delta)), 0.7),
    "spiked.maximum_likelihood": (lambda delta: spiked.maximum_likelihood(_spiked(delta)), 0.7),
    "dmft.solve": (_langevin, 1.0),
    "erm.asymptotics": (_covariates, 2.0),
    "online.solve": (lambda end: online.solve(NET, end, START), 5.0),
    "online.solve at times": (lambda end: online.solve(NET, end, START, times=TIMES), 5.0),
    "online.solve in modes": (
        lambda end: online.solve(NET, end, inputs=LAW, networks=NETWORKS[0], times=TIMES),
        5.0,
    ),
    "online.solve_pair": (_pair, 5.0),
}


@pytest.mark.parametrize("name", PATHS)
def test_no_calls_of_the_host(name):
    compute, argument = PATHS[name]
    traced = jax.jit(lambda x: jax.tree.leaves(compute(x))).trace(jnp.asarray(argument))
    assert "callback" not in str(traced.jaxpr)
