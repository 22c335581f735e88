"""Generalisation errors on instances: labels of new inputs, predicted from the weights that AMP finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import committee, priors

BINARY = committee.CommitteeMachine(2, priors.Rademacher())


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "start"), [(1.2, "uninformed"), (1.85, "broken")])
def test_errors_of_binary_units_match_new_labels_of_instances(alpha, start):
    # Below the jump without specialisation; between the instability and the spinodal with it.
    expected = committee.state_evolution(BINARY, alpha, start)
    assert (expected.q_d > 0.05) == (start == "broken")
    p, instances, fresh = 2000, 8, 5_000

    @jax.jit
    def run(key):
        keys = jax.random.split(key, 4)
        data = committee.sample_instance(
            BINARY, inputs=p, samples=int(alpha * p), key=keys[0], dtype=jnp.float32
        )
        found = committee.amp(
            BINARY, data.X, data.y, key=keys[1], damping=0.2, max_steps=200, throw=False
        )
        # New inputs in parts, each through all weights.
        X = jax.random.normal(keys[2], (fresh // 1000, 1000, p), jnp.float32) / jnp.sqrt(p)
        both = jnp.concatenate([data.weights, found.mean], axis=1)
        fields = (X @ both).reshape(fresh, 4)
        y = BINARY.output.sample(keys[3], fields[:, :2])
        log_p = jax.vmap(lambda w: BINARY.output.log_partitions(w, found.covariance))(fields[:, 2:])
        probability, labels = jnp.exp(log_p), BINARY.output.labels(2).astype(y.dtype)
        right = jnp.where(labels == y[:, None], probability, 0.0).sum(axis=1)
        return jnp.stack(
            [
                jnp.mean((y - probability @ labels) ** 2),
                jnp.mean(y != labels[jnp.argmax(log_p, axis=1)]),
                # A posterior sample has the label of the teacher with this probability.
                jnp.mean(1 - right),
            ]
        )

    measured = np.stack([run(key) for key in jax.random.split(jax.random.key(4), instances)])
    error = measured.std(axis=0, ddof=1) / np.sqrt(instances)
    names = ("generalization_error", "classification_error", "gibbs_error")
    theory = np.array([getattr(expected, name) for name in names])
    # A bias in 1 / p is not seen. That of the squared error, with 40000 new inputs drawn as fields, is in
    # units of 1 / p -0.3 +- 0.4 (160 instances) and 0.2 +- 0.7 (96) at p = 500, and at alpha = 1.2
    # -0.6 +- 0.7 (96) at p = 1000, 2.5 +- 1.5 (48) at 2000, -0.7 +- 3.3 (16) at 4000.
    np.testing.assert_array_less(np.abs(measured.mean(axis=0) - theory), 4 * error + 1 / p)
