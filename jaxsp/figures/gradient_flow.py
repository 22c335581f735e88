"""Gradient flow: the overlap in time, and its transition found from rates of escape."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import dmft, spiked
from ..numerics import raise_unless_successful
from . import _draw, _dynamics
from ._registry import Context, Figure
from ._report import Row

NAME = "gradient-flow"
_DELTA2S, _MEASURED = (0.3, 0.5, 0.9), (0.3, 0.5)
_T_MAX, _MEASURED_TO, _CHECKED = 16.0, 4.0, 2.0
# The transition is approached from these distances, theta = Q''(0) / sqrt(Q''(1)) = 1 being its place.
_THETAS = (1.25, 1.35, 1.45, 1.6, 1.8)
_DELTAPS = (0.5, 1.0, 2.0, 4.0)
# Fits start at these parts of the time that is reached.
_SINCE = (0.15, 0.3, 0.5)
# Of the polynomials by which rates are extrapolated to zero.
_DEGREES = (2, 3)


def make(context: Context) -> Figure:
    """Overlaps against time, and the transition over the two noises."""
    steps, levels = (72, 3) if context.quick else (160, 4)
    solution = _dynamics.curves(_DELTA2S, 0.0, _T_MAX, steps, levels)
    found = _dynamics.trajectories(_MEASURED, 0.0, _MEASURED_TO, context)
    models = [spiked.MatrixTensor(_dynamics.P, d, _dynamics.DELTAP) for d in _DELTA2S]
    plateaus = [float(spiked.maximum_likelihood(model).overlap) for model in models]
    inverse, rates, exact = _rates(context)
    crossings, spread = _transitions(inverse, rates)

    picture = Picture(figsize=(13.0, 4.2), layout="constrained")
    left, middle, right = picture.subplots(1, 3)
    _dynamics.draw(left, _DELTA2S, solution, plateaus, found)
    left.plot([], [], color=_draw.GREY, linewidth=0.8, linestyle=":", label="maximum likelihood")
    left.set_title(r"$\Delta_3 = 4$", fontsize=10)
    _draw_rates(middle, inverse, rates, exact, crossings)
    _draw_diagram(right, crossings, spread)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8)
    picture.suptitle("Gradient flow of the spiked matrix-tensor model, $p = 2 + 3$")
    extra = (
        {"deltap": ("deltap", list(_DELTAPS), "noise of the tensor"),
         "theta": ("theta", list(_THETAS), "distance to the transition, at 1")},
        {"inverse_delta2": (("deltap", "theta"), inverse, "inverse noise of the matrix"),
         "rate": (("deltap", "theta"), rates[0], "extrapolated rate of escape"),
         "exact_rate": (("deltap", "theta"), exact, "rate of escape in closed form"),
         "transition": ("deltap", crossings, "inverse noise of the matrix where the rate vanishes"),
         "transition_error": ("deltap", spread, "its uncertainty")},
    )  # fmt: skip
    data = _dynamics.dataset(_DELTA2S, solution, plateaus, found, extra)
    return Figure(picture, data, _rows(solution, plateaus, found, crossings, spread, rates, exact))


def _rates(context: Context) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse noises, rates fitted from several times on, and rates in closed form."""
    # In units of the landscape's own time.
    span, steps, levels = (24.0, 80, 2) if context.quick else (45.0, 180, 3)
    grid = dmft.UniformGrid(steps=steps, levels=levels)

    def one(place):
        deltap, theta = place
        inverse = (theta**2 + jnp.sqrt(theta**4 + 8 * theta**2 / deltap)) / 2
        model = spiked.MatrixTensor(_dynamics.P, 1 / inverse, deltap)
        problem = dmft.SphericalDynamics(model)
        t_max = span / jnp.sqrt(inverse + 2 / deltap)
        response = dmft.linear_response(problem, t_max, solver=grid, throw=False)
        fitted = jnp.stack([response.limiting_rate(part * t_max) for part in _SINCE])
        return inverse, fitted, dmft.asymptotic_growth_rate(problem), response.solution.result

    places = [x.ravel() for x in jnp.meshgrid(*map(jnp.array, (_DELTAPS, _THETAS)), indexing="ij")]
    # One after the other: the tables of one fill the caches.
    *found, result = jax.jit(lambda places: jax.lax.map(one, places))(tuple(places))
    raise_unless_successful(result, "dmft.linear_response")
    shape = (len(_DELTAPS), len(_THETAS))
    inverse, fitted, exact = map(np.asarray, found)
    return inverse.reshape(shape), fitted.T.reshape(-1, *shape), exact.reshape(shape)


def _transitions(inverse: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the rates vanish, and by how much other times and polynomials move it."""
    places = np.array(
        [[[float(dmft.extrapolated_transition(x, r, degree=degree))
           for x, r in zip(inverse, fit, strict=True)] for fit in rates]
         for degree in _DEGREES]
    )  # fmt: skip
    return places[0, 0], np.ptp(places, axis=(0, 1))


def _draw_rates(ax, inverse, rates, exact, crossings) -> None:
    for index, deltap in enumerate(_DELTAPS):
        color = _dynamics.COLORS[index]
        label = rf"$\Delta_3 = {deltap:g}$"
        ax.plot(
            inverse[index], np.sqrt(rates[0][index]), "o", color=color, markersize=4, label=label
        )
        theta = np.linspace(1, _THETAS[-1], 100)
        x = (theta**2 + np.sqrt(theta**4 + 8 * theta**2 / deltap)) / 2
        root = (theta - 1) * np.sqrt(np.sqrt(x + 2 / deltap) / theta)
        ax.plot(x, root, color=color, linewidth=1)
        ax.plot(crossings[index], 0.0, "x", color=color, clip_on=False)
    ax.plot([], [], color=_draw.GREY, linewidth=1, label="closed form")
    ax.plot([], [], "x", color=_draw.GREY, label="extrapolated")
    ax.set(xlabel=r"$1/\Delta_2$", ylabel="square root of the rate of escape", ylim=(0, None))
    ax.set_title("Late growth of an infinitesimal overlap", fontsize=10)


def _draw_diagram(ax, crossings, spread) -> None:
    deltaps = np.geomspace(0.3, 6.0, 100)
    line = 1 / jax.vmap(lambda d: spiked.gradient_flow_threshold(3, d))(jnp.asarray(deltaps))
    ax.plot(deltaps, line, color=_draw.ORANGE, label="marginal minima get unstable")
    ax.errorbar(
        _DELTAPS, crossings, spread, fmt="o", color=_draw.BLUE, markersize=4, capsize=2,
        label="escape of gradient flow, extrapolated",
    )  # fmt: skip
    ax.set(xscale="log", xlabel=r"$\Delta_3$", ylabel=r"$1/\Delta_2$", ylim=(1, 3.6))
    ticks = [0.3, 0.5, 1.0, 2.0, 4.0]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_title("Transition", fontsize=10)


def _rows(solution, plateaus, found, crossings, spread, rates, exact) -> list[Row]:
    overlap = np.asarray(solution.table.overlap)
    error = float(np.max(solution.error_estimate))
    left = 3 * abs(float(overlap[0, -1] - overlap[0, 3 * overlap.shape[1] // 4])) + error
    expected = np.asarray(jax.vmap(lambda s: s.overlap(_CHECKED))(solution))
    rows = [
        Row(f"{NAME}/overlap at late times, Delta_2 = {_DELTA2S[0]:g}", float(overlap[0, -1]), left,
            plateaus[0], 1e-9, "maximum likelihood"),
    ]  # fmt: skip
    rows += [
        found.row(NAME, noise, _CHECKED, float(expected[_DELTA2S.index(noise)]), error)
        for noise in found.runs
    ]
    for index, deltap in enumerate(_DELTAPS):
        rows.append(
            Row(f"{NAME}/1/Delta_2 of the transition, Delta_3 = {deltap:g}", float(crossings[index]),
                float(spread[index]), float(1 / spiked.gradient_flow_threshold(3, deltap)), 1e-9,
                "instability of marginal minima (arXiv 1902.00139), closed form")
        )  # fmt: skip
    place = _THETAS.index(1.6)
    rows.append(
        Row(f"{NAME}/rate of escape at theta = 1.6, Delta_3 = 0.5", float(rates[0][0, place]),
            0.06 * float(exact[0, place]), float(exact[0, place]), 1e-9,
            "isolated eigenvalue beyond the edge, closed form; six percent for the extrapolation")
    )  # fmt: skip
    return rows
