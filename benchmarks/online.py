"""Online learning: overlaps against scipy's integrator, modes, gradient descent; learning curves of fits.

The same equations in numpy (as fast as vectorised numpy makes them) through `solve_ivp`, at the same
tolerance; both against a much more precise solution.

    python benchmarks/online.py
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from jaxsp import erm, inputs, online

jax.config.update("jax_enable_x64", True)

K, M, ETA, SIGMA, T_MAX, BATCH = 4, 2, 0.5, 0.1, 1000.0, 256
U = np.concatenate([np.ones(K), -np.ones(M)])


def numpy_rates(_, y):
    """Saad and Solla's equations for erf units, in whole-array numpy."""
    Q, R = y[: K * K].reshape(K, K), y[K * K :].reshape(K, M)
    C = np.block([[Q, R], [R.T, np.eye(M)]])
    d = 1 + np.diagonal(C)
    c = C[:K]
    det = d[:K, None] * d - c**2
    J = 2 / np.pi / np.sqrt(det)
    H = -c / d[:K, None] * J
    pull = (H @ U)[:, None] * c + (J * U) @ C
    det = det[:, :K]
    ci, ck = c[:, None, :], c[None, :, :]
    cross = ci[..., :, None] * ck[..., None, :]
    outer = (
        d[None, :K, None, None] * ci[..., :, None] * ci[..., None, :]
        + d[:K, None, None, None] * ck[..., :, None] * ck[..., None, :]
        - c[:, :K, None, None] * (cross + np.swapaxes(cross, -1, -2))
    )
    given = C - outer / det[..., None, None]
    scale = np.sqrt(1 + np.diagonal(given, axis1=-2, axis2=-1))
    angles = np.arcsin(given / (scale[..., :, None] * scale[..., None, :]))
    X = 4 / np.pi**2 * ((angles @ U) @ U) / np.sqrt(det) + SIGMA**2 * J[:, :K]
    dQ = -ETA * (pull[:, :K] + pull[:, :K].T) + ETA**2 * X
    return np.concatenate([dQ.ravel(), -ETA * pull[:, K:].ravel()])


def overlaps():
    """A batch of random starts."""
    generator = np.random.default_rng(0)
    W = generator.normal(size=(BATCH, K + M, 500)) * np.array([0.5] * K + [1.0] * M)[:, None]
    C = W @ np.swapaxes(W, 1, 2) / 500
    return C[:, :K, :K], C[:, :K, K:]


def trajectories():
    Q, R = overlaps()
    net = online.TeacherStudent(K, M, online.Erf(), noise=SIGMA, learning_rate=ETA)
    times = np.array([T_MAX])

    def end(Q, R, rtol=1e-7, solver=None):
        start = online.Overlaps(Q, R, jnp.eye(M))
        found = online.solve(net, T_MAX, start, times=times, rtol=rtol, solver=solver, throw=False)
        state = found.overlaps()
        return jnp.concatenate([state.Q.ravel(), state.R.ravel()])

    one = jax.jit(end)
    many = jax.jit(jax.vmap(end))
    mapped = jax.jit(lambda Q, R: jax.lax.map(lambda x: end(*x), (Q, R)))
    tight = np.asarray(jax.jit(lambda Q, R: end(Q, R, 1e-12))(Q[0], R[0]))

    def scipy_end(method):
        start = np.concatenate([Q[0].ravel(), R[0].ravel()])
        found = solve_ivp(numpy_rates, (0, T_MAX), start, method, rtol=1e-7, atol=1e-9)
        return found.y[:, -1]

    Qj, Rj = jnp.asarray(Q), jnp.asarray(R)
    times_taken = _measure.alternate(
        3,
        one=lambda: one(Qj[0], Rj[0]),
        many=lambda: many(Qj, Rj),
        mapped=lambda: mapped(Qj, Rj),
        scipy=lambda: scipy_end("DOP853"),
        scipy_rk45=lambda: scipy_end("RK45"),
    )
    error = lambda y: float(np.max(np.abs(np.asarray(y) - tight)) / np.max(np.abs(tight)))  # noqa: E731
    scipy_best = min(min(times_taken["scipy"]), min(times_taken["scipy_rk45"]))
    return {
        "one trajectory, seconds": _measure.summary(times_taken["one"]),
        f"{BATCH} vmapped, seconds each": min(times_taken["many"]) / BATCH,
        f"{BATCH} in a loop, seconds each": min(times_taken["mapped"]) / BATCH,
        "scipy DOP853, seconds": _measure.summary(times_taken["scipy"]),
        "scipy RK45, seconds": _measure.summary(times_taken["scipy_rk45"]),
        "times faster, one": scipy_best / min(times_taken["one"]),
        "times faster, vmapped": scipy_best / min(times_taken["many"]) * BATCH,
        "times faster, loop": scipy_best / min(times_taken["mapped"]) * BATCH,
        "relative error": error(one(Qj[0], Rj[0])),
        "relative error of DOP853": error(scipy_end("DOP853")),
    }


def modes():
    """A hidden manifold of 1000 latent dimensions."""
    net = online.TeacherStudent(2, 2, online.Erf(), noise=SIGMA, learning_rate=0.2)
    law = inputs.HiddenManifoldInputs(2000, 1000, jnp.sign, key=jax.random.key(0))
    start = online.sample_networks(net, law, key=jax.random.key(1), scale=0.5)
    system, state = online.mode_system(law, start)
    times = np.array([100.0])

    @jax.jit
    def end(state):
        run = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, _: system.rates(net, y, t)), diffrax.Tsit5(), 0.0,
            times[0], None, state, stepsize_controller=diffrax.PIDController(1e-6, 1e-8),
        )  # fmt: skip
        return run.ys.v

    return _measure.summary(_measure.alternate(3, end=lambda: end(state))["end"])


def descent():
    """Steps of gradient descent a second, and the bytes of weights and inputs that they must touch."""
    N, runs, t_max = 2000, 8, 16.0
    net = online.TeacherStudent(K, M, online.Erf(), noise=SIGMA, learning_rate=ETA)
    law = inputs.GaussianInputs(N)
    start = online.sample_networks(net, law, key=jax.random.key(1))

    def run():
        return online.simulate(
            net, law, t_max, key=jax.random.key(2), networks=start, runs=runs, measurements=1
        ).generalization_error

    seconds = min(_measure.alternate(3, run=run)["run"])
    steps = runs * t_max * N
    # Weights read and written, the teacher's and the input read and the input written.
    traffic = 8 * N * (2 * K + M + 2)
    copy = jnp.zeros(1 << 25)
    double = jax.jit(lambda x: x + 1.0)
    bandwidth = 2 * copy.nbytes / min(_measure.alternate(3, copy=lambda: double(copy))["copy"])
    return {
        "steps per second": steps / seconds,
        "bytes per second": steps / seconds * traffic,
        "bandwidth of a copy, bytes per second": bandwidth,
    }


def curve():
    """A logistic learning curve of 50 points."""
    model = erm.hidden_manifold(inputs.HiddenManifoldLimit(0.5))
    alphas = jnp.geomspace(0.2, 10.0, 50)
    begin = time.perf_counter()
    run = (
        jax.jit(
            jax.vmap(
                lambda a: erm.asymptotics(model, erm.Logistic(), 1e-2, a, throw=False).test_error
            )
        )
        .lower(alphas)
        .compile()
    )
    compiling = time.perf_counter() - begin
    taken = _measure.alternate(3, curve=lambda: run(alphas))["curve"]
    return {"seconds": _measure.summary(taken), "compile seconds": compiling}


def main():
    _measure.record(
        "online",
        {
            f"erf, K={K}, M={M}, to t={T_MAX:g}": trajectories(),
            "hidden manifold of 1000 modes to t=100, seconds": modes(),
            "gradient descent, N=2000, 8 runs": descent(),
            "logistic learning curve of 50 points": curve(),
        },
    )


if __name__ == "__main__":
    main()
