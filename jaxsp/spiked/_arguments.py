"""Checks of the arguments that all lines of the phase diagram take."""

import jax.numpy as jnp

from .._checks import check_number, check_shape
from .._types import Scalar, ScalarLike
from ..numerics import real_dtype


def check_order(p: int) -> None:
    """Raise a `ValueError` unless `p` can be the order of a tensor."""
    if not isinstance(p, int) or isinstance(p, bool) or p < 3:
        raise ValueError(f"Argument `p` must be an integer of at least 3, but is {p!r}.")


def line_arguments(p: int, deltap: ScalarLike, *others: ScalarLike) -> tuple[Scalar, ...]:
    """Where on a line, as arrays of one floating-point type, once they are allowed."""
    check_order(p)
    meaning = "() (a line is computed for one value: use jax.vmap)"
    check_shape("deltap", jnp.asarray(deltap), (), meaning)
    check_number("deltap", deltap, minimum=0.0, strict=True)
    dtype = real_dtype(deltap, *others)
    return tuple(jnp.asarray(v, dtype) for v in (deltap, *others))
