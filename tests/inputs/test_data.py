"""Files of images, whole and broken."""

import gzip
import struct

import numpy as np
import pytest

from jaxsp import inputs

IMAGES = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
LABELS = np.array([3, 0, 8], dtype=np.uint8)


def idx(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress])
def test_idx(tmp_path, pack):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(pack(idx(IMAGES)))
    labels.write_bytes(pack(idx(LABELS)))
    x, y = inputs.load_images(images, labels)
    np.testing.assert_array_equal(x, IMAGES.reshape(3, 8))
    np.testing.assert_array_equal(y, LABELS)


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("x", "y")])
def test_npz(tmp_path, names):
    path = tmp_path / "data.npz"
    np.savez(path, **dict(zip(names, (IMAGES, LABELS), strict=True)))
    x, y = inputs.load_images(path)
    np.testing.assert_array_equal(x, IMAGES.reshape(3, 8))
    np.testing.assert_array_equal(y, LABELS)


def test_broken_files(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(ValueError, match="cannot be read"):
        inputs.read_idx(path)
    for raw, message in (
        (b"hello", "magic number"),
        (idx(IMAGES)[:-1], "truncated"),
        (idx(IMAGES)[:6], "truncated"),
        (gzip.compress(idx(IMAGES))[:-9], "cannot be read"),
    ):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=message):
            inputs.read_idx(path)
    with pytest.raises(ValueError, match="cannot be read as an npz file"):
        inputs.load_images(path)
    np.savez(tmp_path / "a.npz", x=IMAGES)
    with pytest.raises(ValueError, match=r"must have arrays x_train and y_train.*\['x'\]"):
        inputs.load_images(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=IMAGES, y=LABELS[:2])
    with pytest.raises(ValueError, match="must be as many"):
        inputs.load_images(tmp_path / "b.npz")


def test_digits_as_inputs():
    images, labels = inputs.digits()
    law = inputs.DataInputs(images, inputs.parity(labels))
    np.testing.assert_allclose(law.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.trace(law.covariance) / law.dimension, 1, rtol=1e-12)
    np.testing.assert_allclose(
        law.cross_covariance[0], np.mean(np.asarray(law.x) * np.asarray(law.y)[:, None], axis=0)
    )
    with pytest.raises(ValueError, match="more than one class"):
        inputs.DataInputs(images, np.ones(len(images)))
    with pytest.raises(ValueError, match=r"`y` must have shape \(1797,\)"):
        inputs.DataInputs(images, labels[:5])
