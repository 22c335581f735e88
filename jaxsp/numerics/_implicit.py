"""The implicit function theorem at a solution that some solver has found."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._loop import varying_like
from ._quadrature import real_dtype


def _solve_linear(g: Callable, y: PyTree) -> PyTree:
    """Solve `g(x) = y` for linear `g` by its dense matrix (a division for a scalar)."""
    flat, unravel = ravel_pytree(y)
    if flat.size == 1:
        slope, _ = ravel_pytree(g(unravel(jnp.ones_like(flat))))
        return unravel(flat / slope)
    matrix = jax.jacfwd(lambda x: ravel_pytree(g(unravel(x)))[0])(jnp.zeros_like(flat))
    # With explicit mesh axes the pivots' gather wants a right-hand side sharded as the matrix is.
    return unravel(jnp.linalg.solve(matrix, varying_like(flat, matrix)))


def implicit_root(
    f: Callable[[PyTree], PyTree],
    guess: PyTree[Float[Array, "..."]],
    solve: Callable[[Callable, PyTree], tuple[PyTree, Any]],
) -> tuple[PyTree, Any]:
    r"""The root of `f` that `solve` finds, with derivatives by the implicit function theorem.

    For $f(x^*(\theta), \theta) = 0$, $dx^*/d\theta = -(\partial_x f)^{-1} \partial_\theta f$: forward and
    reverse mode, and of any order, without differentiating the solver. This is what every solver of
    the library stands on; `jax.lax.custom_root` passes under `jit`, `vmap` and `shard_map`.

    Args:
        f: residual, from a pytree to a pytree of the same structure; it may close over parameters.
        guess: the start; no derivative flows into it.
        solve: `(f, guess) -> (x, aux)`; never differentiated, so it may use loops of any kind.
    """
    # custom_root traces `f` at the guess, which must vary over devices as the root will.
    guess = jax.lax.stop_gradient(guess)
    guess = varying_like(guess, ravel_pytree(jax.lax.stop_gradient(f(guess)))[0])
    dtypes: list = []

    def solve_with_real_aux(f, guess):
        # custom_root has no derivative rule for integer outputs: step counts and result codes (all
        # far below 2^24) pass through as floats.
        x, aux = solve(f, guess)
        leaves, structure = jax.tree.flatten(aux)
        dtypes[:] = [(jnp.result_type(leaf) for leaf in leaves), structure]
        return x, [jnp.asarray(leaf, real_dtype(leaf)) for leaf in leaves]

    x, leaves = jax.lax.custom_root(f, guess, solve_with_real_aux, _solve_linear, has_aux=True)
    types, structure = dtypes
    leaves = jax.lax.stop_gradient(leaves)
    aux = [leaf.astype(dtype) for leaf, dtype in zip(leaves, types, strict=True)]
    return x, jax.tree.unflatten(structure, aux)


def with_implicit_derivative(f: Callable[[PyTree], PyTree], root: PyTree) -> PyTree:
    """A root that is known already, with its derivatives by the implicit function theorem."""
    x, _ = implicit_root(f, root, lambda _, x: (x, ()))
    return x
