"""Extrema of scalar functions and stationary points of potentials."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike, Float, PyTree

from .._types import Scalar, ScalarLike
from ._loop import varying_like
from ._root import Root, bracketed_root, newton_root


def _gradient(f):
    """The gradient of `f` on each device: of a point that all devices share it would be their sum."""
    return lambda x: jax.grad(f)(varying_like(x, f(x)))


def bracketed_extremum(
    f: Callable[[Scalar], Scalar],
    lower: ScalarLike,
    upper: ScalarLike,
    *,
    xtol: ScalarLike | None = None,
    max_steps: int = 100,
) -> Root:
    r"""The extremum of a scalar function between two points where its slope has opposite signs.

    It is located as the root of the derivative: the value of a function is flat around its extremum,
    so comparing values finds the place only to the square root of the rounding. The result's
    `residual` is the slope that is left. Differentiable (implicit function theorem).

    Example:
        >>> import jax.numpy as jnp
        >>> out = bracketed_extremum(jnp.cos, 2.0, 4.0)
        >>> bool(abs(out.value - jnp.pi) < 1e-6)
        True
    """
    return bracketed_root(_gradient(f), lower, upper, xtol=xtol, max_steps=max_steps)


def stationary_point(
    f: Callable[[PyTree], Scalar],
    guess: PyTree[Float[ArrayLike, "..."]],
    *,
    rtol: ScalarLike | None = None,
    max_steps: int = 50,
) -> Root:
    r"""The stationary point of a potential near a guess: a minimum, a maximum or a saddle.

    Newton's method on the gradient, as $\sup_m\inf_{\hat m}$ needs. Differentiable (implicit function
    theorem, whose matrix is the Hessian).

    Example:
        >>> out = stationary_point(lambda x: x[0] * x[1] - x[0] + 2 * x[1], (0.3, 0.2))
        >>> [round(float(v), 5) for v in out.value]
        [-2.0, 1.0]
    """
    guess = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x, 0.0)), guess)
    return newton_root(_gradient(f), guess, rtol=rtol, max_steps=max_steps)
