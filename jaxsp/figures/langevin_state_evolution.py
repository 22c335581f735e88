"""Langevin dynamics at temperature one: the overlap in time, its plateau, instances on top."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import plotting, spiked
from . import _draw, _dynamics
from ._registry import Context, Figure
from ._report import Row

NAME = "langevin-state-evolution"
_DELTA2S, _MEASURED = (0.3, 0.5, 0.7), (0.3, 0.5)
_T_MAX, _MEASURED_TO, _CHECKED = 16.0, 4.0, 2.0


def make(context: Context) -> Figure:
    """Overlap and energy against time at several noises of the matrix."""
    steps, levels = (72, 3) if context.quick else (160, 4)
    solution = _dynamics.curves(_DELTA2S, 1.0, _T_MAX, steps, levels)
    found = _dynamics.trajectories(_MEASURED, 1.0, _MEASURED_TO, context)
    plateaus = [_fixed_point(delta2) for delta2 in _DELTA2S]

    picture = Picture(figsize=(9.5, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    _dynamics.draw(left, _DELTA2S, solution, plateaus, found)
    energies = np.asarray(jnp.sum(solution.table.energies, axis=-1))
    grid = np.asarray(jax.vmap(lambda s: s.times)(solution))[0]
    for index, delta2 in enumerate(_DELTA2S):
        color = _dynamics.COLORS[index]
        right.plot(grid, energies[index], color=color)
        right.axhline(-_q_of_one(delta2), color=color, linewidth=0.8, linestyle=":")
        if delta2 in found.runs:
            plotting.instances(found.times, found.runs[delta2][1].energy, color=color, ax=right)
    right.set(xlabel="time $t$", ylabel=r"energy per spin", xlim=(0, _T_MAX))
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    left.plot([], [], color=_draw.GREY, linewidth=0.8, linestyle=":", label="Bayes optimum")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    picture.suptitle(r"Langevin dynamics at $T = 1$, $p = 2 + 3$, $\Delta_3 = 4$")
    data = _dynamics.dataset(_DELTA2S, solution, plateaus, found)
    return Figure(picture, data, _rows(solution, energies, plateaus, found))


def _fixed_point(delta2: float) -> float:
    model = spiked.MatrixTensor(_dynamics.P, delta2, _dynamics.DELTAP)
    return float(spiked.bayes_optimal(model).overlap)


def _q_of_one(delta2: float) -> float:
    return 1 / (2 * delta2) + 1 / (_dynamics.P * _dynamics.DELTAP)


def _rows(solution, energies, plateaus, found) -> list[Row]:
    """The easiest noise, which has relaxed: what is left of the relaxation is part of the error."""
    overlap = np.asarray(solution.table.overlap)
    multiplier = np.asarray(solution.table.multiplier)
    error = float(np.max(solution.error_estimate))
    delta2 = _DELTA2S[0]
    slope = 1 / delta2 + 1 / _dynamics.DELTAP
    lags = _T_MAX * jnp.array([0.75, 1.0])
    read = jax.vmap(lambda s: (s.correlation(lags, lags / 2), s.overlap(_CHECKED)))(solution)
    correlation, expected = map(np.asarray, read)

    def relaxed(what, series, reference, source):
        # What the last quarter of the time has still moved.
        left = 3 * abs(float(series[-1] - series[3 * len(series) // 4]))
        return Row(f"{NAME}/{what}, Delta_2 = {delta2:g}", float(series[-1]), left + error,
                   reference, 1e-9, source)  # fmt: skip

    rows = [
        relaxed("overlap at late times", overlap[0], plateaus[0], "Bayes-optimal state evolution"),
        relaxed("energy at late times", energies[0], -_q_of_one(delta2), "-Q(1), arXiv 1812.09066"),
        relaxed("multiplier at late times", multiplier[0], 1 + slope, "1 + Q'(1), arXiv 1812.09066"),
    ]  # fmt: skip
    rows.append(
        Row(f"{NAME}/C(t, t/2) at late times, Delta_2 = {delta2:g}", float(correlation[0, 1]),
            3 * abs(float(correlation[0, 1] - correlation[0, 0])) + error, plateaus[0], 1e-9,
            "Bayes-optimal state evolution")
    )  # fmt: skip
    rows += [
        found.row(NAME, noise, _CHECKED, float(expected[_DELTA2S.index(noise)]), error)
        for noise in found.runs
    ]
    return rows
