"""The two-time solver against exact solutions, another discretisation, equilibrium and statics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, dmft, mixtures, spiked
from jaxsp.dmft._uniform_table import UniformTable

from . import reference

MODEL = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
EASY = spiked.MatrixTensor(p=3, delta2=0.4, deltap=2.0)
SMALL = dmft.UniformGrid(steps=24)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_order_of_convergence(temperature):
    """Two grids are of fourth, three of sixth order: by comparison with a much finer solution."""
    problem = dmft.SphericalDynamics(MODEL, temperature, initial_overlap=1e-2)

    def end(steps, levels):
        found = dmft.solve(problem, 3.0, solver=dmft.UniformGrid(steps=steps, levels=levels))
        table = found.table
        return np.stack(
            [
                table.overlap[-1],
                table.multiplier[-1],
                table.energies[-1, 0],
                table.correlation[-1, 0],
            ]
        )

    exact = end(60, 5)
    for levels in (2, 3):
        coarse, fine = (np.linalg.norm(end(steps, levels) - exact) for steps in (16, 32))
        assert abs(np.log2(coarse / fine) - 2 * levels) < 0.3


def slope(x, t, s):
    """Q' of the model's two terms."""
    return 2 * x + x**2 / 4


def ramped_slope(x, t, s):
    """The same with the tensor's strength growing like t / 2."""
    return 2 * x + (t / 2) * (s / 2) * x**2 / 4


STEADY = (slope, lambda x, t, s: 2 + x / 2)
RAMPED = (ramped_slope, lambda x, t, s: 2 + (t / 2) * (s / 2) * x / 2)
SIGNAL = (lambda x, t: x**2 + x**3 / 12, lambda x, t: slope(x, t, t))
RAMPED_SIGNAL = (
    lambda x, t: x**2 + (t / 2) * x**3 / 12,
    lambda x, t: 2 * x + (t / 2) * x**2 / 4,
)


def ramp(t):
    return jnp.stack([jnp.ones_like(t), t / 2])


EULER = {
    "gradient flow": (0.0, None, STEADY, SIGNAL),
    "Langevin": (1.0, None, STEADY, SIGNAL),
    "annealed": (1.0, ramp, RAMPED, RAMPED_SIGNAL),
}


def ends(found, t):
    """What the explicit scheme returns."""
    return [found.overlap(t), found.correlation(t, 0.0), found.multiplier(t), found.energy(t)]


@pytest.mark.parametrize("name", EULER)
def test_against_an_explicit_first_order_scheme(name):
    """An Euler scheme with rectangle sums, extrapolated in all powers of its step."""
    temperature, strengths, slopes, signal = EULER[name]
    problem = dmft.SphericalDynamics(MODEL, temperature, initial_overlap=0.1, strengths=strengths)
    found = dmft.solve(problem, 2.0, solver=SMALL)
    expected = reference.extrapolated(
        [40, 80, 160, 320, 640],
        lambda n: reference.euler(slopes, signal, temperature, 0.1, 2.0, n),
    )
    np.testing.assert_allclose(ends(found, 2.0), expected, rtol=2e-7)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_eight_digits(temperature):
    """t = 10 from a start of 1e-4, against seven steps of that scheme; and the estimate covers it."""
    problem = dmft.SphericalDynamics(MODEL, temperature, initial_overlap=1e-4)
    found = dmft.solve(problem, 10.0)
    expected = reference.extrapolated(
        [200, 240, 300, 360, 450, 560, 700],
        lambda n: reference.euler(STEADY, SIGNAL, temperature, 1e-4, 10.0, n),
    )
    for one, other in zip(ends(found, 10.0), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)
        assert abs(float(one) - other) <= float(found.error_estimate)


@pytest.mark.parametrize("delta", [0.3, 2.0])
def test_matrix_alone_is_solved_by_its_spectrum(delta):
    """x(t) is exp(A t) x(0) on the sphere: overlap and correlation by quadrature of the spectrum."""
    problem = dmft.SphericalDynamics(spiked.spiked_wigner(delta), initial_overlap=0.2)
    found = dmft.solve(problem, 4.0)
    exact = reference.SpikedWigner(delta, 0.2)
    for t, s in [(4.0, 0.0), (4.0, 2.0), (1.3, 0.41), (2.7, 2.7)]:
        np.testing.assert_allclose(found.correlation(t, s), exact.correlation(t, s), rtol=2e-7)
        np.testing.assert_allclose(found.overlap(t), exact.overlap(t), rtol=1e-7)


def test_unspiked_matrix_in_closed_form():
    """C(t, s) = g(t + s) / sqrt(g(2t) g(2s)), g a Bessel function (Cugliandolo and Dean 1995)."""
    delta = 1.0
    matrix = mixtures.Mixture((2,), jnp.array([1 / (2 * delta)]))
    found = dmft.solve(dmft.SphericalDynamics(matrix), 4.0)
    g = lambda t: reference.free_moment(delta, t)  # noqa: E731
    for t, s in [(4.0, 1.0), (3.1, 2.9)]:
        expected = g(t + s) / np.sqrt(g(2 * t) * g(2 * s))
        np.testing.assert_allclose(found.correlation(t, s), expected, rtol=1e-7)


@pytest.fixture(scope="module")
def equilibrium():
    pure = spiked.pure_p_spin(3)
    problem = dmft.SphericalDynamics(pure, temperature=1.0, initial_temperature=1.0)
    return dmft.solve(problem, 4.0)


def test_equilibrium_is_stationary(equilibrium):
    """Above T_d: C depends on t - s, R = -C'/T, e = -Q(1)/T, mu = T + Q'(1)/T."""
    for lag in (0.3, 1.0):
        values = equilibrium.correlation(np.array([lag, 1 + lag, 2 + lag]), np.array([0.0, 1, 2]))
        np.testing.assert_allclose(values, values[0], rtol=1e-7)
        slope = jax.grad(lambda t: equilibrium.correlation(t, 1.0))(1.0 + lag)
        np.testing.assert_allclose(equilibrium.response(1.0 + lag, 1.0), -slope, rtol=1e-5)
        ratio = equilibrium.fluctuation_dissipation_ratio(1.0, 1.0 + lag, 1.0)
        np.testing.assert_allclose(ratio, 1.0, rtol=1e-5)
        # Integrated: T chi = 1 - C.
        chi = equilibrium.integrated_response(1.0 + lag, 1.0)
        np.testing.assert_allclose(chi, 1 - equilibrium.correlation(1.0 + lag, 1.0), rtol=1e-6)
    np.testing.assert_allclose(equilibrium.table.energies[:, 0], -0.5, rtol=1e-9)
    np.testing.assert_allclose(equilibrium.table.multiplier, 2.5, rtol=1e-9)
    np.testing.assert_allclose(
        equilibrium.table.overlap, equilibrium.table.correlation[:, 0], rtol=1e-9
    )


def test_langevin_at_temperature_one_samples_the_posterior():
    """Overlap and C(t, t/2) reach the Bayes-optimal overlap, e -> -Q(1), mu -> 1 + Q'(1)."""
    problem = dmft.SphericalDynamics(EASY, temperature=1.0, initial_overlap=0.2)
    found = dmft.solve(problem, 20.0, solver=dmft.UniformGrid(steps=100))
    m = spiked.bayes_optimal(EASY).overlap
    Q = EASY.covariance
    one = jnp.asarray(1.0)
    np.testing.assert_allclose(found.overlap(20.0), m, rtol=1e-5)
    np.testing.assert_allclose(found.correlation(20.0, 10.0), m, rtol=1e-3)
    np.testing.assert_allclose(found.energy(20.0), -Q(one), rtol=1e-5)
    np.testing.assert_allclose(found.multiplier(20.0), 1 + Q.derivative(one), rtol=1e-5)


def test_gradient_flow_finds_the_maximum_of_likelihood():
    problem = dmft.SphericalDynamics(EASY, temperature=0.0, initial_overlap=0.2)
    found = dmft.solve(problem, 20.0, solver=dmft.UniformGrid(steps=100))
    best = spiked.maximum_likelihood(EASY)
    np.testing.assert_allclose(found.overlap(20.0), best.overlap, rtol=1e-5)
    np.testing.assert_allclose(found.energy(20.0), best.energy, rtol=1e-5)


def test_without_a_signal_any_direction_is_forgotten_as_the_start_is():
    pure = spiked.pure_p_spin(3)
    found = dmft.solve(dmft.SphericalDynamics(pure, initial_overlap=0.3), 4.0)
    np.testing.assert_allclose(found.table.overlap, 0.3 * found.table.correlation[:, 0], rtol=1e-9)
    # Euler's theorem for a homogeneous energy at T = 0.
    np.testing.assert_allclose(
        found.table.multiplier, -3 * found.table.energies[:, 0], rtol=1e-9, atol=1e-9
    )
    # The sphere, up to the rounding of the extrapolation.
    np.testing.assert_allclose(found.table.correlation.diagonal(), 1.0, rtol=1e-14)


def test_protocols():
    """A landscape twice as strong runs twice as fast; the temperature's unit is that of the energy."""
    twice = dmft.SphericalDynamics(
        MODEL, temperature=lambda t: 2.0 + 0.0 * t, initial_overlap=0.1,
        strengths=lambda t: 2.0 * jnp.ones(2),
    )  # fmt: skip
    once = dmft.SphericalDynamics(MODEL, temperature=1.0, initial_overlap=0.1)
    fast, slow = dmft.solve(twice, 1.0, solver=SMALL), dmft.solve(once, 2.0, solver=SMALL)
    np.testing.assert_allclose(fast.table.correlation, slow.table.correlation, rtol=1e-12)
    np.testing.assert_allclose(fast.table.energies, 2 * slow.table.energies, rtol=1e-12)


def test_derivatives_and_batches():
    """Both modes, jitted and batched, against central differences."""

    def end(parameters):
        delta2, temperature, start = parameters
        model = spiked.MatrixTensor(p=3, delta2=delta2, deltap=4.0)
        problem = dmft.SphericalDynamics(model, temperature, initial_overlap=start)
        found = dmft.solve(problem, 2.0, solver=dmft.UniformGrid(steps=12, levels=2), throw=False)
        return jnp.stack([found.overlap(2.0), found.energy(1.7), found.response(1.9, 0.3)])

    points = jnp.array([[0.5, 0.3, 0.1], [0.8, 1.0, 0.2]])
    slopes = jax.jit(jax.vmap(jax.jacfwd(end)))(points)
    reverse = jax.jit(jax.vmap(jax.jacrev(end)))(points)
    np.testing.assert_allclose(slopes, reverse, rtol=1e-9, atol=1e-12)
    values = jax.jit(jax.vmap(end))
    step = 1e-5
    for axis in range(3):
        move = step * np.eye(3)[axis]
        expected = (values(points + move) - values(points - move)) / (2 * step)
        np.testing.assert_allclose(slopes[:, :, axis], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(values(points)[0], end(points[0]), rtol=1e-12)


@pytest.mark.slow
def test_reverse_mode_needs_some_tables_and_not_some_for_each_step():
    """A loop that is unrolled backwards keeps its tables at each of 192 steps: several hundred."""
    steps = 96

    def end(delta2):
        model = spiked.MatrixTensor(p=3, delta2=delta2, deltap=4.0)
        problem = dmft.SphericalDynamics(model, initial_overlap=0.1)
        grid = dmft.UniformGrid(steps=steps, levels=2)
        return dmft.solve(problem, 2.0, solver=grid, throw=False).table.overlap[-1]

    compiled = jax.jit(jax.grad(end)).lower(0.5).compile()
    table = 8 * (2 * steps + 1) ** 2
    assert compiled.memory_analysis().temp_size_in_bytes < 100 * table


def test_single_precision():
    model = spiked.MatrixTensor(p=3, delta2=jnp.float32(0.5), deltap=jnp.float32(4.0))
    low = dmft.SphericalDynamics(model, jnp.float32(1.0), initial_overlap=jnp.float32(0.1))
    high = dmft.SphericalDynamics(MODEL, 1.0, initial_overlap=0.1)
    found, expected = dmft.solve(low, 2.0, solver=SMALL), dmft.solve(high, 2.0, solver=SMALL)
    assert found.table.correlation.dtype == jnp.float32
    np.testing.assert_allclose(found.overlap(2.0), expected.overlap(2.0), rtol=1e-4)


def test_bad_input_and_failure_are_said():
    with pytest.raises(ValueError, match="`temperature`.*-1"):
        dmft.SphericalDynamics(MODEL, temperature=-1.0)
    with pytest.raises(ValueError, match="`initial_overlap`.*1.5"):
        dmft.SphericalDynamics(MODEL, initial_overlap=1.5)
    with pytest.raises(ValueError, match="`initial_temperature`"):
        dmft.SphericalDynamics(MODEL, initial_temperature=1.0)
    with pytest.raises(ValueError, match="`steps`.*at least 8"):
        dmft.UniformGrid(steps=3)
    with pytest.raises(ValueError, match="`levels`"):
        dmft.UniformGrid(levels=1)
    problem = dmft.SphericalDynamics(MODEL)
    with pytest.raises(ValueError, match="`t_max`"):
        dmft.solve(problem, -1.0)
    with pytest.raises(ValueError, match="`t`.*at most|`t`.*in"):
        dmft.solve(problem, 1.0, solver=SMALL).overlap(2.0)
    with pytest.raises(SolverError, match="too coarse: raise its number of points .`steps`"):
        dmft.solve(problem, 1.0, solver=dmft.UniformGrid(steps=24, max_iterations=2))


def test_batches_of_tables_are_read_by_windows_that_fit_at_ties():
    """Exponentials, at times in the middle between the places where windows change."""
    steps = 180

    def read(rate, t_max):
        times = t_max * jnp.arange(steps + 1) / steps
        values = jnp.exp(rate * times)
        rows = values[:, None] * jnp.ones(steps + 1)
        table = UniformTable(rows, rows, rows, values, values, values[:, None], t_max, 5)
        t = t_max * jnp.arange(1, 301) / 300
        return table.at(values, t) / jnp.exp(rate * t), table.between(rows, t, 0.5 * t, 1.0) / (
            jnp.exp(rate * t)
        )

    found = jax.jit(jax.vmap(read))(jnp.linspace(0.3, 1.0, 64), 45 / jnp.linspace(1.3, 3.3, 64))
    for ratios in found:
        np.testing.assert_allclose(ratios, 1.0, rtol=1e-6)
