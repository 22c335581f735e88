"""Trajectories of large instances beside the theory: how far apart in units of the standard error.

A matrix of N = 2000 and a matrix with a tensor of N = 500, gradient flow and Langevin dynamics.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp
import numpy as np

from jaxsp import dmft, spiked

jax.config.update("jax_enable_x64", True)

TIMES = np.array([0.5, 1.0, 2.0])
CASES = {
    "matrix, N = 2000": (spiked.spiked_wigner(0.4), 2000),
    "matrix and tensor, N = 500": (spiked.MatrixTensor(p=3, delta2=0.4, deltap=4.0), 500),
}


def main():
    numbers = {}
    for name, (model, size) in CASES.items():
        for temperature in (0.0, 1.0):
            problem = dmft.SphericalDynamics(model, temperature, initial_overlap=0.3)
            theory = dmft.solve(problem, float(TIMES[-1]))
            start = time.perf_counter()
            run = dmft.simulate(
                problem, TIMES, size=size, instances=8, key=jax.random.key(1), dtype=jnp.float32
            )
            jax.block_until_ready(run.overlap)
            seconds = time.perf_counter() - start
            entry = {"seconds for 8 instances, compilation included": seconds}
            for what, found, expected in (
                ("overlap", run.overlap, theory.overlap(TIMES)),
                ("energy", run.energy, theory.energy(TIMES)),
                ("correlation", run.correlation[:, -1, :-1],
                 theory.correlation(TIMES[-1], TIMES[:-1])),
            ):  # fmt: skip
                found = np.asarray(found, float)
                error = found.std(axis=0, ddof=1) / len(found) ** 0.5
                entry[what] = {
                    "theory": np.asarray(expected).tolist(),
                    "mean": found.mean(axis=0).tolist(),
                    "standard error": error.tolist(),
                    "largest deviation in standard errors": float(
                        np.max(np.abs(found.mean(axis=0) - np.asarray(expected)) / error)
                    ),
                }
            numbers[f"{name}, T = {temperature:g}"] = entry
            print(name, temperature, seconds, flush=True)
    _measure.record("finite_size", numbers)


if __name__ == "__main__":
    main()
