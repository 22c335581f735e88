"""Thresholds by two routes each: explicit curves against iterated maps, integrals along alpha, sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import comb, log_ndtr
from scipy.stats import multivariate_normal

from jaxsp import committee, priors
from jaxsp.committee._exchangeable import _REACH, _STEP, _log_tails, log_counts
from jaxsp.committee.curve import find_onset, scan, table, unspecialized_state
from jaxsp.committee.fields import full_potential
from jaxsp.committee.model import prepare
from jaxsp.committee.outputs import symmetric
from jaxsp.committee.thresholds import _transition
from jaxsp.committee.weights import full_weights
from jaxsp.numerics import RESULTS

GAUSSIAN = committee.CommitteeMachine(2, priors.Gaussian())
BINARY = committee.CommitteeMachine(2, priors.Rademacher())
MODELS = {"gaussian": GAUSSIAN, "binary": BINARY}


@pytest.fixture(scope="module")
def found():
    return {name: committee.thresholds(model) for name, model in MODELS.items()}


def unspecialized(model):
    """A function of log r_s: the fixed point's overlap pair, alpha and potential."""
    model, _, order = prepare(model)

    def at(x):
        state, _ = unspecialized_state(model, jnp.exp(x), order)
        alpha = jnp.exp(x) / state.fields.information[1]
        return state.weights.overlap, alpha, state.fields.potential

    return jax.jit(jax.vmap(at))


def full_step(model, alpha, q, order=14):
    """One iteration of the full-matrix map, with quadratures of its own: nothing of the ansatz."""
    r = alpha * full_potential(model, q, model.second_moment() - q, order).information
    return full_weights(model, r, order).overlap


@pytest.mark.parametrize("name", MODELS)
def test_specialization_is_where_the_full_matrix_map_is_marginal(name, found):
    # The ansatz takes second derivatives of log Z in one dimension; here a small difference between the
    # units goes through the two-dimensional integrals of the full-matrix code.
    model, _, order = prepare(MODELS[name])
    onset = find_onset(model, table(model, jnp.float64), order)[1]
    pair, alpha, _ = unspecialized(model)(onset.x[None])
    plain = symmetric(pair[0], 2)
    np.testing.assert_allclose(alpha[0], found[name].specialization, rtol=1e-10)
    difference = jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])
    nudges = jnp.asarray([0.0, 1e-4, 2e-4])
    images = jax.jit(lambda a, q: jax.lax.map(lambda q: full_step(model, a, q), q))(
        found[name].specialization, plain + nudges[:, None, None] * difference
    )
    np.testing.assert_allclose(jnp.sum(images[0]), jnp.sum(plain), rtol=1e-9)
    gains = jnp.sum(images * difference, axis=(1, 2))[1:] / (4 * nudges[1:])
    # The gain falls linearly with q_d: extrapolated to zero.
    np.testing.assert_allclose(2 * gains[0] - gains[1], 1.0, atol=1e-6)


def test_gaussian_specialization_is_continuous(found):
    # arXiv 1806.05451 reads 2.04 off its figure; these equations give 2.0524, by both routes.
    th = found["gaussian"]
    assert bool(th.continuous)
    assert th.algorithmic == th.information_theoretic == th.specialization
    assert abs(float(th.specialization) - 2.04) < 0.015


def test_binary_transition_is_where_the_potentials_integral_is_the_entropy(found):
    # df/dalpha = Phi_out along a branch: a spline's integral over alpha, with no free entropy in it.
    th = found["binary"]
    assert not bool(th.continuous)
    assert th.information_theoretic < th.specialization < th.algorithmic
    _, alpha, potential = unspecialized(BINARY)(jnp.linspace(-12.0, 3.0, 600))
    first = float(alpha[0])
    integral = CubicSpline(alpha, potential).integrate(first, float(th.information_theoretic))
    np.testing.assert_allclose(integral + first * potential[0], -2 * np.log(2), rtol=1e-7)


@pytest.mark.slow
def test_binary_spinodal_is_where_the_iterated_full_map_escapes(found):
    model = prepare(BINARY)[0]
    start = symmetric(jnp.asarray([0.5, 0.75]), 2)

    @jax.jit
    def last(alpha):
        def unfinished(state):
            q, steps = state
            return (q[0, 0] < 0.97) & (steps < 120)

        def step(state):
            return full_step(model, alpha, state[0], order=8), state[1] + 1

        return jax.lax.while_loop(unfinished, step, (start, 0))[0]

    top = found["binary"].algorithmic
    assert last(0.995 * top)[0, 0] < 0.9
    assert last(1.005 * top)[0, 0] > 0.97


@pytest.mark.slow
def test_a_refined_quadrature_gives_the_same_binary_thresholds(found):
    finer = committee.thresholds(committee.CommitteeMachine(2, priors.Rademacher(), order=16))
    for name in ("specialization", "algorithmic", "information_theoretic"):
        np.testing.assert_allclose(getattr(finer, name), getattr(found["binary"], name), rtol=1e-10)


@pytest.mark.parametrize(("units", "V_s"), [(3, 0.2), (5, 0.2), (3, 0.04)])
def test_counts_of_positive_fields_match_scipys_orthants(units, V_s):
    mean, V_d = 0.4, 1.3
    groups = [[k] for k in range(units + 1)]
    found = np.exp(log_counts(units, *map(jnp.float64, (mean, V_d, V_s)), groups))
    covariance = V_d * (np.eye(units) - 1 / units) + V_s / units
    for k in (0, 1, units):
        signs = np.where(np.arange(units) < k, 1.0, -1.0)
        law = multivariate_normal(
            mean=-signs * mean, cov=covariance * np.outer(signs, signs), seed=0,
            abseps=1e-7, releps=1e-7, maxpts=10**6,
        )  # fmt: skip
        orthant = law.cdf(np.zeros(units))
        np.testing.assert_allclose(found[k], comb(units, k) * orthant, atol=2e-6)
    np.testing.assert_allclose(found.sum(), 1.0, atol=1e-11)
    single = np.exp(log_counts(units, *map(jnp.float32, (mean, V_d, V_s)), groups))
    np.testing.assert_allclose(single, found, atol=2e-5)


@pytest.mark.parametrize("x", [-7.0, -0.4, 0.0, 2.5])
def test_complex_normal_tails_match_the_faddeeva_function(x):
    # The longest step there is: three units, and a sum that is known.
    step, sign = _STEP / 3**0.5, np.array([1.0, -1.0])
    t = step * np.arange(round(_REACH / _STEP))
    scale = np.exp(-0.5 * t**2)

    def tails(x, step):
        return jnp.stack(_log_tails(x, step))

    found = jnp.exp(tails(jnp.float64(x), jnp.float64(step)))
    expected = np.exp(log_ndtr(sign[:, None] * (x + 1j * t)))
    np.testing.assert_allclose(scale * found, scale * expected, atol=1e-10)
    # The derivative is a density.
    _, slopes = jax.jvp(tails, (jnp.float64(x), jnp.float64(step)), (1.0, 0.0))
    density = np.exp(-0.5 * (x + 1j * t) ** 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(scale * found * slopes, scale * np.outer(sign, density), atol=1e-10)


@pytest.mark.slow
def test_threshold_of_more_units_matches_sampled_fields():
    # Conditional moments of sampled fields given the label: no orthants, and no derivative of log Z.
    units = 4
    model, _, order = prepare(committee.CommitteeMachine(units, priors.Gaussian()))
    onset = find_onset(model, table(model, jnp.float64), order)[1]
    alpha = float(committee.specialization_threshold(model))
    r = float(jnp.exp(onset.x))
    V = 1 / (1 + r)
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    weights = weights / weights.sum()
    direction = np.zeros(units)
    direction[:2] = [np.sqrt(0.5), -np.sqrt(0.5)]
    estimates = []
    for batch in range(8):
        rng = np.random.default_rng(batch)
        noise = rng.normal(size=(80_000, units))
        mean = noise.mean(axis=1, keepdims=True)
        noise = noise - mean + np.sqrt(V) * mean
        total = noise.sum(axis=1) / np.sqrt(units)
        second = (noise @ direction) ** 2 - 1
        informations = np.zeros(2)
        for node, weight in zip(nodes, weights, strict=True):
            fields = noise + np.sqrt((1 - V) / units) * node
            label = np.sign(np.sign(fields).sum(axis=1))
            for value in np.unique(label):
                p = np.mean(label == value)
                g = np.mean(total[label == value]) / V
                h = np.mean(second[label == value])
                informations += weight * p * np.array([g**2, h**2])
        estimates.append(alpha * informations / [r, 1.0])
    error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    np.testing.assert_array_less(np.abs(np.mean(estimates, axis=0) - 1), 5 * error)
    assert np.all(error < 3e-2)


@pytest.mark.slow
def test_a_bracket_without_a_change_of_sign_is_a_failure():
    # Gaussian weights have one stable branch at each alpha: nothing to cross.
    model, (alpha,), order = prepare(GAUSSIAN, 3.0)

    @jax.jit
    def search(alpha):
        curves = scan(model, alpha.dtype, order)
        return _transition(model, curves, alpha, jnp.asarray(True), order)[1]

    assert search(alpha) == RESULTS.not_bracketed


def test_refuses_a_single_unit_and_too_many():
    one, three = (committee.CommitteeMachine(k, priors.Gaussian()) for k in (1, 3))
    with pytest.raises(ValueError, match="at least 2 hidden units"):
        committee.specialization_threshold(one)
    with pytest.raises(ValueError, match="must have 2 hidden units, but has 3"):
        committee.thresholds(three)
    soft = committee.CommitteeMachine(2, priors.Gaussian(), committee.LinearOutput(0.1))
    with pytest.raises(ValueError, match="must have labels of the signs of its fields"):
        committee.thresholds(soft)
