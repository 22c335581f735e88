"""Branches and their folds against closed forms, the literature and the GLM's own thresholds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsp import channels, glm, priors, sweeps
from jaxsp.glm.potentials import output_potential, weight_potential
from jaxsp.numerics import SolverError
from jaxsp.sweeps import folds, follow, on_branch
from tests.glm.reference import BinaryPerceptron


def cubic(scale):
    r"""$\lambda = s(x^3 - x)$: folds at $x = \pm 1/\sqrt3$, $\lambda = \mp 2 s / 3\sqrt3$."""
    return lambda x, parameter: scale * (x**3 - x) - parameter


@pytest.fixture(scope="module")
def s_shape():
    return jax.jit(lambda scale: follow(cubic(scale), -1.3, -1.0, points=80, step=0.1, maximum=1.0))


def test_points_lie_on_the_branch_all_the_way_round(s_shape):
    branch = s_shape(1.0)
    x, parameter = branch.x[branch.reached], branch.parameter[branch.reached]
    np.testing.assert_allclose(parameter, x**3 - x, atol=1e-14)
    assert np.all(np.diff(x) > 0)
    assert x[0] == pytest.approx(-1.3247179572447458, abs=1e-12)  # minus the plastic number
    assert parameter[-1] > 0.9
    # Consecutive points are a step apart at most, and the slope is that of the curve.
    distance = np.hypot(np.diff(x), np.diff(parameter))
    assert distance.max() < 0.1 * 1.02
    derivative = 3 * x**2 - 1
    np.testing.assert_allclose(
        branch.slope[branch.reached], derivative / np.hypot(1, derivative), atol=1e-12
    )
    assert np.all((branch.result._value == 0) == branch.reached)
    assert int(branch.turns.sum()) == 2


def test_folds_and_their_derivatives(s_shape):
    def fold(scale):
        found = folds(cubic(scale), s_shape(scale), max_folds=3)
        return found.parameter[:2], found

    exact = 2 / (3 * np.sqrt(3)) * np.array([1.0, -1.0])
    parameter, found = fold(1.0)
    np.testing.assert_allclose(parameter, exact, atol=1e-14)
    np.testing.assert_allclose(found.x[:2], np.array([-1, 1]) / np.sqrt(3), atol=1e-10)
    assert found.exists.tolist() == [True, True, False]
    assert np.isnan(found.parameter[2])
    for jacobian in (jax.jacfwd, jax.jacrev):
        slope = jax.jit(jacobian(lambda s: fold(s)[0]))(1.0)
        np.testing.assert_allclose(slope, exact, atol=1e-12)


def test_all_solutions_at_one_parameter(s_shape):
    def solutions(scale, parameter):
        return on_branch(cubic(scale), s_shape(scale), parameter, max_passages=4).x[:3]

    x = solutions(1.0, 0.2)
    np.testing.assert_allclose(x, np.sort(np.roots([1, 0, -1, -0.2])), atol=1e-13)
    slope = jax.jacfwd(solutions, argnums=1)(1.0, 0.2)
    np.testing.assert_allclose(slope, 1 / (3 * x**2 - 1), rtol=1e-10)
    slope = jax.jacrev(solutions)(1.0, 0.2)
    np.testing.assert_allclose(slope, -(x**3 - x) / (3 * x**2 - 1), rtol=1e-10)
    found = on_branch(cubic(1.0), s_shape(1.0), 0.2, max_passages=4)
    assert found.exists.tolist() == [True, True, True, False]


def test_points_move_at_right_angles_to_the_branch(s_shape):
    branch = s_shape(1.0)
    tangent = jax.jacfwd(lambda s: (s_shape(s).x, s_shape(s).parameter))(1.0)
    dx, dp = (np.asarray(a)[branch.reached] for a in tangent)
    x, slope = branch.x[branch.reached], branch.slope[branch.reached]
    along = np.sqrt(1 - slope**2)
    np.testing.assert_allclose(dx * along + dp * slope, 0, atol=1e-11)
    # On the moved branch: d(parameter) = (x^3 - x) ds + (3 x^2 - 1) dx.
    np.testing.assert_allclose(dp, x**3 - x + (3 * x**2 - 1) * dx, atol=1e-11)
    loss = jax.grad(lambda s: jnp.sum(jnp.where(branch.reached, s_shape(s).x, 0.0) ** 2))(1.0)
    assert float(loss) == pytest.approx(float(2 * np.sum(x * dx)), rel=1e-9)


def test_bratu():
    """u'' + lambda exp(u) = 0 on [0, 1]: the fold is at 3.513830719 (Bratu 1914)."""
    n = 31

    def residual(u, parameter):
        inner = jnp.concatenate([jnp.zeros(1), u, jnp.zeros(1)])
        # Numerov's scheme, of fourth order.
        source = parameter * jnp.exp(inner)
        average = (source[:-2] + 10 * source[1:-1] + source[2:]) / 12
        return (n + 1) ** 2 * (inner[:-2] - 2 * inner[1:-1] + inner[2:]) + average

    def run():
        branch = follow(residual, jnp.zeros(n), 0.0, points=60, step=1.0, throw=False)
        return branch, folds(residual, branch, max_folds=1, throw=False)

    branch, found = jax.jit(run)()
    assert bool(branch.reached.all())
    assert found.exists.tolist() == [True]
    assert float(found.parameter[0]) == pytest.approx(3.513830719, abs=2e-6)
    # The lower and the upper solution at lambda = 1: u(1/2) in closed form, by scipy.
    both = on_branch(residual, branch, 1.0, max_passages=2).x[:, n // 2]
    np.testing.assert_allclose(both, [_bratu_middle(1.0, b) for b in ((1, 2), (5, 20))], atol=2e-5)


def _bratu_middle(parameter, bracket):
    """u(1/2) = 2 log cosh(t / 4) with t = sqrt(2 lambda) cosh(t / 4)."""
    from scipy.optimize import brentq

    t = brentq(lambda t: t - np.sqrt(2 * parameter) * np.cosh(t / 4), *bracket, xtol=1e-14)
    return 2 * np.log(np.cosh(t / 4))


@pytest.mark.slow
def test_spinodal_of_the_binary_perceptron_is_a_fold():
    noise = 0.005
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))

    def residual(x, alpha):
        weight = weight_potential(model, jnp.exp(x), 32)
        output = output_potential(model, weight.overlap, weight.error_variance, 32)
        return x - jnp.log(alpha * output.information)

    @jax.jit
    def run():
        start = jnp.log(jnp.asarray(0.9))
        branch = follow(residual, start, 1.0, points=40, step=0.25, maximum=2.0, throw=False)
        return folds(residual, branch, throw=False)

    found = run()
    assert found.exists.all()
    assert not found.result._value.any()
    spinodal, _ = BinaryPerceptron(noise).algorithmic()
    assert float(found.parameter[0]) == pytest.approx(spinodal, abs=1e-8)
    # The end of the informative branch, which `glm.thresholds` finds from the explicit curve.
    assert float(found.parameter[1]) == pytest.approx(1.195035489, abs=1e-8)


def test_vmap_and_trees():
    def circle(point, parameter):
        # A unit circle, whose second equation says that both coordinates are one.
        return {"a": point["a"] ** 2 + parameter**2 - 1.0, "b": point["b"] - point["a"]}

    def turn(direction):
        branch = follow(
            circle, {"a": 1.0, "b": 1.0}, 0.0, points=20, step=0.2, throw=False, minimum=-2.0
        )
        return direction * branch.parameter, branch.x["b"] - branch.x["a"]

    parameter, gap = jax.vmap(turn)(jnp.array([1.0, -1.0]))
    np.testing.assert_allclose(gap, 0.0, atol=1e-12)
    np.testing.assert_allclose(parameter[0], -parameter[1])


def test_float32():
    branch = follow(
        cubic(np.float32(1.0)), jnp.float32(-1.3), jnp.float32(-1.0), points=40, step=0.2
    )
    assert branch.x.dtype == jnp.float32
    found = folds(cubic(np.float32(1.0)), branch)
    np.testing.assert_allclose(found.parameter, [0.3849, -0.3849], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": 2}, "`direction` must be 1 or -1"),
        ({"points": 1}, "`points` must be at least 2"),
        ({"step": 0.0}, "`step` must be greater than 0"),
        ({"step": np.nan}, "`step` must be"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        follow(cubic(1.0), 0.0, 0.0, **options)


def test_no_solution_at_the_start():
    with pytest.raises(SolverError, match="follow"):
        follow(lambda x, p: x**2 + 1.0 + p, 0.3, 0.0)
    assert not follow(lambda x, p: x**2 + 1.0 + p, 0.3, 0.0, throw=False).reached.any()
    branch = sweeps.follow(cubic(1.0), -1.3, -1.0, points=5)
    with pytest.raises(ValueError, match="`max_folds`"):
        folds(cubic(1.0), branch, max_folds=0)
    with pytest.raises(ValueError, match="`max_passages`"):
        on_branch(cubic(1.0), branch, 0.0, max_passages=0)
