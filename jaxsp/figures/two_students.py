"""Two students of one task: do they learn the same function? Inputs and labels with and without structure."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture

from .. import inputs, online, plotting
from . import _draw
from ._registry import Context, Figure
from ._report import Row

NAME = "two-students"
UNITS, TEACHERS, RATE, SCALE = 3, 2, 0.2, 1e-2
CASES = (
    "iid inputs,\nteacher on them",
    "structured inputs,\nteacher on them",
    "iid inputs, labels of\na latent teacher",
    "structured inputs, teacher\non the latent vector",
    "digits,\neven or odd",
)


def make(context: Context) -> Figure:
    """The difference of two students on the task's inputs and on iid ones, for five tasks."""
    N, pairs, t_max = (500, 5, 60.0) if context.quick else (800, 8, 1000.0)
    key = jax.random.key(context.seed)
    tasks = _tasks(N, jax.random.fold_in(key, 0))
    found = {
        case: _disagreements(net, law, pairs, t_max, SCALE, jax.random.fold_in(key, 1 + i))
        for i, (case, (net, law)) in enumerate(
            context.progress(list(tasks.items()), "Pairs of students")
        )
    }
    picture = Picture(figsize=(13, 4.6), layout="constrained")
    grid = picture.add_gridspec(1, 2, width_ratios=(1.7, 1))
    left, right = (picture.add_subfigure(grid[0, column]) for column in range(2))
    ax = plotting.new_axes(
        f"Two students, mean of {pairs} pairs, $N = {N}$ (digits: 61)", "",
        r"half mean squared difference $\epsilon_{12}$", figure=left,
    )  # fmt: skip
    places = np.arange(len(found))
    for shift, which, color, label in (
        (-0.2, 0, _draw.BLUE, "on the task's inputs"),
        (0.2, 1, _draw.ORANGE, "on iid Gaussian inputs"),
    ):
        values = np.stack([pair[which] for pair in found.values()])
        mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / pairs**0.5
        ax.bar(places + shift, mean, 0.36, yerr=error, color=color, capsize=3, label=label)
    ax.set(yscale="log", xticks=places)
    ax.set_xticklabels(list(found), fontsize=8)
    ax.legend(frameon=False, fontsize=8)

    scales = np.array([1e-3, 1e-1, 0.5, 1.0])
    digit_net, digits = tasks[CASES[-1]]
    by_scale = np.stack(
        [
            _disagreements(digit_net, digits, pairs, t_max, scale, jax.random.fold_in(key, 20 + i))
            for i, scale in enumerate(context.progress(list(scales), "Initial scales"))
        ]
    )
    ax = plotting.new_axes(
        "Digits: memory of the start", "standard deviation of the initial weights",
        r"$\epsilon_{12}$", figure=right,
    )  # fmt: skip
    for which, color, label in ((0, _draw.BLUE, "on digits"), (1, _draw.ORANGE, "on iid inputs")):
        plotting.instances(scales, by_scale[:, which].T, label=label, color=color, ax=ax)
    ax.set(xscale="log", yscale="log")
    ax.legend(frameon=False, fontsize=8)

    values = np.stack(list(found.values()))
    data = _draw.dataset(
        {"case": ("case", np.arange(len(found)), "; ".join(c.replace("\n", " ") for c in found)),
         "on": ("on", [0, 1, 2], "0: the task's inputs, 1: iid inputs, 2: Gaussian of their covariance"),
         "scale": ("scale", scales, "standard deviation of the initial weights")},
        {"difference": (("case", "on", "pair"), values, "half mean squared difference"),
         "by_scale": (("scale", "on", "pair"), by_scale, "the same on digits")},
    )  # fmt: skip
    return Figure(picture, data, _rows(found))


def _tasks(N: int, key) -> dict:
    """All combinations of inputs and labels with and without structure, and real images."""
    first, second = jax.random.split(key)
    erf = online.Erf()
    net = online.TeacherStudent(UNITS, TEACHERS, erf, 0.0, RATE, train_second_layer=True)
    digit_net = online.TeacherStudent(
        UNITS, 1, erf, 0.0, RATE, train_second_layer=True, teacher_activation=online.Linear()
    )
    D = N // 50
    manifold = inputs.HiddenManifoldInputs(N, D, jnp.sign, key=first)
    on_inputs = inputs.HiddenManifoldInputs(
        N, features=manifold.features, fold=jnp.sign, teacher_on_inputs=True
    )
    # Labels of a teacher that sees D directions only of iid inputs: structure in the labels alone.
    few = jnp.linalg.qr(jax.random.normal(second, (N, D)))[0].T
    latent = inputs.CovariateInputs(jnp.eye(N), few)
    images, labels = inputs.digits()
    digits = inputs.DataInputs(images, inputs.parity(labels))
    laws = (inputs.GaussianInputs(N), on_inputs, latent, manifold)
    return dict(zip(CASES, [*((net, law) for law in laws), (digit_net, digits)], strict=True))


def _disagreements(net, law, pairs: int, t_max: float, scale: float, key):
    """Differences of pairs of students, `(3, pairs)`: on the task's inputs, on iid inputs, and on Gaussian
    inputs of the task's covariance.
    """
    teacher_key, student_key, run_key, test_key = jax.random.split(key, 4)
    teacher = online.sample_networks(net, law, key=teacher_key)
    if isinstance(law, inputs.DataInputs):
        teacher = online.label_teacher(teacher)

    def start(key):
        student = online.sample_networks(net, law, key=key, scale=scale, second_layer_scale=scale)
        return online.Networks(student.w, student.v, teacher.B, teacher.A)

    starts = jax.vmap(start)(jax.random.split(student_key, 2 * pairs))
    ends = online.simulate(
        net, law, t_max, key=run_key, networks=starts, runs=2 * pairs, measurements=1
    ).networks
    one, other = (jax.tree.map(lambda x: x[half::2], ends) for half in (0, 1))  # noqa: B023
    iid = inputs.GaussianInputs(law.dimension)
    covariance = law.covariance

    def differ(a, b):
        task = online.disagreement(net, a, b, law, key=test_key, samples=4000)
        w = jnp.concatenate([a.w, b.w]) / law.dimension**0.5
        u = jnp.concatenate([a.v, -b.v])
        equivalent = 0.5 * u @ net.activation.products(w @ covariance @ w.T) @ u
        return jnp.stack([task, online.disagreement(net, a, b, iid), equivalent])

    return np.asarray(jax.jit(jax.vmap(differ))(one, other)).T


def _rows(found) -> list[Row]:
    rows = []
    for case in (CASES[0], CASES[3]):
        task, _, equivalent = found[case]
        rows.append(
            Row(f"{NAME}/{case.replace(chr(10), ' ')}: difference on samples over that of Gaussian ones",
                float(task.mean() / equivalent.mean()), 0.15, 1.0, 0.0,
                "Gaussian inputs of the same covariance, in closed form (arXiv 1909.11500)")
        )  # fmt: skip
    return rows
