"""Trajectories against scipy's integrator on independently written equations, and closed forms."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import optimize

from jaxsp import RESULTS, SolverError, online

from . import reference


def start(K, M, seed=0, scale=0.5):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(K + M, 400)) * np.array([scale] * K + [1.0] * M)[:, None]
    C = W @ W.T / 400
    return C[:K, :K], C[:K, K:], C[K:, K:]


def compare(net, unit, Q, R, T, v, A, times, tolerance, **settings):
    state = online.Overlaps(Q=Q, R=R, T=T, v=v, A=A)
    found = online.solve(net, t_max=times[-1], overlaps=state, max_steps=16384)
    for t, (C, v_t) in zip(
        times, reference.trajectory(unit, Q, R, T, v, A, times, **settings), strict=True
    ):
        ours = found.overlaps(t)
        np.testing.assert_allclose(ours.covariance, C, atol=tolerance)
        np.testing.assert_allclose(ours.v, v_t, atol=tolerance)
        want = reference.error(unit, C, v_t, A)
        np.testing.assert_allclose(found.generalization_error(t), want, atol=tolerance)


@pytest.mark.slow
def test_erf_to_eight_digits_at_long_times():
    """Four units learn two with noise, up to t = 1000, through the plateau."""
    net = online.TeacherStudent(4, 2, online.Erf(), noise=0.1, learning_rate=0.5)
    Q, R, T = start(4, 2)
    times = [1.0, 30.0, 300.0, 1000.0]
    settings = {"eta": 0.5, "eta_v": 0.0, "sigma": 0.1, "rtol": 1e-11}
    compare(net, reference.Erf(), Q, R, T, np.ones(4), np.ones(2), times, 1e-8, **settings)


def test_two_layers_weight_decay_and_batches():
    net = online.TeacherStudent(
        student_units=2, teacher_units=2, activation=online.Erf(), noise=0.3, learning_rate=0.7,
        train_second_layer=True, second_layer_learning_rate=0.4, weight_decay=0.02, batch_size=3,
    )  # fmt: skip
    Q, R, T = start(2, 2, seed=1)
    v, A = np.array([0.3, -0.2]), np.array([1.0, -1.5])
    settings = {"eta": 0.7, "eta_v": 0.4, "sigma": 0.3, "kappa": 0.02, "batch": 3}
    compare(net, reference.Erf(), Q, R, T, v, A, [2.0, 100.0], 1e-9, **settings)


@pytest.mark.slow
def test_stiff_equations_by_an_implicit_solver():
    """A second layer a thousand times faster than the first: scipy's Radau on the reference's equations.

    The fast direction relaxes at eta_v I2 = eta_v / 3 or so: explicit steps of order eight, stable up to
    about six over that, would be more than 10 000.
    """
    eta, eta_v, t_max = 1.0, 2000.0, 100.0
    net = online.TeacherStudent(
        1, 1, online.Erf(), 0.1, eta, train_second_layer=True, second_layer_learning_rate=eta_v
    )
    Q, R, T, v, A = 0.3 * np.eye(1), 0.2 * np.eye(1), np.eye(1), np.array([0.5]), np.array([1.5])
    times = np.array([1e-3, 1.0, 10.0, t_max])
    found = online.solve(
        net, t_max, online.Overlaps(Q, R, T, v, A), times=times, rtol=1e-6,
        solver=diffrax.Kvaerno5(),
    )  # fmt: skip
    assert 10 * found.steps < eta_v / 3 * t_max / 6
    ours = found.overlaps()
    settings = {"eta": eta, "eta_v": eta_v, "sigma": 0.1, "method": "Radau", "rtol": 1e-10}
    theirs = reference.trajectory(reference.Erf(), Q, R, T, v, A, times, **settings)
    for C, v, (C_want, v_want) in zip(ours.covariance, ours.v, theirs, strict=True):
        np.testing.assert_allclose(C, C_want, atol=1e-6)
        np.testing.assert_allclose(v, v_want, atol=1e-6)


@pytest.mark.slow
def test_relu_two_units():
    """With the orthant of four fields."""
    net = online.TeacherStudent(
        2, 2, online.ReLU(), noise=0.1, learning_rate=0.2, train_second_layer=True
    )
    Q, R, T = start(2, 2, seed=2)
    settings = {"eta": 0.2, "eta_v": 0.2, "sigma": 0.1, "rtol": 1e-10}
    v, A = np.array([0.8, 1.1]), np.ones(2)
    compare(net, reference.ReLU(), Q, R, T, v, A, [2.0, 8.0], 1e-8, **settings)


@pytest.mark.slow
def test_relu_to_eight_digits_at_long_times():
    """Two units learn one from noisy labels, up to t = 1000, where steps of many orders get long."""
    net = online.TeacherStudent(2, 1, online.ReLU(), noise=0.8, learning_rate=0.4)
    Q, R, T = start(2, 1, seed=2)
    settings = {"eta": 0.4, "eta_v": 0.0, "sigma": 0.8, "rtol": 1e-11, "method": "LSODA"}
    v, A = np.ones(2), np.ones(1)
    compare(net, reference.ReLU(), Q, R, T, v, A, [30.0, 1000.0], 1e-8, **settings)


def test_best_schedule_of_a_linear_unit():
    """Optax descends through the equations to the optimum that is known in closed form.

    With de/dt = (eta^2 - 2 eta) e + eta^2 sigma^2 it is eta = e / (e + sigma^2) at each time; a schedule of
    a few straight pieces comes close, and cannot be better.
    """
    sigma2, t_max = 0.25, 6.0
    start = online.Overlaps(0.5 * jnp.eye(1), 0.1 * jnp.eye(1), jnp.eye(1))
    knots = jnp.array([0.0, 0.5, 1.0, 2.0, 4.0, 6.0])

    def error(log_rates):
        schedule = online.PiecewiseLinear(knots, jnp.exp(log_rates))
        net = online.TeacherStudent(1, 1, online.Linear(), sigma2**0.5, schedule)
        found = online.solve(
            net, t_max, start, times=knots[-1:], rtol=1e-7, solver=diffrax.Tsit5(), max_steps=64
        )
        return found.generalization_error()[0]

    optimizer = optax.adam(0.1)

    @jax.jit
    def step(carry, _):
        x, state = carry
        value, slope = jax.value_and_grad(error)(x)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(x, change), state), value

    x = jnp.zeros(knots.size)
    (x, _), errors = jax.lax.scan(step, (x, optimizer.init(x)), None, length=60)
    # With the best rate de/dt = -e^2 / (e + sigma^2): log(e / e0) - sigma^2 (1 / e - 1 / e0) = -t.
    best = optimize.brentq(
        lambda e: np.log(e / 1.3) - sigma2 * (1 / e - 1 / 1.3) + t_max, 1e-3, 1.3, xtol=1e-14
    )
    assert errors[0] > 3 * best / 2
    assert best / 2 < errors[-1] < 1.002 * best / 2
    np.testing.assert_allclose(jnp.exp(x[0]), 1.3 / (1.3 + sigma2), atol=0.1)


def test_linear_units_in_closed_form():
    r"""With Q - 2 R + T = e: de/dt = (eta^2 - 2 eta) e + eta^2 sigma^2; above eta = 2 it diverges."""
    start = online.Overlaps(0.5 * jnp.eye(1), 0.1 * jnp.eye(1), jnp.eye(1))
    for eta in (0.7, 2.5):
        net = online.TeacherStudent(1, 1, online.Linear(), noise=0.2, learning_rate=eta)
        found = online.solve(net, 50.0, start, throw=False)
        rate, drive = eta**2 - 2 * eta, eta**2 * 0.04
        exact = lambda t: -drive / rate + (1.3 + drive / rate) * np.exp(rate * t)  # noqa: B023, E731
        t = 0.9 * float(found.end_time)
        assert abs(2 * found.generalization_error(t) / exact(t) - 1) < 1e-8
        if eta < 2:
            assert found.result == RESULTS.successful
            continue
        assert found.result == RESULTS.diverged
        bound = np.log((1e8 + drive / rate) / (1.3 + drive / rate)) / rate
        assert bound - 0.1 < found.end_time < bound + 1.5
        with pytest.raises(SolverError, match=r"stopped at t = 1\d\..*grows beyond all bounds"):
            online.solve(net, 50.0, start)
        with pytest.raises(ValueError, match="`t` must be"):
            found.overlaps(50.0)


NET = online.TeacherStudent(2, 2, online.Erf(), noise=0.1, train_second_layer=True)
STATE = online.Overlaps(*start(2, 2, seed=3), v=jnp.array([0.5, 0.4]))


def final_error(rate, noise, slope, adjoint):
    schedule = online.PiecewiseLinear(jnp.array([0.0, 10.0]), jnp.stack([rate, rate * slope]))
    net = online.TeacherStudent(
        1,
        1,
        online.Erf(),
        noise,
        schedule,
        train_second_layer=True,
        second_layer_learning_rate=rate,
    )
    state = online.Overlaps(*(x[:1, :1] for x in (STATE.Q, STATE.R, STATE.T)), v=STATE.v[:1])
    found = online.solve(
        net, 10.0, state, times=jnp.array([5.0, 10.0]), adjoint=adjoint, solver=diffrax.Tsit5(),
        max_steps=512,
    )  # fmt: skip
    return found.generalization_error()[-1]


@pytest.mark.slow
def test_gradients_forward_and_reverse():
    """Final error by learning rates, their schedule and noise, against finite differences."""
    point, direction = jnp.array([0.6, 0.2, 0.5]), jnp.array([0.3, -0.5, 0.7])
    reverse = jax.jit(lambda x: final_error(*x, diffrax.RecursiveCheckpointAdjoint()))
    forward = jax.jit(lambda x: final_error(*x, diffrax.ForwardMode()))
    h = 1e-4
    difference = (reverse(point + h * direction) - reverse(point - h * direction)) / (2 * h)
    gradient = jax.jit(jax.grad(reverse))
    assert abs(gradient(point) @ direction - difference) < 1e-8
    tangent = jax.jvp(forward, (point,), (direction,))[1]
    assert abs(tangent - difference) < 1e-8
    batch = jax.vmap(gradient)(jnp.stack([point, 1.1 * point]))
    np.testing.assert_allclose(batch[0], gradient(point), rtol=1e-6, atol=1e-12)


def test_batches_and_saved_times():
    """A batch of rates, one of them too large: the others are as alone."""
    state = online.Overlaps(0.5 * jnp.eye(1), 0.1 * jnp.eye(1), jnp.eye(1))

    def run(eta):
        net = online.TeacherStudent(1, 1, online.Linear(), learning_rate=eta)
        found = online.solve(net, 30.0, state, times=jnp.array([10.0, 30.0]), throw=False)
        return found.generalization_error(), found.result, found.end_time

    errors, results, ends = jax.jit(jax.vmap(run))(jnp.array([0.5, 3.0]))
    assert (results == RESULTS.successful).tolist() == [True, False]
    np.testing.assert_allclose(errors[0], 0.65 * np.exp(-0.75 * np.array([10.0, 30.0])), atol=1e-9)
    assert ends[0] == 30.0
    assert 3.0 < ends[1] < 30.0
    assert not jnp.any(jnp.isnan(errors))


@pytest.mark.parametrize("times", [[10.0, 5.0], [5.0, 5.0], [-1.0, 5.0], [5.0, 31.0]])
def test_traced_times_that_cannot_be_read_are_said_to_be(times):
    """Known ones are refused (`test_bad_input`); these are first seen by compiled code."""
    run = jax.jit(lambda times: online.solve(NET, 30.0, STATE, times=times, rtol=1e-6, throw=False))
    found = run(jnp.array(times))
    assert found.result == RESULTS.invalid_input
    assert jnp.all(jnp.isnan(found.overlaps().Q))
    assert run(jnp.array([5.0, 30.0])).result == RESULTS.successful


def test_float32():
    single = jax.tree.map(lambda x: x.astype(jnp.float32), STATE)
    error = online.solve(NET, 20.0, single).generalization_error(20.0)
    assert error.dtype == jnp.float32
    want = online.solve(NET, 20.0, STATE).generalization_error(20.0)
    assert abs(error - want) < 1e-4


def test_activations_may_differ():
    """An erf student of an erf teacher that is called something else, by quadrature."""
    net = online.TeacherStudent(1, 1, online.Erf(), learning_rate=0.5)
    other = online.TeacherStudent(
        1, 1, online.Erf(), learning_rate=0.5,
        teacher_activation=online.Custom(lambda x: jax.scipy.special.erf(x / np.sqrt(2.0))),
    )  # fmt: skip
    state = online.Overlaps(0.3 * jnp.eye(1), 0.1 * jnp.eye(1), jnp.eye(1))
    rates = jax.jit(
        lambda state: [online.overlap_rates(n, state, 0.0 * state.v[0]) for n in (net, other)]
    )
    ours, theirs = rates(state)
    np.testing.assert_allclose(ours.R, theirs.R, atol=1e-12)
    np.testing.assert_allclose(ours.Q, theirs.Q, atol=1e-8)


def test_schedules_of_each_layer():
    """At a time within them, for linear units: rates in closed form."""
    times = jnp.array([0.0, 10.0])
    net = online.TeacherStudent(
        1, 1, online.Linear(), noise=0.2, learning_rate=online.PiecewiseLinear(times, times / 10),
        train_second_layer=True, second_layer_learning_rate=lambda t: 0.1 * t,
        weight_decay=online.PiecewiseLinear(times, jnp.array([0.4, 0.0])),
        second_layer_weight_decay=0.3,
    )  # fmt: skip
    Q, R, T, v, A = 0.8, 0.3, 1.1, 0.7, 1.2
    state = online.Overlaps(*(x * jnp.eye(1) for x in (Q, R, T)), jnp.array([v]), jnp.array([A]))
    rate = online.overlap_rates(net, state, jnp.asarray(2.5))
    eta, eta_v, kappa, kappa_v = 0.25, 0.25, 0.3, 0.3
    own, teacher = v * Q - A * R, v * R - A * T
    noise = v * own - A * teacher + 0.2**2
    want = -2 * eta * v * own + eta**2 * v**2 * noise - 2 * kappa * Q
    np.testing.assert_allclose(rate.Q[0, 0], want, rtol=1e-13)
    np.testing.assert_allclose(rate.R[0, 0], -eta * v * teacher - kappa * R, rtol=1e-13)
    np.testing.assert_allclose(rate.v[0], -eta_v * own - kappa_v * v, rtol=1e-13)


def test_specialization_is_the_cosine_between_weights():
    rng = np.random.default_rng(0)
    w, B = rng.normal(size=(3, 50)), rng.normal(size=(2, 50))
    state = online.Overlaps(w @ w.T / 50, w @ B.T / 50, B @ B.T / 50)
    length = lambda x: np.linalg.norm(x, axis=1)  # noqa: E731
    cosines = (w @ B.T) / (length(w)[:, None] * length(B))
    np.testing.assert_allclose(state.specialization, cosines, rtol=1e-13)
    batch = online.Overlaps(*(jnp.stack([x, x]) for x in (state.Q, state.R, state.T)))
    np.testing.assert_allclose(batch.specialization[1], cosines, rtol=1e-13)


def test_bad_input():
    Q, R, T = start(2, 2)
    with pytest.raises(ValueError, match=r"`overlaps.R` must have shape \(2, 2\)"):
        online.solve(NET, 1.0, online.Overlaps(Q, R[:, :1], T))
    with pytest.raises(ValueError, match="negative eigenvalues"):
        online.solve(NET, 1.0, online.Overlaps(Q, 3 * jnp.eye(2), T))
    with pytest.raises(ValueError, match="`overlaps.Q` must be symmetric"):
        online.solve(NET, 1.0, online.Overlaps(Q + jnp.array([[0, 0.1], [0, 0]]), R, T))
    with pytest.raises(ValueError, match="`t_max` must be greater than"):
        online.solve(NET, 0.0, STATE)
    with pytest.raises(ValueError, match="`times` must be"):
        online.solve(NET, 1.0, STATE, times=np.array([2.0]))
    with pytest.raises(ValueError, match="`noise` must be at least"):
        online.TeacherStudent(2, 2, online.Erf(), noise=-1.0)
    with pytest.raises(ValueError, match="`student_units` must be a positive integer"):
        online.TeacherStudent(0, 2, online.Erf())
    with pytest.raises(ValueError, match="`times` must be increasing"):
        online.PiecewiseLinear(jnp.array([1.0, 0.0]), jnp.ones(2))
