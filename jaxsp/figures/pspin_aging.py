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
# Where the parametric plot is taken for a straight line: below q_EA, and not where the start is felt.
_STRAIGHT, _LOWER = (0.35, 0.55), (0.1, 0.3)


def make(context: Context) -> Figure:
    """Correlations for several ages, energy of gradient flow, response against correlation."""
    t_max, solver, ages = (
        (1e2, dmft.RatioGrid(rtol=1e-4, nodes=6), (0.3, 1.0, 3.0, 10.0)) if context.quick
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


def _parametric(solution: dmft.Solution, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and response times temperature of some times with earlier ones, down to time zero."""
    t = ends[:, None]
    both_ends = np.linspace(-np.log(1e2 * t), np.log(1e2 * t), _POINTS, axis=1)[..., 0]
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
    return f"10^{{{np.log10(t):.0f}}}" if t >= 100 else f"{t:g}"


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
    lines = np.array([_straight(hot, last * part) for part in (0.1, 0.25, 0.5, 1.0)])
    # Violations approach their limit by a power of time: a geometric series from one octave to the next.
    ratio = _limit_of_series(lines[1:, 0])
    # How far from straight the plot still is, and how far it still moves.
    lower = _straight(hot, last, _LOWER)
    doubt = float(abs(lines[-1, 1] - lines[0, 1]) + abs(lines[-1, 1] - lower[1]))
    rows += [
        Row(f"{NAME}/FDT ratio X at T = {TEMPERATURE}", ratio, float(abs(ratio - lines[-1, 0])),
            theory["ratio"], 1e-12,
            "threshold states (Cugliandolo and Kurchan 1993), scipy; as far as it extrapolates"),
        Row(f"{NAME}/q_EA at T = {TEMPERATURE}, where the parametric plot breaks",
            float(lines[-1, 1]), doubt, theory["self_overlap"], 1e-12,
            "threshold states, scipy; as far as it moves over the last decade and along the plot"),
    ]  # fmt: skip
    return rows


def _limit_of_series(values: np.ndarray) -> float:
    """What three values tend to if their differences fall by one factor (Aitken)."""
    first, second = np.diff(values)
    return float(values[2] - second**2 / (second - first))


def _exponent(flow: dmft.Solution, t: float, ground: float) -> float:
    """Of the power with which the energy falls to its threshold."""
    value, slope = jax.value_and_grad(flow.energy)(jnp.asarray(t))
    return float(-t * slope / (value - ground))


def _straight(
    solution: dmft.Solution, t: float, between: tuple[float, float] = _STRAIGHT
) -> tuple[float, float]:
    """X and q of T chi = 1 - q + X (q - C), a line fitted to a part of the plot that has aged."""
    reached, answered = (x[0] for x in _parametric(solution, np.array([t])))
    part = (reached > between[0]) & (reached < between[1])
    slope, end = np.polyfit(reached[part], answered[part], 1)
    return float(-slope), float((1 - end) / (1 + slope))
