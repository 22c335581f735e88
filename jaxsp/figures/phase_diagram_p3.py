"""Phase diagram of the spiked matrix-tensor model: all algorithms' lines over the two noises."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from scipy import optimize

from .. import plotting, spiked
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "phase-diagram-p3"
# Field of the thresholds, label, colour, line style.
LINES = (
    ("trivialization", "trivialisation of the landscape", "purple", (0, (1, 1))),
    ("gradient_flow", "gradient flow", "orange", "-"),
    ("langevin", "Langevin, T = 1", "green", "-."),
    ("ml_amp", "maximum-likelihood AMP", "sky", "--"),
    ("amp", "Bayes-optimal AMP", "red", "-"),
    ("information_theoretic", "information-theoretic", "blue", "-"),
)
RANGES = {3: (0.26, 4.0), 4: (0.15, 4.0)}


def make(context: Context) -> Figure:
    """Lines over the noise of the tensor and the inverse noise of the matrix, for p = 3 and 4."""
    points = 80 if context.quick else 400
    deltaps = {p: jnp.geomspace(*RANGES[p], points) for p in RANGES}
    lines = {}
    for p in context.progress(list(RANGES), "lines of the phase diagram"):
        lines[p] = jax.jit(jax.vmap(lambda d, p=p: spiked.thresholds(p, d)))(deltaps[p])

    picture = Picture(figsize=(10.5, 4.6), layout="constrained")
    grid = picture.add_gridspec(1, 2)
    panels = [picture.add_subfigure(grid[0, column]) for column in range(2)]
    for p, panel in zip(RANGES, panels, strict=True):
        title = f"Spiked matrix + tensor of order {p}"
        ax = plotting.new_axes(title, rf"$\Delta_{p}$", r"$1/\Delta_2$", figure=panel)
        _panel(ax, np.asarray(deltaps[p]), lines[p], RANGES[p])
    handles, labels = picture.axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, frameon=False, ncols=3, loc="outside lower center", fontsize=9)

    coordinates = {f"deltap_{p}": (f"deltap_{p}", deltaps[p], "tensor noise") for p in RANGES}
    variables = {
        f"{name}_{p}": (f"deltap_{p}", getattr(lines[p], name), f"delta2 of the line: {label}")
        for p in RANGES
        for name, label, _, _ in LINES
    }
    return Figure(picture, _draw.dataset(coordinates, variables), rows())


def _panel(ax: Axes, deltap: np.ndarray, found: spiked.Thresholds, limits) -> None:
    inverse = {name: 1 / np.asarray(getattr(found, name)) for name, *_ in LINES}
    ax.fill_between(
        deltap, inverse["gradient_flow"], inverse["trivialization"], facecolor=_draw.ORANGE,
        alpha=0.22, hatch="//", edgecolor="#00000044", linewidth=0,
        label="flow succeeds among spurious minima",
    )  # fmt: skip
    for name, label, color, style in LINES:
        ax.plot(deltap, inverse[name], color=plotting.COLORS[color], linestyle=style, label=label)
    ax.set(xscale="log", xlim=limits, ylim=(0.4, 4.0))
    ticks = [0.3, 0.5, 1.0, 2.0, 4.0]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def rows() -> list[Row]:
    """Every line at one place against scipy's roots of its defining conditions, or a closed form."""
    p, d = 3, 0.5
    found = spiked.thresholds(p, d)
    source = "scipy: roots of the defining conditions (arXiv 1812.09066, 1902.00139)"

    def langevin(v):
        chi, delta2 = v
        return [(1 / delta2 + 2 * (1 - chi) / d) * chi**2 - 1, chi / delta2 - 1]

    def equal(v):
        m, a = v
        return [np.log1p(-m) + m + a * m**2 / 2 + m**3 / (3 * d), a * m + m**2 / d - m / (1 - m)]

    def exponent(delta2):
        a, b = 1 / delta2, 1 / d
        slope, curvature = a + b, a + 2 * b
        theta = a / np.sqrt(curvature)
        cost = 0.5 * (np.log(theta) + 0.5 * (2 - theta) ** 2 - 0.5)
        return 0.5 * np.log(curvature / slope) - 2 * curvature / (slope + curvature) + 1 - cost

    flow = 2 / (1 + np.sqrt(1 + 8 / d))
    exact = {
        "information_theoretic": 1
        / np.asarray(optimize.fsolve(equal, [0.45, 0.85], xtol=1e-13))[1],
        "amp": 1.0,
        "ml_amp": optimize.brentq(lambda x: 1 / x**2 - 1 / x - 1 / d, 0.1, 1.0, xtol=1e-14),
        "langevin": np.asarray(optimize.fsolve(langevin, [0.52, 0.48], xtol=1e-13))[1],
        "gradient_flow": optimize.brentq(lambda x: 1 / x**2 - 1 / x - 2 / d, 0.1, 1.0, xtol=1e-14),
        "trivialization": optimize.brentq(exponent, 0.5 * flow, 0.999 * flow, xtol=1e-14),
    }
    checked = [
        Row(f"{NAME}/{label}, Delta_3 = {d}", float(getattr(found, name)), 1e-10,
            float(exact[name]), 1e-10, source)
        for name, label, *_ in LINES
    ]  # fmt: skip
    critical = spiked.critical_point(4)
    spinodal = spiked.spinodals(3, 0.64)
    checked += [
        Row(f"{NAME}/Langevin, T = 1, Delta_3 = 0.8", float(spiked.langevin_threshold(3, 0.8)), 1e-12,
            float(np.sqrt(0.4)), 0.0, "closed form, arXiv 1812.09066"),
        Row(f"{NAME}/informed spinodal, Delta_3 = 0.64", float(spinodal.informed), 1e-12,
            0.64 / (2 * 0.8 - 1), 0.0, "closed form, arXiv 1812.09066"),
        Row(f"{NAME}/end of the first-order line, p = 4", float(critical.deltap), 1e-14,
            8 / 27, 0.0, "extremum of 2 m (1 - m)^2"),
    ]  # fmt: skip
    return checked
