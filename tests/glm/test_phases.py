"""Points of phase diagrams, against an independent implementation with scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, glm, priors
from tests.glm.reference import BinaryPerceptron, sign_information


@pytest.fixture(scope="module")
def found():
    """Points with one branch (few and many samples) and with two, optimal the one and the other."""
    noise = 0.01
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))
    alphas = np.array([0.8, 1.5, 1.56, 1.9])
    batch = jax.jit(jax.vmap(lambda alpha: glm.phases(model, alpha, throw=False)))
    return noise, alphas, batch(jnp.asarray(alphas))


def test_branches_are_those_that_iteration_reaches(found):
    noise, alphas, phases = found
    reference = BinaryPerceptron(noise)
    assert not phases.result._value.any()
    for place, alpha in enumerate(alphas):
        ends = [reference.iterate(alpha, V) for V in (0.9, 1e-6)]
        for phase, V in zip((phases.uninformed, phases.informed), ends, strict=True):
            assert float(phase.mean_squared_error[place]) == pytest.approx(V, rel=1e-7)
            assert float(phase.overlap[place]) == pytest.approx(1 - V, abs=1e-8)


def test_optimum_has_the_larger_free_entropy(found):
    noise, alphas, phases = found
    reference = BinaryPerceptron(noise)
    low, high = phases.uninformed, phases.informed
    optimal = phases.optimal
    best = np.maximum(low.free_entropy, high.free_entropy)
    np.testing.assert_array_equal(optimal.free_entropy, best)
    two = np.asarray(high.overlap > low.overlap)
    assert two.tolist() == [False, True, True, False]
    # Both orders occur among the points with two branches.
    assert sorted(np.asarray(optimal.overlap == high.overlap)[two]) == [False, True]
    for place, alpha in enumerate(alphas):
        V = float(optimal.mean_squared_error[place])
        snr = alpha * sign_information(V, noise)
        assert float(optimal.free_entropy[place]) == pytest.approx(
            reference.free_entropy(snr), abs=1e-8
        )


def test_error_of_labels_is_the_arc_cosine(found):
    noise, _, phases = found
    for phase in (phases.optimal, phases.uninformed, phases.informed):
        cosine = np.sqrt(phase.overlap / (1 + noise))
        np.testing.assert_allclose(phase.classification_error, np.arccos(cosine) / np.pi, atol=1e-8)


def test_bad_alpha_is_refused():
    model = glm.GLM(priors.Rademacher(), channels.Sign())
    with pytest.raises(ValueError, match="`alpha` must be at least 0"):
        glm.phases(model, -1.0)
