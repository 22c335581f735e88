"""A diagram over both noises in one call, its limits, and grids that are too coarse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, dmft, spiked

GRID = dmft.UniformGrid(steps=24, levels=2)


def end(delta2, deltap):
    """Overlap and energy that gradient flow has reached, as one lane."""
    problem = dmft.SphericalDynamics(spiked.MatrixTensor(3, delta2, deltap), initial_overlap=0.2)
    solution = dmft.solve(problem, 4.0, solver=GRID, throw=False)
    return solution.overlap(4.0), solution.energy(4.0), solution.error_estimate


@pytest.fixture(scope="module")
def diagram():
    delta2s, deltaps = jnp.array([0.3, 0.5, 0.8, 1.5]), jnp.array([0.7, 4.0, jnp.inf])
    over_both = jax.vmap(jax.vmap(end, (None, 0)), (0, None))
    return delta2s, deltaps, *jax.jit(over_both)(delta2s, deltaps)


def test_lanes_are_what_single_calls_give(diagram):
    delta2s, deltaps, overlap, energy, _ = diagram
    single = jax.jit(end)
    for i, j in [(0, 0), (2, 1), (3, 2)]:
        found = single(delta2s[i], deltaps[j])
        np.testing.assert_allclose([overlap[i, j], energy[i, j]], found[:2], rtol=1e-11)


def test_overlap_falls_with_the_noise_of_the_matrix(diagram):
    _, _, overlap, _, _ = diagram
    assert np.all(np.isfinite(overlap))
    assert np.all(np.diff(overlap, axis=0) < 0)


def test_infinite_noise_of_the_tensor_is_the_matrix_alone(diagram):
    """The exactly solvable model, by the exponential of its spectrum (see `test_uniform`)."""
    from . import reference

    delta2s, _, overlap, _, error = diagram
    for i, delta2 in enumerate(delta2s):
        exact = reference.SpikedWigner(float(delta2), 0.2).overlap(4.0)
        assert abs(float(overlap[i, 2]) - exact) < float(error[i, 2])


def test_a_grid_too_coarse_for_the_landscape_is_not_silent():
    problem = dmft.SphericalDynamics(spiked.MatrixTensor(3, 0.3, 4.0), initial_overlap=0.1)
    coarse = dmft.UniformGrid(steps=8, levels=2)
    with pytest.raises(SolverError, match=r"dmft\.solve.*raise .*`steps`"):
        dmft.solve(problem, 40.0, solver=coarse)
    for bad in ({"delta2": 0.0}, {"delta2": -1.0}, {"deltap": 0.0}):
        with pytest.raises(ValueError, match=f"`{next(iter(bad))}`.*greater than 0"):
            dmft.SphericalDynamics(spiked.MatrixTensor(3, **{"delta2": 0.5, "deltap": 1.0, **bad}))
    with pytest.raises(ValueError, match="`p`.*at least 2"):
        dmft.SphericalDynamics(spiked.pure_p_spin(1))
