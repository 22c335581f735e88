"""Online learning: overlaps against scipy's integrator, modes, gradient descent; learning curves of fits.

The same equations in numpy (as fast as vectorised numpy makes them) through `solve_ivp`, each solver at
the largest tolerance whose error, against a much more precise solution, is below 1e-6 at all of 16 times.

    python benchmarks/online.py
"""

import functools
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
jax.config.update("jax_num_cpu_devices", os.cpu_count())

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


# Where the state is compared: on all scales, the plateau and the escape from it included.
TIMES = np.geomspace(1.0, T_MAX, 16)
TARGET = 1e-6
TOLERANCES = 10.0 ** -np.arange(4.0, 9.1, 0.25)


def worst(states, exact):
    """The largest relative error over the times, and over trajectories if there are several."""
    size = np.max(np.abs(exact), axis=-1)
    return float(np.max(np.max(np.abs(np.asarray(states) - exact), axis=-1) / size))


def loosest(run, exact):
    """The largest tolerance whose error is below the target, so that none is more precise than it must."""
    for rtol in TOLERANCES:
        error = worst(run(rtol), exact)
        if error < TARGET:
            return {"rtol": rtol, "error": error}
    raise ValueError("no tolerance reaches the target")


def trajectories():
    Q, R = (jnp.asarray(x) for x in overlaps())
    net = online.TeacherStudent(K, M, online.Erf(), noise=SIGMA, learning_rate=ETA)

    def states(Q, R, rtol, solver):
        start = online.Overlaps(Q, R, jnp.eye(M))
        found = online.solve(net, T_MAX, start, times=TIMES, rtol=rtol, solver=solver, throw=False)
        state = found.overlaps()
        flat = [x.reshape(len(TIMES), -1) for x in (state.Q, state.R)]
        return jnp.concatenate(flat, axis=-1)

    def compiled(solver):
        def run(Q, R, rtol):
            return states(Q, R, rtol, solver)

        return jax.jit(run), jax.jit(jax.vmap(run, (0, 0, None)))

    tight = np.asarray(compiled(diffrax.Dopri8())[1](Q, R, 1e-12))

    def scipy_states(method, rtol):
        start = np.concatenate([Q[0].ravel(), R[0].ravel()])
        found = solve_ivp(
            numpy_rates, (0, T_MAX), start, method, TIMES, rtol=rtol, atol=1e-2 * rtol
        )
        return found.y.T

    runs, settings = {}, {}
    for method in ("RK45", "DOP853", "LSODA"):
        run = functools.partial(scipy_states, method)
        settings[method] = loosest(run, tight[0])
        runs[method] = functools.partial(run, settings[method]["rtol"])
    for solver in (diffrax.Tsit5(), diffrax.Dopri8()):
        name = type(solver).__name__
        one, many = compiled(solver)
        single = functools.partial(one, Q[0], R[0])
        batch = functools.partial(many, Q, R)
        settings[name], settings[f"{name} vmapped"] = (
            loosest(single, tight[0]),
            loosest(batch, tight),
        )
        runs[name] = functools.partial(single, settings[name]["rtol"])
        rtol = settings[f"{name} vmapped"]["rtol"]
        runs[f"{name} vmapped"] = functools.partial(batch, rtol)
        parts = [
            [jax.device_put(x[k :: len(jax.devices())], device) for x in (Q, R)]
            for k, device in enumerate(jax.devices())
        ]

        def divided(parts=parts, many=many, rtol=rtol):
            return [many(*part, rtol) for part in parts]

        runs[f"{name} vmapped, a device for each core"] = divided
    wall, cpu = _measure.alternate_with_cpu(5, **runs)
    numbers = {}
    for name, times in wall.items():
        share = BATCH if "vmapped" in name else 1
        numbers[name] = {
            "seconds each": min(times) / share,
            "processor seconds each": min(cpu[name]) / share,
            **settings.get(name, {}),
        }
    for baseline in ("RK45", "DOP853", "LSODA"):
        numbers[f"times faster than {baseline}"] = {
            name: {
                "wall": numbers[baseline]["seconds each"] / numbers[name]["seconds each"],
                "processor": numbers[baseline]["processor seconds each"]
                / numbers[name]["processor seconds each"],
            }
            for name in runs
            if name.startswith(("Tsit5", "Dopri8"))
        }
    return numbers


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
