"""Two students of one task: do they learn the same function? Inputs and labels with and without structure."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullFormatter

from .. import inputs, online, plotting
from . import _draw
from ._images import images
from ._registry import Context, Figure
from ._report import Row

NAME = "two-students"
UNITS, RATE, SCALE, LATENT = 3, 0.2, 1e-2, 10
SCALES = (1e-2, 0.1, 1.0)
ERF = online.Erf()


class Task(NamedTuple):
    """What two students learn: title, networks, inputs, teacher, and until when."""

    title: str
    net: online.TeacherStudent
    law: inputs.Inputs
    teacher: online.Networks
    t_max: float


class Followed(NamedTuple):
    """Differences on the task's and on iid inputs, and errors, `(t, pairs)`; the students at the end."""

    times: np.ndarray
    task: np.ndarray
    iid: np.ndarray
    error: np.ndarray
    ends: online.Networks


def make(context: Context) -> Figure:
    """How far two students are from each other over time, for five tasks; and over the initial scale."""
    N, pairs, pieces = (200, 5, 32) if context.quick else (800, 6, 128)
    key = jax.random.key(context.seed)
    runs = jax.random.split(jax.random.fold_in(key, 1), 5)
    name, law = images(context)
    real = _real_task(context, name, law, jax.random.fold_in(key, 2))
    of_images = _follow(real, pairs, SCALE, runs[4], pieces)
    tasks = [*_tasks(context, N, jax.random.fold_in(key, 0), name, real, of_images), real]
    others = context.progress(list(zip(tasks[:4], runs[:4], strict=True)), "Pairs of students")
    found = [*(_follow(task, pairs, SCALE, run, pieces) for task, run in others), of_images]
    picture = Picture(figsize=(13.5, 8), layout="constrained")
    grid = picture.add_gridspec(2, 3)
    for place, (task, one) in enumerate(zip(tasks, found, strict=True)):
        _panel(task, one, picture.add_subfigure(grid[divmod(place, 3)]), legend=place == 0)
    scales = SCALES[::2] if context.quick else SCALES
    structured = context.progress([3, 4], "Initial scales")
    by_scale = _scale_panel(
        [
            (
                tasks[at],
                [found[at]]
                + [_follow(tasks[at], pairs, scale, runs[at], pieces) for scale in scales[1:]],
            )
            for at in structured
        ],
        scales,
        picture.add_subfigure(grid[1, 2]),
    )

    coords = {"task": ("task", np.arange(len(tasks)), "; ".join(task.title for task in tasks)),
              "which": ("which", [0, 1, 2], "0: on the task's inputs, 1: on iid inputs, 2: test error"),
              "scale": ("scale", list(scales), "standard deviation of the initial weights")}  # fmt: skip
    variables: dict = {
        f"difference_{k}": (
            ("which", f"time_{k}", "pair"),
            np.stack([one.task, one.iid, one.error]),
            f"half mean squared difference and error, {task.title}",
        )
        for k, (task, one) in enumerate(zip(tasks, found, strict=True))
    }
    variables["ratio"] = (
        ("structured", "scale", "pair"),
        by_scale,
        "on iid over on the task's inputs",
    )
    for k, one in enumerate(found):
        coords[f"time_{k}"] = (f"time_{k}", one.times, "steps over dimension")
    data = _draw.dataset(coords, variables)
    return Figure(picture, data, [*_theory_rows(context, key), _sample_row(tasks[0], found[0])])


def _real_task(context: Context, name: str, law: inputs.DataInputs, key) -> Task:
    parity = _learner(1, online.Linear())
    labels = online.label_teacher(online.sample_networks(parity, law, key=key))
    return Task(f"{name}, even or odd", parity, law, labels, 1024.0 if context.quick else 4096.0)


def _tasks(context: Context, N: int, key, name: str, real: Task, learned: Followed) -> list[Task]:
    """All combinations of inputs and labels with and without structure.

    Labels are of two classes, as those of images are; only the network that has learned these, and then
    labels iid inputs with the structure of their labels alone, gives its output itself.
    """
    keys = jax.random.split(key, 4)
    rule = _learner(1, online.Custom(jnp.sign))
    manifold = inputs.HiddenManifoldInputs(N, LATENT, jnp.sign, key=keys[0])
    on_inputs = inputs.HiddenManifoldInputs(
        N, features=manifold.features, fold=jnp.sign, teacher_on_inputs=True
    )

    def task(title, law, key):
        teacher = online.sample_networks(rule, law, key=key)
        return Task(title, rule, law, teacher, 256.0 if context.quick else 1024.0)

    one = jax.tree.map(lambda x: x[0], learned.ends)
    return [
        # Drawing many Gaussian numbers takes most of the time, and here the two differences are the same.
        task("iid inputs, teacher on them", inputs.GaussianInputs(min(N // 2, 300)), keys[1]),
        task("structured inputs, teacher on them", on_inputs, keys[2]),
        Task(
            f"iid inputs, teacher that has learned {name}",
            _learner(UNITS),
            inputs.GaussianInputs(real.law.dimension),
            online.Networks(one.w, one.v, one.w, one.v),
            real.t_max,
        ),
        task("structured inputs, teacher on the latent vector", manifold, keys[3]),
    ]


def _learner(teachers: int, teacher_activation=None) -> online.TeacherStudent:
    return online.TeacherStudent(
        UNITS, teachers, ERF, 0.0, RATE, train_second_layer=True,
        teacher_activation=teacher_activation,
    )  # fmt: skip


def _follow(task: Task, pairs: int, scale: float, key, pieces: int) -> Followed:
    """Gradient descent of pairs of students, looked at whenever the time has doubled."""
    net, law, teacher = task.net, task.law, task.teacher
    student_key, test_key, run_key = jax.random.split(key, 3)

    def start(key):
        student = online.sample_networks(net, law, key=key, scale=scale, second_layer_scale=scale)
        return online.Networks(student.w, student.v, teacher.B, teacher.A)

    students = jax.vmap(start)(jax.random.split(student_key, 2 * pairs))
    x, latent = law.sample(test_key, 4000)
    measure = jax.jit(jax.vmap(lambda a, b: _differences(task, a, b, x, latent)))
    # Equal pieces, so that one compiled program makes them all.
    piece = task.t_max / pieces
    seen, times, t = [], [], 0.0
    for count in range(1, pieces + 1):
        found = online.simulate(
            net, law, piece, key=jax.random.fold_in(run_key, count), networks=students,
            runs=2 * pairs, measurements=1,
        )  # fmt: skip
        students = found.networks
        t += float(found.times[-1])
        if count & (count - 1) == 0:
            one, other = (jax.tree.map(lambda x: x[half::2], students) for half in (0, 1))  # noqa: B023
            seen.append(np.asarray(measure(one, other)))
            times.append(t)
    task_inputs, iid, error = np.moveaxis(np.stack(seen), -1, 0)
    return Followed(np.array(times), task_inputs, iid, error, students)


def _differences(task: Task, a: online.Networks, b: online.Networks, x, latent):
    """On samples of the task, on iid inputs, and the first one's error."""
    net, law = task.net, task.law
    unit = jnp.vectorize((net.teacher_activation or ERF).__call__)
    labels = unit(latent @ a.B.T / law.latent_dimension**0.5) @ a.A
    one, other = (_output(s, x) for s in (a, b))
    iid = online.disagreement(net, a, b, inputs.GaussianInputs(law.dimension))
    return jnp.stack([0.5 * jnp.mean((one - other) ** 2), iid, 0.5 * jnp.mean((one - labels) ** 2)])


def _output(student: online.Networks, x):
    return jax.scipy.special.erf(x @ student.w.T / (2 * x.shape[1]) ** 0.5) @ student.v


def _panel(task: Task, found: Followed, figure, legend: bool) -> None:
    ratio, error = _ratio(found)
    N, pairs = task.law.dimension, found.task.shape[1]
    ax = plotting.new_axes(
        f"{task.title} (N = {N})", "steps over dimension, $t$",
        rf"$\epsilon_{{12}}$, mean of {pairs} pairs", figure=figure,
    )  # fmt: skip
    ax.plot(found.times, found.error.mean(axis=1), color=_draw.GREY, linestyle="--", linewidth=1,
            label="test error")  # fmt: skip
    for values, color, label in (
        (found.task, _draw.BLUE, "on the task's inputs"),
        (found.iid, _draw.ORANGE, "on iid Gaussian inputs"),
    ):
        ax.errorbar(
            found.times, values.mean(axis=1), values.std(axis=1, ddof=1) / pairs**0.5,
            fmt="o-", markersize=4, capsize=2, color=color, label=label,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log")
    # Over little more than a decade they would be labelled, one over the other.
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.text(0.97, 0.04, rf"ratio at the end {ratio:.1f} $\pm$ {error:.1f}", ha="right",
            transform=ax.transAxes, fontsize=9)  # fmt: skip
    if legend:
        ax.legend(frameon=False, fontsize=8)


def _ratio(found: Followed) -> tuple[float, float]:
    """Mean over pairs of the ratio at the end, and its standard error."""
    ratios = found.iid[-1] / found.task[-1]
    return float(ratios.mean()), float(ratios.std(ddof=1) / ratios.size**0.5)


def _scale_panel(structured, scales, figure):
    ax = plotting.new_axes(
        "Memory of the start", "standard deviation of the initial weights",
        r"$\epsilon_{12}$, iid over the task's inputs", figure=figure,
    )  # fmt: skip
    ratios = []
    for (task, runs), color in zip(structured, (_draw.GREEN, _draw.PURPLE), strict=True):
        ratios.append(np.stack([run.iid[-1] / run.task[-1] for run in runs]))
        label = f"{task.title}, t = {runs[0].times[-1]:.0f}"
        plotting.instances(np.array(scales), ratios[-1].T, label=label, color=color, ax=ax)
    ax.axhline(1, color=_draw.GREY, linewidth=1)
    highest = max(float(r.mean(axis=1).max()) for r in ratios)
    ax.set(xscale="log", ylim=(0, 1.5 * highest))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return np.stack(ratios)


def _theory_rows(context: Context, key) -> list[Row]:
    """Erf teacher on the latent vector: the closed equations of a pair against gradient descent."""
    N, copies = (200, 8) if context.quick else (1000, 16)
    net = online.TeacherStudent(2, 2, ERF, 0.0, RATE)
    law = inputs.HiddenManifoldInputs(N, N // 5, jnp.sign, key=jax.random.fold_in(key, 30))
    keys = jax.random.split(jax.random.fold_in(key, 31), 3)
    one, other = (online.sample_networks(net, law, key=k, scale=0.5) for k in keys[:2])
    other = online.Networks(other.w, other.v, one.B, one.A)
    starts = jax.tree.map(lambda a, b: jnp.stack([a, b] * copies), one, other)
    run = online.simulate(
        net, law, 10.0, key=keys[2], networks=starts, runs=2 * copies, measurements=1
    )
    times = run.times[-1:]
    theory = online.solve_pair(net, times[0], law, one, other, times=times)
    ends, covariance = run.networks, law.covariance

    def differences(a, b):
        w = jnp.concatenate([a.w, b.w]) / N**0.5
        u = jnp.concatenate([a.v, -b.v])
        return jnp.stack([0.5 * u @ ERF.products(C) @ u for C in (w @ covariance @ w.T, w @ w.T)])

    halves = (jax.tree.map(lambda x: x[half::2], ends) for half in (0, 1))  # noqa: B023
    measured = np.asarray(jax.jit(jax.vmap(differences))(*halves))
    references = (theory.disagreement()[0], theory.disagreement_on_iid_inputs()[0])
    rows = []
    for name, values, reference in zip(
        ("the task's", "iid"), measured.T, map(float, references), strict=True
    ):
        error = float(values.std(ddof=1)) / copies**0.5
        rows.append(
            Row(f"{NAME}/difference on {name} inputs, erf teacher on the latent vector, t = 10",
                float(values.mean()), 4 * error + 20 / N * reference, reference, 0.0,
                "closed equations of a pair of students, mode by mode")
        )  # fmt: skip
    return rows


def _sample_row(task: Task, found: Followed) -> Row:
    """Two of the students on samples of iid inputs, against the closed form that the panel shows."""
    x, _ = task.law.sample(jax.random.key(1), 20_000)
    one, other = (jax.tree.map(lambda x: x[k], found.ends) for k in (0, 1))  # noqa: B023
    squares = np.asarray(0.5 * (_output(one, x) - _output(other, x)) ** 2)
    return Row(
        f"{NAME}/difference on samples of iid inputs",
        float(squares.mean()), 4 * float(squares.std(ddof=1)) / squares.size**0.5,
        float(found.iid[-1, 0]), 0.0, "Gaussian average in closed form",
    )  # fmt: skip
