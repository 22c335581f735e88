"""What the figures of dynamics share: curves at several noises, and trajectories of two sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from .. import dmft, plotting, spiked
from ..numerics import raise_unless_successful
from . import _draw
from ._registry import Context
from ._report import Row

COLORS = (_draw.BLUE, _draw.ORANGE, _draw.GREEN, _draw.RED)
P, DELTAP = 3, 4.0


def problem(delta2, temperature: float, start: float = 0.3) -> dmft.SphericalDynamics:
    """Third-order tensor of noise 4, a matrix, and a start of some overlap."""
    return dmft.SphericalDynamics(spiked.MatrixTensor(P, delta2, DELTAP), temperature, start)


def curves(
    delta2s: Sequence[float], temperature: float, t_max: float, steps: int, levels: int
) -> dmft.Solution:
    """Solutions at several noises of the matrix, as one batch.

    Raises:
        SolverError: if one of them is not to be trusted.
    """
    grid = dmft.UniformGrid(steps=steps, levels=levels)

    @jax.jit
    @jax.vmap
    def solve(delta2):
        return dmft.solve(problem(delta2, temperature), t_max, solver=grid, throw=False)

    solution = solve(jnp.asarray(delta2s, float))
    raise_unless_successful(solution.result, "dmft.solve")
    return solution


@dataclass(frozen=True)
class Trajectories:
    """Runs of finite size: one for each noise and each of two sizes, the second twice the first."""

    times: np.ndarray
    sizes: tuple[int, int]
    runs: dict[float, tuple[dmft.Simulation, dmft.Simulation]]

    def row(self, figure: str, delta2: float, t: float, expected: float, error: float) -> Row:
        """The overlap at one time, extrapolated in the inverse size, beside the theory and its error."""
        place = int(np.argmin(np.abs(self.times - t)))
        small, large = (np.asarray(run.overlap[:, place]) for run in self.runs[delta2])
        value = 2 * large.mean() - small.mean()
        variance = 4 * large.var(ddof=1) / large.size + small.var(ddof=1) / small.size
        return Row(
            f"{figure}/overlap of instances at t = {t:g}, Delta_2 = {delta2:g}", float(value),
            4 * float(np.sqrt(variance)), expected, error,
            "dynamical mean-field theory; two sizes, linear in 1/N, four standard errors",
        )  # fmt: skip


def trajectories(
    delta2s: Sequence[float], temperature: float, until: float, context: Context
) -> Trajectories:
    """Trajectories in sampled landscapes."""
    sizes, instances = ((40, 80), (176, 104)) if context.quick else ((150, 300), (32, 24))
    times = np.linspace(0.0, until, 9)
    if context.quick:
        # The easiest of them, for half the time, is enough for a quick look.
        delta2s, times = delta2s[:1], times[:5]
    keys = jax.random.split(jax.random.key(context.seed), 2)
    runs = {}
    for delta2 in context.progress(list(delta2s), "trajectories of finite size"):
        small, large = (
            dmft.simulate(problem(delta2, temperature), times, size=N, instances=count, key=key)
            for N, count, key in zip(sizes, instances, keys, strict=True)
        )
        runs[delta2] = (small, large)
    return Trajectories(times, sizes, runs)


def draw(
    ax: Axes, delta2s: Sequence[float], solution: dmft.Solution, plateaus, found: Trajectories
) -> None:
    """Overlaps against time, their plateaus, and the larger instances' means with error bars."""
    times = np.asarray(jax.vmap(lambda s: s.times)(solution))
    for index, delta2 in enumerate(delta2s):
        color = COLORS[index]
        ax.plot(
            times[index], solution.table.overlap[index], color=color,
            label=rf"$\Delta_2 = {delta2:g}$",
        )  # fmt: skip
        ax.axhline(float(plateaus[index]), color=color, linewidth=0.8, linestyle=":")
        if delta2 in found.runs:
            run = found.runs[delta2][1]
            label = f"N = {found.sizes[1]}" if index == 0 else None
            plotting.instances(found.times, run.overlap, label=label, color=color, ax=ax)
    ax.set(xlabel="time $t$", ylabel=r"overlap $\bar C(t)$", ylim=(0, 1), xlim=(0, times.max()))


def dataset(
    delta2s: Sequence[float], solution: dmft.Solution, plateaus, found: Trajectories, extra=None
):
    """What `draw` shows, labelled."""
    measured = list(found.runs)
    means = [np.asarray(found.runs[d][1].overlap).mean(axis=0) for d in measured]
    errors = [
        np.asarray(found.runs[d][1].overlap).std(axis=0, ddof=1)
        / np.sqrt(found.runs[d][1].overlap.shape[0])
        for d in measured
    ]
    coordinates, variables = extra or ({}, {})
    both = ("delta2", "time")
    return _draw.dataset(
        {
            "delta2": ("delta2", list(delta2s), "noise of the matrix"),
            "time": ("time", np.asarray(jax.vmap(lambda s: s.times)(solution))[0], "time"),
            "delta2_measured": ("delta2_measured", measured, "noise of the matrix, instances"),
            "time_measured": ("time_measured", found.times, "time, instances"),
            **coordinates,
        },
        {
            "overlap": (both, solution.table.overlap, "overlap with the signal"),
            "energy": (both, jnp.sum(solution.table.energies, axis=-1), "energy per spin"),
            "multiplier": (both, solution.table.multiplier, "multiplier of the sphere"),
            "plateau": ("delta2", plateaus, "overlap at late times, statics"),
            "overlap_measured": (
                ("delta2_measured", "time_measured"), means, f"mean overlap, N = {found.sizes[1]}",
            ),
            "overlap_error": (
                ("delta2_measured", "time_measured"), errors, "its standard error",
            ),
            **variables,
        },
    )  # fmt: skip
