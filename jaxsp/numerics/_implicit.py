"""The implicit function theorem at a solution that some solver has found."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._loop import frozen, varying_like


def implicit_root(
    f: Callable[[PyTree], PyTree],
    guess: PyTree[Float[Array, "..."]],
    solve: Callable[[Callable, PyTree], tuple[PyTree, Any]],
) -> tuple[PyTree, Any]:
    r"""The root of `f` that `solve` finds, with derivatives by the implicit function theorem.

    For $f(x^*(\theta), \theta) = 0$, $dx^*/d\theta = -(\partial_x f)^{-1} \partial_\theta f$: forward and
    reverse mode, and of any order, without differentiating the solver. This is what every solver of
    the library stands on; it passes under `jit`, `vmap` and `shard_map`.

    Not `jax.lax.custom_root`: that writes out several derivatives of `f` whether or not any is wanted,
    which is most of the time of tracing where roots are nested.

    Args:
        f: residual, from a pytree to a pytree of the same structure; it may close over parameters.
        guess: the start; no derivative flows into it.
        solve: `(f, guess) -> (x, aux)`, where no derivative flows through `f`, so it may use loops of any
            kind; what else it closes over must carry none.
    """
    closed, varying = _closed(f, jax.lax.stop_gradient(guess))
    still = frozen(closed)
    x, aux = solve(lambda x: still(varying(x)), varying(jax.lax.stop_gradient(guess)))
    parameters, rest = eqx.partition(closed, eqx.is_array)
    return _root(rest, parameters, varying(x)), aux


def with_implicit_derivative(f: Callable[[PyTree], PyTree], root: PyTree) -> PyTree:
    """A root that is known already, with its derivatives by the implicit function theorem."""
    x, _ = implicit_root(f, root, lambda _, x: (x, ()))
    return x


def _closed(f: Callable, x: PyTree) -> tuple[Callable, Callable[[PyTree], PyTree]]:
    """`f` with all that it closes over as its leaves, and what lets its argument vary as they do.

    Inside `shard_map` it can be called only where the argument varies over the devices.
    """
    converted = eqx.filter_closure_convert(f, x)
    types = jax.tree.map(jax.typeof, x)
    marks = [
        parameter
        for parameter in jax.tree.leaves(converted)
        if isinstance(parameter, jax.core.Tracer) and parameter.size
        if jax.tree.map(jax.typeof, varying_like(x, parameter)) != types
    ]

    def varying(x):
        for mark in marks:
            x = varying_like(x, mark)
        return x

    return (eqx.filter_closure_convert(f, varying(x)) if marks else converted), varying


def _root(rest: PyTree, parameters: PyTree, x: PyTree) -> PyTree:
    """The root x of `f = combine(parameters, rest)`; a function of the parameters alone."""

    @jax.custom_jvp
    def root(parameters, x):
        return x

    def rule(primals, tangents):
        parameters, x = primals
        flat, unravel = ravel_pytree(x := root(parameters, x))
        moves = jax.tree.map(_moves, tangents[0], is_leaf=_is_zero)
        moving, still = eqx.partition(parameters, moves)

        def residual(moving, flat):
            f = eqx.combine(moving, still, rest)
            return ravel_pytree(f(unravel(flat)))[0]

        velocity = eqx.filter(tangents[0], moves, is_leaf=_is_zero)
        _, change = jax.jvp(lambda moving: residual(moving, flat), (moving,), (velocity,))
        slopes = jax.jacfwd(lambda flat: residual(moving, flat))(flat)
        return x, unravel(_solve(slopes, -change))

    root.defjvp(rule, symbolic_zeros=True)
    return root(parameters, x)


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero)


def _moves(tangent: Any) -> bool:
    return not _is_zero(tangent) and tangent.dtype != jax.dtypes.float0


def _solve(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    if right.size == 1:
        return right / matrix[0]
    # With explicit mesh axes the pivots' gather wants a right-hand side sharded as the matrix is.
    return jnp.linalg.solve(matrix, varying_like(right, matrix))
