"""Learning curves on real images: ridge regression from their covariances alone, and online learning."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullFormatter

from .. import channels, erm, inputs, online, plotting
from . import _draw
from ._images import images
from ._registry import Context, Figure
from ._report import Row

NAME = "learning-curves-real-data"
REGULARIZATION = 0.1


def make(context: Context) -> Figure:
    """Ridge regression of images against theory; online learning with and without a plateau."""
    name, law = images(context)
    picture = Picture(figsize=(14, 4.4), layout="constrained")
    grid = picture.add_gridspec(1, 3)
    left, middle, right = (picture.add_subfigure(grid[0, column]) for column in range(3))
    ridge, rows = _ridge(context, name, law, left)
    logistic, more = _logistic(context, middle)
    curves = _online(context, name, law, right)
    data = _draw.dataset(
        {name: value for part in (ridge, logistic, curves) for name, value in part[0].items()},
        {name: value for part in (ridge, logistic, curves) for name, value in part[1].items()},
    )
    return Figure(picture, data, [*rows, *more])


def _theory(at, alphas, measured) -> tuple[np.ndarray, np.ndarray]:
    """Test and training errors for the curve and for the measurements, compiled once."""
    both = np.concatenate([alphas, measured])
    found = np.asarray(jax.jit(jax.vmap(at, out_axes=1))(jnp.asarray(both)))
    return found[:, : alphas.size], found[:, alphas.size :]


def _ridge(context: Context, name: str, law: inputs.DataInputs, figure):
    """Mean squared errors of parity over the number of samples."""
    from sklearn.linear_model import Ridge

    d, x, y = law.dimension, np.asarray(law.x), np.asarray(law.y)
    model = erm.GaussianCovariates.from_data(x, y)
    alphas = np.geomspace(0.3, 10.0, 24)

    def at(alpha):
        fit = erm.asymptotics(model, erm.Square(), REGULARIZATION, alpha, throw=False)
        return jnp.stack([fit.test_error, fit.train_error])

    measured = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    theory, at_measured = _theory(at, alphas, measured)
    runs = 20 if context.quick else 200
    generator = np.random.default_rng(context.seed)
    errors = np.zeros((2, runs, measured.size))
    for k, alpha in enumerate(context.progress(list(measured), "Ridge regression")):
        for run in range(runs):
            chosen = generator.integers(0, len(y), round(alpha * d))
            scale = d**0.5
            fit = Ridge(alpha=REGULARIZATION, fit_intercept=False).fit(x[chosen] / scale, y[chosen])
            errors[0, run, k] = np.mean((fit.predict(x / scale) - y) ** 2)
            errors[1, run, k] = np.mean((fit.predict(x[chosen] / scale) - y[chosen]) ** 2)
    ax = plotting.new_axes(
        rf"{name}, even or odd: ridge, $\lambda = {REGULARIZATION:g}$", "samples per pixel",
        "mean squared error", figure=figure,
    )  # fmt: skip
    for which, color, label in ((0, _draw.BLUE, "test"), (1, _draw.ORANGE, "training")):
        ax.plot(alphas, theory[which], color=color, label=f"{label}, theory from covariances")
        plotting.instances(
            measured, errors[which], label=f"{label}, scikit-learn", color=color, ax=ax
        )
    ax.set(xscale="log", ylim=(0, 0.8))
    ax.legend(frameon=False, fontsize=8)
    rows = []
    for k in (2, 4):
        reference = float(at_measured[0, k])
        error = errors[0, :, k].std(ddof=1) / runs**0.5
        rows.append(
            Row(f"{NAME}/test error of ridge on {name} at {measured[k]:g} samples per pixel",
                float(errors[0, :, k].mean()), float(4 * error), reference, 0.03 * reference,
                "arXiv 2102.08127 from the covariances of all images (allowed: 3%)")
        )  # fmt: skip
    coords = {"alpha": ("alpha", alphas, "samples per pixel"),
              "measured": ("measured", measured, "samples per pixel")}  # fmt: skip
    variables = {
        "ridge_theory": (("which", "alpha"), theory, "test and training error of ridge, theory"),
        "ridge": (("which", "run", "measured"), errors, "test and training error of ridge"),
    }
    return (coords, variables), rows


def _logistic(context: Context, figure):
    """Logistic regression of a latent teacher's labels on a hidden manifold."""
    from sklearn.linear_model import LogisticRegression

    d, D = (400, 200) if context.quick else (1000, 500)
    limit = inputs.HiddenManifoldLimit(D / d)
    model = erm.hidden_manifold(limit, channels.Sign())
    alphas = np.geomspace(0.3, 6.0, 16 if context.quick else 50)

    def at(alpha):
        fit = erm.asymptotics(model, erm.Logistic(), REGULARIZATION, alpha, throw=False)
        return jnp.stack([fit.test_error, fit.train_error])

    measured, runs = np.array([0.5, 1.5, 4.0]), 6
    theory, at_measured = _theory(at, alphas, measured)
    errors = np.zeros((2, runs, measured.size))
    for run in context.progress(list(range(runs)), "Logistic regression"):
        keys = jax.random.split(jax.random.key(context.seed + run), 3)
        law = inputs.HiddenManifoldInputs(d, D, jnp.sign, key=keys[0])
        theta = np.asarray(jax.random.normal(keys[1], (D,)))
        n = round(measured[-1] * d)
        x, latent = (np.asarray(a) for a in law.sample(keys[2], n + 4000))
        x, y = x / d**0.5, np.sign(latent @ theta)
        for k, alpha in enumerate(measured):
            size = round(alpha * d)
            fit = LogisticRegression(C=1 / REGULARIZATION, fit_intercept=False, tol=1e-6)
            fit.fit(x[:size], y[:size])
            errors[0, run, k] = 1 - fit.score(x[n:], y[n:])
            errors[1, run, k] = 1 - fit.score(x[:size], y[:size])
    ax = plotting.new_axes(
        rf"Hidden manifold, $D / N = {D / d:g}$: logistic, $\lambda = {REGULARIZATION:g}$",
        "samples per input", "fraction of wrong labels", figure=figure,
    )  # fmt: skip
    for which, color, label in ((0, _draw.BLUE, "test"), (1, _draw.ORANGE, "training")):
        ax.plot(alphas, theory[which], color=color, label=f"{label}, theory")
        plotting.instances(
            measured, errors[which], label=f"{label}, scikit-learn, N = {d}", color=color, ax=ax
        )
    ax.set(xscale="log", ylim=(0, 0.5))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False, fontsize=8)
    reference = float(at_measured[0, 1])
    error = errors[0, :, 1].std(ddof=1) / runs**0.5
    row = Row(
        f"{NAME}/test error of logistic regression on a hidden manifold, N = {d}",
        float(errors[0, :, 1].mean()), float(4 * error) + 2 / d, reference, 0.0,
        "arXiv 2102.08127 with Marchenko and Pastur's law",
    )  # fmt: skip
    coords = {"logistic_alpha": ("logistic_alpha", alphas, "samples per input"),
              "logistic_measured": ("logistic_measured", measured, "samples per input")}  # fmt: skip
    variables = {
        "logistic_theory": (("which", "logistic_alpha"), theory, "wrong labels, theory"),
        "logistic": (("which", "fit", "logistic_measured"), errors, "wrong labels of fits"),
    }
    return (coords, variables), [row]


def _online(context: Context, name: str, law: inputs.DataInputs, figure):
    """Online learning of parity from images, and of a teacher from iid inputs, from small weights."""
    t_max, runs = (300.0, 4) if context.quick else (3000.0, 8)
    erf = online.Erf()
    ax = plotting.new_axes(
        "Online, three erf units, both layers", "steps over dimension, $t$",
        r"test error $\epsilon_g$ over that at the start", figure=figure,
    )  # fmt: skip
    iid = inputs.GaussianInputs(law.dimension)
    teacher = online.TeacherStudent(3, 3, erf, 0.0, 0.2, train_second_layer=True)
    parity = online.TeacherStudent(
        3, 1, erf, 0.0, 0.2, train_second_layer=True, teacher_activation=online.Linear()
    )
    coords, variables = {}, {}
    for label, net, inputs_law, color in (
        (f"{name}, even or odd", parity, law, _draw.ORANGE),
        ("iid inputs, teacher of three units", teacher, iid, _draw.BLUE),
    ):
        keys = jax.random.split(jax.random.key(context.seed + 7), 2)
        start = online.sample_networks(
            net, inputs_law, key=keys[0], scale=0.01, second_layer_scale=0.01
        )
        start = online.label_teacher(start) if net is parity else start
        found = online.simulate(
            net, inputs_law, t_max, key=keys[1], networks=start, runs=runs, measurements=40,
            test_samples=2000,
        )  # fmt: skip
        errors = np.asarray(found.generalization_error)
        errors = errors / errors[:, :1]
        mean, error = errors.mean(axis=0), errors.std(axis=0, ddof=1) / runs**0.5
        ax.plot(found.times[1:], mean[1:], color=color, label=label)
        ax.fill_between(
            found.times[1:], (mean - error)[1:], (mean + error)[1:], color=color, alpha=0.3
        )
        which = "digits" if net is parity else "iid"
        coords[f"{which}_time"] = (f"{which}_time", np.asarray(found.times), "steps over dimension")
        variables[f"{which}_error"] = (("start", f"{which}_time"), errors, "test error, relative")
    ax.set(xscale="log", yscale="log")
    ax.legend(frameon=False, fontsize=8)
    return coords, variables
