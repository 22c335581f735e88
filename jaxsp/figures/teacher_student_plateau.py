"""Two-layer teacher and student on iid inputs: plateau, escape from it, and the error of noisy labels."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import inputs, online, plotting
from ..numerics import raise_unless_successful
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "teacher-student-plateau"
K, RATE = 2, 1.0
ASYMMETRIES = (1e-2, 1e-4, 1e-6)
SMALL_RATES = np.array([2e-3, 1e-3])
COLORS = (_draw.BLUE, _draw.ORANGE, _draw.GREEN)


def make(context: Context) -> Figure:
    """Learning curves with plateaus of different lengths; final errors over the learning rate."""
    net = online.TeacherStudent(K, K, online.Erf(), learning_rate=RATE)
    state = online.plateau(net)
    times = np.linspace(0.0, 400.0, 401)
    curves, gaps = _from_asymmetries(net, times)

    picture = Picture(figsize=(11.5, 4.4), layout="constrained")
    grid = picture.add_gridspec(1, 2)
    left, right = (picture.add_subfigure(grid[0, column]) for column in range(2))
    ax = plotting.new_axes(
        rf"Erf units, $K = M = {K}$, $\eta = {RATE:g}$", "steps over dimension, $t$",
        r"generalisation error $\epsilon_g$", figure=left,
    )  # fmt: skip
    for curve, asymmetry, color in zip(curves, ASYMMETRIES, COLORS, strict=True):
        exponent = round(np.log10(asymmetry))
        ax.semilogy(times, curve, color=color, label=rf"theory, asymmetry $10^{{{exponent}}}$")
    ax.axhline(
        float(state.generalization_error), color=_draw.GREY, linestyle="--", linewidth=1,
        label="plateau",
    )  # fmt: skip
    simulated, simulation_rows = _simulation(context, ax)
    ax.set(ylim=(1e-5, 1))
    ax.legend(frameon=False, fontsize=8)

    ax = plotting.new_axes(
        r"Noisy labels, $M = 2$, $\sigma = 0.1$", r"learning rate $\eta$",
        r"final error $\epsilon_g$", figure=right,
    )  # fmt: skip
    rates = np.geomspace(1e-3, 1.0, 13)
    finals, small = {}, {}
    for extra, color in ((0, _draw.BLUE), (1, _draw.RED)):
        finals[extra], small[extra] = np.split(
            _final_errors(extra, np.concatenate([rates, SMALL_RATES])), [rates.size]
        )
        ax.loglog(rates, finals[extra], "o", color=color, markersize=4, label=f"K = {2 + extra}")
        ax.loglog(rates, _small_rate_law(extra) * rates, color=color, linewidth=1)
    ax.plot([], [], color=_draw.GREY, linewidth=1, label="first order in the learning rate")
    ax.legend(frameon=False, fontsize=8)

    data = _draw.dataset(
        {"time": ("time", times, "steps over dimension"),
         "rate": ("rate", rates, "learning rate"),
         "asymmetry": ("asymmetry", list(ASYMMETRIES), "initial asymmetry of the overlaps"),
         "extra": ("extra", list(finals), "student units more than the teacher's")},
        {"error": (("asymmetry", "time"), curves, "generalisation error"),
         "final_error": (("extra", "rate"), np.stack(list(finals.values())), "final error"),
         **simulated},
    )  # fmt: skip
    rows = [
        *_plateau_rows(),
        *_escape_rows(state, times, gaps),
        *_final_rows(small),
        *simulation_rows,
    ]
    return Figure(picture, data, rows)


def _from_asymmetries(net, times):
    """Learning curves, and differences between overlaps, from starts ever closer to symmetric ones."""
    eye = jnp.eye(K)

    def run(asymmetry):
        R = 1e-2 + asymmetry * (2 * eye - 1)
        start = online.Overlaps(0.2 * eye, R, eye)
        found = online.solve(net, times[-1], start, times=times, rtol=1e-9)
        R = found.overlaps().R
        return found.generalization_error(), R[:, 0, 0] - R[:, 0, 1]

    return (np.asarray(x) for x in jax.jit(jax.vmap(run))(jnp.array(ASYMMETRIES)))


def _plateau_rows() -> list[Row]:
    rows = []
    for units in (2, 3):
        net = online.TeacherStudent(units, units, online.Erf(), learning_rate=1e-7)
        height = units / np.pi * (np.pi / 6 - units * np.arcsin(1 / (2 * units)))
        value = float(online.plateau(net).generalization_error)
        rows.append(
            Row(f"{NAME}/plateau height, K = M = {units}, small rate", value, 1e-6, height, 0.0,
                "closed form of Saad and Solla 1995")
        )  # fmt: skip
    return rows


def _escape_rows(state, times, gaps) -> list[Row]:
    level = 0.05
    if not all(gap.max() > level for gap in gaps):
        raise RuntimeError("A start has not left the plateau by the last time.")
    reached = [np.interp(level, gap[: np.argmax(gap)], times[: np.argmax(gap)]) for gap in gaps]
    value = (reached[2] - reached[1]) / 2
    decade = float(np.log(10) / state.growth_rate)
    return [
        Row(f"{NAME}/later escape for each decade of asymmetry", value, 0.02 * decade, decade, 0.0,
            "linear stability of the plateau, by autodiff")
    ]  # fmt: skip


def _final_errors(extra: int, rates: np.ndarray, sigma: float = 0.1) -> np.ndarray:
    def at(eta):
        net = online.TeacherStudent(2 + extra, 2, online.Erf(), sigma, eta)
        small = jnp.full(extra, eta * sigma**2)
        Q = jnp.diag(jnp.concatenate([jnp.ones(2), small]))
        guess = online.Overlaps(Q, 0.999 * jnp.eye(2 + extra, 2), jnp.eye(2))
        return online.stationary_state(net, guess, throw=False)

    found = jax.jit(jax.vmap(at))(jnp.asarray(rates))
    raise_unless_successful(found.result, "stationary_state", throw=True)
    return np.asarray(found.generalization_error)


def _small_rate_law(extra: int, sigma: float = 0.1) -> float:
    return sigma**2 / (2 * np.pi) * (extra + 2 / 3**0.5)


def _final_rows(small: dict[int, np.ndarray]) -> list[Row]:
    rows = []
    for extra, errors in small.items():
        slopes = errors / SMALL_RATES
        law = _small_rate_law(extra)
        rows.append(
            Row(f"{NAME}/final error over learning rate, K = {2 + extra}",
                float(2 * slopes[1] - slopes[0]), 1e-4 * law, law, 0.0,
                "arXiv 1906.08632, first order in the learning rate")
        )  # fmt: skip
    return rows


def _simulation(context: Context, ax):
    """Gradient descent at finite dimension, and the theory from its own start."""
    N, runs, t_max = (200, 4, 100.0) if context.quick else (2000, 8, 200.0)
    net = online.TeacherStudent(K, K, online.Erf(), learning_rate=RATE)
    law = inputs.GaussianInputs(N)
    first, second = jax.random.split(jax.random.key(context.seed))
    start = online.sample_networks(net, law, key=first, scale=0.3)
    found = online.simulate(net, law, t_max, key=second, networks=start, runs=runs, measurements=24)
    theory = online.solve(net, float(found.times[-1]), inputs=law, networks=start)
    errors = np.asarray(found.generalization_error)
    fine = np.linspace(0.0, float(found.times[-1]), 201)
    ax.semilogy(
        fine, theory.generalization_error(fine), color=_draw.RED, label="theory, random start"
    )
    plotting.instances(
        found.times, errors, label=f"gradient descent, N = {N}", color=_draw.RED, ax=ax
    )
    # Before the plateau: later the runs' own fluctuations decide when they leave it.
    at = 2
    mean, error = errors[:, at].mean(), errors[:, at].std(ddof=1) / runs**0.5
    reference = float(theory.generalization_error(found.times[at]))
    row = Row(
        f"{NAME}/error of gradient descent at t = {float(found.times[at]):.2f}, N = {N}",
        float(mean), 4 * float(error) + 5 * reference / N, reference, 0.0,
        "overlaps' equations from the same start",
    )  # fmt: skip
    data = {"simulated": (("run", "measurement"), errors, f"error of runs at N = {N}"),
            "measured_at": ("measurement", np.asarray(found.times), "steps over dimension")}  # fmt: skip
    return data, [row]
