"""Monte Carlo against sums over all states and Kaufman's torus, within its own error bars."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import ising

from .test_thermodynamics import enumerate_states

KEY = jax.random.key(3)
QUANTITIES = (
    "energy", "heat_capacity", "magnetization", "susceptibility", "binder_cumulant",
)  # fmt: skip


def assert_within_errors(estimate, expected, allowed=4.0):
    """Every temperature within a few standard errors, and the errors small enough to say something."""
    mean, error = np.asarray(estimate.mean), np.asarray(estimate.error)
    assert np.all(np.abs(mean - expected) <= allowed * error), (mean, expected, error)
    assert np.all(error < 0.05 * (0.05 + np.abs(expected)))


@pytest.mark.parametrize(
    ("size", "horizontal", "vertical"),
    [((4, 4), 1.0, 1.0), ((3, 3), 1.0, 0.6), ((2, 5), 0.5, 1.0)],
)
def test_all_quantities_are_those_of_the_sum_over_states(size, horizontal, vertical):
    temperatures = np.array([1.8, 2.5, 4.0])
    model = ising.Ising2D(horizontal, vertical, size)
    run = ising.simulate(model, jnp.asarray(temperatures), key=KEY, sweeps=2000, chains=32)
    exact = [enumerate_states(horizontal, vertical, size, t) for t in temperatures]
    for name in QUANTITIES:
        assert_within_errors(getattr(run, name), [e[name] for e in exact])
    assert np.all(np.abs(run.energy_drift.mean) <= 4 * run.energy_drift.error)


def test_larger_torus_and_antiferromagnet():
    temperatures = jnp.array([2.0, 2.4, 3.0])
    model = ising.Ising2D(1.0, -0.8, (16, 12))
    run = ising.simulate(model, temperatures, key=KEY, sweeps=2000, chains=16)
    for name, exact in (("energy", ising.energy), ("heat_capacity", ising.heat_capacity)):
        assert_within_errors(
            getattr(run, name), jax.vmap(lambda t, f=exact: f(model, t))(temperatures)
        )


def test_magnetization_in_the_ordered_phase_is_yangs():
    """On a 32 x 32 torus at T = 1.8 the corrections are exponentially small."""
    model = ising.Ising2D(size=(32, 32))
    run = ising.simulate(model, 1.8, key=KEY, sweeps=400, burn_in=200)
    expected = ising.spontaneous_magnetization(model, 1.8)
    assert run.magnetization.mean.shape == ()
    assert_within_errors(run.magnetization, expected)


def test_error_bars_are_honest():
    """Deviations over repeated runs, in units of the error, have variance near one."""
    model = ising.Ising2D(size=(4, 4))
    same = jnp.full(200, 2.5)
    run = ising.simulate(model, same, key=KEY, sweeps=200, burn_in=50, chains=16)
    exact = enumerate_states(1.0, 1.0, (4, 4), 2.5)
    for name in ("energy", "heat_capacity", "susceptibility"):
        found = getattr(run, name)
        pulls = (np.asarray(found.mean) - exact[name]) / np.asarray(found.error)
        # Student's t with 15 degrees of freedom has variance 15/13; its estimate scatters by a tenth.
        assert 0.75 < pulls.var() < 1.6, name
        assert abs(pulls.mean()) < 0.35, name


def test_reproducible_and_independent_of_the_other_temperatures():
    model = ising.Ising2D(size=(4, 6))
    options = {"key": KEY, "sweeps": 20, "burn_in": 5, "chains": 2}
    one = ising.simulate(model, jnp.array([2.0]), **options)
    two = ising.simulate(model, jnp.array([2.0, 3.0]), **options)
    assert float(one.energy.mean[0]) == float(two.energy.mean[0])
    other = ising.simulate(model, jnp.array([2.0]), **(options | {"key": jax.random.key(4)}))
    assert float(other.energy.mean[0]) != float(one.energy.mean[0])


def test_single_precision():
    model = ising.Ising2D(jnp.float32(1), size=(16, 16))
    temperatures = jnp.array([0.5, 2.6], jnp.float32)
    run = ising.simulate(model, temperatures, key=KEY, sweeps=2000)
    assert run.heat_capacity.mean.dtype == jnp.float32
    exact = ising.Ising2D(1.0, size=(16, 16))
    for name, f in (("energy", ising.energy), ("heat_capacity", ising.heat_capacity)):
        found = getattr(run, name)
        expected = jax.vmap(lambda t, f=f: f(exact, t))(temperatures.astype(float))
        assert np.all(np.abs(found.mean - expected) <= 4 * found.error + 1e-5), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ising.Ising2D()}, "Argument `model`"),
        ({"model": ising.Ising2D(size=(1, 4))}, "Argument `model`"),
        ({"temperature": 0.0}, "Argument `temperature`"),
        ({"sweeps": 3}, "Argument `sweeps`"),
        ({"burn_in": -1}, "Argument `burn_in`"),
        ({"chains": 1}, "Argument `chains`"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"model": ising.Ising2D(size=(4, 4)), "temperature": 2.0, "key": KEY} | changes
    with pytest.raises(ValueError, match=message):
        ising.simulate(**arguments)
