"""AMP on instances against state evolution, with errors over instances; its refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import committee, priors

GAUSSIAN = committee.CommitteeMachine(2, priors.Gaussian())
BINARY = committee.CommitteeMachine(2, priors.Rademacher())


def test_first_steps_follow_state_evolution_of_the_full_matrix():
    # From an estimate as good as an observation: its overlap with the teacher is its own norm.
    alpha, p, steps, first = 1.5, 250, 4, jnp.asarray([[0.4, 0.1], [0.1, 0.2]])
    root = jnp.linalg.cholesky(first - first @ first)

    @jax.jit
    @jax.vmap
    def run(key):
        instance, noise = jax.random.split(key)
        data = committee.sample_instance(GAUSSIAN, inputs=p, samples=int(alpha * p), key=instance)
        start = data.weights @ first + jax.random.normal(noise, (p, 2)) @ root.T
        found = committee.amp(
            GAUSSIAN, data.X, data.y, init=start, max_steps=steps, teacher=data.weights, throw=False
        )
        return found.overlap_trajectory, found.self_overlap_trajectory

    overlap, own = run(jax.random.split(jax.random.key(1), 48))
    theory = committee.state_evolution(
        GAUSSIAN, alpha, first, steps=steps, max_steps=1, throw=False
    ).trajectory
    for measured in (overlap, own):
        error = jnp.std(measured, axis=0) / jnp.sqrt(48)
        # Five standard errors, and corrections in 1/p.
        np.testing.assert_array_less(
            jnp.abs(jnp.mean(measured, axis=0) - theory), 5 * error + 2 / p
        )


def test_units_that_start_alike_stay_alike_and_others_need_not():
    data = committee.sample_instance(GAUSSIAN, inputs=200, samples=900, key=jax.random.key(0))
    alike = committee.amp(
        GAUSSIAN, data.X, data.y, init=jnp.zeros((200, 2)), max_steps=8, throw=False
    )
    np.testing.assert_allclose(alike.mean[:, 0], alike.mean[:, 1], atol=1e-9)
    run = committee.amp(
        GAUSSIAN, data.X, data.y, key=jax.random.key(2), max_steps=60, teacher=data.weights,
        throw=False,
    )  # fmt: skip
    q = run.overlap_trajectory[-1]
    assert q[0, 0] + q[1, 1] - q[0, 1] - q[1, 0] > 0.5


def test_labels_of_the_opposite_sign_are_those_of_the_opposite_weights():
    data = committee.sample_instance(BINARY, inputs=60, samples=90, key=jax.random.key(3))
    start = 0.1 * jax.random.normal(jax.random.key(4), (60, 2))
    one = committee.amp(BINARY, data.X, data.y, init=start, max_steps=5, throw=False)
    other = committee.amp(BINARY, data.X, -data.y, init=-start, max_steps=5, throw=False)
    np.testing.assert_allclose(one.mean, -other.mean, rtol=1e-9, atol=1e-12)


def test_single_precision_stays_finite():
    data = committee.sample_instance(
        BINARY, inputs=80, samples=400, key=jax.random.key(5), dtype=jnp.float32
    )
    run = committee.amp(BINARY, data.X, data.y, max_steps=60, teacher=data.weights, throw=False)
    assert run.mean.dtype == jnp.float32
    assert bool(jnp.all(jnp.isfinite(run.mean)))
    assert jnp.trace(run.overlap_trajectory[-1]) > 1.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"damping": 1.0}, "`damping` must be in \\[0, 1\\)"),
        ({"max_steps": 0}, "`max_steps` must be at least 1"),
        ({"y": jnp.full(6, 3.0)}, "out of \\[-1.0, 0.0, 1.0\\], but has the value 3.0"),
        ({"y": jnp.ones(5)}, "`y` must have shape"),
        ({"init": jnp.ones((4, 3))}, "`init` must have shape"),
        ({"teacher": jnp.full((4, 2), jnp.nan)}, "`teacher` must be finite"),
        ({"init": jnp.ones((4, 2)), "key": jax.random.key(0)}, "two starts"),
    ],
)
def test_refuses_bad_input(change, message):
    arguments = {"X": jnp.ones((6, 4)), "y": jnp.ones(6)} | change
    with pytest.raises(ValueError, match=message):
        committee.amp(GAUSSIAN, arguments.pop("X"), arguments.pop("y"), **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_large_instances_follow_state_evolution_on_both_sides_of_the_transition(alpha):
    p = 4000
    expected = committee.state_evolution(GAUSSIAN, alpha, "broken")

    @jax.jit
    def run(key):
        instance, start = jax.random.split(key)
        data = committee.sample_instance(
            GAUSSIAN, inputs=p, samples=int(alpha * p), key=instance, dtype=jnp.float32
        )
        found = committee.amp(
            GAUSSIAN, data.X, data.y, key=start, max_steps=150, teacher=data.weights, throw=False
        )
        q = found.overlap_trajectory[-1]
        off = 0.5 * (q[0, 1] + q[1, 0])
        return jnp.stack([0.5 * jnp.trace(q) - off, 2 * off])

    measured = np.stack([run(key) for key in jax.random.split(jax.random.key(7), 5)])
    error = measured.std(axis=0, ddof=1) / np.sqrt(len(measured))
    theory = np.array([expected.q_d, expected.q_a])
    # Below the transition q_d is a fluctuation of a size below 1/sqrt(p).
    np.testing.assert_array_less(np.abs(measured.mean(axis=0) - theory), 4 * error + 3e-3)


def test_damping_does_not_move_the_fixed_point():
    model = committee.CommitteeMachine(2, priors.Gaussian())
    data = committee.sample_instance(model, inputs=200, samples=200, key=jax.random.key(3))
    plain, damped = (
        committee.amp(model, data.X, data.y, damping=damping, max_steps=400).mean
        for damping in (0.0, 0.4)
    )
    np.testing.assert_allclose(damped, plain, atol=1e-6)
