"""The two-dimensional Ising model: exact curves, the rounding on finite tori, Monte Carlo on top."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import ising, plotting
from . import _draw, _reference
from ._registry import Context, Figure
from ._report import Row

NAME = "ising-2d"
_RANGE, _CHECKED = (1.5, 3.5), 2.0
_COLORS = (_draw.ORANGE, _draw.BLUE)
_MARKERS = ("s", "o")
_LABELS = {
    "energy": "energy per spin",
    "heat_capacity": "heat capacity per spin",
    "magnetization": "magnetisation per spin",
}


def make(context: Context) -> Figure:
    """Energy, heat capacity and magnetisation against temperature."""
    infinite = ising.Ising2D()
    critical = float(ising.critical_temperature(infinite))
    temperatures = np.linspace(*_RANGE, 101 if context.quick else 401)
    # The logarithm is drawn up to a millionth from where it diverges.
    near = critical * (1 + np.outer([-1, 1], np.logspace(-6, -2, 20)).ravel())
    temperatures = np.sort(np.concatenate([temperatures, near]))
    measured_at = np.array([1.6, 2.0, 2.15, 2.3, 2.45, 2.8, 3.1, 3.4])
    if not context.quick:
        measured_at = np.sort(np.append(measured_at, [1.8, 2.25, 2.35, 2.6]))

    sizes, sweeps = ((8, 16), 900) if context.quick else ((16, 32), 4000)
    tori = [ising.Ising2D(size=(length, length)) for length in sizes]
    runs = [
        ising.simulate(
            torus, jnp.asarray(measured_at), key=jax.random.key(context.seed), sweeps=sweeps,
            burn_in=sweeps // 2,
        )
        for torus in context.progress(tori, "Monte Carlo")
    ]  # fmt: skip

    exact = _exact(infinite, temperatures)
    magnetization = jax.vmap(lambda t: ising.spontaneous_magnetization(infinite, t))
    exact["magnetization"] = magnetization(temperatures)
    # Both kinds of temperatures at once: compiling takes most of the time.
    everywhere = [_exact(torus, np.append(temperatures, measured_at)) for torus in tori]
    on_tori, at_measured = (
        [{name: values[part] for name, values in curves.items()} for curves in everywhere]
        for part in (slice(temperatures.size), slice(temperatures.size, None))
    )
    picture = _picture(temperatures, critical, exact, on_tori, sizes, measured_at, runs)
    variables: dict[str, tuple] = {
        name: ("temperature", values, f"{_LABELS[name]}, infinite lattice")
        for name, values in exact.items()
    }
    for name in ("energy", "heat_capacity"):
        curves = [values[name] for values in on_tori]
        variables[f"torus_{name}"] = (
            ("size", "temperature"), curves, f"{_LABELS[name]}, finite torus",
        )  # fmt: skip
    for name, part in itertools.product(_LABELS, ("mean", "error")):
        found = [getattr(getattr(run, name), part) for run in runs]
        meaning = "Monte Carlo" if part == "mean" else "standard error of Monte Carlo"
        variables[f"measured_{name}_{part}"] = (
            ("size", "temperature_measured"), found, f"{_LABELS[name]}, {meaning}",
        )  # fmt: skip
    variables["critical_temperature"] = ((), critical, "critical temperature over the coupling")
    data = _draw.dataset(
        {
            "temperature": ("temperature", temperatures, "temperature over the coupling"),
            "temperature_measured": (
                "temperature_measured", measured_at, "temperature of the simulations",
            ),
            "size": ("size", list(sizes), "sites in a row of the torus"),
        },
        variables,
    )  # fmt: skip
    rows = [
        *_exact_rows(infinite, critical),
        *_monte_carlo_rows(measured_at, runs[-1], at_measured[-1]),
    ]
    return Figure(picture, data, rows)


@jax.jit
def _exact(model: ising.Ising2D, temperatures) -> dict[str, jax.Array]:
    """Energy and heat capacity at many temperatures."""
    functions = {"energy": ising.energy, "heat_capacity": ising.heat_capacity}
    return {
        name: jax.vmap(lambda t, f=f: f(model, t))(temperatures) for name, f in functions.items()
    }


def _picture(temperatures, critical, exact, on_tori, sizes, measured_at, runs) -> Picture:
    picture = Picture(figsize=(11.5, 4.0), layout="constrained")
    panels = picture.subplots(1, 3)
    for ax, (name, label) in zip(panels, _LABELS.items(), strict=True):
        ax.plot(temperatures, exact[name], color=_draw.GREY, label="infinite lattice, exact")
        for torus, size, run, color, marker in zip(
            on_tori, sizes, runs, _COLORS, _MARKERS, strict=True
        ):
            if name in torus:
                ax.plot(
                    temperatures, torus[name], color=color, linestyle="--",
                    label=f"torus {size} x {size}, exact",
                )  # fmt: skip
            found = getattr(run, name)
            plotting.measurements(
                measured_at, found.mean, found.error, color=color, marker=marker, ax=ax,
                label=f"torus {size} x {size}, Monte Carlo",
            )  # fmt: skip
        plotting.threshold(critical, r"$T_c$", ax=ax)
        ax.set(xlabel="temperature $T/J$", ylabel=label, xlim=_RANGE)
        ax.spines[["top", "right"]].set_visible(False)
    panels[1].set_ylim(0, 3)
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=6)
    picture.suptitle("Two-dimensional Ising model")
    return picture


def _exact_rows(model: ising.Ising2D, critical: float) -> list[Row]:
    at = _CHECKED
    energy, capacity = _reference.onsager(at)
    small = ising.Ising2D(1.0, 0.6, (4, 4))
    catalan = 0.915965594177219015
    free = -critical * (np.log(2) / 2 + 2 * catalan / np.pi)
    checks = (
        ("critical temperature", critical, 1e-14, 2 / np.log(1 + np.sqrt(2)),
         "Kramers and Wannier 1941"),
        ("energy at the critical temperature", ising.energy(model, critical), 1e-13, -np.sqrt(2),
         "Onsager 1944"),
        ("free energy at the critical temperature", ising.free_energy(model, critical), 1e-13, free,
         "Onsager 1944, Catalan's constant"),
        (f"energy at T = {at:g}", ising.energy(model, at), 1e-12, energy,
         "Onsager 1944, scipy's elliptic integrals"),
        (f"heat capacity at T = {at:g}", ising.heat_capacity(model, at), 1e-12, capacity,
         "Onsager 1944, scipy's elliptic integrals"),
        (f"magnetisation at T = {at:g}", ising.spontaneous_magnetization(model, at), 1e-13,
         (1 - np.sinh(2 / at) ** -4) ** 0.125, "Yang 1952"),
        (f"log-partition function of a 4 x 4 torus at T = {at:g}",
         ising.log_partition(small, 1 / at), 1e-13,
         _reference.ising_log_partition(1.0, 0.6, 4, at), "numpy: sum over all 65536 states"),
    )  # fmt: skip
    return [
        Row(f"{NAME}/{what}", float(value), uncertainty, float(reference), 0.0, source)
        for what, value, uncertainty, reference, source in checks
    ]


def _monte_carlo_rows(measured_at, run: ising.Measurement, exact: dict) -> list[Row]:
    rows = []
    for temperature in (2.0, 2.3, 2.8):
        place = int(np.flatnonzero(measured_at == temperature)[0])
        for name, expected in exact.items():
            found = getattr(run, name)
            rows.append(Row(f"{NAME}/Monte Carlo, {_LABELS[name]} at T = {temperature:g}",
                            float(found.mean[place]), 5 * float(found.error[place]),
                            float(expected[place]), 1e-12,
                            "Kaufman's torus; five standard errors over chains"))  # fmt: skip
    return rows
