"""The figures of two-layer networks: their numbers agree, and they show what they claim."""

import dataclasses
import gzip

import numpy as np
import pytest

from jaxsp import inputs
from jaxsp.figures import (
    Context,
    hidden_manifold,
    learning_curves_real_data,
    teacher_student_plateau,
    two_students,
)
from jaxsp.figures._images import images
from tests.inputs.test_data import idx


@pytest.fixture
def packed_digits(tmp_path):
    """The digits in the format of MNIST, compressed."""
    pixels, labels = inputs.digits()
    files = {"mnist-images.gz": pixels.reshape(-1, 8, 8), "mnist-labels.gz": labels}
    for name, array in files.items():
        (tmp_path / name).write_bytes(gzip.compress(idx(array.astype(np.uint8))))
    return Context(
        quick=True, images=tmp_path / "mnist-images.gz", image_labels=tmp_path / "mnist-labels.gz"
    )


def checked(made, count):
    assert len(made.rows) == count
    for row in made.rows:
        assert row.agrees, row
        # Two fifths more or less would be seen in every one of them.
        for factor in (0.6, 1.4):
            assert not dataclasses.replace(row, value=factor * row.value).agrees, row
    assert all(np.isfinite(made.data[name]).all() for name in made.data)
    return made.data


def test_images_from_files_are_those_without(packed_digits, tmp_path):
    """The same images, as idx and as npz files."""
    pixels, labels = inputs.digits()
    np.savez(tmp_path / "fashion.npz", x_train=pixels.reshape(-1, 8, 8), y_train=labels)
    bundled = images(Context())
    for context, name in (
        (packed_digits, "mnist-images"), (Context(images=tmp_path / "fashion.npz"), "fashion")
    ):  # fmt: skip
        found = images(context)
        assert found.name == name
        np.testing.assert_array_equal(found.law.x, bundled.law.x)
        np.testing.assert_array_equal(found.law.y, bundled.law.y)
    assert bundled.name == "digits"


@pytest.mark.slow
def test_learning_curves_of_images_from_files(packed_digits):
    """Real images are learned without the plateau of a teacher on iid inputs."""
    data = checked(learning_curves_real_data.make(packed_digits), 3)
    assert data["digits_error"].mean("start")[-1] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("module", "count"), [(teacher_student_plateau, 6), (hidden_manifold, 4)])
def test_quick_figure(module, count):
    checked(module.make(Context(quick=True)), count)


@pytest.mark.slow
def test_two_students():
    """On iid inputs students of structured inputs and labels differ more, by several standard errors.

    Of the other tasks' students they differ as much as on the task's own, within a factor of two.
    """
    data = checked(two_students.make(Context(quick=True)), 3)
    ratios = []
    for k in range(5):
        last = data[f"difference_{k}"][:, -1].to_numpy()
        ratios.append(last[1] / last[0])
    for k in (0, 2):
        np.testing.assert_allclose(ratios[k], 1, rtol=0.2)
    assert ratios[1].mean() < 2
    for k in (3, 4):
        error = ratios[k].std(ddof=1) / len(ratios[k]) ** 0.5
        assert ratios[k].mean() - 2.5 * error > 1.5
