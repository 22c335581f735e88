"""A symmetric tensor stored once: blocks of increasing indices instead of all permutations."""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._types import Scalar

# Blocks along each side: more of them waste less on the diagonal, and are slower to go through.
_BLOCKS = {3: 12, 4: 8, 5: 6}


class SymmetricTensor(eqx.Module):
    r"""The entries $T_{i_1 \dots i_p}$ with $i_1 < \dots < i_p$ of a symmetric tensor.

    The indices are cut into intervals, and only dense blocks of non-decreasing intervals are stored,
    with zeros where indices within them are not increasing: about a fifth of all $N^3$ entries for
    $p = 3$, where a sixth is needed, and contractions are dense products.

    Attributes:
        blocks: one dense block for each non-decreasing tuple of intervals.
        size: $N$.
        order: $p$.
    """

    blocks: Float[Array, "..."]
    size: int = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def form(self, x: Float[Array, " n"]) -> Scalar:
        r"""$\sum_{i_1 < \dots < i_p} T_{i_1 \dots i_p} x_{i_1} \cdots x_{i_p}$.

        Its gradient is the contraction with all but one index.
        """
        places, side, intervals = layout(self.size, self.order)
        padded = jnp.zeros(side * intervals, x.dtype).at[: self.size].set(x)
        pieces = padded.reshape(intervals, side)[places]
        total = self.blocks
        for axis in reversed(range(self.order)):
            total = jnp.einsum("n...b,nb->n...", total, pieces[:, axis])
        return jnp.sum(total)

    def second_derivative(self, x: Float[Array, " n"]) -> Float[Array, "n n"]:
        """The Hessian of `form`, by one pass over the blocks for each pair of axes."""
        places, side, intervals = layout(self.size, self.order)
        padded = jnp.zeros(side * intervals, x.dtype).at[: self.size].set(x)
        pieces = padded.reshape(intervals, side)[places]
        upper = jnp.zeros((intervals, side, intervals, side), x.dtype)
        axes = "abcdefghijklm"[: self.order]
        for one, two in itertools.combinations(range(self.order), 2):
            rest = [axis for axis in range(self.order) if axis not in (one, two)]
            factors = ",".join(f"n{axes[axis]}" for axis in rest)
            part = jnp.einsum(
                f"n{axes},{factors}->n{axes[one]}{axes[two]}",
                self.blocks, *(pieces[:, axis] for axis in rest),
            )  # fmt: skip
            upper = upper.at[places[:, one], :, places[:, two], :].add(part)
        full = upper.reshape(intervals * side, intervals * side)[: self.size, : self.size]
        return full + full.T

    def dense(self) -> Float[Array, "..."]:
        """The full array with all permutations, for small sizes."""
        indices = jnp.stack(list(_indices(self.size, self.order)), axis=-1)
        indices = indices.reshape(-1, self.order)
        values = self.blocks.reshape(-1)
        full = jnp.zeros((self.size,) * self.order, values.dtype)
        for permutation in itertools.permutations(range(self.order)):
            where = tuple(indices[:, axis] for axis in permutation)
            full = full.at[where].add(values, mode="drop")
        return full


def tensor_bytes(size: int, order: int, dtype) -> int:
    """Memory of the blocks."""
    places, side, _ = layout(size, order)
    return len(places) * side**order * jnp.dtype(dtype).itemsize


def noisy_rank_one(
    x: Float[Array, " n"], scale: Scalar, noise: Scalar, order: int, key: PRNGKeyArray
) -> SymmetricTensor:
    """`scale` times the product of x with itself, plus Gaussian noise of the given variance."""
    size = x.shape[0]
    places, side, intervals = layout(size, order)
    padded = jnp.zeros(side * intervals, x.dtype).at[:size].set(x)
    pieces = padded.reshape(intervals, side)[places]
    blocks = scale * pieces[:, 0]
    for axis in range(1, order):
        factor = pieces[:, axis].reshape(len(places), *(1,) * axis, side)
        blocks = blocks[..., None] * factor
    blocks = blocks + jnp.sqrt(noise) * jax.random.normal(key, blocks.shape, x.dtype)
    increasing = jnp.asarray(True)
    indices = list(_indices(size, order))
    for low, high in itertools.pairwise(indices):
        increasing = increasing & (low < high)
    inside = increasing & (indices[-1] < size)
    return SymmetricTensor(jnp.where(inside, blocks, 0.0), size, order)


def _indices(size: int, order: int):
    """The index along each axis of every entry of the blocks, broadcast to all of them."""
    places, side, _ = layout(size, order)
    shape = (len(places), *(side,) * order)
    for axis in range(order):
        within = jnp.arange(side).reshape((1,) * (axis + 1) + (side,) + (1,) * (order - axis - 1))
        start = jnp.asarray(places[:, axis] * side).reshape(-1, *(1,) * order)
        yield jnp.broadcast_to(start + within, shape)


@functools.lru_cache
def layout(size: int, order: int) -> tuple[np.ndarray, int, int]:
    """Tuples of intervals `(blocks, order)`, the length of an interval, and their number."""
    side = math.ceil(size / _BLOCKS.get(order, 4))
    intervals = math.ceil(size / side)
    places = list(itertools.combinations_with_replacement(range(intervals), order))
    return np.array(places), side, intervals
