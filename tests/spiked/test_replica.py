"""Fixed points, free entropies and energies against polynomials, scipy and the literature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize

from jaxsp import priors, spiked

from .reference import exact_overlaps, potential

# (delta2, deltap): easy, hard, impossible, next to the transition, matrix alone, tensor alone.
NOISES = [(0.7, 4.0), (1.1, 0.5), (2.0, 3.0), (0.999, 2.0), (0.4, np.inf), (np.inf, 0.2)]


def family(p):
    return jax.jit(
        jax.vmap(lambda d: spiked.bayes_optimal(spiked.MatrixTensor(p, d[0], d[1]), throw=False))
    )


@pytest.mark.parametrize("p", [3, 4])
def test_bayes_branches_are_the_roots_of_the_polynomial(p):
    found = family(p)(jnp.array(NOISES))
    for lane, noises in enumerate(NOISES):
        exists = np.asarray(found.branches.exists[lane])
        ours = np.asarray(found.branches.overlap[lane])[exists]
        exact = exact_overlaps(p, *noises)
        np.testing.assert_allclose(ours, [0.0, *exact], rtol=1e-10)
        f = [0.0, *potential(p, *noises, exact)]
        np.testing.assert_allclose(found.branches.free_entropy[lane][exists], f, atol=1e-14)
        assert float(found.overlap[lane]) == ours[np.argmax(f)]
        # Stable branches are the maxima of the potential, every other one.
        stable = np.asarray(found.branches.stable[lane])[exists]
        assert stable[-1]
        assert np.all(stable[1:] != stable[:-1])


def test_several_tensors():
    model = spiked.MatrixTensor(p=(3, 4, 6), delta2=1.3, deltap=(1.0, 2.0, 0.3))
    slope = np.polynomial.Polynomial([0, 1 / 1.3, 1.0, 0.5, 0, 1 / 0.3])
    roots = np.polynomial.Polynomial(((1 + slope) - slope // np.polynomial.Polynomial([0, 1])).coef)
    real = roots.roots()
    real = np.sort(real[(np.abs(real.imag) < 1e-9) & (real.real > 0) & (real.real < 1)].real)
    found = spiked.bayes_optimal(model).branches
    np.testing.assert_allclose(found.overlap[found.exists][1:], real, rtol=1e-9)


def test_information_and_its_derivative():
    """dI/d(1/delta2) is a quarter of the matrix's squared error (I-MMSE), and f is stationary."""

    def information(snr):
        return spiked.bayes_optimal(spiked.MatrixTensor(3, 1 / snr, 4.0)).mutual_information

    best = spiked.bayes_optimal(spiked.MatrixTensor(3, 0.7, 4.0))
    np.testing.assert_allclose(
        jax.grad(information)(1 / 0.7), (1 - best.overlap**2) / 4, rtol=1e-10
    )
    slope = jax.grad(spiked.free_entropy, 1)(spiked.MatrixTensor(3, 0.7, 4.0), best.overlap)
    assert abs(float(slope)) < 1e-12


def test_maximum_likelihood_minimises_the_energy():
    """Overlap and energy against scipy's minimisation of e(m), above and below its transition."""
    model = jax.jit(
        jax.vmap(lambda d: spiked.maximum_likelihood(spiked.MatrixTensor(3, d[0], d[1])))
    )
    noises = np.array([(0.5, 4.0), (0.7, 4.0), (0.3, 0.5)])
    found = model(jnp.array(noises))
    for lane, (a, b) in enumerate(noises):
        level = 1 / a + 1 / b

        def energy(m, a=a, b=b, level=level):
            return -(m**2) / (2 * a) - m**3 / (3 * b) - np.sqrt(level * (1 - m**2))

        exact = optimize.minimize_scalar(
            energy, bounds=(1e-3, 1), method="bounded", options={"xatol": 1e-12}
        )
        np.testing.assert_allclose(found.overlap[lane], exact.x, rtol=1e-6)
        np.testing.assert_allclose(found.energy[lane], exact.fun, rtol=1e-12)
        s = np.hypot(exact.x / a + exact.x**2 / b, np.sqrt(level))
        curvature = 1 / a + 2 / b
        np.testing.assert_allclose(found.multiplier[lane], s + curvature / s, rtol=1e-6)
        np.testing.assert_allclose(found.replicon[lane], 1 - curvature / s**2, atol=1e-6)
    lost = spiked.maximum_likelihood(spiked.MatrixTensor(3, 2.0, 4.0))
    assert float(lost.overlap) == 0.0


def test_ground_state_without_a_signal():
    """1.6570 (Auffinger, Ben Arous and Cerny 2013, arXiv 1003.1129, E_0(3)), and scipy's minimum."""
    ours = -float(spiked.uninformed_energy(spiked.pure_p_spin(3)))
    assert abs(ours * np.sqrt(2) - 1.6570) < 5e-5
    Q = spiked.MatrixTensor(4, 0.8, 1.5).covariance
    a, b = 1 / 0.8, 1 / 1.5

    def functional(v):
        chi, y = np.exp(v)
        return 0.5 * (chi * (a + b) + y * (a / 2 + b / 4) + np.log1p(y / chi) / y)

    exact = optimize.minimize(functional, [-0.5, 0.0], method="Nelder-Mead",
                              options={"xatol": 1e-10, "fatol": 1e-15})  # fmt: skip
    np.testing.assert_allclose(-spiked.uninformed_energy(Q), exact.fun, rtol=1e-12)
    # Without tensors replicas are symmetric: sqrt(Q'(1)) for the spiked matrix, its edge 2 / 2.
    assert abs(float(spiked.uninformed_energy(spiked.pure_p_spin(2))) + 1) < 1e-8


def test_binary_entries():
    """m = E tanh(m / delta + sqrt(m / delta) z), by scipy's quadrature."""
    found = spiked.bayes_optimal(spiked.spiked_wigner(0.5, priors.Rademacher()))

    def mean(snr):
        f = lambda z: np.tanh(snr + np.sqrt(snr) * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return integrate.quad(f, -12, 12, epsabs=1e-14, limit=200)[0]

    exact = optimize.brentq(lambda m: m - mean(m / 0.5), 0.3, 1.0, xtol=1e-14)
    np.testing.assert_allclose(found.overlap, exact, rtol=1e-10)
    # Above delta = 1 nothing is found.
    assert float(spiked.bayes_optimal(spiked.spiked_wigner(1.2, priors.Rademacher())).overlap) == 0


def test_gaussian_entries_are_those_of_the_sphere():
    sphere = spiked.bayes_optimal(spiked.MatrixTensor(3, 0.7, 0.9))
    gauss = spiked.bayes_optimal(spiked.MatrixTensor(3, 0.7, 0.9, prior=priors.Gaussian()))
    for name in ("overlap", "free_entropy", "mean_squared_error", "snr"):
        np.testing.assert_allclose(getattr(gauss, name), getattr(sphere, name), rtol=1e-9)
    potential = spiked.free_entropy(spiked.MatrixTensor(3, 0.7, 0.9, priors.Gaussian()), 0.4)
    np.testing.assert_allclose(
        potential, spiked.free_entropy(spiked.MatrixTensor(3, 0.7, 0.9), 0.4), rtol=1e-9
    )


def test_gradients():
    def numbers(d):
        model = spiked.MatrixTensor(3, d[0], d[1])
        bayes = spiked.bayes_optimal(model, throw=False)
        likely = spiked.maximum_likelihood(model, throw=False)
        return jnp.stack([bayes.overlap, bayes.free_entropy, likely.overlap, likely.energy])

    points = jnp.array([[0.7, 4.0], [0.5, 0.6]])
    batched = jax.jit(jax.vmap(numbers))
    forward = jax.jit(jax.vmap(jax.jacfwd(numbers)))(points)
    reverse = jax.jit(jax.vmap(jax.jacrev(numbers)))(points)
    h = 1e-4
    for axis in (0, 1):
        step = h * np.eye(2)[axis]
        central = (batched(points + step) - batched(points - step)) / (2 * h)
        np.testing.assert_allclose(forward[..., axis], central, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)


def test_single_precision():
    noises = jnp.array(NOISES, jnp.float32)
    found = family(3)(noises)
    assert found.overlap.dtype == jnp.float32
    exact = family(3)(jnp.array(NOISES))
    np.testing.assert_allclose(found.overlap, exact.overlap, atol=2e-3)
    np.testing.assert_allclose(found.free_entropy, exact.free_entropy, atol=1e-5)


@pytest.mark.parametrize("m", [-0.1, 1.0, 1.5])
def test_bad_overlap(m):
    with pytest.raises(ValueError, match="Argument `m`"):
        spiked.free_entropy(spiked.MatrixTensor(3, 0.7, 4.0), m)


def test_maximum_likelihood_is_for_the_sphere():
    with pytest.raises(ValueError, match="`spherical`"):
        spiked.maximum_likelihood(spiked.spiked_wigner(0.5, priors.Rademacher()))
