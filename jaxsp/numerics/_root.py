"""Roots: bracketed ones in one dimension, and Newton's method in several."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._types import Count, Flag, Scalar, ScalarLike
from ._implicit import implicit_root
from ._loop import varying_like
from ._quadrature import real_dtype
from ._result import RESULTS


class Root(eqx.Module):
    """A root, and how it was found.

    Attributes:
        value: the root.
        residual: the largest $|f|$ there. At a jump of $f$ it is not small, and need not be.
        width: the interval that still brackets the root (for Newton: the last step's size).
        iterations: how many function evaluations, or Newton steps, were taken.
        result: `RESULTS.successful`, or why not.
    """

    value: PyTree[Float[Array, "..."]]
    residual: Scalar
    width: Scalar
    iterations: Count
    result: RESULTS


def bracketed_root(
    f: Callable[[Scalar], Scalar],
    lower: ScalarLike,
    upper: ScalarLike,
    *,
    xtol: ScalarLike | None = None,
    max_steps: int = 100,
) -> Root:
    r"""A root of a scalar function in an interval on which it changes sign.

    Chandrupatla's method (inverse quadratic interpolation where it is safe, bisection elsewhere).
    It stops on the interval, so a jump through zero, such as a free-entropy difference across a
    first-order transition, is found as well as a smooth root. Differentiable with respect to
    whatever `f` closes over, by the implicit function theorem (which has no meaning at a jump).

    Args:
        f: scalar function.
        lower: one end of the interval.
        upper: the other end. `f` must have opposite signs at the ends (or vanish at one); it may be
            infinite, but nowhere NaN.
        xtol: wanted width of the interval, absolute; default: four units in the last place of the
            larger end.
        max_steps: evaluations of `f` after the two at the ends.

    Example:
        >>> import jax
        >>> root = lambda c: bracketed_root(lambda x: x**3 - c, 0.0, 10.0).value
        >>> bool(abs(root(8.0) - 2.0) < 1e-6), bool(abs(jax.grad(root)(8.0) - 1 / 12) < 1e-6)
        (True, True)
    """
    dtype = real_dtype(lower, upper)
    start = jax.lax.stop_gradient((jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)))
    epsilon = jnp.finfo(dtype).eps
    tolerance = 4 * epsilon * jnp.maximum(jnp.abs(start[0]), jnp.abs(start[1]))
    if xtol is not None:
        tolerance = jnp.maximum(tolerance, jax.lax.stop_gradient(jnp.asarray(xtol, dtype)))
    tolerance = jnp.maximum(tolerance, jnp.finfo(dtype).tiny)

    def solve(f, guess):
        # Both ends in one loop: each place where `f` is written out is compiled on its own.
        ends = jax.lax.map(f, jnp.stack(jnp.broadcast_arrays(*start)))
        root = search_bracket(f, *start, *ends, xtol=tolerance, max_steps=max_steps)
        return root.value, (root.residual, root.width, root.iterations, root.result)

    value, (residual, width, iterations, result) = implicit_root(f, start[0], solve)
    return Root(value, residual, width, iterations, result)


def search_bracket(
    f: Callable[[Scalar], Scalar],
    lower: Scalar,
    upper: Scalar,
    f_lower: Scalar,
    f_upper: Scalar,
    *,
    xtol: ScalarLike,
    max_steps: int = 100,
) -> Root:
    """`bracketed_root` where the values at the ends are known and no derivative is wanted."""
    epsilon = jnp.finfo(lower.dtype).eps
    tolerance = xtol
    bracketed = jnp.sign(f_lower) * jnp.sign(f_upper) <= 0

    # a: newest point, b: the other end of the bracket, c: the previous newest, t: where to go next.
    def unfinished(state):
        a, fa, b, fb, _, _, _, steps = state
        open_interval = (jnp.abs(b - a) > tolerance) & (fa != 0) & (fb != 0) & ~jnp.isnan(fa)
        return bracketed & open_interval & (steps < max_steps)

    def step(state):
        a, fa, b, fb, _, _, t, steps = state
        # Never closer to an end than half the tolerance, so that the interval shrinks on both sides.
        margin = 0.5 * jnp.maximum(tolerance, 2 * epsilon * jnp.abs(a)) / jnp.abs(b - a)
        t = jnp.clip(t, margin, 1 - margin)
        new = a + t * (b - a)
        f_new = f(new)
        same = jnp.sign(f_new) == jnp.sign(fa)
        c, fc = jnp.where(same, a, b), jnp.where(same, fa, fb)
        b, fb = jnp.where(same, b, a), jnp.where(same, fb, fa)
        a, fa = new, f_new
        # Inverse quadratic interpolation through a, b, c if it is monotone there.
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        monotone = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        quadratic = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (
            fc - fb
        )
        t = jnp.where(monotone & jnp.isfinite(quadratic), quadratic, 0.5)
        return a, fa, b, fb, c, fc, t, steps + 1

    half = jnp.asarray(0.5, lower.dtype)
    state = (upper, f_upper, lower, f_lower, lower, f_lower, half, jnp.asarray(0))
    state = varying_like(state, f_lower + lower)
    a, fa, b, fb, _, _, _, steps = jax.lax.while_loop(unfinished, step, state)
    better = jnp.abs(fa) <= jnp.abs(fb)
    x, fx = jnp.where(better, a, b), jnp.where(better, fa, fb)
    width = jnp.where(fx == 0, 0.0, jnp.abs(b - a))
    result = RESULTS.where(width <= tolerance, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(bracketed, result, RESULTS.not_bracketed)
    undefined = jnp.isnan(f_lower) | jnp.isnan(f_upper) | jnp.isnan(fa)
    result = RESULTS.where(undefined, RESULTS.nonfinite, result)
    return Root(x, jnp.abs(fx), width, steps, result)


def newton_root(
    f: Callable[[PyTree], PyTree],
    guess: PyTree[Float[Array, "..."]],
    *,
    rtol: ScalarLike | None = None,
    max_steps: int = 50,
) -> Root:
    """A root of a system from a start near it: Newton's method, steps halved until |f| falls.

    Differentiable by the implicit function theorem with respect to whatever `f` closes over.

    Args:
        f: residual, from a pytree to a pytree of the same size.
        guess: the start.
        rtol: the step, relative to the solution, at which to stop (default: 1e-12 in float64, 1e-5
            in float32); the last step is still taken, so the error is about its square.
        max_steps: number of Newton steps.

    Example:
        >>> import jax.numpy as jnp
        >>> out = newton_root(lambda x: x**2 - jnp.array([2.0, 3.0]), jnp.ones(2))
        >>> bool(jnp.allclose(out.value**2, jnp.array([2.0, 3.0])))
        True
    """
    start, unravel = ravel_pytree(guess)
    if rtol is None:
        rtol = 1e-12 if start.dtype == jnp.float64 else 1e-5
    rtol = jax.lax.stop_gradient(rtol)

    def flat(x):
        return ravel_pytree(f(unravel(x)))[0]

    def solve(f, start):
        return _newton(f, start, rtol, max_steps)

    value, (residual, width, iterations, result) = implicit_root(flat, start, solve)
    return Root(unravel(value), residual, width, iterations, result)


def _newton(f, start, rtol, max_steps):
    def norm(x):
        return jnp.max(jnp.abs(x))

    def unfinished(state):
        _, _, _, done, failed, steps = state
        return ~done & ~failed & (steps < max_steps)

    def step(state):
        x, fx, _, _, _, steps = state
        slope = jax.jacfwd(f)(x)
        move = -fx / slope[0] if x.size == 1 else -jnp.linalg.solve(slope, fx)

        # The shortest of the trial steps is 2^-20: below it the direction itself is wrong.
        def too_long(trial):
            fraction, value = trial
            fails = ~(norm(value) < norm(fx)) | ~jnp.all(jnp.isfinite(value))
            return fails & (fraction > 1e-6) & ~small(fraction * move, x)

        def halve(trial):
            fraction = 0.5 * trial[0]
            return fraction, f(x + fraction * move)

        one = jnp.asarray(1.0, x.dtype)
        first_trial = varying_like((one, f(x + move)), move)
        fraction, value = jax.lax.while_loop(too_long, halve, first_trial)
        taken = fraction * move
        finished = small(taken, x)
        # A last step at rounding level may not lower |f|; keep the better point.
        keep = ~(norm(value) <= norm(fx))
        stuck = keep & ~finished
        new = jnp.where(keep, x, x + taken)
        value = jnp.where(keep, fx, value)
        failed = stuck | ~jnp.all(jnp.isfinite(move))
        return new, value, norm(taken), finished, failed, steps + 1

    def small(move, x):
        return norm(move) <= rtol * (norm(x) + rtol)

    false: Flag = jnp.asarray(False)
    first = f(start)
    infinite = jnp.asarray(jnp.inf, start.dtype)
    state = (start, first, infinite, false, ~jnp.all(jnp.isfinite(first)), jnp.asarray(0))
    state = varying_like(state, first)
    x, fx, width, done, failed, steps = jax.lax.while_loop(unfinished, step, state)
    done = done | jnp.all(fx == 0)
    result = RESULTS.where(failed, RESULTS.stalled, RESULTS.max_steps_reached)
    result = RESULTS.where(done, RESULTS.successful, result)
    result = RESULTS.where(jnp.all(jnp.isfinite(fx)), result, RESULTS.nonfinite)
    return x, (norm(fx), width, steps, result)
