"""Loops that pass inside `shard_map`."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

T = TypeVar("T")


def varying_like(tree: T, probe: Array) -> T:
    """`tree` unchanged, but marked by `shard_map` as varying over the devices wherever `probe` does.

    A loop's carry must enter with the variation that it leaves with; constants and unsharded starts
    do not have it. The selection is removed by the compiler.
    """
    mark = jnp.ravel(probe)[0]
    mark = mark == mark
    return jax.tree.map(lambda x: jnp.where(mark, x, x), tree)
