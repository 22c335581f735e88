"""Every line against its defining conditions, solved by mpmath or scipy, and against the papers."""

import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import optimize

from jaxsp import spiked

from .reference import exact_overlaps, potential, trivialization

DELTAPS = jnp.array([0.28, 0.5, 0.9, 1.5, 4.0, 100.0])


@pytest.fixture(scope="module")
def lines():
    """All lines over deltap, for p = 3 and 4, compiled once."""
    compute = {p: jax.jit(jax.vmap(lambda d, p=p: spiked.thresholds(p, d))) for p in (3, 4)}
    return {p: f(DELTAPS) for p, f in compute.items()}


def test_order_of_the_lines(lines):
    """Order as in arXiv 1902.00139, and the spiked matrix's transition for a useless tensor."""
    for found in lines.values():
        order = (found.trivialization, found.gradient_flow, found.ml_amp, found.amp)
        for low, high in itertools.pairwise(order):
            assert np.all(low < high)
        assert np.all(found.amp <= found.information_theoretic)
        assert np.all((found.gradient_flow < found.langevin) & (found.langevin <= found.amp))
    for p in (3, 5):
        far = jax.jit(lambda p=p: spiked.thresholds(p, 1e9))()
        for name in far.__dataclass_fields__:
            assert abs(float(getattr(far, name)) - 1) < 1e-7


def test_quadratic_lines(lines):
    for p, found in lines.items():
        for extra, line in ((1, found.ml_amp), (p - 1, found.gradient_flow)):
            # The defining conditions, Q''(0)^2 = Q'(1) and theta = 1.
            np.testing.assert_allclose(1 / line**2, 1 / line + extra / DELTAPS, rtol=1e-13)


def test_maximum_likelihood_amp_leaves_zero_at_its_line(lines):
    """By the derivative of the state evolution at zero, from the library's own iteration."""
    line = lines[3].ml_amp
    for d, deltap in zip(line, DELTAPS, strict=True):
        model = spiked.MatrixTensor(3, d, deltap)
        factor = jax.grad(lambda m, model=model: spiked.ml_state_evolution(model, m, steps=1)[1])
        np.testing.assert_allclose(factor(0.0), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("p", "deltap", "temperature"),
    [(3, 0.5, 1.0), (4, 0.28, 1.0), (3, 1.0, 0.5), (5, 0.6, 0.3), (4, 2.0, 0.0), (3, 0.3, 1.2)],
)
def test_langevin_line_is_where_both_conditions_hold(p, deltap, temperature):
    """Replicon condition and marginal growth in (q, delta2), by scipy; then by the library's states."""
    ours = float(spiked.langevin_threshold(p, deltap, temperature))

    def conditions(v):
        chi, d = v
        q = 1 - temperature * chi
        return [(1 / d + (p - 1) * q ** (p - 2) / deltap) * chi**2 - 1, chi / d - 1]

    exact = optimize.fsolve(conditions, [1.02 * ours, 0.98 * ours], xtol=1e-12)
    np.testing.assert_allclose(ours, exact[1], rtol=1e-10)
    model = spiked.MatrixTensor(p, ours, deltap)
    states = spiked.threshold_states(model, temperature)
    np.testing.assert_allclose(states.self_overlap, 1 - temperature * ours, atol=1e-9)
    np.testing.assert_allclose(spiked.growth_factor(model, states.susceptibility), 1, rtol=1e-9)


def test_langevin_line_in_closed_form():
    """p = 3: min(1, sqrt(delta3 / 2)) at T = 1; where nothing ages, the paramagnet's min(1, 1/T)."""
    line = jax.jit(jax.vmap(lambda d, T: spiked.langevin_threshold(3, d, T)))
    np.testing.assert_allclose(
        line(DELTAPS, jnp.ones(6)), np.minimum(1, np.sqrt(DELTAPS / 2)), rtol=1e-12
    )
    flow = jax.vmap(lambda d: spiked.gradient_flow_threshold(3, d))(DELTAPS)
    np.testing.assert_allclose(line(DELTAPS, jnp.zeros(6)), flow, rtol=1e-12)
    assert float(line(jnp.array([50.0]), jnp.array([2.0]))[0]) == 0.5
    # p = 4 at T = 1 against all roots of the polynomial of the two conditions.
    for deltap in (0.2, 0.4, 0.5):
        D = np.polynomial.Polynomial([0, 1])
        roots = (1 - D - 3 / deltap * D**2 * (1 - D) ** 2).roots()
        real = roots[np.abs(roots.imag) < 1e-7].real
        exact = np.min(real[(real > 0) & (real < 1 + 1e-6)])
        np.testing.assert_allclose(spiked.langevin_threshold(4, deltap), exact, rtol=1e-7)


def test_information_theoretic_line(lines):
    """Equal free entropies and stationarity in (m, lambda), by mpmath."""
    for deltap in (0.28, 0.5, 0.9):
        ours = float(lines[3].information_theoretic[list(DELTAPS).index(deltap)])
        m_high = exact_overlaps(3, ours, deltap)[-1]
        assert abs(potential(3, ours, deltap, m_high)) < 1e-14

        def conditions(m, a, d=deltap):
            return [
                mp.log(1 - m) + m + a * m**2 / 2 + m**3 / (3 * d),
                a * m + m**2 / d - m / (1 - m),
            ]

        exact = mp.findroot(conditions, (m_high, 1 / ours), tol=1e-30)
        np.testing.assert_allclose(ours, float(1 / exact[1]), rtol=1e-10)
    # Beyond the tricritical point the transition is continuous.
    assert np.all(np.asarray(lines[3].information_theoretic[3:]) == 1)
    near = float(spiked.information_theoretic_threshold(3, 0.9999))
    assert 1 < near < 1 + 1e-7
    # Below its own threshold the tensor is enough.
    assert np.isinf(float(spiked.information_theoretic_threshold(3, 0.2)))


def test_first_order_line_between_two_overlaps():
    """p = 4 next to its critical point: equal free entropies of the polynomial's stable roots."""
    line = jax.jit(jax.vmap(lambda d: spiked.first_order_threshold(4, d)))
    deltaps = jnp.array([0.15, 0.27, 0.29, 0.31])
    found, exists = line(deltaps)
    assert list(np.asarray(exists)) == [True, True, True, False]
    for deltap, d in zip(np.asarray(deltaps[:3]), np.asarray(found[:3]), strict=True):
        roots = exact_overlaps(4, d, deltap)
        f = potential(4, d, deltap, roots)
        low = 0.0 if roots.size == 2 else f[0]
        assert abs(f[-1] - low) < 1e-13
    assert float(found[0]) > 1 > float(found[1])


@pytest.mark.parametrize("p", [3, 4, 5])
def test_spinodals(p):
    """The number of the polynomial's roots changes there; p = 3 in closed form."""
    deltap = 0.9 * float(spiked.critical_point(p).deltap)
    found = spiked.spinodals(p, deltap)
    assert bool(found.exists)

    def count(d):
        return exact_overlaps(p, float(d), deltap).size

    informed, uninformed = float(found.informed), float(found.uninformed)
    assert count(informed * (1 - 1e-6)) == count(informed * (1 + 1e-6)) + 2
    if p > 3:
        assert count(uninformed * (1 + 1e-6)) == count(uninformed * (1 - 1e-6)) + 2
    else:
        root = np.sqrt(deltap)
        np.testing.assert_allclose(1 / informed, (2 * root - 1) / deltap, rtol=1e-12)
    assert not bool(spiked.spinodals(p, 1.01 * float(spiked.critical_point(p).deltap)).exists)


def test_critical_points():
    """(1, 1) for p = 3 and 8/27 for p = 4 (extremum of 2 m (1-m)^2)."""
    tricritical = spiked.critical_point(3)
    assert [float(v) for v in jax.tree.leaves(tricritical)] == [1.0, 1.0, 0.0]
    np.testing.assert_allclose(spiked.critical_point(4).deltap, 8 / 27, rtol=1e-14)


@pytest.mark.parametrize("p", [3, 4, 7])
def test_tensor_thresholds(p):
    """By mpmath, and for p = 3 the glass temperatures sqrt(3/8) and 0.5861 (Crisanti and Sommers)."""
    found = spiked.tensor_thresholds(p)
    spinodal, static = float(found.informed_spinodal), float(found.information_theoretic)
    f = lambda m, d: [mp.log(1 - m) + m + m**p / (p * d), m ** (p - 2) * (1 - m) - d]  # noqa: E731
    exact = mp.findroot(f, (1 - 0.9 / p, static), tol=1e-25)
    np.testing.assert_allclose(static, float(exact[1]), rtol=1e-10)
    assert exact_overlaps(p, np.inf, spinodal * (1 - 1e-6)).size == 2
    assert exact_overlaps(p, np.inf, spinodal * (1 + 1e-6)).size == 0
    if p == 3:
        np.testing.assert_allclose(spinodal * 1.5, 3 / 8, rtol=1e-14)
        assert abs(np.sqrt(static * 1.5) - 0.5861) < 5e-5


def test_trivialization(lines):
    for p in (3, 4):
        for index in (0, 2, 4):
            ours = float(lines[p].trivialization[index])
            exact, t = trivialization(p, float(DELTAPS[index]), ours)
            assert t == 2
            np.testing.assert_allclose(ours, exact, rtol=1e-10)
    # Of many spins and little noise the last minima are not marginal.
    ours = float(spiked.trivialization_threshold(60, 1e-7))
    exact, t = trivialization(60, 1e-7, ours)
    assert t > 2.0001
    np.testing.assert_allclose(ours, exact, rtol=1e-10)


def test_gradients(lines):
    def all_lines(d):
        found = spiked.thresholds(3, d, temperature=0.6)
        return jnp.stack([found.information_theoretic, found.ml_amp, found.langevin,
                          found.gradient_flow, found.trivialization])  # fmt: skip

    points, h = jnp.array([0.5, 4.0]), 1e-4
    batched = jax.jit(jax.vmap(all_lines))
    central = (batched(points + h) - batched(points - h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.jacfwd(all_lines)))(points), central, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.jacrev(all_lines)))(points), central, rtol=1e-6)
    slope = jax.grad(lambda T: spiked.langevin_threshold(3, 1.0, T))
    ends = [spiked.langevin_threshold(3, 1.0, 0.5 + s * h) for s in (1, -1)]
    np.testing.assert_allclose(slope(0.5), (ends[0] - ends[1]) / (2 * h), rtol=1e-6)


def test_single_precision(lines):
    found = jax.jit(jax.vmap(lambda d: spiked.thresholds(3, d)))(DELTAPS.astype(jnp.float32))
    for name in found.__dataclass_fields__:
        ours = getattr(found, name)
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, getattr(lines[3], name), rtol=2e-5)


@pytest.mark.parametrize("line", ["amp_threshold", "ml_amp_threshold", "langevin_threshold",
                                  "information_theoretic_threshold", "trivialization_threshold",
                                  "spinodals", "first_order_threshold"])  # fmt: skip
def test_bad_input(line):
    function = getattr(spiked, line)
    with pytest.raises(ValueError, match="Argument `p`"):
        function(1, 1.0)
    with pytest.raises(ValueError, match="Argument `deltap`"):
        function(3, 0.0)
    with pytest.raises(Exception, match="deltap"):
        function(3, jnp.ones(2))


def test_bad_temperature():
    with pytest.raises(ValueError, match="Argument `temperature`"):
        spiked.langevin_threshold(3, 1.0, -0.5)
