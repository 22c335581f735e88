"""What the insides of solvers need to pass through every transformation."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
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


def evaluated_if(needed: Array, function: Callable[..., T], otherwise: T, *operands: Array) -> T:
    """`function(*operands)` where needed, and `otherwise` elsewhere, for undifferentiated values.

    A loop of at most one step: in a batch, what no lane needs costs nothing, where `jax.lax.cond` would
    select between the two. The operands vary over the devices of `shard_map` as the result does, and
    all that is costly has to depend on them: the compiler moves the rest out of the loop.
    """
    probe = sum(operands[1:], operands[0])
    needed, otherwise, operands = varying_like((needed, otherwise, operands), probe)

    def step(state):
        _, operands, _ = state
        # Changed, for otherwise the compiler sees through it, and evaluates always.
        return needed & False, tuple(-operand for operand in operands), function(*operands)

    return jax.lax.while_loop(lambda state: state[0], step, (needed, operands, otherwise))[2]


def numbers_as_arrays(tree: T, dtype: jnp.dtype) -> T:
    """`tree` with its Python numbers as arrays, so that another value is not compiled again."""

    def convert(leaf):
        is_number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
        return jnp.asarray(leaf, dtype) if is_number else leaf

    return jax.tree.map(convert, tree)


def frozen(tree: T) -> T:
    """`tree` with no derivative flowing through its arrays; functions in it are left alone."""
    return jax.tree.map(
        lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree
    )


def best_entry(tree: T, score: Array) -> T:
    """The entry along the last axis of `score`, with whose axes all leaves begin, where it is largest."""
    axis = score.ndim - 1
    best = jnp.argmax(score, axis=-1)

    def select(leaf):
        index = best.reshape(*best.shape, 1, *(1,) * (leaf.ndim - score.ndim))
        return jnp.take_along_axis(leaf, index, axis=axis).squeeze(axis)

    return jax.tree.map(select, tree)
