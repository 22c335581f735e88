"""Fixed points of the binary perceptron over a 200 x 200 grid of (alpha, noise), in float64.

Both stable branches and the optimum with their free entropies and errors, as one compiled function:
one noise after the other on each of the host devices, all alphas at once, which share the scan of
their curve. Beside it
a scipy script on a sample of the same points, from which they are checked too.

    python benchmarks/phase_diagram.py
"""

import functools
import os
import sys
import time

os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count()))
sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp
import numpy as np
import scipy_baseline
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsp import channels, glm, priors

jax.config.update("jax_enable_x64", True)

SIDE, SAMPLE = 200, 12


def main():
    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("noise",))
    rows = NamedSharding(mesh, PartitionSpec("noise"))

    def at(noise, alpha):
        model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise))
        return glm.phases(model, alpha, throw=False)

    @jax.jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(PartitionSpec("noise"), PartitionSpec()),
        out_specs=PartitionSpec("noise"),
    )  # fmt: skip
    def diagram(noises, alphas):
        return jax.lax.map(lambda noise: jax.vmap(at, (None, 0))(noise, alphas), noises)

    alphas = jnp.linspace(0.6, 2.0, SIDE)
    # Dealt out in turn, so that each device has its share of the noises with two branches.
    dealt = np.linspace(0.0, 0.05, SIDE).reshape(-1, len(devices)).T.ravel()
    noises = jax.device_put(dealt, rows)
    start = time.perf_counter()
    compiled = diagram.lower(noises, alphas).compile()
    compile_time = time.perf_counter() - start
    times = _measure.alternate(5, grid=lambda: compiled(noises, alphas))["grid"]

    found = compiled(noises, alphas)
    generator = np.random.default_rng(0)
    baseline, difference = [], 0.0
    for i, j in generator.integers(0, SIDE, (SAMPLE, 2)):
        start = time.perf_counter()
        exact = scipy_baseline.fixed_points(float(alphas[j]), float(noises[i]))
        baseline.append(time.perf_counter() - start)
        for branch, (m, f) in zip((found.uninformed, found.informed), exact, strict=True):
            difference = max(
                difference,
                abs(float(branch.overlap[i, j]) - m),
                abs(float(branch.free_entropy[i, j]) - f),
            )
    grid = _measure.summary(times)
    _measure.record(
        "phase_diagram",
        {
            "points": SIDE**2,
            "host devices": len(devices),
            "compile seconds": compile_time,
            "seconds": grid,
            "milliseconds per point": 1e3 * grid["median"] / SIDE**2,
            "scipy milliseconds per point": _measure.summary([1e3 * t for t in baseline]),
            "ratio": float(np.mean(baseline)) * SIDE**2 / grid["median"],
            "largest difference from scipy": difference,
        },
    )


if __name__ == "__main__":
    main()
