"""The long-time solver: cost against time and against tolerance, for the pure 3-spin at T = 0.

Each run is a process of its own, compilation included in its wall time, and its largest memory is the
process's. From t = 1e3 on the energy's distance to its threshold is fitted over the last two decades.

    python benchmarks/dmft_long.py            # the table, about a quarter of an hour
    python benchmarks/dmft_long.py 1e6 1e-6 14   # one run: t_max, tolerance, nodes in each panel
"""

import json
import os
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import numpy as np

from jaxsp import dmft, spiked
from jaxsp.numerics import RESULTS

jax.config.update("jax_enable_x64", True)

RUNS = [(10.0, 1e-6, 10), (1e3, 1e-6, 10), (1e6, 1e-6, 16)]
TOLERANCES = [(1e3, 1e-4, 10), (1e3, 1e-5, 10), (1e3, 1e-7, 10)]


def run(t_max: float, rtol: float, nodes: int, checkpoint: str | None = None) -> dict:
    """One run's costs and its certificate."""
    problem = dmft.SphericalDynamics(spiked.pure_p_spin(3), temperature=0.0)
    solver = dmft.RatioGrid(rtol=rtol, nodes=nodes)
    seconds = []
    for _ in range(2 if checkpoint is None and t_max <= 1e3 else 1):
        begin = time.perf_counter()
        found = dmft.solve(problem, t_max, solver=solver, throw=False, checkpoint=checkpoint)
        jax.block_until_ready(found.error_estimate)
        seconds.append(time.perf_counter() - begin)
    threshold = -np.sqrt(4 / 3)
    energy = float(found.energy(t_max))
    numbers = {
        "t_max": t_max,
        "tolerance": rtol,
        "seconds with compilation": seconds[0],
        "seconds": seconds[-1],
        "memory in GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "result": "successful" if found.result == RESULTS.successful else "failed",
        "error estimate": float(found.error_estimate),
        "energy": energy,
        "energy above threshold": energy - threshold,
        "largest |mu + 3 e|": float(
            np.max(np.abs(found.table.multiplier + 3 * found.table.energies[:, 0]))
        ),
    }
    numbers |= {name: float(value) for name, value in found.stats.items()}
    if t_max >= 1e3:
        decades = t_max * np.array([1e-2, 1e-1, 1.0])
        excess = np.log10(np.asarray(found.energy(decades)) - threshold)
        numbers["exponents of the last two decades"] = np.diff(excess).tolist()
    return numbers


def main():
    if len(sys.argv) > 1:
        t_max, rtol, nodes = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
        print(json.dumps(run(t_max, rtol, nodes, *sys.argv[4:5])))
        return
    rows = []
    for row in RUNS + TOLERANCES:
        arguments = [sys.executable, __file__, *map(str, row)]
        lines = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(lines.strip().splitlines()[-1]))
        print(rows[-1], flush=True)
    _measure.record("dmft_long", {"runs": rows})


if __name__ == "__main__":
    main()
