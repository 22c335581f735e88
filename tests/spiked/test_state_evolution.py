"""Trajectories end on the branches, and the threshold states are those of the literature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, priors, spiked

MODEL = spiked.MatrixTensor(3, 0.5, 4.0)


def test_trajectories_end_on_stable_branches():
    bayes, likely = spiked.bayes_optimal(MODEL), spiked.maximum_likelihood(MODEL)
    m = spiked.state_evolution(MODEL, 1e-3, steps=400)
    np.testing.assert_allclose(m[-1], bayes.overlap, rtol=1e-12)
    np.testing.assert_allclose(m[1], (s := 2e-3 + 1e-6 / 4) / (1 + s), rtol=1e-12)
    m = spiked.ml_state_evolution(MODEL, 1e-3, steps=400)
    np.testing.assert_allclose(m[-1], likely.overlap, rtol=1e-12)
    # The hard phase: an uninformed start is lost.
    hard = spiked.MatrixTensor(3, 1.1, 0.5)
    assert float(spiked.state_evolution(hard, 1e-3, steps=400)[-1]) < 1e-6
    assert float(spiked.bayes_optimal(hard).overlap) > 0.4


def test_separable_prior():
    model = spiked.spiked_wigner(0.05, priors.GaussBernoulli(0.3))
    end = spiked.state_evolution(model, 0.01, steps=300)[-1]
    assert float(end) > 0.05
    np.testing.assert_allclose(end, spiked.bayes_optimal(model).overlap, rtol=1e-8)


def test_fixed_self_overlap():
    """m grows by (1-q) / (T delta2); the power of the tensor is p - 1 = 2."""
    m = spiked.fixed_self_overlap_state_evolution(MODEL, 0.4, 0.8, 0.1, steps=1)
    np.testing.assert_allclose(m[1], 0.6 / 0.8 * (0.1 / 0.5 + 0.1**2 / 4), rtol=1e-13)


def test_threshold_states():
    """Pure p = 3: q = 0.6388 at T = 0.5 (3 q (1-q)^2 = T^2), its dynamic limit q -> 1/3 at T^2 = 4/9."""
    Q = spiked.pure_p_spin(3)
    states = jax.jit(lambda T: spiked.threshold_states(Q, T, throw=False))
    q = float(states(0.5).self_overlap)
    np.testing.assert_allclose(3 * q * (1 - q) ** 2, 0.25, rtol=1e-12)
    assert abs(q - 0.6388) < 5e-5
    np.testing.assert_allclose(states(0.0).susceptibility, 1 / np.sqrt(3), rtol=1e-12)
    assert abs(float(states(2 / 3 - 1e-6).self_overlap) - 1 / 3) < 2e-3
    with pytest.raises(SolverError):
        spiked.threshold_states(Q, 2 / 3 + 1e-3)
    h = 1e-5
    slope = jax.jit(jax.grad(lambda T: spiked.threshold_states(Q, T, throw=False).self_overlap))
    central = (states(0.5 + h).self_overlap - states(0.5 - h).self_overlap) / (2 * h)
    np.testing.assert_allclose(slope(0.5), central, rtol=1e-7)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: spiked.state_evolution(MODEL, -0.1), "init"),
        (lambda: spiked.state_evolution(MODEL, 1.1), "init"),
        (lambda: spiked.state_evolution(MODEL, steps=0), "steps"),
        (lambda: spiked.ml_state_evolution(MODEL, 1.5), "init"),
        (lambda: spiked.fixed_self_overlap_state_evolution(MODEL, 1.5, 1.0), "self_overlap"),
        (lambda: spiked.fixed_self_overlap_state_evolution(MODEL, 0.5, 0.0), "temperature"),
        (lambda: spiked.threshold_states(MODEL, -1.0), "temperature"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=f"Argument `{name}`"):
        call()


def test_dtype_follows_the_model():
    model = spiked.MatrixTensor(3, jnp.float32(0.5), jnp.float32(4.0))
    assert spiked.state_evolution(model, 0.1, steps=5).dtype == jnp.float32
