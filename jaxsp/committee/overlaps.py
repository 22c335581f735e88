"""Overlap matrices: as arguments, and their roots."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .._checks import check_number, check_shape
from ..numerics import is_concrete
from .model import CommitteeMachine


def check_overlap(
    name: str, value: Num[ArrayLike, "..."], model: CommitteeMachine, dtype
) -> Float[Array, "K K"]:
    r"""The matrix as an array, or a `ValueError` unless it is symmetric with $0 \le q \le \rho$."""
    K = model.hidden_units
    matrix = jnp.asarray(value, dtype)
    check_shape(name, matrix, (K, K), f"({K}, {K}), one row for each hidden unit")
    check_number(name, matrix)
    rho = model.second_moment()
    if not is_concrete((matrix, rho)):
        return matrix
    slack = 1e3 * float(jnp.finfo(dtype).eps)
    q = np.asarray(matrix)
    if np.max(np.abs(q - q.T)) > slack:
        raise ValueError(f"Argument `{name}` must be symmetric, but is {q.tolist()}.")
    lowest = np.linalg.eigvalsh(q)[0]
    if lowest < -slack:
        raise ValueError(
            f"Argument `{name}` must have no negative eigenvalue, but has {lowest:.6g}."
        )
    excess = np.linalg.eigvalsh(q - np.asarray(rho))[-1]
    if excess > slack:
        raise ValueError(
            f"Argument `{name}` must be at most the prior's second moment, which it exceeds by "
            f"{excess:.6g} in one direction."
        )
    return matrix


def lower_root(matrix: Float[Array, "K K"]) -> Float[Array, "K K"]:
    """The lower triangular root of a matrix without negative eigenvalues but for rounding.

    Fields that are alike have a singular overlap, which a quadrature may leave with a negative eigenvalue:
    what is missing, and a little more, is added to the diagonal.
    """
    fixed, info = jax.lax.stop_gradient(matrix), jnp.finfo(matrix.dtype)
    missing = jnp.maximum(-jnp.linalg.eigvalsh(fixed)[0], 0.0)
    missing = missing + 4 * info.eps * jnp.trace(fixed) + info.tiny**0.5
    return jnp.linalg.cholesky(matrix + missing * jnp.eye(matrix.shape[0], dtype=matrix.dtype))
