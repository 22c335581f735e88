"""Fixed points and free entropies, against closed forms and an independent scipy implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsp
from jaxsp import channels, glm, priors
from jaxsp.glm.potentials import output_potential

from . import reference

BINARY = glm.GLM(priors.Rademacher(), channels.Sign())
SPHERICAL = glm.GLM(priors.Gaussian(), channels.Sign())


@pytest.mark.parametrize(("alpha", "noise"), [(0.3, 0.1), (1.0, 1.0), (2.5, 1e-3), (4.0, 0.5)])
def test_linear_regression_is_marchenko_pastur(alpha, noise):
    solution = glm.bayes_optimal(glm.GLM(priors.Gaussian(), channels.Linear(noise)), alpha)
    V = reference.marchenko_pastur_error(alpha, noise)
    np.testing.assert_allclose(solution.mean_squared_error, V, rtol=1e-10)
    np.testing.assert_allclose(solution.overlap, 1 - V, rtol=1e-10)
    np.testing.assert_allclose(
        solution.mutual_information, reference.marchenko_pastur_information(alpha, noise), rtol=1e-9
    )
    # A new output is predicted up to its field's variance and the noise.
    np.testing.assert_allclose(solution.generalization_error, V + noise, rtol=1e-10)
    assert solution.classification_error is None


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.2, 1.45])
def test_binary_perceptron_against_scipy(alpha):
    """The uninformed branch: iterated state evolution with adaptive quadrature."""
    model = reference.BinaryPerceptron()
    V = model.iterate(alpha, 0.99)
    found = glm.branches(BINARY, alpha)
    branch = jax.tree.map(lambda a: a[jnp.argmax(found.stable)], found.solution)
    np.testing.assert_allclose(branch.mean_squared_error, V, rtol=1e-10)
    snr = float(branch.conjugate_overlap)
    np.testing.assert_allclose(model.alpha(snr), alpha, rtol=1e-10)
    np.testing.assert_allclose(branch.free_entropy, model.free_entropy(snr), rtol=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 2.0, 10.0, 50.0, 1000.0])
def test_spherical_perceptron_against_scipy(alpha):
    """Eight relative digits of errors that vanish at large alpha."""
    solution = glm.bayes_optimal(SPHERICAL, alpha)
    V = reference.SphericalPerceptron().error_variance(alpha)
    np.testing.assert_allclose(solution.mean_squared_error, V, rtol=1e-9)
    # arccos of a number close to one, in the form that keeps its digits.
    gibbs = 2 * np.arcsin(np.sqrt(V / 2)) / np.pi
    bayes = np.arctan2(np.sqrt(V), np.sqrt(1 - V)) / np.pi
    np.testing.assert_allclose(solution.gibbs_error, gibbs, rtol=1e-9)
    np.testing.assert_allclose(solution.generalization_error, 2 * gibbs, rtol=1e-9)
    np.testing.assert_allclose(solution.classification_error, bayes, rtol=1e-9)


def test_spherical_perceptron_at_large_alpha():
    """Gibbs 0.625 / alpha and Bayes-optimal 0.442 / alpha (Gyorgyi and Tishby 1990)."""
    alphas = jnp.array([1e3, 2e3, 4e3])
    solution = jax.vmap(lambda a: glm.bayes_optimal(SPHERICAL, a))(alphas)
    for error, coefficient in (
        (solution.gibbs_error, 0.625),
        (solution.classification_error, 0.442),
    ):
        scaled = alphas * error
        # Corrections are powers of 1 / alpha: two Richardson steps.
        first = 2 * scaled[1:] - scaled[:-1]
        assert abs(float((4 * first[1] - first[0]) / 3) - coefficient) < 5e-4


def test_perfect_recovery_of_binary_weights():
    """Beyond the information-theoretic threshold the teacher is found: f = -log 2, no error."""
    solution = glm.bayes_optimal(BINARY, 1.3)
    assert float(solution.overlap) == 1.0
    assert float(solution.generalization_error) == 0.0
    assert jnp.isinf(solution.conjugate_overlap)
    np.testing.assert_allclose(solution.free_entropy, -np.log(2), rtol=1e-12)


def test_branches_of_the_hard_phase():
    found = glm.branches(BINARY, 1.4)
    assert found.exists.sum() == 3
    assert found.stable.sum() == 2
    m = found.solution.overlap[found.exists]
    assert np.all(np.diff(m) > 0)
    for index in np.flatnonzero(found.exists)[:2]:
        snr = float(found.solution.conjugate_overlap[index])
        np.testing.assert_allclose(reference.BinaryPerceptron().alpha(snr), 1.4, rtol=1e-9)
    assert np.all(np.isnan(np.asarray(found.solution.overlap)[~np.asarray(found.exists)]))


def test_stable_branches_by_name():
    """Between the transition at 1.245 and the spinodal at 1.493 the optimum is perfect recovery."""
    found = jax.vmap(lambda alpha: glm.branches(BINARY, alpha))(jnp.array([1.2, 1.4, 1.6]))
    np.testing.assert_array_equal(found.optimal.mean_squared_error == 0, [False, True, True])
    np.testing.assert_array_equal(found.uninformed.mean_squared_error == 0, [False, False, True])
    for alpha, optimal, reached in zip(
        (1.2, 1.4), found.optimal.overlap, found.uninformed.overlap, strict=False
    ):
        np.testing.assert_allclose(optimal, glm.bayes_optimal(BINARY, alpha).overlap, rtol=1e-12)
        expected = glm.state_evolution(BINARY, alpha).overlap
        np.testing.assert_allclose(reached, expected, rtol=1e-12)


MODELS = {
    "probit": glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=0.05)),
    "sparse regression": glm.GLM(priors.Gaussian(), channels.Linear(0.1)),
    "door": glm.GLM(priors.Gaussian(), channels.SymmetricDoor(noise_variance=0.02)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "door")) for name in MODELS]
)
def test_thermodynamic_integration(name):
    """f(alpha) is the integral of Phi_out along the branch."""
    model = MODELS[name]
    nodes, weights = np.polynomial.legendre.leggauss(16)
    top = 0.8
    alphas = jnp.asarray(np.append(top * (1 + nodes) / 2, top))

    @jax.jit
    @jax.vmap
    def along(alpha):
        solution = glm.bayes_optimal(model, alpha, throw=False)
        m, V = solution.overlap, solution.mean_squared_error
        return solution, output_potential(model, m, V, 32).potential

    solution, slope = along(alphas)
    area = np.sum(weights * slope[:-1]) * top / 2
    np.testing.assert_allclose(area, solution.free_entropy[-1], rtol=1e-9)
    assert np.all(np.diff(solution.overlap) >= 0)


def test_potential_is_stationary_and_largest_at_the_optimum():
    model = MODELS["probit"]
    solution = glm.bayes_optimal(model, 1.1)
    m = solution.overlap
    value, slope = jax.value_and_grad(lambda m: glm.free_entropy(model, 1.1, m))(m)
    np.testing.assert_allclose(value, solution.free_entropy, rtol=1e-11)
    assert abs(float(slope)) < 1e-9
    grid = jnp.linspace(0.0, 0.99, 30)
    assert np.all(jax.vmap(lambda m: glm.free_entropy(model, 1.1, m))(grid) <= value + 1e-12)


def test_potential_against_scipy():
    """inf over the conjugate overlap, by a scipy minimisation of independently written potentials."""
    from scipy import optimize

    m, alpha, noise = 0.6, 1.3, 0.02

    def action(snr):
        return -reference.rademacher_information(snr) + (1 - m) * snr / 2

    least = optimize.minimize_scalar(
        action, bounds=(0.01, 50), method="bounded", options={"xatol": 1e-8}
    )
    expected = least.fun + alpha * reference.sign_entropy(1 - m, noise)
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))
    np.testing.assert_allclose(glm.free_entropy(model, alpha, m), expected, rtol=1e-10)


def test_no_data():
    solution = glm.bayes_optimal(SPHERICAL, 0.0)
    assert float(solution.overlap) == 0.0
    assert float(solution.free_entropy) == 0.0
    np.testing.assert_allclose(solution.generalization_error, 1.0, rtol=1e-14)


def test_few_data_is_linear_response():
    """m = alpha F(0) with F(0) = 2/pi for the sign, far below the scan."""
    solution = glm.bayes_optimal(SPHERICAL, 1e-11)
    np.testing.assert_allclose(solution.overlap, 1e-11 * 2 / np.pi, rtol=1e-9)


def test_single_precision():
    """Four digits, away from thresholds."""
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=jnp.float32(0.05)))
    double = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=0.05))
    alphas = np.array([0.2, 0.7, 1.1, 2.0, 6.0])
    low = jax.vmap(lambda a: glm.bayes_optimal(model, a))(jnp.asarray(alphas, jnp.float32))
    high = jax.vmap(lambda a: glm.bayes_optimal(double, a))(jnp.asarray(alphas))
    assert low.overlap.dtype == jnp.float32
    for name in (
        "overlap",
        "free_entropy",
        "mutual_information",
        "generalization_error",
        "gibbs_error",
    ):
        np.testing.assert_allclose(getattr(low, name), getattr(high, name), rtol=2e-4)


def test_batched_and_sharded_over_devices():
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    mesh = jax.make_mesh((4,), ("grid",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("grid")
    alphas = jnp.linspace(0.5, 1.2, 8)

    def curve(alphas):
        return jax.vmap(lambda a: glm.bayes_optimal(BINARY, a).overlap)(alphas)

    sharded = jax.jit(jax.shard_map(curve, mesh=mesh, in_specs=spec, out_specs=spec))
    there = jax.device_put(alphas, NamedSharding(mesh, spec))
    alone = [glm.bayes_optimal(BINARY, float(alpha)).overlap for alpha in alphas]
    np.testing.assert_allclose(sharded(there), alone, rtol=1e-13)


@pytest.mark.parametrize("alpha", [-0.1, np.nan, np.inf])
def test_bad_alpha(alpha):
    with pytest.raises(ValueError, match="Argument `alpha` must be at least 0"):
        glm.bayes_optimal(SPHERICAL, alpha)


@pytest.mark.parametrize("m", [-0.1, 1.0, 1.5, np.nan])
def test_bad_overlap(m):
    with pytest.raises(ValueError, match="Argument `m` must be"):
        glm.free_entropy(SPHERICAL, 1.0, m)


def test_inaccurate_quadrature_says_so():
    """Four points a panel cannot resolve a step; the result code tells, and the entry raises."""
    model = glm.GLM(priors.Gaussian(), channels.Sign(), order=4)
    solution = glm.bayes_optimal(model, 50.0, throw=False)
    assert solution.quadrature_error > 1e-7
    assert solution.result == jaxsp.RESULTS.inaccurate
    with pytest.raises(jaxsp.SolverError, match="quadrature"):
        glm.bayes_optimal(model, 50.0)


def test_printed_solution_is_readable():
    for solution in (glm.bayes_optimal(SPHERICAL, 1.0), glm.state_evolution(SPHERICAL, 1.0)):
        assert "generalization error" in str(solution)
        assert "result" not in str(solution)


def test_reference_is_consistent():
    """The reference itself: dI/dsnr = V / 2 (I-MMSE) and 2 dPhi_out/dm = F."""
    h = 1e-4
    slope = (reference.rademacher_information(2 + h) - reference.rademacher_information(2 - h)) / (
        2 * h
    )
    np.testing.assert_allclose(slope, reference.rademacher_error(2.0) / 2, rtol=1e-7)
    slope = (reference.sign_entropy(0.3 - h) - reference.sign_entropy(0.3 + h)) / (2 * h)
    np.testing.assert_allclose(2 * slope, reference.sign_information(0.3), rtol=1e-6)
