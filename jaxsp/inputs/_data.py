"""Real images: scikit-learn's digits, and files of MNIST's and numpy's formats."""

import gzip
import math
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from ..numerics import is_concrete
from ._base import Inputs

# The third byte of an idx file's magic number.
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1797 images of 8 x 8 pixels that come with scikit-learn: pixels `(1797, 64)` and digits.

    Example:
        >>> from jaxsp import inputs
        >>> images, labels = inputs.digits()
        >>> images.shape, labels.shape
        ((1797, 64), (1797,))
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data, data.target  # pyright: ignore[reportAttributeAccessIssue]


def read_idx(path: str | Path) -> np.ndarray:
    """An array from a file of MNIST's format (idx), compressed by gzip or not.

    Args:
        path: the file.

    Raises:
        ValueError: if it cannot be read, is not of this format, or ends too early.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise ValueError(f"{path} is not an idx file: it does not start with its magic number.")
    kind, dimensions = np.dtype(_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(raw[4:start], ">u4").tolist()) if len(raw) >= start else ()
    wanted = start + math.prod(shape) * kind.itemsize
    if len(shape) != dimensions or len(raw) < wanted:
        raise ValueError(f"{path} is truncated: it has {len(raw)} bytes of {wanted} or more.")
    return np.frombuffer(raw[start:wanted], kind).reshape(shape)


def load_images(
    images: str | Path, labels: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and their labels from files: MNIST and Fashion-MNIST as they are distributed.

    Args:
        images: an idx file (then `labels` is another), or an npz file with both: `x_train` and
            `y_train`, or `x` and `y`.
        labels: the idx file of the labels.

    Returns:
        Pixels `(n, N)` and labels `(n,)`.

    Raises:
        ValueError: if a file cannot be read, lacks an array, or the two do not fit.
    """
    if labels is not None:
        x, y = read_idx(images), read_idx(labels)
    else:
        try:
            with np.load(images) as archive:
                stored = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{images} cannot be read as an npz file: {error} (give `labels` for idx files)."
            ) from error
        for names in (("x_train", "y_train"), ("x", "y")):
            if all(name in stored for name in names):
                x, y = (stored[name] for name in names)
                break
        else:
            raise ValueError(
                f"{images} must have arrays x_train and y_train, or x and y, but has "
                f"{sorted(stored)}."
            )
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
        raise ValueError(
            f"Images and labels must be as many, but their shapes are {x.shape} and {y.shape}."
        )
    return x.reshape(len(x), -1).astype(float), y


class DataInputs(Inputs):
    r"""Real inputs, drawn with replacement, with their outputs for a latent vector.

    Pixels that never change are left out, the mean of each other is taken out, and all are divided by one
    standard deviation, so that the mean of $|x|^2 / N$ is one. A "teacher" on the latent vector of
    dimension one, with linear units and weights one, gives the labels: `online.label_teacher`.

    Attributes:
        x: `(n, N)`, prepared.
        y: `(n,)`.

    Example:
        >>> from jaxsp import inputs
        >>> images, labels = inputs.digits()
        >>> law = inputs.DataInputs(images, inputs.parity(labels))
        >>> law.dimension, law.latent_dimension
        (61, 1)
    """

    x: Float[Array, "n N"]
    y: Float[Array, " n"]

    def __init__(self, x, y, dtype=None):
        """Prepares the inputs.

        Args:
            x: `(n, N)`.
            y: `(n,)`, of at least two values.
            dtype: of the arrays (default: JAX's default).

        Raises:
            ValueError: if the shapes do not fit, a number is not finite, or all outputs are the same.
        """
        check_shape("x", jnp.asarray(x), (None, None), "(n, N)")
        check_shape("y", jnp.asarray(y), (len(x),), f"({len(x)},)")
        check_number("x", x)
        check_number("y", y)
        if is_concrete(y) and np.ptp(np.asarray(y)) == 0:
            raise ValueError(
                "Argument `y` must have labels of more than one class, but all are "
                f"{np.asarray(y)[0]}."
            )
        pixels = np.asarray(x, float)
        pixels = pixels[:, np.ptp(pixels, axis=0) > 0]
        pixels = pixels - pixels.mean(axis=0)
        self.x = jnp.asarray(pixels / np.sqrt(np.mean(pixels**2)), dtype)
        self.y = jnp.asarray(np.asarray(y, float), dtype)

    @property
    def dimension(self) -> int:
        """How many pixels change."""
        return self.x.shape[1]

    @property
    def latent_dimension(self) -> int:
        """One: the output."""
        return 1

    @property
    def covariance(self) -> Float[Array, "N N"]:
        """Of all samples."""
        return self.x.T @ self.x / self.x.shape[0]

    @property
    def cross_covariance(self) -> Float[Array, "1 N"]:
        """Of outputs and inputs."""
        return (self.y @ self.x / self.x.shape[0])[None]

    @property
    def latent_covariance(self) -> Float[Array, "1 1"]:
        """Mean square of the outputs."""
        return jnp.mean(self.y**2)[None, None]

    def sample(
        self, key: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "n N"], Float[Array, "n 1"]]:
        """Samples with replacement."""
        chosen = jax.random.randint(key, (samples,), 0, self.x.shape[0])
        return self.x[chosen], self.y[chosen, None]


def parity(labels) -> np.ndarray:
    """Even against odd: +1 for even labels and -1 for odd ones.

    Example:
        >>> from jaxsp import inputs
        >>> inputs.parity([0, 1, 7]).tolist()
        [1.0, -1.0, -1.0]
    """
    return np.where(np.asarray(labels) % 2 == 0, 1.0, -1.0)
