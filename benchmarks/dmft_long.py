"""The long-time solver: cost against time and against tolerance, for the pure 3-spin at T = 0.

Each run is a process of its own, compilation included in its first wall time (beyond t = 1e3 in all its
times), and its largest memory is the process's. From t = 1e3 on the energy's distance to its threshold is
fitted over the last two decades.

    python benchmarks/dmft_long.py            # the table and its picture, about a quarter of an hour
    python benchmarks/dmft_long.py draw       # dmft_long.png, of what was recorded
    python benchmarks/dmft_long.py 1e8 1e-5 run.npz 12   # one row: t_max, tolerance, checkpoint, nodes

Rows are recorded as they come, each in the place of an older one. The fourth is longer than the table's;
called again after it was killed, it goes on from its checkpoint.
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
from matplotlib.figure import Figure

from jaxsp import dmft, spiked
from jaxsp.numerics import RESULTS

jax.config.update("jax_enable_x64", True)

TIMES = [(t, 1e-6) for t in (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)]
TOLERANCES = [(1e3, rtol) for rtol in (1e-4, 1e-5, 1e-7, 1e-8)]


def run(t_max: float, rtol: float, checkpoint: str | None = None, nodes: int | None = None) -> dict:
    """One run's costs and its certificate."""
    problem = dmft.SphericalDynamics(spiked.pure_p_spin(3), temperature=0.0)
    solver = dmft.RatioGrid(rtol=rtol, nodes=nodes)
    seconds, work = [], []
    for _ in range(2 if checkpoint is None and t_max <= 1e3 else 1):
        begin, used = time.perf_counter(), time.process_time()
        found = dmft.solve(problem, t_max, solver=solver, throw=False, checkpoint=checkpoint)
        jax.block_until_ready(found.error_estimate)
        seconds.append(time.perf_counter() - begin)
        work.append(time.process_time() - used)
    threshold = -np.sqrt(4 / 3)
    energy = float(found.energy(t_max))
    numbers = {
        "t_max": t_max,
        "tolerance": rtol,
        "seconds with compilation": seconds[0],
        "seconds": seconds[-1],
        "processor seconds": work[-1],
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


def draw(rows: list[dict]) -> None:
    """Cost against time at one tolerance, and against tolerance at one time."""
    picture = Figure(figsize=(9.5, 4.0), layout="constrained")
    left, right = picture.subplots(1, 2)
    by_time = sorted((row for row in rows if row["tolerance"] == 1e-6), key=lambda r: r["t_max"])
    by_tolerance = sorted((r for r in rows if r["t_max"] == 1e3), key=lambda r: r["tolerance"])
    t = [row["t_max"] for row in by_time]
    work = "processor seconds"
    left.plot(t, [row[work] for row in by_time], "o-", label=work)
    left.plot(t, [row["steps"] for row in by_time], "s--", label="steps")
    left.plot(t, [row["nodes"] for row in by_time], "^:", label="nodes of a row")
    left.set(xscale="log", yscale="log", xlabel="last time", title="tolerance 1e-6")
    asked = [row["tolerance"] for row in by_tolerance]
    best = by_tolerance[0]["energy"]
    errors = [abs(row["energy"] - best) for row in by_tolerance[1:]]
    (cost,) = right.plot(asked, [row[work] for row in by_tolerance], "o-", color="C0", label=work)
    right.set(xscale="log", xlabel="tolerance", ylabel=work, ylim=(0, None))
    other = right.twinx()
    other.plot(asked, [row["error estimate"] for row in by_tolerance], "s--", color="C1",
               label="error estimate (coarser solution)")  # fmt: skip
    other.plot(asked[1:], errors, "^:", color="C2", label="error of the last energy")
    other.plot(asked, asked, color="0.7", linewidth=0.8, label="tolerance")
    other.set(yscale="log", ylabel="errors")
    right.set_title("to t = 1000")
    left.legend(frameon=False)
    handles = [cost, *other.get_legend_handles_labels()[0]]
    other.legend(handles=handles, frameon=False, fontsize=8, loc="upper center")
    picture.suptitle("RatioGrid on the spherical 3-spin glass, T = 0")
    picture.savefig(_measure.RESULTS.parent / "dmft_long.png", dpi=110)


def recorded() -> list[dict]:
    """The rows of the last table."""
    kept = _measure.RESULTS / "dmft_long.json"
    return json.loads(kept.read_text())["numbers"]["runs"] if kept.exists() else []


def record(row: dict) -> None:
    """The table with this row, in the order of times and tolerances."""

    def place(other):
        return other["t_max"], -other["tolerance"]

    rows = [other for other in recorded() if place(other) != place(row)]
    _measure.record("dmft_long", {"runs": sorted([*rows, row], key=place)})


def main():
    arguments = sys.argv[1:]
    if arguments == ["draw"]:
        draw(recorded())
        return
    if arguments:
        t_max, rtol, *checkpoint = arguments
        nodes = [int(x) for x in checkpoint[1:]]
        record(run(float(t_max), float(rtol), *checkpoint[:1], *nodes))
        return
    for t_max, rtol in TIMES[:3] + TOLERANCES + TIMES[3:]:
        subprocess.run([sys.executable, __file__, str(t_max), str(rtol)], check=True)
    draw(recorded())


if __name__ == "__main__":
    main()
