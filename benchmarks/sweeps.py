"""What sweeps cost: against a plain vmap and a scipy loop, on two devices, with a store, in memory.

    python benchmarks/sweeps.py

Each part runs in a process of its own, with the devices and the memory that it is about.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp
import numpy as np
import scipy_baseline

from jaxsp import channels, glm, priors, sweeps

NOISE = 0.002


def perceptron(alpha):
    model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=NOISE))
    return glm.state_evolution(model, alpha, steps=1, throw=False).overlap


def iterated(x, y):
    """A fixed point by plain iteration: slow near x = 1 and y = 0, so that points differ in cost."""

    def unfinished(state):
        m, before, steps = state
        return (jnp.abs(m - before) > 1e-12) & (steps < 20_000)

    def step(state):
        m, _, steps = state
        return jnp.tanh(x * m + y), m, steps + 1

    return jax.lax.while_loop(unfinished, step, (jnp.ones_like(x), 2 * jnp.ones_like(x), 0))[0]


def iterated_grid(side):
    return {"x": np.linspace(0.5, 1.5, side), "y": np.linspace(0.0, 0.5, side)}


def timed(function, grid, repeats=3, **options):
    """Seconds of several runs of a sweep, its compilation (cached on disk) taken off by a first one."""
    sweeps.run(function, grid, **options)
    found = []
    for _ in range(repeats):
        ticks = []
        sweeps.run(
            function, grid, progress=lambda p, t=ticks: t.append((time.perf_counter(), p.done)),
            **options,
        )  # fmt: skip
        # From the first chunk's end to the last one's: no tracing, no compiling.
        found.append((ticks[-1][0] - ticks[0][0]) / (ticks[-1][1] - ticks[0][1]))
    return found


def against_vmap():
    """Points per second of uneven points: a sweep, and one vmap of everything, on one device."""
    axes = iterated_grid(320)
    grid = sweeps.Grid(axes)
    device = jax.devices()[:1]
    swept = timed(iterated, grid, devices=device, chunk_size=25_600)
    x, y = (a.ravel() for a in np.meshgrid(*axes.values(), indexing="ij"))
    plain = jax.jit(jax.vmap(iterated))
    times = _measure.alternate(3, plain=lambda: plain(x, y))["plain"]
    data = sweeps.run(iterated, grid, devices=device, chunk_size=25_600)
    difference = float(np.abs(data.value.values.ravel() - np.asarray(plain(x, y))).max())
    return {
        "points": grid.size,
        "sweep points per second": 1 / float(np.median(swept)),
        "vmap points per second": grid.size / _measure.summary(times)["median"],
        "largest difference": difference,
    }


def against_scipy():
    """Points per second of the binary perceptron, and of the scipy loop."""
    alphas = np.linspace(0.6, 1.9, 2048)
    swept = timed(perceptron, sweeps.Grid({"alpha": alphas}), chunk_size=256, repeats=1)
    sample = alphas[:: alphas.size // 8]
    start = time.perf_counter()
    exact = [scipy_baseline.fixed_points(a, NOISE)[0][0] for a in sample]
    loop = (time.perf_counter() - start) / sample.size
    data = sweeps.run(perceptron, sweeps.Grid({"alpha": alphas}), chunk_size=256)
    found = data.value.sel(alpha=sample).values
    return {
        "devices": len(jax.devices()),
        "sweep points per second": 1 / float(np.median(swept)),
        "scipy points per second": 1 / loop,
        "largest difference": float(np.abs(found - exact).max()),
    }


def speed():
    """Seconds a point on this process's devices."""
    grid = sweeps.Grid(iterated_grid(2400))
    return {"seconds": min(timed(iterated, grid, repeats=3, chunk_size=960_000))}


def storing():
    """What the store and progress add, for chunks of about a second."""

    def slow(x):
        return {
            f"v{k}": jax.lax.fori_loop(0, 9000, lambda i, z: jnp.cos(z + x), x) for k in range(8)
        }

    grid = sweeps.Grid({"x": np.linspace(0.0, 1.0, 96_000)})
    options = {"chunk_size": 16_000, "devices": jax.devices()[:1]}
    memory, store = [], []
    for _ in range(4):
        memory += timed(slow, grid, 1, **options)
        with tempfile.TemporaryDirectory() as folder:
            sweeps.run(slow, grid, store=f"{folder}/warm.zarr", **options)
            ticks = []
            sweeps.run(
                slow, grid, store=f"{folder}/cold.zarr",
                progress=lambda p, t=ticks: t.append((time.perf_counter(), p.done)), **options,
            )  # fmt: skip
            store.append((ticks[-1][0] - ticks[0][0]) / (ticks[-1][1] - ticks[0][1]))
    return {
        "seconds a chunk": float(np.median(memory)) * options["chunk_size"],
        "overhead": float(np.median(store)) / float(np.median(memory)) - 1,
    }


def memory(points):
    """The largest memory of a process that sweeps so many points of a cheap function into a store."""
    import resource

    x = np.linspace(0.0, 1.0, 1000)
    grid = sweeps.Grid({"x": x, "y": np.linspace(0.0, 1.0, int(points) // 1000)})
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data = sweeps.run(
            lambda x, y: jnp.sin(x) * y, grid, store=f"{folder}/s.zarr", chunk_size=100_000,
            batch_size=1000,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        sample = data.value[500, -1].values
    assert abs(sample - np.sin(x[500])) < 1e-12
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"gigabytes": peak / 2**20, "points per second": int(points) / seconds}


def follower():
    """Points that a boundary costs, and that its full grid does: the algorithmic threshold."""

    def informed(alpha, noise_variance):
        model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise_variance))
        found = glm.phases(model, alpha, throw=False)
        return (found.informed.overlap - found.uninformed.overlap > 1e-3).astype(int)

    found = sweeps.boundary(
        informed, {"alpha": (1.0, 2.0), "noise_variance": (0.001, 0.021)}, level=None, refinements=5
    )
    side = 8 * 2**5
    points = found.points
    # On edges along alpha, one of whose ends has two branches: both spinodals as curves.
    models = [
        glm.thresholds(glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=float(n))))
        for n in points.noise_variance.values[::40]
    ]
    distance = max(
        min(abs(float(line) - a) for line in (th.algorithmic, th.informative_spinodal))
        for th, a in zip(models, points.alpha.values[::40], strict=True)
        if np.isfinite(float(th.algorithmic))
    )
    evaluated = found.evaluated.sizes["point"]
    return {
        "points evaluated": evaluated,
        "points of the full grid": (side + 1) ** 2,
        "ratio": (side + 1) ** 2 / evaluated,
        "largest distance from the spinodals, in cells": distance / found.resolution["alpha"],
    }


PARTS = {f.__name__: f for f in (against_vmap, against_scipy, speed, storing, memory, follower)}


def part(name, *arguments, devices=1):
    """One part in a new process."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
    out = subprocess.run(
        [sys.executable, __file__, name, *map(str, arguments)],
        check=True, capture_output=True, text=True, env=environment,
    ).stdout  # fmt: skip
    return json.loads(out.splitlines()[-1])


def main():
    if len(sys.argv) > 1:
        jax.config.update("jax_enable_x64", True)
        print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
        return
    numbers = {
        "against one vmap": part("against_vmap"),
        "against scipy": part("against_scipy", devices=os.cpu_count()),
    }
    # In turn, so that what else the machine does meets both.
    rounds = [[part("speed", devices=n)["seconds"] for n in (1, 2)] for _ in range(3)]
    one, two = (min(times) for times in zip(*rounds, strict=True))
    numbers["two devices"] = {"speed-up": one / two, "efficiency": one / two / 2}
    numbers["storing"] = part("storing")
    numbers["memory"] = {f"{n} points": part("memory", n, devices=2) for n in (10**5, 10**6, 10**7)}
    numbers["boundary"] = part("follower", devices=os.cpu_count())
    _measure.record("sweeps", numbers)


if __name__ == "__main__":
    main()
