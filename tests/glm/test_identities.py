"""Exact identities of Bayes-optimal inference, for drawn models."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from jaxsp import channels, glm, priors
from jaxsp.glm.potentials import output_potential
from jaxsp.numerics import raise_unless_successful

# name: a model of two parameters, and their ranges
FAMILIES = {
    "probit, biased binary": (
        lambda bias, noise: glm.GLM(priors.Rademacher(bias), channels.Sign(noise)),
        (-0.9, 0.9),
        (0.02, 2.0),
    ),
    "probit, sparse": (
        lambda sparsity, noise: glm.GLM(priors.GaussBernoulli(sparsity), channels.Sign(noise)),
        (0.05, 0.95),
        (0.0, 1.0),
    ),
    "regression, Laplace": (
        lambda length, noise: glm.GLM(priors.Laplace(length), channels.Linear(noise)),
        (0.3, 2.0),
        (0.02, 1.0),
    ),
    "leaky ReLU, non-negative": (
        lambda rate, noise: glm.GLM(priors.Exponential(rate), channels.LeakyReLU(0.3, noise)),
        (0.5, 2.0),
        (0.02, 1.0),
    ),
}


@eqx.filter_jit
def everything(family, alpha, first, second):
    """Solution, slope of its free entropy in alpha, the output's potential, the prior's moment."""

    def free_entropy(alpha):
        solution = glm.bayes_optimal(family(first, second), alpha, throw=False)
        return solution.free_entropy, solution

    _, slope, solution = jax.jvp(free_entropy, (alpha,), (jnp.ones_like(alpha),), has_aux=True)
    model = family(first, second)
    output = output_potential(model, solution.overlap, solution.mean_squared_error, 32)
    return solution, slope, output.potential, model.prior.second_moment()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "probit, sparse"))
        for name in FAMILIES
    ],
)
def test_identities(name):
    family, first_range, second_range = FAMILIES[name]

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(st.floats(0.05, 4.0), st.floats(*first_range), st.floats(*second_range))
    def holds(alpha, first, second):
        solution, slope, potential, rho = everything(
            family, *(jnp.asarray(x, float) for x in (alpha, first, second))
        )
        raise_unless_successful(solution.result, "everything")
        # Nishimori: the error of the mean is what is missing of the second moment.
        np.testing.assert_allclose(solution.overlap + solution.mean_squared_error, rho, rtol=1e-10)
        # The free entropy grows by that of one output.
        np.testing.assert_allclose(slope, potential, rtol=1e-8, atol=1e-10)
        assert solution.mutual_information >= 0
        if solution.gibbs_error is None:
            return
        assert solution.mutual_information <= alpha * np.log(2)
        best, gibbs = float(solution.classification_error), float(solution.gibbs_error)
        np.testing.assert_allclose(solution.generalization_error, 2 * gibbs, rtol=1e-10)
        # Of 2 p (1 - p) >= min(p, 1 - p), and its mean at given mean of the minimum.
        assert best * (1 - 1e-10) <= gibbs <= 2 * best * (1 - best) * (1 + 1e-10)

    holds()


def test_information_of_regression_grows_by_the_error_of_the_fields():
    """dI / d(1/noise) = (alpha / 2) E Var(z | all outputs), by central differences of I."""
    prior = priors.GaussBernoulli(0.3)

    @jax.jit
    @jax.vmap
    def at(snr):
        found = glm.bayes_optimal(glm.GLM(prior, channels.Linear(1 / snr)), 0.9, throw=False)
        V = found.mean_squared_error
        return found.mutual_information, 0.45 * V / (1 + V * snr)

    snr, h = 5.0, 1e-3
    information, rate = at(snr + h * jnp.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    slope = (information[0] - 8 * information[1] + 8 * information[3] - information[4]) / (12 * h)
    np.testing.assert_allclose(slope, rate[2], rtol=1e-8)
