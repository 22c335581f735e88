"""Hidden manifold: online learning mode by mode, at finite and at infinite latent dimension."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import inputs, online, plotting
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "hidden-manifold"
RATIO, RATE, NOISE, SCALE = 0.2, 0.2, 0.1, 0.5


def make(context: Context) -> Figure:
    """Learning curves of theory and gradient descent; the error over the latent dimension."""
    N, runs, t_max = (500, 4, 20.0) if context.quick else (1000, 8, 100.0)
    net = online.TeacherStudent(2, 2, online.Erf(), NOISE, RATE)
    features, weights, steps = jax.random.split(jax.random.key(context.seed), 3)
    law = inputs.HiddenManifoldInputs(N, round(RATIO * N), jnp.sign, key=features)
    start = online.sample_networks(net, law, key=weights, scale=SCALE)
    found = online.simulate(net, law, t_max, key=steps, networks=start, runs=runs, measurements=16)
    times = np.asarray(found.times)
    finite = online.solve(net, times[-1], inputs=law, networks=start, times=times, rtol=1e-7)
    curve = np.asarray(finite.generalization_error())
    # Infinite dimension, from a typical start.
    eye = jnp.eye(2)
    typical = online.Overlaps(SCALE**2 * eye, jnp.array([[0.02, 0.0], [0.0, 0.0]]), eye)
    limit = online.solve(
        net, times[-1], typical, inputs=inputs.HiddenManifoldLimit(RATIO), times=times, rtol=1e-7
    )
    infinite = np.asarray(limit.generalization_error())

    picture = Picture(figsize=(11.5, 4.4), layout="constrained")
    grid = picture.add_gridspec(1, 2)
    left, right = (picture.add_subfigure(grid[0, column]) for column in range(2))
    ax = plotting.new_axes(
        rf"Erf units, $K = M = 2$, $x = \mathrm{{sign}}(Fc/\sqrt{{D}})$, $D / N = {RATIO:g}$",
        "steps over dimension, $t$", r"generalisation error $\epsilon_g$", figure=left,
    )  # fmt: skip
    errors = np.asarray(found.generalization_error)
    ax.plot(times, curve, color=_draw.BLUE, label=f"theory, {round(RATIO * N)} modes")
    ax.plot(times, infinite, color=_draw.GREY, linestyle="--",
            label=r"theory, $D \to \infty$, typical start")  # fmt: skip
    plotting.instances(times, errors, label=f"gradient descent, N = {N}", color=_draw.BLUE, ax=ax)
    ax.set(yscale="log")
    ax.legend(frameon=False, fontsize=8)

    ax = plotting.new_axes(
        "Error at the end, $D \\to \\infty$", "latent dimension over dimension, $D/N$",
        r"generalisation error $\epsilon_g$", figure=right,
    )  # fmt: skip
    ratios = np.linspace(0.05, 1.5, 8 if context.quick else 30)
    folds = {"sign": jnp.sign, "erf": lambda u: jax.scipy.special.erf(u / 2**0.5)}
    finals = {}
    for (name, fold), color in zip(folds.items(), (_draw.ORANGE, _draw.GREEN), strict=True):

        def final(ratio, fold=fold):
            model = inputs.HiddenManifoldLimit(ratio, fold)
            end = online.solve(
                net, 20.0, typical, inputs=model, times=np.array([20.0]), rtol=1e-6, throw=False
            )
            return end.generalization_error()[0]

        finals[name] = np.asarray(jax.jit(jax.vmap(final))(jnp.asarray(ratios)))
        ax.plot(ratios, finals[name], "o-", color=color, markersize=4, label=f"fold {name}, t = 20")
    ax.legend(frameon=False, fontsize=8)

    data = _draw.dataset(
        {"time": ("time", times, "steps over dimension"),
         "ratio": ("ratio", ratios, "latent dimension over dimension"),
         "fold": ("fold", np.arange(len(folds)), "0: sign, 1: erf")},
        {"error": ("time", curve, "generalisation error by modes"),
         "infinite": ("time", infinite, "generalisation error at infinite dimension"),
         "simulated": (("run", "time"), errors, f"error of runs at N = {N}"),
         "final": (("fold", "ratio"), np.stack(list(finals.values())), "error at t = 20")},
    )  # fmt: skip
    return Figure(picture, data, _rows(N, runs, law, found, finite, times))


def _rows(N, runs, law, found, finite, times) -> list[Row]:
    rows = []
    theory = finite.overlaps()
    for name, at in (("Q", (0, 0)), ("R", (0, 0)), ("R", (1, 0))):
        values = np.asarray(getattr(found.overlaps, name))[:, -1, *at]
        reference = float(getattr(theory, name)[-1, *at])
        error = values.std(ddof=1) / runs**0.5
        rows.append(
            Row(f"{NAME}/{name}{at[0] + 1}{at[1] + 1} of gradient descent at t = {times[-1]:.1f}, N = {N}",
                float(values.mean()), 4.5 * float(error) + 10 / N, reference, 0.0,
                "equations of the modes, from the same start (equivalence holds up to 1/D)")
        )  # fmt: skip
    law_of_features = inputs.marchenko_pastur(RATIO)
    F = np.asarray(law.features)
    spectrum = np.linalg.eigvalsh(F.T @ F / N)
    rows.append(
        Row(f"{NAME}/second moment of the features' spectrum", float(np.mean(spectrum**2)), 0.02,
            float(law_of_features.weights @ law_of_features.eigenvalues**2), 0.0,
            "Marchenko and Pastur's law")
    )  # fmt: skip
    return rows
