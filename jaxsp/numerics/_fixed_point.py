"""Fixed points x = T(x): plain, damped and accelerated iteration."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._types import Count, Scalar, ScalarLike
from ._implicit import implicit_root
from ._loop import frozen, varying_like
from ._result import RESULTS


class FixedPoint(eqx.Module):
    """A fixed point, and how it was found.

    Attributes:
        value: the fixed point.
        residual: the largest entry of $|T(x) - x|$, undamped.
        iterations: how many times the map was applied.
        result: `RESULTS.successful`, or why not.
    """

    value: PyTree[Float[Array, "..."]]
    residual: Scalar
    iterations: Count
    result: RESULTS


class AbstractIteration(eqx.Module):
    """How the next iterate is formed from the current one and its image under the map."""

    @abc.abstractmethod
    def init(self, x: Float[Array, " n"]) -> PyTree:
        """The memory of the iteration at its start."""

    @abc.abstractmethod
    def step(
        self, x: Float[Array, " n"], image: Float[Array, " n"], memory: PyTree
    ) -> tuple[Float[Array, " n"], PyTree]:
        """The next iterate and memory."""


class Damped(AbstractIteration):
    r"""$x \leftarrow (1-d)\,T(x) + d\,x$; `damping` $d = 0$ is the plain iteration."""

    damping: float = 0.0

    def __check_init__(self):
        if isinstance(self.damping, float | int) and not 0 <= self.damping < 1:
            raise ValueError(f"Argument `damping` must be in [0, 1), but is {self.damping}.")

    def init(self, x):
        """No memory."""
        return ()

    def step(self, x, image, memory):
        """One damped step."""
        return image + self.damping * (x - image), memory


class Anderson(AbstractIteration):
    """Anderson acceleration: the combination of the last `depth` steps of least residual.

    For maps that converge slowly, near a critical point for instance. Scalars need `depth=1`, which
    is the secant method.
    """

    depth: int = eqx.field(static=True, default=3)
    regularization: float = 1e-12

    def __check_init__(self):
        if self.depth < 1:
            raise ValueError(f"Argument `depth` must be at least 1, but is {self.depth}.")

    def init(self, x):
        """Empty history of iterates and residuals."""
        history = jnp.zeros((self.depth + 1, x.size), x.dtype)
        return history, history, jnp.asarray(0)

    def step(self, x, image, memory):
        """One accelerated step; a plain one where the history is empty or useless."""
        images, residuals, count = memory
        images = jnp.roll(images, 1, axis=0).at[0].set(image)
        residuals = jnp.roll(residuals, 1, axis=0).at[0].set(image - x)
        known = jnp.arange(1, self.depth + 1) <= count
        # Differences of the newest residual to the older ones; unknown ones do not enter.
        differences = jnp.where(known[:, None], residuals[0] - residuals[1:], 0.0)
        gram = differences @ differences.T
        ridge = self.regularization * jnp.trace(gram) + jnp.finfo(x.dtype).tiny
        gram = gram + jnp.diag(jnp.where(known, ridge, 1.0))
        gamma = jnp.linalg.solve(gram, differences @ residuals[0])
        accelerated = images[0] - gamma @ (images[0] - images[1:])
        usable = jnp.all(jnp.isfinite(accelerated)) & (count > 0)
        return jnp.where(usable, accelerated, image), (images, residuals, count + 1)


def fixed_point(
    f: Callable[[PyTree], PyTree],
    guess: PyTree[Float[ArrayLike, "..."]],
    *,
    iteration: AbstractIteration | None = None,
    rtol: ScalarLike | None = None,
    atol: ScalarLike | None = None,
    max_steps: int = 10_000,
) -> FixedPoint:
    r"""Iterate a map to its fixed point $x = T(x)$.

    Differentiable by the implicit function theorem with respect to whatever `f` closes over. The
    convergence test is on the undamped residual $|T(x) - x| \le$ `atol + rtol |x|`, whatever the
    iteration.

    Args:
        f: the map $T$, from a pytree to a pytree of the same structure.
        guess: the start.
        iteration: `Damped()` (the default, plain), `Damped(d)` or `Anderson(depth)`.
        rtol: relative tolerance (default: 1e-13 in float64, 1e-6 in float32).
        atol: absolute tolerance (default: the same).
        max_steps: number of applications of the map.

    Example:
        >>> import jax.numpy as jnp
        >>> out = fixed_point(jnp.cos, 0.5)
        >>> bool(abs(jnp.cos(out.value) - out.value) < 1e-6)
        True
    """
    iteration = frozen(Damped() if iteration is None else iteration)
    guess = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x, 0.0)), guess)
    start, unravel = ravel_pytree(guess)
    default = 1e-13 if start.dtype == jnp.float64 else 1e-6
    rtol, atol = (default if t is None else jax.lax.stop_gradient(t) for t in (rtol, atol))

    def solve(residual, guess):
        def image(x):
            return x + ravel_pytree(residual(unravel(x)))[0]

        def distance(x, image):
            return jnp.max(jnp.abs(image - x) / (atol + rtol * jnp.abs(x)))

        def unfinished(state):
            x, image_x, _, steps = state
            d = distance(x, image_x)
            return (d > 1) & jnp.isfinite(d) & (steps < max_steps)

        def step(state):
            x, image_x, memory, steps = state
            x, memory = iteration.step(x, image_x, memory)
            return x, image(x), memory, steps + 1

        x = ravel_pytree(guess)[0]
        state = (x, image(x), iteration.init(x), jnp.asarray(1))
        state = varying_like(state, state[1])
        x, image_x, _, steps = jax.lax.while_loop(unfinished, step, state)
        d = distance(x, image_x)
        result = RESULTS.where(d <= 1, RESULTS.successful, RESULTS.max_steps_reached)
        result = RESULTS.where(jnp.isfinite(d), result, RESULTS.nonfinite)
        return unravel(x), (jnp.max(jnp.abs(image_x - x)), steps, result)

    def difference(x):
        return jax.tree.map(jnp.subtract, f(x), x)

    value, (residual, iterations, result) = implicit_root(difference, guess, solve)
    return FixedPoint(value, residual, iterations, result)
