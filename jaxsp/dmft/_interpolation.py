"""Lagrange's interpolation on given nodes: the weights of the values, and of the slope."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def lagrange_weights(x: Array | np.ndarray, nodes: Array | np.ndarray, xp=jnp):
    r"""The $\ell_a(x) = \prod_{b \ne a} (x - x_b) / (x_a - x_b)$ along a new last axis.

    Products, and not the barycentric formula: they may be differentiated at a node as well.

    Args:
        x: points, of any shape.
        nodes: the nodes along the last axis, the same for all points or their own for each.
        xp: `numpy` for tables in double precision whatever JAX's setting.
    """
    size = nodes.shape[-1]
    distance = (xp.asarray(x)[..., None] - nodes)[..., None, :]
    gaps = nodes[..., :, None] - nodes[..., None, :]
    own = xp.eye(size, dtype=bool)
    return xp.prod(xp.where(own, 1.0, distance), -1) / xp.prod(xp.where(own, 1.0, gaps), -1)


def slope_weights(nodes: Array) -> Array:
    """Weights of the values at the nodes in the slope of their polynomial at the first node."""
    size = nodes.shape[-1]
    others = []
    for a in range(1, size):
        rest = [b for b in range(1, size) if b != a]
        factors = [(nodes[0] - nodes[b]) / (nodes[a] - nodes[b]) for b in rest]
        others.append(math.prod(factors) / (nodes[a] - nodes[0]))
    own = sum(1 / (nodes[0] - nodes[b]) for b in range(1, size))
    return jnp.stack([own, *others])
