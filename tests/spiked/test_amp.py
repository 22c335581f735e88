"""AMP on instances against state evolution from the same start, on both sides of the transition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, priors, spiked

PAIRS = {
    "bayes": (spiked.amp, spiked.state_evolution),
    "likely": (spiked.ml_amp, spiked.ml_state_evolution),
}


def measure(name, model, size, instances, steps, start=0.3):
    """Overlaps `(instances, steps + 1)` and the theory's trajectory."""
    run, evolution = PAIRS[name]

    @jax.jit
    def overlaps(keys):
        def one(key):
            first, second = jax.random.split(key)
            data = spiked.sample_instance(model, size=size, key=first)
            found = run(model, data, start, key=second, max_steps=steps, throw=False)
            return found.overlap_trajectory

        return jax.lax.map(one, keys)

    keys = jax.random.split(jax.random.key(0), instances)
    return np.asarray(overlaps(keys)), np.asarray(evolution(model, start, steps=steps))


def check(found, theory, size, steps):
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    # Corrections to the mean are of relative order 1/N times the number of steps and the order's square.
    allowed = 4 * error + 10 / size
    for t in steps:
        assert abs(found[:, t].mean() - theory[t]) < allowed[t], t


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("delta2", [0.4, 2.0])
def test_matrix(name, delta2):
    model = spiked.spiked_wigner(delta2)
    found, theory = measure(name, model, size=600, instances=8, steps=20)
    check(found, theory, 600, (1, 2, 5, 20))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("delta2", [0.5, 1.5])
def test_large_matrix(name, delta2):
    found, theory = measure(name, spiked.spiked_wigner(delta2), size=4000, instances=4, steps=25)
    check(found, theory, 4000, (1, 2, 5, 25))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("noises", [(0.4, 0.6), (2.0, 2.0)])
def test_matrix_and_tensor(name, noises):
    found, theory = measure(name, spiked.MatrixTensor(3, *noises), 300, instances=6, steps=10)
    check(found, theory, 300, (1, 2, 5, 10))


@pytest.mark.parametrize("name", PAIRS)
def test_small_tensor(name):
    """Many small instances: the first two steps, which see the power of the tensor and its Onsager term."""
    found, theory = measure(
        name, spiked.MatrixTensor(3, 0.5, 0.4), 60, instances=60, steps=2, start=0.5
    )
    check(found, theory, 60, (1, 2))


def test_separable_prior():
    model = spiked.MatrixTensor(3, 0.4, 2.0, prior=priors.Rademacher())
    found, theory = measure("bayes", model, size=100, instances=12, steps=10)
    check(found, theory, 100, (1, 2, 10))


def test_fixed_points_of_ml_amp_are_critical_points():
    model = spiked.MatrixTensor(3, 0.2, 1.0)
    data = spiked.sample_instance(model, size=80, key=jax.random.key(3))
    found = spiked.ml_amp(model, data, data.signal, max_steps=500)
    assert float(jnp.abs(spiked.gradient(model, data, found.mean)).max()) < 1e-5
    values = jnp.linalg.eigvalsh(spiked.hessian(model, data, found.mean))
    assert float(values[0]) > -1e-9


def test_random_start_finds_the_signal():
    model = spiked.spiked_wigner(0.2)
    data = spiked.sample_instance(model, size=400, key=jax.random.key(5))
    found = spiked.amp(model, data, key=jax.random.key(6))
    assert abs(abs(float(found.overlap)) - 0.8) < 0.1
    assert found.overlap_trajectory.shape == (201,)
    batch = jax.vmap(lambda key: spiked.amp(model, data, key=key).overlap)
    assert np.all(np.abs(batch(jax.random.split(jax.random.key(7), 3))) > 0.6)


def test_failures_and_bad_input():
    model = spiked.spiked_wigner(0.5)
    data = spiked.sample_instance(model, size=50, key=jax.random.key(0))
    with pytest.raises(SolverError):
        spiked.amp(model, data, 0.3, key=jax.random.key(1), max_steps=2)
    with pytest.raises(ValueError, match="`init` or `key`"):
        spiked.ml_amp(model, data)
    with pytest.raises(ValueError, match="Argument `key`"):
        spiked.amp(model, data, 0.3)
    with pytest.raises(ValueError, match="Argument `init`"):
        spiked.amp(model, data, jnp.zeros(51))
    with pytest.raises(ValueError, match="Argument `init`"):
        spiked.amp(model, data, 1.5, key=jax.random.key(1))
    with pytest.raises(ValueError, match="Argument `damping`"):
        spiked.amp(model, data, 0.3, key=jax.random.key(1), damping=1.0)
    with pytest.raises(ValueError, match="Argument `max_steps`"):
        spiked.amp(model, data, 0.3, key=jax.random.key(1), max_steps=0)
    with pytest.raises(ValueError, match="`spherical`"):
        spiked.ml_amp(spiked.spiked_wigner(0.5, priors.Rademacher()), data, data.signal)
