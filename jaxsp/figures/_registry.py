"""What a figure is, and the table of all figures."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ._report import Row

if TYPE_CHECKING:
    import matplotlib.figure
    import xarray

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What a figure is told when it is made.

    Attributes:
        quick: make smaller instances and coarser curves; the numbers of the report stay the same.
        seed: of everything random.
        images: a file of images to learn from instead of the digits (see `jaxsp.inputs.load_images`).
        image_labels: the file of their labels, if it is another one.
        progress: wraps an iterable of slow steps with a description, and shows how far they are.
    """

    quick: bool = False
    seed: int = 0
    images: Path | None = None
    image_labels: Path | None = None
    progress: Callable[[Iterable[Any], str], Iterator[Any]] = field(
        default=lambda steps, description: iter(steps)
    )


@dataclass(frozen=True)
class Figure:
    """A figure that has been made.

    Attributes:
        picture: a matplotlib figure.
        data: what is drawn, labelled.
        rows: the numbers that were checked.
    """

    picture: "matplotlib.figure.Figure"
    data: "xarray.Dataset"
    rows: Sequence[Row]


@dataclass(frozen=True)
class Entry:
    """A line of the table: what the figure shows, and the module whose `make` draws it.

    Attributes:
        title: what it shows.
        module: whose `make` draws it.
        simulates: whether most of its time goes into running compiled loops even in quick mode, and
            not into compiling them.
    """

    title: str
    module: str
    simulates: bool = False

    def make(self, context: Context) -> Figure:
        """Import the module and draw."""
        return importlib.import_module(self.module).make(context)


FIGURES: dict[str, Entry] = {
    "ising-2d": Entry(
        "Two-dimensional Ising model: exact, on finite tori, and by Monte Carlo",
        "jaxsp.figures.ising_2d",
        simulates=True,
    ),
    "spherical-perceptron": Entry(
        "Spherical perceptron: optimal generalisation error, AMP, logistic regression",
        "jaxsp.figures.spherical_perceptron",
    ),
    "binary-perceptron": Entry(
        "Binary perceptron: information-theoretic and algorithmic transitions, the hard phase",
        "jaxsp.figures.binary_perceptron",
    ),
    "linear-regression": Entry(
        "Linear regression: Gaussian weights in closed form, sparse weights",
        "jaxsp.figures.linear_regression",
    ),
    "relu-sparse": Entry(
        "ReLU outputs and sparse weights: recovery from few samples",
        "jaxsp.figures.relu_sparse",
    ),
    "symmetric-door": Entry(
        "Symmetric door and binary weights: weak recovery, then a jump",
        "jaxsp.figures.symmetric_door",
    ),
    "phase-retrieval": Entry(
        "Real phase retrieval: weak recovery, hard phase, perfect recovery",
        "jaxsp.figures.phase_retrieval",
    ),
    "storage-capacity": Entry(
        "Storage capacity of the spherical and of the binary perceptron",
        "jaxsp.figures.storage_capacity",
    ),
    "committee-k2": Entry(
        "Committee machine of two units: specialisation, the hard phase, linear classifiers",
        "jaxsp.figures.committee_k2",
        simulates=True,
    ),
    "committee-large-k": Entry(
        "Committee machine of many units: information-theoretic, and AMP's n of order K^2 p",
        "jaxsp.figures.committee_large_k",
        simulates=True,
    ),
    "phase-diagram-p3": Entry(
        "Spiked matrix-tensor model: the lines of all algorithms, flow among spurious minima",
        "jaxsp.figures.phase_diagram_p3",
    ),
    "landscape": Entry(
        "Spiked matrix-tensor model: complexity of minima, Hessians with an outlier",
        "jaxsp.figures.landscape",
    ),
    "langevin-state-evolution": Entry(
        "Spiked matrix-tensor model: Langevin dynamics at T = 1, its plateau, instances",
        "jaxsp.figures.langevin_state_evolution",
        simulates=True,
    ),
    "gradient-flow": Entry(
        "Spiked matrix-tensor model: gradient flow, and its transition from rates of escape",
        "jaxsp.figures.gradient_flow",
        simulates=True,
    ),
    "pspin-aging": Entry(
        "Spherical p-spin glass: aging, the energy's power law, violation of the FDT",
        "jaxsp.figures.pspin_aging",
        simulates=True,
    ),
    "teacher-student-plateau": Entry(
        "Two-layer networks on iid inputs: plateau, escape, and the error of noisy labels",
        "jaxsp.figures.teacher_student_plateau",
    ),
    "hidden-manifold": Entry(
        "Two-layer networks on a hidden manifold: theory mode by mode, and gradient descent",
        "jaxsp.figures.hidden_manifold",
    ),
    "two-students": Entry(
        "Two students of one task: the same function or not, for inputs with and without structure",
        "jaxsp.figures.two_students",
        simulates=True,
    ),
    "learning-curves-real-data": Entry(
        "Real images: ridge regression from their covariances, logistic regression, online learning",
        "jaxsp.figures.learning_curves_real_data",
    ),
}
