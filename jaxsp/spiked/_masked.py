"""A bracketed root that may not exist."""

from collections.abc import Callable

import jax.numpy as jnp

from .._types import Flag, Scalar
from ..numerics import bracketed_root, frozen


def masked_root(
    f: Callable[[Scalar], Scalar], lower: Scalar, upper: Scalar, exists: Flag
) -> Scalar:
    """The root of `f` in an interval; where there is none, its middle, without a derivative."""
    lower, upper = frozen((lower, upper))
    middle = 0.5 * (lower + upper)
    found = bracketed_root(lambda z: jnp.where(exists, f(z), z - middle), lower, upper)
    return found.value
