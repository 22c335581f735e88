"""General outputs: closed forms, the GLM, scipy's quadratures, specialised formulas, Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxsp import channels, committee, glm, priors

OMEGA, V = jnp.asarray([0.3, -0.5]), jnp.asarray([[0.8, -0.3], [-0.3, 0.6]])
ERF = committee.SoftCommittee(jax.scipy.special.erf, noise_variance=0.2)


def linear_closed_form(units, alpha, noise, readout):
    """A linear channel of the sum of the units: Gaussian throughout, a quadratic equation."""
    gain = readout**2 * units
    b = noise / gain + 1 + alpha
    q = (b - np.sqrt(b * b - 4 * alpha)) / 2
    r = q / (1 - q)
    variance = gain * (1 - q) + noise
    f = -0.5 * np.log1p(r) + 0.5 * r * (1 - q) - 0.5 * alpha * np.log(2 * np.pi * np.e * variance)
    return {"q_a": q, "free_entropy": f, "generalization_error": variance}


@pytest.mark.parametrize("units", [2, 3, 5])
def test_linear_output_has_closed_forms(units):
    output = committee.LinearOutput(noise_variance=0.3, readout=0.7)
    model = committee.CommitteeMachine(units, priors.Gaussian(), output, order=6)
    found = committee.state_evolution(model, 1.4, "specialized", throw=False)
    for name, value in linear_closed_form(units, 1.4, 0.3, 0.7).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-8, err_msg=name)
    assert found.q_d == 0
    assert found.gibbs_error is None


@pytest.mark.parametrize(
    ("output", "channel"),
    [
        pytest.param(
            ERF,
            channels.Activation(jax.scipy.special.erf, noise_variance=0.2),
            marks=pytest.mark.slow,
        ),
        (
            committee.SoftCommittee(jax.nn.relu, noise_variance=0.2, breakpoints=(0.0,)),
            channels.ReLU(noise_variance=0.2),
        ),
    ],
    ids=["erf", "relu"],
)
def test_one_soft_unit_is_the_glm_of_its_activation(output, channel):
    found = committee.state_evolution(committee.CommitteeMachine(1, priors.Gaussian(), output), 1.3)
    expected = glm.state_evolution(glm.GLM(priors.Gaussian(), channel), 1.3)
    for name, other in (
        ("q_d", "overlap"),
        ("free_entropy", "free_entropy"),
        ("generalization_error", "generalization_error"),
    ):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, other), rtol=1e-10, err_msg=name
        )


@pytest.mark.parametrize(
    ("output", "y"),
    [
        (ERF, 0.4),
        (committee.SoftCommittee(jax.nn.relu, noise_variance=0.2, breakpoints=(0.0,)), 0.9),
        (committee.NoisyFunction(lambda h: h[0] * jnp.tanh(h[1]), noise_variance=0.3), -0.2),
    ],
    ids=["erf", "relu", "product"],
)
def test_partition_function_matches_scipys_double_integral(output, y):
    law = multivariate_normal(np.asarray(OMEGA), np.asarray(V))
    noise = float(output.noise_variance)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    # Cut where a field vanishes.
    x = np.concatenate([-4 + 4 * nodes, 4 + 4 * nodes])
    w = np.tile(4 * weights, 2)
    a, b = np.meshgrid(x, x, indexing="ij")
    mean = jax.vmap(jax.vmap(lambda s, t: output.mean_output(jnp.stack([s, t]))))(
        jnp.asarray(a), jnp.asarray(b)
    )
    density = np.exp(-0.5 * (y - np.asarray(mean)) ** 2 / noise) / np.sqrt(2 * np.pi * noise)
    expected = np.log(w @ (density * law.pdf(np.stack([a, b], axis=-1))) @ w)
    found = jax.jit(output.log_partition)(jnp.asarray(y), OMEGA, V)
    np.testing.assert_allclose(found, expected, rtol=2e-7)


def majority(h):
    return jnp.sign(jnp.sum(jnp.sign(h)))


def test_label_maps_match_the_closed_forms_of_signs():
    pairs = [
        (committee.LabelMap(majority, values=(1, 0, -1)), committee.MajorityVote()),
        (committee.LabelMap(lambda h: jnp.prod(jnp.sign(h)), values=(1, -1)), committee.Parity()),
    ]
    for output, closed in pairs:
        labels = output.labels(2)

        def general(omega, V, output=output, labels=labels):
            return output.outcome_log_partitions(labels, omega, V, 12, None)

        directions = jnp.asarray([1.0, -0.4]), jnp.asarray([[0.3, 0.2], [0.2, -0.5]])

        def both(function, directions=directions):
            return jax.jit(lambda: jax.jvp(function, (OMEGA, V), directions))()

        for mine, theirs in zip(both(general), both(closed.log_partitions), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)


def test_oblique_boundaries_are_found():
    # The sum of the fields is Gaussian.
    output = committee.LabelMap(lambda h: jnp.sign(jnp.sum(h) - 0.4), values=(1, -1))
    found = output.outcome_log_partitions(output.labels(2), OMEGA, V, 12, None)
    from scipy.stats import norm

    t = (float(jnp.sum(OMEGA)) - 0.4) / np.sqrt(float(jnp.sum(V)))
    np.testing.assert_allclose(found, norm.logcdf([t, -t]), rtol=1e-7)


@pytest.mark.slow
def test_amp_of_a_soft_committee_ends_near_state_evolution():
    output = committee.SoftCommittee(jax.scipy.special.erf, noise_variance=0.5)
    model = committee.CommitteeMachine(2, priors.Gaussian(), output, order=6)
    data = committee.sample_instance(model, inputs=150, samples=450, key=jax.random.key(0))
    run = committee.amp(model, data.X, data.y, max_steps=15, teacher=data.weights, throw=False)
    assert run.residual < 1e-3
    expected = committee.state_evolution(model, 3.0, throw=False).overlap
    # One instance: fluctuations of each entry of about 1 / sqrt(p) = 0.08.
    np.testing.assert_allclose(run.self_overlap_trajectory[-1], expected, atol=0.25)
