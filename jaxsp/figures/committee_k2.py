"""The committee machine of two hidden units: specialisation, the hard phase, and linear classifiers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from scipy.interpolate import CubicSpline

from .. import channels, committee, erm, plotting, priors
from ..committee.curve import unspecialized_state
from ..committee.fields import full_potential, unspecialized_potential
from ..committee.model import prepare
from ..committee.outputs import symmetric
from ..committee.weights import full_weights
from . import _draw, _experiment
from ._registry import Context, Figure
from ._report import Row

NAME = "committee-k2"
PRIORS = {"Gaussian": priors.Gaussian(), "binary": priors.Rademacher()}
LIMITS = {"Gaussian": 5.0, "binary": 2.6}
# On both sides of the transition; the rest only if there is time.
MEASURED = {"Gaussian": [1.5, 4.0, 1.0, 3.0], "binary": [1.3, 2.3, 0.8, 1.75]}
# The label is (sign h_1 + sign h_2) / 2: its linear part in the normalised sum of the fields has the
# slope 1 / sqrt(pi), and the rest of its variance, in units of that slope squared, is noise.
_NOISE = np.pi / 2 - 1
# Logarithms of r_s along the unspecialised fixed points.
_SNRS = np.linspace(-12.0, 5.0, 681)


def make(context: Context) -> Figure:
    """Generalisation errors and overlaps against alpha, for Gaussian and for binary weights."""
    picture = Picture(figsize=(10.5, 8), layout="constrained")
    grid = picture.add_gridspec(2, 2)
    coordinates, variables, rows = {}, {}, []
    calibrated = _calibrated_error()
    for column, (name, prior) in enumerate(PRIORS.items()):
        model = committee.CommitteeMachine(hidden_units=2, prior=prior)
        found = committee.thresholds(model)
        at = MEASURED[name][: 2 if context.quick else 4]
        plain = _plain(model)
        curves = _curves(model, found, name, at, plain, calibrated, context)
        measured = _instances(model, at, calibrated, context)
        upper, lower = (
            plotting.new_axes(
                title, r"$\alpha = n/p$", ylabel, figure=picture.add_subfigure(grid[row, column])
            )
            for row, (title, ylabel) in enumerate(
                [(f"{name} weights, two hidden units", "mean squared error of the label"),
                 ("", "overlap with the teacher")]
            )
        )  # fmt: skip
        _draw_errors(upper, name, found, at, curves, measured)
        _draw_overlaps(lower, name, found, at, curves, measured)
        tag = name.lower()
        coordinates |= {
            f"alpha_{tag}": (f"alpha_{tag}", curves["alpha"], "samples per input"),
            f"measured_{tag}": (f"measured_{tag}", at, "the same, of instances"),
        }
        variables |= {
            f"{key}_{tag}": (f"alpha_{tag}", values, meaning)
            for key, values, meaning in (
                ("q_d", curves["q_d"], "overlap q_d that AMP reaches"),
                ("q_a", curves["q_a"], "overlap q_a that AMP reaches"),
                ("error", curves["error"], "least squared error that AMP reaches"),
                ("plain_error", curves["plain"], "that of the unspecialised fixed point"),
                ("linear_error", curves["linear"], "that of ridge regression, calibrated"),
            )
        }
        variables |= {
            f"amp_{key}_{tag}": (("instance", f"measured_{tag}"), values, f"{key} of instances")
            for key, values in measured.items()
        }
        rows += [
            *_threshold_rows(name, model, found, plain),
            *_instance_rows(name, at, curves["measured"], measured, _inputs(context)),
        ]
    return Figure(picture, _draw.dataset(coordinates, variables), rows)


def _plain(model: committee.CommitteeMachine) -> dict[str, np.ndarray]:
    """Unspecialised fixed points as far as alpha rises with the signal-to-noise ratio."""
    model, _, order = prepare(model)

    def at(x):
        state, _ = unspecialized_state(model, jnp.exp(x), order)
        alpha = jnp.exp(x) / state.fields.information[1]
        return alpha, state.fields.potential, state.fields.squared_error

    columns = map(np.asarray, jax.jit(jax.vmap(at))(jnp.asarray(_SNRS)))
    found = dict(zip(("alpha", "potential", "error"), columns, strict=True)) | {"x": _SNRS}
    rises = np.diff(found["alpha"])
    falling = np.flatnonzero(~((rises > 0) & np.isfinite(rises)))
    end = falling[0] + 1 if falling.size else _SNRS.size
    return {key: values[:end] for key, values in found.items()}


def _calibrated_error() -> CubicSpline:
    """The squared error of the best guess from an estimate of the normalised sum of the units.

    A function of its squared correlation with the sum, whatever the weights' law.
    """
    machine, _, order = prepare(committee.CommitteeMachine(2, priors.Gaussian()))

    def error(q):
        V = jnp.stack([jnp.ones_like(q), 1 - q])
        return unspecialized_potential(machine, q, V, order).potential.squared_error

    overlaps = np.linspace(0.0, 0.99, 100)
    return CubicSpline(overlaps, jax.jit(jax.vmap(error))(jnp.asarray(overlaps)))


def linear_overlap(alpha: np.ndarray | float) -> np.ndarray:
    """Squared correlation of the best ridge regression with the normalised sum of the units.

    It is the Bayes optimum of a linear Gaussian channel: q = r / (1 + r) with
    r = alpha / (noise + 1 - q), a quadratic equation for q.
    """
    b = _NOISE + 1 + alpha
    return np.asarray((b - np.sqrt(b * b - 4 * alpha)) / 2)


def _curves(model, found, name: str, measured_at, plain, calibrated, context: Context) -> dict:
    count = 20 if context.quick else 120
    onset, top = float(found.specialization), float(found.algorithmic)
    # Points crowd above the onset, and below the spinodal, where the branch ends like a square root.
    near = np.linspace(0, 1, count // 2) ** 2
    above = LIMITS[name] if bool(found.continuous) else top * (1 - 1e-6)
    inner = onset + (above - onset) * (near if bool(found.continuous) else 1 - near[::-1] ** 2)
    alpha = np.unique(
        np.concatenate([np.linspace(0.02, onset * (1 - 1e-6), count // 2), inner[1:]])
    )
    # Six digits are enough for a quick picture.
    model = committee.CommitteeMachine(2, model.prior, order=8 if context.quick else None)
    # Compiled once for the curve and for the instances' alphas.
    together = jnp.asarray(np.concatenate([alpha, measured_at]))
    found = jax.vmap(lambda a: committee.state_evolution(model, a, "broken", throw=False))(together)
    se, at_measured = (
        {
            key: np.asarray(getattr(found, key))[part]
            for key in ("q_d", "q_a", "generalization_error")
        }
        for part in (slice(alpha.size), slice(alpha.size, None))
    )
    linear = calibrated(linear_overlap(np.asarray(together)))
    at_measured["linear"] = linear[alpha.size :]
    return {
        "alpha": alpha,
        "q_d": se["q_d"],
        "q_a": se["q_a"],
        "error": se["generalization_error"],
        "plain": np.interp(alpha, plain["alpha"], plain["error"]),
        "linear": linear[: alpha.size],
        "measured": at_measured,
    }


def _inputs(context: Context) -> int:
    # Of fewer than some 800 a part of the instances does not specialise, however many iterations.
    return 800 if context.quick else 4000


def _instances(model, alphas, calibrated, context: Context) -> dict[str, np.ndarray]:
    """AMP and ridge regression on the same instances: arrays `(repeats, alphas)`."""
    from sklearn.linear_model import Ridge

    inputs, repeats = _inputs(context), 4 if context.quick else 5

    # Without noise AMP overshoots on finite instances once few weights are wrong.
    damping = 0.0 if model.prior.dimension() else 0.2

    def run(key, samples):
        instance, start = jax.random.split(key)
        data = committee.sample_instance(
            model, inputs=inputs, samples=samples, key=instance, dtype=jnp.float32
        )
        found = committee.amp(
            model, data.X, data.y, key=start, max_steps=80 if context.quick else 200,
            damping=damping, teacher=data.weights, throw=False,
        )  # fmt: skip
        assert found.overlap_trajectory is not None
        return found.overlap_trajectory[-1], found, data

    run = jax.jit(run, static_argnums=1)
    keys = jax.random.split(jax.random.key(context.seed), (len(alphas), repeats))
    names = ("q_d", "q_a", "error", "ridge_overlap", "ridge_error")
    values = {name: np.zeros((repeats, len(alphas))) for name in names}
    machine = prepare(model)[0]
    fresh = 5_000 if context.quick else 20_000
    for column in context.progress(range(len(alphas)), "AMP and ridge regression on instances"):
        for row in range(repeats):
            q, found, data = run(keys[column, row], round(alphas[column] * inputs))
            off = float(q[0, 1] + q[1, 0]) / 2
            values["q_d"][row, column] = float(jnp.trace(q)) / 2 - off
            values["q_a"][row, column] = 2 * off
            values["error"][row, column] = _new_outputs(
                machine, found.mean, found.covariance, data.weights, keys[column, row], fresh
            )
            fit = Ridge(alpha=_NOISE, fit_intercept=False)
            w = fit.fit(np.asarray(data.X), np.asarray(data.y) * np.sqrt(np.pi)).coef_
            total = np.asarray(data.weights).sum(axis=1)
            squared = (w @ total) ** 2 / (w @ w * (total @ total))
            values["ridge_overlap"][row, column] = squared
            values["ridge_error"][row, column] = calibrated(squared)
    return values


@partial(jax.jit, static_argnums=5)
def _new_outputs(model, estimate, covariance, teacher, key, size: int):
    """Squared error of the predicted mean label on new inputs, by sampling their 2 + 2 fields."""
    # In double precision: at perfect recovery their covariance is singular.
    weights = jnp.concatenate([teacher, estimate], axis=1).astype(float)
    joint = weights.T @ weights / teacher.shape[0]
    root = jnp.linalg.cholesky(joint + 1e-6 * jnp.eye(4))
    fields = jax.random.normal(key, (size, 4)) @ root.T
    labels = model.output.labels(2).astype(fields.dtype)
    V = covariance.astype(float) + 1e-6 * jnp.eye(2)

    def predicted(omega):
        return jnp.sum(jnp.exp(model.output.log_partitions(omega, V)) * labels)

    y = model.output.sample(key, fields[:, :2])
    return jnp.mean((y - jax.vmap(predicted)(fields[:, 2:])) ** 2)


def _draw_errors(ax: Axes, name: str, found, at, curves, measured) -> None:
    alpha = curves["alpha"]
    ax.plot(alpha, curves["plain"], color=_draw.GREY, linestyle=":", label="unspecialised")
    if name == "binary":
        low = float(found.information_theoretic)
        optimal = alpha <= low
        ax.plot(alpha[optimal], curves["error"][optimal], color=_draw.BLUE, label="Bayes-optimal")
        ax.plot([low, LIMITS[name]], [0, 0], color=_draw.BLUE, linewidth=3, clip_on=False)
        reached = ~optimal
        ax.plot(alpha[reached], curves["error"][reached], color=_draw.BLUE, linestyle="--",
                label="reached by AMP")  # fmt: skip
    else:
        ax.plot(alpha, curves["error"], color=_draw.BLUE, label="Bayes-optimal, and AMP")
    ax.plot(
        alpha, curves["linear"], color=_draw.RED, linestyle="-.", label="linear: ridge regression"
    )
    _draw.instances(ax, at, measured["error"], "AMP on instances", _draw.BLUE)
    _draw.instances(ax, at, measured["ridge_error"], "ridge on instances", _draw.RED, marker="s")
    _mark(ax, name, found)
    ax.set(xlim=(0, LIMITS[name]), ylim=(-0.01, 0.52))
    ax.legend(frameon=False, fontsize=8)


def _draw_overlaps(ax: Axes, name: str, found, at, curves, measured) -> None:
    for key, label, color, marker in (
        ("q_d", r"$q_d$", _draw.GREEN, "o"),
        ("q_a", r"$q_a$", _draw.ORANGE, "s"),
    ):
        ax.plot(curves["alpha"], curves[key], color=color, label=label)
        _draw.instances(ax, at, measured[key], f"{label}, AMP", color, marker=marker)
    if name == "binary":
        top = float(found.algorithmic)
        ax.plot([top, LIMITS[name]], [1, 1], color=_draw.GREEN)
        ax.plot([top, LIMITS[name]], [0, 0], color=_draw.ORANGE)
    _mark(ax, name, found)
    ax.set(xlim=(0, LIMITS[name]), ylim=(-0.05, 1.05))
    ax.legend(frameon=False, fontsize=8)


def _mark(ax: Axes, name: str, found) -> None:
    if name == "binary":
        low, high = float(found.information_theoretic), float(found.algorithmic)
        _draw.hard_phase(ax, low, high)
        _draw.threshold(ax, low, "information-theoretic", _draw.GREEN)
        _draw.threshold(ax, high, "algorithmic", _draw.RED)
    _draw.threshold(ax, float(found.specialization), "specialisation", _draw.PURPLE)


def _threshold_rows(name: str, model, found, plain) -> list[Row]:
    alpha = float(found.specialization)
    rows = [
        Row(f"{NAME}/{name}: gain of a small difference of the units at the specialisation threshold",
            _full_gain(model, alpha, plain), 1e-6, 1.0, 0.0, "one, in the full K x K state evolution"),
    ]  # fmt: skip
    if name == "Gaussian":
        rows.append(Row(f"{NAME}/{name}: specialisation, literature", alpha, 1e-8, 2.04, 0.02,
                        "arXiv 1806.05451, read off a figure"))  # fmt: skip
        return rows
    first, transition = float(plain["alpha"][0]), float(found.information_theoretic)
    integral = CubicSpline(plain["alpha"], plain["potential"]).integrate(first, transition)
    rows.append(Row(f"{NAME}/{name}: integral of the potential up to the transition",
                    float(integral + first * plain["potential"][0]), 1e-7, -2 * float(np.log(2)), 0.0,
                    "minus the entropy of two binary weights"))  # fmt: skip
    rows.append(Row(f"{NAME}/{name}: algorithmic threshold, literature", float(found.algorithmic), 1e-8,
                    2.0, 0.05, "arXiv 1806.05451, read off a figure"))  # fmt: skip
    return rows


def _full_gain(model, alpha: float, plain) -> float:
    """The factor on a small difference of the units, extrapolated to none."""
    x = float(CubicSpline(plain["alpha"], plain["x"])(alpha))
    machine, _, _ = prepare(model)
    state, _ = unspecialized_state(machine, jnp.exp(jnp.asarray(x)), 14)
    start = symmetric(state.weights.overlap, 2)
    difference = jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])

    @jax.jit
    def gain(nudge):
        q = start + nudge * difference
        r = alpha * full_potential(machine, q, machine.second_moment() - q, 14).information
        return jnp.sum(full_weights(machine, r, 14).overlap * difference) / (4 * nudge)

    return float(2 * gain(1e-4) - gain(2e-4))


def _instance_rows(name: str, at, theory, measured, inputs: int) -> list[Row]:
    # Which estimated unit is which is chosen by overlap, a bias of the order of the fluctuations.
    bias = inputs**-0.5
    rows = []
    for column, alpha in enumerate(at):
        for key in ("q_d", "q_a"):
            values = measured[key][:, column]
            rows.append(Row(f"{NAME}/{name}: {key} of AMP at alpha = {alpha:g}", float(values.mean()),
                            5 * _experiment.standard_error(values) + bias,
                            float(theory[key][column]), 1e-9,
                            "state evolution; five standard errors over instances, 1 / sqrt(p)"))  # fmt: skip
    if name == "binary":
        return rows
    column = at.index(1.5)
    rows.append(Row(f"{NAME}/error of the best ridge regression at alpha = 1.5, below specialisation",
                    float(theory["linear"][column]), 0.0,
                    float(theory["generalization_error"][column]),
                    0.01 * float(theory["generalization_error"][column]),
                    "Bayes-optimal committee, to one per cent"))  # fmt: skip
    for alpha in (1.5, 4.0):
        overlap = linear_overlap(alpha)
        teacher = erm.GaussianCovariates(
            Psi=jnp.eye(2), Phi=jnp.eye(2), Omega=jnp.eye(2), teacher=jnp.ones(2),
            channel=channels.Linear(noise_variance=float(_NOISE)),
        )  # fmt: skip
        fit = erm.asymptotics(teacher, erm.Square(), float(_NOISE), alpha)
        rows.append(Row(f"{NAME}/squared correlation of ridge regression at alpha = {alpha:g}",
                        float(fit.overlaps.m**2 / fit.overlaps.q), 1e-8, float(overlap), 1e-12,
                        "closed form: the Bayes optimum of a linear channel"))  # fmt: skip
        values = measured["ridge_overlap"][:, at.index(alpha)]
        rows.append(Row(f"{NAME}/the same on instances at alpha = {alpha:g}", float(values.mean()),
                        5 * _experiment.standard_error(values) + 2e-3, float(overlap), 1e-12,
                        "closed form; five standard errors over instances"))  # fmt: skip
    return rows
