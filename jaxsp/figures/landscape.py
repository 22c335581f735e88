"""The landscape of the spiked matrix-tensor model: complexity of minima, and Hessians with an outlier."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture
from scipy import integrate, optimize

from .. import plotting, spiked
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "landscape"
P, DELTAP = 3, 4.0


def make(context: Context) -> Figure:
    """Complexity over overlap and energy; spectra on both sides of the gradient-flow threshold."""
    flow = float(spiked.gradient_flow_threshold(P, DELTAP))
    trivial = float(spiked.trivialization_threshold(P, DELTAP))
    noises = {
        "above all lines": 1.1,
        "gradient flow": flow,
        "between": 0.5 * (flow + trivial),
        "trivialisation": trivial,
    }
    overlaps = jnp.linspace(-0.3, 0.95, 126 if context.quick else 501)
    curves = _complexities(jnp.array(list(noises.values())), overlaps)

    picture = Picture(figsize=(13.5, 4.4), layout="constrained")
    grid = picture.add_gridspec(1, 3)
    left, middle, right = (picture.add_subfigure(grid[0, column]) for column in range(3))
    ax = plotting.new_axes(
        rf"Minima, $p = 3$, $\Delta_3 = {DELTAP:g}$", "overlap $m$", r"complexity $\Sigma(m)$",
        figure=left,
    )  # fmt: skip
    colors = (_draw.GREY, _draw.ORANGE, _draw.BLUE, _draw.PURPLE)
    styles = (":", "-", "--", "-.")
    for curve, (label, noise), color, style in zip(
        curves, noises.items(), colors, styles, strict=True
    ):
        ax.plot(
            overlaps,
            curve,
            color=color,
            linestyle=style,
            label=rf"$\Delta_2 = {noise:.3f}$, {label}",
        )
    ax.axhline(0, color=_draw.GREY, linewidth=0.8)
    ax.set(xlim=(-0.3, 0.95), ylim=(-0.002, 0.0009))
    ax.legend(frameon=False, fontsize=8, loc="upper right")

    mixed = 2.0
    side = 40 if context.quick else 120
    m = jnp.linspace(-0.4, 0.6, side)
    bottom = float(spiked.uninformed_energy(spiked.MatrixTensor(P, mixed, 1.0).covariance))
    e = jnp.linspace(1.02 * bottom, 0.95 * bottom, side)
    at = jax.vmap(
        jax.vmap(
            lambda e, m: spiked.complexity(spiked.MatrixTensor(P, mixed, 1.0), m, energy=e),
            (None, 0),
        ),
        (0, None),
    )
    surface = np.array(jax.jit(at)(e, m))
    surface[surface < -0.02] = np.nan
    ax = plotting.new_axes(
        rf"Minima, $\Delta_2 = {mixed:g}$, $\Delta_3 = 1$", "overlap $m$", "energy per spin",
        figure=middle,
    )  # fmt: skip
    plotting.contour_map(m, e, surface, levels=[-0.01, 0.0, 0.005], label=r"$\Sigma(m, e)$", ax=ax)

    size = 200 if context.quick else 600
    ax = plotting.new_axes(
        f"Hessian of threshold states, $N = {size}$", "eigenvalue", "density", figure=right
    )
    spectra, outlier_rows = {}, []
    cases = ((1.3 * flow, _draw.GREY), (0.35 * flow, _draw.BLUE))
    for noise, color in context.progress(cases, "Hessian of an instance"):
        model = spiked.MatrixTensor(P, noise, DELTAP)
        spectra[noise], spectrum = _threshold_spectrum(model, size, context.seed)
        ax.hist(spectra[noise][0], bins=40, density=True, color=color, alpha=0.35)
        _semicircle(ax, spectrum, color, rf"$\Delta_2 = {noise:.2f}$")
        outlier_rows += _outlier_rows(noise, spectra[noise], spectrum)
        if float(spectrum.alignment) > 0:
            ax.plot(float(spectrum.outlier), 0.003, "^", color=color, label="outlier, theory",
                    markersize=8, clip_on=False)  # fmt: skip
    ax.axvline(0, color=_draw.GREY, linewidth=0.8)
    ax.legend(frameon=False, fontsize=8)

    data = _draw.dataset(
        {
            "delta2": ("delta2", list(noises.values()), "noise of the matrix"),
            "overlap": ("overlap", overlaps, "overlap with the signal"),
            "map_overlap": ("map_overlap", m, "overlap of the map"),
            "map_energy": ("map_energy", e, "energy per spin of the map"),
            "hessian_delta2": ("hessian_delta2", list(spectra), "noise of the Hessian's instance"),
        },
        {
            "complexity": (("delta2", "overlap"), curves, "complexity of minima"),
            "complexity_map": (("map_energy", "map_overlap"), surface, "complexity of minima"),
            "eigenvalues": (
                ("hessian_delta2", "eigenvalue"),
                np.stack([values for values, _ in spectra.values()]),
                "eigenvalues of the Hessian on the sphere",
            ),
        },
    )
    return Figure(picture, data, _rows(flow, trivial) + outlier_rows)


def _complexities(noises, overlaps):
    def at(noise, m):
        return spiked.complexity(spiked.MatrixTensor(P, noise, DELTAP), m)

    return jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))(noises, overlaps)


def _threshold_spectrum(model: spiked.MatrixTensor, size: int, seed: int):
    """Hessian of an instance at a random point without overlap, shifted to where threshold states are.

    Away from critical points mu is another, but the rest of the Hessian has the same law.
    """
    first, second = jax.random.split(jax.random.key(seed))
    data = spiked.sample_instance(model, size=size, key=first)
    x = jax.random.normal(second, (size,), data.signal.dtype)
    x = spiked.on_sphere(x - data.signal * (x @ data.signal) / size)
    energy = spiked.energies(model, data, x) / size
    multiplier = -(2 * energy[0] + P * energy[1])
    at_edge = 2 * jnp.sqrt(model.covariance.derivative(jnp.ones(()), order=2))
    hessian = jax.jit(spiked.hessian)(model, data, x)
    values, vectors = np.linalg.eigh(np.asarray(hessian))
    direction = np.asarray(x) / np.sqrt(size)
    radial = np.argmax((vectors.T @ direction) ** 2)
    values = np.delete(values, radial) + float(at_edge - multiplier)
    signal = np.delete((vectors.T @ np.asarray(data.signal)) ** 2 / size, radial)
    return (values, signal), spiked.hessian_spectrum(model, 0.0, at_edge)


def _semicircle(ax, spectrum: spiked.Spectrum, color: str, label: str) -> None:
    low, high = float(spectrum.lower), float(spectrum.upper)
    x = np.linspace(low, high, 200)
    density = 8 * np.sqrt(np.maximum((x - low) * (high - x), 0)) / (np.pi * (high - low) ** 2)
    ax.plot(x, density, color=color, label=label)


def _outlier_rows(noise: float, measured, spectrum: spiked.Spectrum) -> list[Row]:
    values, signal = measured
    size = values.size + 1
    unit = float(spectrum.upper - spectrum.lower) / 4
    source = f"Hessian of an instance, N = {size}"
    name = f"{NAME}/Delta_2 = {noise:.3f}"
    checked = [
        Row(f"{name}, lowest eigenvalue", float(spectrum.outlier), 1e-10, float(values[0]),
            4 * unit * size**-0.5, source + ", four fluctuations"),
        Row(f"{name}, upper edge", float(spectrum.upper), 1e-10, float(values[-1]),
            4 * unit * size ** (-2 / 3), source + ", four fluctuations"),
    ]  # fmt: skip
    if float(spectrum.alignment) > 0:
        checked.append(
            Row(f"{name}, alignment of the outlier", float(spectrum.alignment), 1e-10,
                float(signal[0]), 4 * size**-0.5, source + ", four fluctuations")
        )  # fmt: skip
    return checked


def _rows(flow: float, trivial: float) -> list[Row]:
    glass, Q = spiked.glass_constants(3), spiked.pure_p_spin(3)
    model = spiked.MatrixTensor(P, 0.6, DELTAP)
    likely = spiked.maximum_likelihood(model)
    at_flow = spiked.critical_points(spiked.MatrixTensor(P, flow, DELTAP), 0.0)
    literature = "Auffinger, Ben Arous and Cerny 2013 (arXiv 1003.1129)"
    return [
        Row(f"{NAME}/ground-state energy, pure p = 3",
            -float(glass.ground_state_energy) * 2**0.5, 1e-9, 1.6570, 5e-5, literature),
        Row(f"{NAME}/complexity at the ground state, pure p = 3",
            float(spiked.complexity(Q, energy=glass.ground_state_energy)), 1e-9, 0.0, 0.0, literature),
        Row(f"{NAME}/complexity of all critical points, pure p = 3",
            float(spiked.complexity(Q, kind="all")), 1e-12, float(np.log(2) / 2), 0.0, literature),
        Row(f"{NAME}/complexity at the maximum-likelihood overlap",
            float(spiked.complexity(model, likely.overlap)), 1e-11, 0.0, 0.0,
            "one minimum at the signal (arXiv 1902.00139)"),
        Row(f"{NAME}/complexity at m = 0, trivialisation",
            float(spiked.complexity(spiked.MatrixTensor(P, trivial, DELTAP), 0.0)), 1e-11, 0.0, 0.0,
            "definition of the line"),
        Row(f"{NAME}/theta at m = 0, gradient-flow threshold", float(at_flow.theta), 1e-12, 1.0, 0.0,
            "Baik, Ben Arous and Peche 2005"),
        Row(f"{NAME}/complexity at m = 0.2, Delta_2 = 0.7",
            float(spiked.complexity(spiked.MatrixTensor(P, 0.7, DELTAP), 0.2)), 1e-12,
            _scipy_complexity(0.7, 0.2), 1e-8, "scipy: integrals and maximum over t"),
    ]  # fmt: skip


def _scipy_complexity(delta2: float, m: float) -> float:
    """The formula of arXiv 1902.00139 with its integrals and its maximum over t done numerically."""
    a, b = 1 / delta2, 1 / DELTAP
    slope, curvature = a + b, a + 2 * b
    drift, theta = a * m + b * m**2, (a + 2 * b * m) * (1 - m**2) / np.sqrt(curvature)
    outlier = theta + 1 / theta

    def negative(t):
        density = integrate.quad(
            lambda x: np.sqrt(4 - x * x) / (2 * np.pi) * np.log(t - x), -2, 2, limit=200
        )[0]
        cost = 0.0
        if theta > 1 and t < outlier:
            area = integrate.quad(lambda y: np.sqrt(y * y - 4), outlier, t)[0]
            cost = area / 4 - theta / 2 * (t - outlier) + (t**2 - outlier**2) / 8
        miss = (t * np.sqrt(curvature) - m * drift) ** 2 / (2 * (slope + curvature))
        return miss - density - 0.5 + cost

    best = optimize.minimize_scalar(negative, bounds=(2.0, 4.0), method="bounded",
                                    options={"xatol": 1e-10})  # fmt: skip
    low = min(float(best.fun), float(negative(2.0)))
    base = 0.5 * np.log(curvature / slope) + 0.5 * np.log(1 - m**2)
    return float(base - drift**2 * (1 - m**2) / (2 * slope) - low)
