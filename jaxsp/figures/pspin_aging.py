"""Aging of the spherical p-spin glass: two times, the slow fall of the energy, violated FDT."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture
from scipy import optimize, special

from .. import dmft, spiked
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "pspin-aging"
P, TEMPERATURE = 3, 0.5
_COLORS = (_draw.BLUE, _draw.ORANGE, _draw.GREEN, _draw.RED, _draw.PURPLE)
_POINTS = 120
# Where the parametric plot becomes a straight line, in two halves: below q_EA, and not where the start
# is felt.
_STRAIGHT = np.linspace(0.1, 0.55, 46)
_HALVES = (slice(0, 46), slice(0, 23), slice(23, 46))


def make(context: Context) -> Figure:
    """Correlations for several ages, energy of gradient flow, response against correlation."""
    t_max, solver, ages = (
        (3e2, dmft.RatioGrid(rtol=1e-4, nodes=6), (0.3, 1.0, 3.0, 10.0)) if context.quick
        else (1e4, dmft.RatioGrid(), (1.0, 10.0, 1e2, 1e3))
    )  # fmt: skip
    flow, hot = (
        dmft.solve(dmft.SphericalDynamics(spiked.pure_p_spin(P), T), t_max, solver=solver)
        for T in context.progress([0.0, TEMPERATURE], "temperatures")
    )
    ages = np.array(ages)
    lags = np.geomspace(np.full(ages.shape, 0.05), t_max - ages, _POINTS, axis=1)
    later, waited = ages[:, None] + lags, ages[:, None]
    correlation = np.asarray(hot.correlation(later, waited))
    # One late time against all earlier ones: the slope is then the ratio itself.
    ends = t_max * 10.0 ** np.arange(-2, 1)
    reached, answered = _parametric(hot, ends)

    theory = _theory()
    times = np.geomspace(0.05, t_max, 200)
    energy = np.asarray(flow.energy(times))
    picture = Picture(figsize=(13.0, 4.2), layout="constrained")
    panels = picture.subplots(1, 3)
    _draw_correlations(panels[0], ages, lags, correlation, theory)
    _draw_energy(panels[1], times, energy, theory)
    _draw_response(panels[2], ends, reached, answered, theory)
    for ax in panels:
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8)
    picture.suptitle("Aging of the spherical 3-spin glass from a random start")
    data = _draw.dataset(
        {
            "age": ("age", ages, "age tw"),
            "time": ("time", times, "time"),
            "end": ("end", ends, "later time of the parametric plot"),
        },
        {
            "lag": (("age", "place"), lags, "lag"),
            "correlation": (("age", "place"), correlation, "C(tw + lag, tw), T = 0.5"),
            "energy": ("time", energy, "energy per spin of gradient flow"),
            "parametric_correlation": (("end", "place"), reached, "C(t, s), T = 0.5"),
            "parametric_response": (("end", "place"), answered, "T chi(t, s), T = 0.5"),
        },
    )
    return Figure(picture, data, _rows(flow, hot, theory))


def _parametric(
    solution: dmft.Solution, ends: np.ndarray, points: int = _POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and response times temperature of some times with earlier ones, down to time zero."""
    t = ends[:, None]
    both_ends = np.linspace(-np.log(1e2 * t), np.log(1e2 * t), points, axis=1)[..., 0]
    earlier = t * special.expit(both_ends)
    correlation = np.asarray(solution.correlation(t, earlier))
    return correlation, TEMPERATURE * np.asarray(solution.integrated_response(t, earlier))


def _theory() -> dict[str, float]:
    """Threshold states of the pure p-spin glass by scipy, from Cugliandolo and Kurchan 1993."""
    T = TEMPERATURE

    def marginal(q):
        return P * (P - 1) / 2 * q ** (P - 2) * (1 - q) ** 2 - T**2

    q = float(np.asarray(optimize.brentq(marginal, (P - 2) / P, 1.0, xtol=1e-14)))
    ratio = (P - 2) * (1 - q) / q
    return {
        "self_overlap": q,
        "ratio": ratio,
        "energy": -(1 - (1 - ratio) * q**P) / (2 * T),
        "ground": -float(np.sqrt(2 * (P - 1) / P)),
    }


def _draw_correlations(ax, ages, lags, correlation, theory) -> None:
    for index, age in enumerate(ages):
        color = _COLORS[index % len(_COLORS)]
        ax.plot(lags[index], correlation[index], color=color, label=f"$t_w = {_power(age)}$")
    ax.axhline(theory["self_overlap"], color=_draw.GREY, linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel=r"lag $\tau$", ylabel=r"$C(t_w + \tau, t_w)$", ylim=(0, 1))
    ax.text(lags.max(), theory["self_overlap"] + 0.02, r"$q_{EA}$", ha="right", color=_draw.GREY)
    ax.set_title(f"T = {TEMPERATURE}", fontsize=10)


def _draw_energy(ax, times, energy, theory) -> None:
    above = energy - theory["ground"]
    ax.plot(times, above, color=_draw.BLUE, label="gradient flow")
    guide = above[-1] * (times / times[-1]) ** (-2 / 3)
    ax.plot(times, guide, color=_draw.GREY, linestyle="--", label=r"$\propto t^{-2/3}$")
    ax.set(xscale="log", yscale="log", xlabel="time $t$", ylabel=r"$e(t) - e_{th}$")
    ax.set_title("T = 0", fontsize=10)


def _draw_response(ax, ends, reached, answered, theory) -> None:
    for index, end in enumerate(ends):
        color = _COLORS[index % len(_COLORS)]
        ax.plot(reached[index], answered[index], color=color, label=f"$t = {_power(end)}$")
    q, ratio = theory["self_overlap"], theory["ratio"]
    ax.plot(
        [1, q, 0], [0, 1 - q, 1 - q + ratio * q], color=_draw.GREY, linestyle="--",
        label=r"$t \to \infty$: slopes $-1$, $-X$",
    )  # fmt: skip
    ax.set(xlabel=r"$C(t, s)$", ylabel=r"$T \chi(t, s)$", xlim=(0, 1), ylim=(0, None))
    ax.set_title(f"T = {TEMPERATURE}", fontsize=10)


def _power(t: float) -> str:
    power = round(np.log10(t))
    return f"10^{{{power}}}" if power >= 2 and np.isclose(t, 10.0**power) else f"{t:g}"


def _limit(solution: dmft.Solution, part: float) -> float:
    """Energy at infinite time: a of a + b t^(-2/3) + c/t, fitted from a part of the time on."""
    t = float(solution.t_max) * np.linspace(part, 1.0, 100)
    powers = np.stack([np.ones_like(t), t ** (-2 / 3), 1 / t], axis=1)
    return float(np.linalg.lstsq(powers, np.asarray(solution.energy(t)))[0][0])


def _rows(flow: dmft.Solution, hot: dmft.Solution, theory) -> list[Row]:
    rows = []
    for solution, name, reference, source in (
        (flow, "threshold energy", theory["ground"], "-sqrt(2 (p-1) / p)"),
        (hot, f"energy at late times, T = {TEMPERATURE}", theory["energy"],
         "threshold states (Cugliandolo and Kurchan 1993), scipy"),
    ):  # fmt: skip
        limits = [_limit(solution, part) for part in (0.1, 0.2, 0.4)]
        # A fifth of how far it extrapolates: there are other powers, at T > 0 unknown ones.
        doubt = 0.2 * abs(limits[1] - float(solution.energy(float(solution.t_max))))
        doubt += float(np.ptp(limits)) + float(solution.error_estimate)
        rows.append(Row(f"{NAME}/{name}", limits[1], doubt, reference, 1e-12, source))
    last = float(flow.t_max)
    exponents = [_exponent(flow, t, theory["ground"]) for t in (last / 10, last)]
    multiplier, energy = float(flow.multiplier(last)), float(flow.energy(last))
    states = spiked.threshold_states(spiked.pure_p_spin(P), TEMPERATURE)
    rows += [
        Row(f"{NAME}/exponent of the energy at the last time", exponents[1],
            abs(exponents[1] - exponents[0]), 2 / 3, 0.0,
            "Cugliandolo and Kurchan 1993; as far as it moves over the last decade"),
        Row(f"{NAME}/multiplier of gradient flow over the energy", multiplier / energy, 1e-8, -P,
            0.0, "Euler's theorem for a homogeneous energy"),
        Row(f"{NAME}/q_EA at T = {TEMPERATURE}, statics", float(states.self_overlap), 1e-10,
            theory["self_overlap"], 1e-12, "scipy: root of the marginality condition"),
    ]  # fmt: skip
    (ratio, overlap), doubts = _asymptote(hot, last)
    rows += [
        Row(f"{NAME}/FDT ratio X at T = {TEMPERATURE}", ratio, doubts[0], theory["ratio"], 1e-12,
            "threshold states (Cugliandolo and Kurchan 1993), scipy; doubt of the extrapolation"),
        Row(f"{NAME}/q_EA at T = {TEMPERATURE}, where the parametric plot breaks", overlap, doubts[1],
            theory["self_overlap"], 1e-12, "threshold states, scipy; doubt of the extrapolation"),
    ]  # fmt: skip
    return rows


def _asymptote(solution: dmft.Solution, last: float) -> tuple[list[float], list[float]]:
    """X and q of the line T chi = 1 - q + X (q - C) that the aged part of the plot tends to, and doubts.

    The response at a given correlation approaches its limit by a power of time: a geometric series from
    one octave to the next, and so do slope and end of a line that is fitted to it. The limiting line
    breaks off from equilibrium, T chi = 1 - C, at q. The doubt is by how much an octave less changes it,
    and by how much the plot's halves differ, of which the limits should be one line.
    """
    octaves = last * 0.5 ** np.arange(3, -1, -1.0)
    plots = zip(*_parametric(solution, octaves, 4 * _POINTS), strict=True)
    answered = np.array([np.interp(_STRAIGHT, *plot) for plot in plots])

    def limit(part: slice, since: int) -> np.ndarray:
        fits = np.polyfit(_STRAIGHT[part], answered[since : since + 3, part].T, 1)
        slope, end = (_limit_of_series(values) for values in fits)
        return np.array([-slope, (1 - end) / (1 + slope)])

    best, lower, upper = (limit(part, 1) for part in _HALVES)
    doubt = np.abs(best - limit(_HALVES[0], 0)) + np.abs(upper - lower)
    return best.tolist(), doubt.tolist()


def _limit_of_series(values: np.ndarray) -> float:
    """What three values tend to if their differences fall by one factor (Aitken)."""
    first, second = np.diff(values)
    return float(values[2] - second**2 / (second - first))


def _exponent(flow: dmft.Solution, t: float, ground: float) -> float:
    """Of the power with which the energy falls to its threshold."""
    value, slope = jax.value_and_grad(flow.energy)(jnp.asarray(t))
    return float(-t * slope / (value - ground))
