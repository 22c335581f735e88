"""Spectral laws as quadrature rules."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import ScalarLike
from ..numerics import real_dtype


class Spectrum(eqx.Module):
    """Eigenvalues, and the fraction of the dimension that each stands for.

    Attributes:
        eigenvalues: `(n,)`.
        weights: `(n,)`; they add up to one.
    """

    eigenvalues: Float[Array, " n"]
    weights: Float[Array, " n"]


def marchenko_pastur(ratio: ScalarLike, points: int = 40) -> Spectrum:
    r"""The eigenvalues of $F^T F / N$ for $F$ of size $N \times D$ with iid unit entries, $D / N$ = `ratio`.

    Gauss's rule of this measure itself, whose orthogonal polynomials have the recurrence coefficients
    $1, 1 + \delta, 1 + \delta, \dots$ and $\sqrt\delta$: its error falls exponentially with `points`. Above
    $\delta = 1$ the fraction $1 - 1/\delta$ of the eigenvalues is zero, which it finds by itself.

    Args:
        ratio: $\delta > 0$.
        points: number of eigenvalues.

    Example:
        >>> from jaxsp import inputs
        >>> law = inputs.marchenko_pastur(0.5)
        >>> mean, square = (float(law.weights @ law.eigenvalues**k) for k in (1, 2))
        >>> round(mean, 4), round(square, 4)    # 1 and 1 + delta
        (1.0, 1.5)
    """
    check_number("ratio", ratio, minimum=0.0, strict=True)
    dtype = real_dtype(ratio)
    ratio = jnp.asarray(ratio, dtype)
    diagonal = jnp.where(np.arange(points) == 0, 1.0, 1.0 + ratio).astype(dtype)
    side = jnp.full(points - 1, jnp.sqrt(ratio), dtype)
    jacobi = jnp.diag(diagonal) + jnp.diag(side, 1) + jnp.diag(side, -1)
    eigenvalues, vectors = jnp.linalg.eigh(jacobi)
    return Spectrum(jnp.maximum(eigenvalues, 0.0), vectors[0] ** 2)
