"""The long-time solver against the uniform grid, exact identities, and itself when interrupted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import SolverError, dmft, spiked
from jaxsp.dmft import _ratio_blocks, _ratio_march, ratio as ratio_grid
from jaxsp.numerics import RESULTS

MODEL = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
PURE = dmft.SphericalDynamics(spiked.pure_p_spin(3), initial_overlap=0.3)
T_MAX = 4.0
# Compilation is most of a short run: where its estimate is not asked for, the second solution is left out.
SMALL = dmft.RatioGrid(panels=5, nodes=8)
ALONE = dmft.RatioGrid(panels=5, nodes=8, estimate_error=False)


def cooled(t):
    """A temperature that falls with time."""
    return 1 / (1 + t)


def annealed(t):
    """A matrix that loses strength, and a tensor that gains it and changes sign."""
    return jnp.stack([1 / (1 + t / 3), 1.2 * jnp.sin(t) - 0.3])


@pytest.mark.parametrize(
    ("temperature", "strengths", "solver"),
    [
        (0.0, None, ALONE),
        (1.0, None, ALONE),
        pytest.param(cooled, None, SMALL, marks=pytest.mark.slow),
        pytest.param(0.5, annealed, SMALL, marks=pytest.mark.slow),
    ],
)
def test_agrees_with_the_uniform_grid(temperature, strengths, solver):
    """Within the tolerance of 1e-6, and within the error that it estimates for itself."""
    problem = dmft.SphericalDynamics(MODEL, temperature, 0.1, strengths=strengths)
    found = dmft.solve(problem, T_MAX, solver=solver)
    expected = dmft.solve(problem, T_MAX, solver=dmft.UniformGrid(steps=96, levels=3))
    assert float(expected.error_estimate) < 1e-7
    t = np.array([0.5, 1.3, 2.4, 2.9, 3.3, T_MAX])
    for name in ("overlap", "energies", "multiplier"):
        gap = np.max(np.abs(getattr(found, name)(t) - getattr(expected, name)(t)))
        assert gap < min(2e-6, float(found.error_estimate)), name
    for name in ("correlation", "response", "integrated_response"):
        for ratio in (0.0, 0.2, 0.6, 0.93, 1.0):
            gap = np.abs(getattr(found, name)(t, ratio * t) - getattr(expected, name)(t, ratio * t))
            assert np.max(gap) < min(4e-6, float(found.error_estimate)), (name, ratio)
    # Symmetric, and causal.
    np.testing.assert_allclose(found.correlation(2.0, 3.0), found.correlation(3.0, 2.0), rtol=1e-14)
    assert float(found.response(2.0, 3.0)) == 0.0
    assert float(found.stats["sphere_defect"]) < 1e-7


@pytest.mark.slow
def test_agrees_with_the_uniform_grid_up_to_t_50():
    """The aging glass, everything by default: at points of the other grid, nothing in between."""
    found = dmft.solve(PURE, 50.0, solver=dmft.RatioGrid(estimate_error=False))
    steps = 125
    expected = dmft.solve(PURE, 50.0, solver=dmft.UniformGrid(steps=steps, levels=5))
    # Of one grid less: that of all five is far smaller.
    assert float(expected.error_estimate) < 5e-7
    step = 50.0 / steps
    t = step * np.array([1, 3, 8, 18, 30, 50, 88, 125])
    for name in ("overlap", "energy", "multiplier"):
        gap = np.abs(getattr(found, name)(t) - getattr(expected, name)(t))
        assert np.max(gap) < 1e-6, name
    for ratio in (0.0, 0.02, 0.2, 0.5, 0.8, 0.98, 1.0):
        s = step * np.round(ratio * t / step)
        for name in ("correlation", "response", "integrated_response"):
            gap = np.abs(getattr(found, name)(t, s) - getattr(expected, name)(t, s))
            assert np.max(gap) < 1e-6, (name, ratio)


@pytest.fixture
def old_at_once(monkeypatch):
    """Rows in blocks from soon after the start on, as otherwise from times of 10^6 on."""
    monkeypatch.setattr("jaxsp.dmft.ratio._OLD", 5.0)


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "strengths"), [(0.0, None), (1.0, None), (0.5, annealed)])
def test_blocks_agree_with_the_uniform_grid(old_at_once, temperature, strengths):
    test_agrees_with_the_uniform_grid(temperature, strengths, SMALL)


@pytest.mark.slow
def test_blocks_of_an_aging_glass(old_at_once):
    """Against the uniform grid up to t = 12; blocks of six rows one after the other."""
    found = dmft.solve(PURE, 12.0, solver=dmft.RatioGrid(estimate_error=False))
    expected = dmft.solve(PURE, 12.0, solver=dmft.UniformGrid(steps=192))
    assert float(expected.error_estimate) < 1e-7
    table = found.table
    assert int(table.count) - int(table.blocks) - 1 >= 5 * 5
    t = np.linspace(2.0, 12.0, 31)
    for name in ("overlap", "energy", "multiplier"):
        gap = np.abs(getattr(found, name)(t) - getattr(expected, name)(t))
        assert np.max(gap) < 1e-6, name
    for theta in (0.0, 0.02, 0.2, 0.5, 0.8, 0.98, 1.0):
        for name in ("correlation", "response", "integrated_response"):
            gap = getattr(found, name)(t, theta * t) - getattr(expected, name)(t, theta * t)
            assert np.max(np.abs(gap)) < 1e-6, (name, theta)


@pytest.mark.slow
def test_blocks_go_on_from_a_checkpoint(old_at_once, tmp_path):
    """The third message comes from a block, after one that was rejected."""
    test_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, ALONE, 3)


def test_points_of_a_block():
    """Radau's: quadrature through them is exact to degree 2 k - 2; slopes are those of polynomials."""
    points, slopes, coefficient = _ratio_blocks.radau(5)
    weights = np.linalg.solve(np.vander(points, 5, increasing=True).T, 1 / np.arange(1.0, 6.0))
    degrees = np.arange(9)
    np.testing.assert_allclose(weights @ points[:, None] ** degrees, 1 / (degrees + 1), rtol=1e-13)
    nodes = np.append(0.0, points)
    np.testing.assert_allclose(slopes @ nodes**5, 5 * points**4, atol=1e-14)
    np.testing.assert_allclose(coefficient @ (3 * nodes**5 - nodes**2), 3 / 252, rtol=1e-11)


class Interrupted(Exception):
    """What ends a run in the middle."""


@pytest.mark.parametrize(
    ("solver", "chunks"), [(ALONE, 1), pytest.param(SMALL, 3, marks=pytest.mark.slow)]
)
def test_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, solver, chunks):
    """Interrupted in the solution, or in the second one that estimates its error."""
    problem = dmft.SphericalDynamics(MODEL, 0.0, initial_overlap=0.1)
    path = tmp_path / "run.npz"
    seen = []

    def interrupt(progress):
        seen.append(progress)
        if len(seen) == chunks:
            raise Interrupted

    with pytest.raises(Interrupted):
        dmft.solve(problem, T_MAX, solver=solver, checkpoint=path, progress=interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    done = [0.0, *(progress.done for progress in seen)]
    assert len(seen) == chunks
    # A block that is rejected is no progress.
    assert np.all(np.diff([*done, seen[-1].total]) >= 0)
    found = dmft.solve(problem, T_MAX, solver=solver, checkpoint=path, progress=seen.append)
    # It went on where it stood, and did not begin again.
    assert seen[chunks].done > done[-1]
    np.testing.assert_allclose(seen[-1].done, seen[-1].total, rtol=1e-12)
    whole = dmft.solve(problem, T_MAX, solver=solver)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    other = dmft.SphericalDynamics(MODEL, 0.1, initial_overlap=0.1)
    with pytest.raises(ValueError, match="`checkpoint` must be of the same problem"):
        dmft.solve(other, T_MAX, solver=solver, checkpoint=path)
    with pytest.raises(ValueError, match="`checkpoint` must be of the same problem"):
        dmft.solve(problem, 2 * T_MAX, solver=solver, checkpoint=path)
    path.write_text("something else")
    with pytest.raises(ValueError, match="`checkpoint` must be a file that"):
        dmft.solve(problem, T_MAX, solver=solver, checkpoint=path)


def test_one_program_for_all_chunks_and_tolerances(monkeypatch):
    traced = []

    def advance(*args, **settings):
        traced.append(settings)
        return _ratio_march.advance(*args, **settings)

    monkeypatch.setattr(ratio_grid, "advance", advance)
    monkeypatch.setattr(ratio_grid, "_CHUNK", {advance: 8})
    for rtol in (1e-3, 1e-2):
        solver = dmft.RatioGrid(rtol, panels=4, nodes=4, estimate_error=False)
        found = dmft.solve(PURE, T_MAX, solver=solver, throw=False)
        assert found.stats["steps"] > 16
    assert len(traced) == 1


def test_bad_input_is_refused():
    for name, value in {
        "rtol": 0.0, "panels": 2, "nodes": 3, "order": 6, "max_steps": 10,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"`{name}`.*{value}"):
            dmft.RatioGrid(**{name: value})
    with pytest.raises(ValueError, match="`checkpoint`.*`RatioGrid`"):
        dmft.solve(PURE, 2.0, checkpoint="somewhere")
    with pytest.raises(ValueError, match="`panels`"):
        jax.jit(lambda t: dmft.solve(PURE, t, solver=dmft.RatioGrid()).overlap(1.0))(2.0)


@pytest.mark.slow
def test_single_precision():
    model = spiked.MatrixTensor(p=3, delta2=jnp.float32(0.5), deltap=jnp.float32(4.0))
    low = dmft.SphericalDynamics(model, jnp.float32(0.0), initial_overlap=jnp.float32(0.1))
    grid = dmft.RatioGrid(rtol=1e-3, panels=4, nodes=4, estimate_error=False)
    found = dmft.solve(low, T_MAX, solver=grid)
    assert found.table.correlation.dtype == jnp.float32
    expected = dmft.solve(dmft.SphericalDynamics(MODEL, 0.0, initial_overlap=0.1), T_MAX)
    for name in ("overlap", "energy", "multiplier"):
        one, other = (float(getattr(s, name)(T_MAX)) for s in (found, expected))
        np.testing.assert_allclose(one, other, rtol=3e-3)
    np.testing.assert_allclose(
        found.correlation(T_MAX, 1.0), expected.correlation(T_MAX, 1.0), 3e-3
    )


@pytest.mark.slow
def test_failure_is_said():
    problem = dmft.SphericalDynamics(MODEL, 0.0, initial_overlap=0.1)
    # Three panels do not see a layer of width 1/t: the energy leaves its bounds.
    coarse = dmft.RatioGrid(panels=3, nodes=4, max_steps=192)
    with pytest.raises(SolverError, match="left the bounds"):
        dmft.solve(problem, 1e6, solver=coarse)
    found = dmft.solve(problem, 1e6, solver=coarse, throw=False)
    assert found.result != RESULTS.successful
    assert float(found.times[-1]) < 1e6


@pytest.mark.slow
def test_derivatives_and_batches():
    """Forward mode, jitted and batched, against central differences of converged solutions."""
    grid = dmft.RatioGrid(rtol=1e-5, panels=3, nodes=4, estimate_error=False)

    def end(parameters):
        delta2, temperature, start = parameters
        model = spiked.MatrixTensor(p=3, delta2=delta2, deltap=4.0)
        problem = dmft.SphericalDynamics(model, temperature, initial_overlap=start)
        found = dmft.solve(problem, 1.5, solver=grid, throw=False)
        return jnp.stack([found.overlap(1.5), found.energy(1.4), found.response(1.3, 0.7)])

    points = jnp.array([[0.5, 0.3, 0.1], [0.8, 1.0, 0.2]])
    slopes = jax.jit(jax.vmap(jax.jacfwd(end)))(points)
    values = jax.jit(jax.vmap(end))
    step = 1e-3
    for axis in range(3):
        move = step * np.eye(3)[axis]
        expected = (values(points + move) - values(points - move)) / (2 * step)
        np.testing.assert_allclose(slopes[:, :, axis], expected, rtol=3e-4, atol=1e-5)
    alone = dmft.solve(
        dmft.SphericalDynamics(
            spiked.MatrixTensor(p=3, delta2=0.8, deltap=4.0), 1.0, initial_overlap=0.2
        ),
        1.5,
        solver=grid,
    )
    np.testing.assert_allclose(values(points)[1, 0], alone.overlap(1.5), rtol=1e-9)


@pytest.mark.slow
def test_derivatives_through_blocks(old_at_once):
    """Forward mode against central differences."""
    grid = dmft.RatioGrid(rtol=1e-5, panels=5, nodes=6, estimate_error=False)

    def end(delta2):
        model = spiked.MatrixTensor(p=3, delta2=delta2, deltap=4.0)
        problem = dmft.SphericalDynamics(model, 0.3, initial_overlap=0.1)
        found = dmft.solve(problem, T_MAX, solver=grid, throw=False)
        return jnp.stack([found.overlap(T_MAX), found.energy(3.9), found.response(3.8, 2.7)])

    slope = jax.jit(jax.jacfwd(end))(0.5)
    values = jax.jit(end)
    expected = (values(0.501) - values(0.499)) / 2e-3
    np.testing.assert_allclose(slope, expected, rtol=3e-4, atol=1e-5)


@pytest.mark.slow
def test_reverse_mode_is_refused():
    def end(start):
        problem = dmft.SphericalDynamics(MODEL, 0.0, initial_overlap=start)
        grid = dmft.RatioGrid(rtol=1e-2, panels=3, nodes=4, estimate_error=False)
        return dmft.solve(problem, 1.0, solver=grid, throw=False).overlap(1.0)

    with pytest.raises(RuntimeError, match="`RatioGrid` has no reverse mode: take `jax.jacfwd`"):
        jax.eval_shape(jax.grad(end), 0.1)


LONG = dmft.RatioGrid(rtol=1e-5, nodes=8, panels=12, estimate_error=False)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_long_after_the_start_statics_are_reached(temperature):
    """At t = 1000: the posterior's overlap and energy at T = 1, the most likely ones at T = 0."""
    easy = spiked.MatrixTensor(p=3, delta2=0.4, deltap=2.0)
    problem = dmft.SphericalDynamics(easy, temperature, initial_overlap=0.2)
    found = dmft.solve(problem, 1e3, solver=LONG)
    one = jnp.asarray(1.0)
    if temperature == 0:
        best = spiked.maximum_likelihood(easy)
        overlap, energy, correlation = best.overlap, best.energy, 1.0
    else:
        overlap = correlation = spiked.bayes_optimal(easy).overlap
        energy = -easy.covariance(one)
        multiplier = 1 + easy.covariance.derivative(one)
        np.testing.assert_allclose(found.multiplier(1e3), multiplier, rtol=1e-6)
    np.testing.assert_allclose(found.overlap(1e3), overlap, rtol=1e-6)
    np.testing.assert_allclose(found.energy(1e3), energy, rtol=1e-6)
    np.testing.assert_allclose(found.correlation(1e3, 500.0), correlation, rtol=1e-6)


@pytest.mark.slow
def test_gradient_flow_of_the_pure_glass():
    """No threshold is reached: e - e_th falls like t^(-2/3); and energy is lost at the rate |dx/dt|^2."""
    found = dmft.solve(PURE, 1e3, solver=LONG)
    excess = np.log10(np.asarray(found.energy(np.array([10.0, 1e2, 1e3]))) + np.sqrt(4 / 3))
    slopes = np.diff(excess)
    # The exponent is approached from below as t grows.
    assert abs(slopes[1] + 2 / 3) < 0.01
    assert abs(slopes[1] + 2 / 3) < abs(slopes[0] + 2 / 3)
    # Any direction is forgotten as the start is, and Euler's theorem for a homogeneous energy.
    t = np.array([3.0, 30.0, 300.0])
    np.testing.assert_allclose(found.overlap(t), 0.3 * found.correlation(t, 0.0), rtol=1e-4)
    np.testing.assert_allclose(found.multiplier(t), -3 * found.energy(t), rtol=1e-12)
    # C(t, t - tau) = 1 - tau^2 |dx/dt|^2 / 2 at once after a time, whose square is -de/dt.
    # (At t = 300 what is left of 1 - C is less than the tolerance that was asked for.)
    for age in t[:2]:
        tau = 1e-2 * age**0.5
        speed = 2 * (1 - found.correlation(age + tau / 2, age - tau / 2)) / tau**2
        loss = -jax.grad(found.energy)(age)
        np.testing.assert_allclose(speed, loss, rtol=2e-3)
