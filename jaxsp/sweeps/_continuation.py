r"""A branch of solutions followed along a parameter, through its folds.

The solutions of $F(x, \lambda) = 0$ are curves in $(x, \lambda)$. Along a curve's arc length nothing
happens where it turns back in $\lambda$: a spinodal is a point like any other, with a vertical tangent.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._checks import check_number
from .._types import ScalarLike
from ..numerics import (
    RESULTS,
    frozen,
    is_concrete,
    newton_root,
    raise_unless_successful,
    real_dtype,
    varying_like,
    with_implicit_derivative,
)

Residual = Callable[[PyTree, Array], PyTree]
"""`residual(x, parameter)`: zero on the branch, of the structure of `x`."""

# A step that is refused is halved, one that was easy is the start of a longer one.
_SHORTER, _LONGER = 0.5, 1.5
_NEWTON_STEPS, _EASY = 8, 4
# Tangents of neighbours turn by less than this cosine, or the step is taken to be too long.
_COSINE = 0.9


class Branch(eqx.Module):
    r"""Points of a branch, in the order in which it runs through them.

    The derivative of a point (in what the residual closes over) is how the branch moves there at
    right angles to itself, which exists at folds as well as elsewhere; `on_branch` has the derivative
    at a given parameter.

    Attributes:
        x: the solutions, with a first axis over the points.
        parameter: $\lambda$, `(points,)`.
        slope: $d\lambda / ds$ along the arc length $s$: its sign changes at a fold.
        reached: whether there is such a point; the last ones are missing if the branch left the
            interval of parameters or could not be followed.
        result: of each point, `RESULTS.successful` or why it is missing.
    """

    x: PyTree[Float[Array, "points ..."]]
    parameter: Float[Array, " points"]
    slope: Float[Array, " points"]
    reached: Bool[Array, " points"]
    result: RESULTS

    @property
    def turns(self) -> Bool[Array, " gaps"]:
        """Whether there is a fold between each point and the next."""
        here = self.reached[:-1] & self.reached[1:]
        return here & (self.slope[:-1] * self.slope[1:] < 0)


def follow(
    residual: Residual,
    x: PyTree[Float[Array, "..."]],
    parameter: ScalarLike,
    *,
    points: int = 100,
    step: ScalarLike = 0.05,
    minimum: ScalarLike = -jnp.inf,
    maximum: ScalarLike = jnp.inf,
    direction: int = 1,
    throw: bool = True,
) -> Branch:
    r"""Follow a branch of solutions of $F(x, \lambda) = 0$ by pseudo-arclength continuation.

    From one point the next is predicted along the tangent and corrected by Newton's method in the
    plane at right angles to it, so that folds are passed like any other point. Steps are halved where
    the branch bends and lengthened again up to `step`. All of it is one compiled loop, which may be
    jitted, vmapped and swept; see E. L. Allgower and K. Georg, *Introduction to Numerical Continuation
    Methods* (SIAM 2003), chapters 2 and 6.

    Args:
        residual: $F$, from a pytree and a scalar to a pytree of that structure; it may close over
            parameters of its own.
        x: a solution, or a start near one, at `parameter`.
        parameter: $\lambda$ at the start.
        points: how many points, the start included.
        step: the longest step, in arc length of $(x, \lambda)$.
        minimum: where the branch is left, below.
        maximum: where it is left, above.
        direction: 1 to set out towards larger $\lambda$, -1 towards smaller.
        throw: raise a `SolverError` if there is no solution at the start, or the branch is lost before
            it leaves the interval.

    Returns:
        A `Branch`.

    Example:
        The magnet $m = \tanh(\beta(m + h))$ as its field falls and rises again:

        >>> import jax.numpy as jnp
        >>> from jaxsp.sweeps import folds, follow
        >>> magnet = lambda m, h: m - jnp.tanh(2.0 * (m + h))
        >>> loop = follow(magnet, jnp.asarray(1.0), 0.5, direction=-1, minimum=-0.5)
        >>> found = folds(magnet, loop)
        >>> exact = jnp.sqrt(0.5) - jnp.arctanh(jnp.sqrt(0.5)) / 2
        >>> print(abs(found.parameter + jnp.array([exact, -exact])) < 1e-4)
        [ True  True]
    """
    if direction not in (1, -1):
        raise ValueError(f"Argument `direction` must be 1 or -1, but is {direction}.")
    if points < 2:
        raise ValueError(f"Argument `points` must be at least 2, but is {points}.")
    check_number("step", step, minimum=0.0, strict=True)
    check_number("parameter", parameter)
    dtype = real_dtype(parameter, *jax.tree.leaves(x))
    x = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), x)
    parameter = jnp.asarray(parameter, dtype)
    flat, unravel = ravel_pytree(x)
    F = _flat(residual, unravel)
    start = frozen(jnp.append(flat, parameter))
    # The path itself carries no derivative of what the residual closes over.
    converted, constants = jax.closure_convert(F, start)
    constants = frozen(constants)

    def still(z):
        return converted(z, *constants)

    limits = jnp.asarray(minimum, dtype), jnp.asarray(maximum, dtype)

    def derivative(point, tangent, there):
        # Derivatives at right angles to the tangent; missing points stay where they are.
        def gap(z):
            on_plane = jnp.dot(tangent, z - point)
            return jnp.where(there, jnp.append(F(z), on_plane), z - point)

        return with_implicit_derivative(gap, point)

    @jax.jit
    def solve(start, step, limits):
        path, tangents, reached, codes = _path(still, start, direction, step, points, limits)
        z = jax.vmap(derivative)(path, tangents, reached)
        numbers = jnp.where(reached[:, None], z, jnp.nan)
        x, parameter = jax.vmap(unravel)(numbers[:, :-1]), numbers[:, -1]
        result = jax.tree.map(lambda _: codes, RESULTS.successful)
        return Branch(x, parameter, tangents[:, -1], reached, result)

    branch = solve(start, jnp.asarray(step, dtype), limits)
    if throw and is_concrete(branch):
        codes = branch.result._value
        # Leaving the interval is no failure.
        shown = jnp.where(codes == RESULTS.no_fixed_point._value, 0, codes)[-1]
        raise_unless_successful(jax.tree.map(lambda _: shown, RESULTS.successful), "follow")
    return branch


def _flat(residual: Residual, unravel: Callable) -> Callable[[Array], Array]:
    """The residual as a function of one vector, the parameter last."""
    return lambda z: ravel_pytree(residual(unravel(z[:-1]), z[-1]))[0]


def _tangent(F: Callable, z: Array, before: Array) -> Array:
    """The unit vector along the branch that continues another direction."""
    size = z.size
    matrix = jnp.concatenate([jax.jacfwd(F)(z), before[None]])
    tangent = jnp.linalg.solve(matrix, jnp.zeros(size, z.dtype).at[-1].set(1.0))
    return tangent / jnp.linalg.norm(tangent)


def _correct(F: Callable, guess: Array, normal: Array) -> tuple[Array, Array, Array]:
    """Newton's method in the plane through `guess`: the point, whether it converged, and its steps."""
    # The error that a step leaves is about its square.
    tolerance = jnp.finfo(guess.dtype).eps ** 0.55

    def gap(z):
        return jnp.append(F(z), jnp.dot(normal, z - guess))

    def unfinished(state):
        _, moved, steps = state
        return (steps < _NEWTON_STEPS) & (moved > tolerance)

    def newton(state):
        z, _, steps = state
        move = jnp.linalg.solve(jax.jacfwd(gap)(z), -gap(z))
        return z + move, jnp.linalg.norm(move) / (1 + jnp.linalg.norm(z)), steps + 1

    state = (guess, jnp.asarray(jnp.inf, guess.dtype), jnp.asarray(0))
    state = varying_like(state, gap(guess))
    z, moved, steps = jax.lax.while_loop(unfinished, newton, state)
    return z, moved <= tolerance, steps


def _path(F, start, direction, longest, points, limits):
    """The points, their tangents, whether they were reached, and the codes of those that were not."""
    vertical = jnp.zeros_like(start).at[-1].set(1.0)
    first, good, _ = _correct(F, start, vertical)
    tangent = _tangent(F, first, direction * vertical)
    inside = (first[-1] >= limits[0]) & (first[-1] <= limits[1])
    ok, left, lost = (
        code._value.astype(jnp.int32)
        for code in (RESULTS.successful, RESULTS.no_fixed_point, RESULTS.max_steps_reached)
    )
    code = jnp.where(good, jnp.where(inside, ok, left), lost)

    def advance(state, _):
        z, tangent, step, code = state

        def too_long(trial):
            length, _, _, good, _ = trial
            return ~good & (length > 1e-6 * longest)

        def attempt(trial):
            length = _SHORTER * trial[0]
            guess = z + length * tangent
            new, good, steps = _correct(F, guess, tangent)
            turned = _tangent(F, new, tangent)
            good &= jnp.dot(turned, tangent) > _COSINE
            # A point that is farther off than the step is long is of another branch.
            good &= jnp.linalg.norm(new - guess) < length
            return length, new, turned, good, steps

        trial = (step / _SHORTER, z, tangent, jnp.asarray(False), jnp.asarray(0))
        trial = varying_like(trial, z + F(z)[0])
        length, new, turned, good, steps = jax.lax.while_loop(too_long, attempt, trial)
        inside = (new[-1] >= limits[0]) & (new[-1] <= limits[1])
        here = jnp.where(good, jnp.where(inside, ok, left), lost)
        here = jnp.where(code == ok, here, code)
        grown = jnp.where(steps <= _EASY, _LONGER * length, length)
        moved = here == ok
        z, tangent = jnp.where(moved, new, z), jnp.where(moved, turned, tangent)
        state = (z, tangent, jnp.minimum(grown, longest), here)
        return state, (z, tangent, here)

    state = varying_like((first, tangent, longest, code), first + F(first)[0])
    _, (path, tangents, codes) = jax.lax.scan(advance, state, length=points - 1)
    path = jnp.concatenate([first[None], path])
    tangents = jnp.concatenate([tangent[None], tangents])
    codes = jnp.append(code, codes)
    return path, tangents, codes == ok, codes


class Folds(eqx.Module):
    r"""Where a branch turns back in its parameter: spinodals, limits of hysteresis.

    Attributes:
        x: the solutions there, with a first axis over the folds.
        parameter: $\lambda$ there.
        exists: whether there is such a fold; the numbers of those that there are not are NaN.
        result: of each, `RESULTS.successful` or why not.
    """

    x: PyTree[Float[Array, "folds ..."]]
    parameter: Float[Array, " folds"]
    exists: Bool[Array, " folds"]
    result: RESULTS


def folds(residual: Residual, branch: Branch, *, max_folds: int = 2, throw: bool = True) -> Folds:
    r"""The folds of a branch, to rounding, with their derivatives.

    At a fold $F = 0$, $F_x v = 0$ and $|v| = 1$ for some $v$: the extended system of G. Moore and A.
    Spence (SIAM J. Numer. Anal. 17, 1980), solved by Newton's method from where the branch turns.
    Differentiable with respect to whatever the residual closes over.

    Args:
        residual: that of the branch.
        branch: what `follow` returned.
        max_folds: how many are looked for, in the order of the branch.
        throw: raise a `SolverError` if one that the branch shows is not found.
    """
    if max_folds < 1:
        raise ValueError(f"Argument `max_folds` must be at least 1, but is {max_folds}.")
    turns = branch.turns
    absent = turns.size
    places = jnp.nonzero(turns, size=max_folds, fill_value=absent)[0]
    one_x = jax.tree.map(lambda leaf: leaf[0], branch.x)
    unravel = ravel_pytree(one_x)[1]
    F = _flat(residual, unravel)
    flat = jax.vmap(lambda x: ravel_pytree(x)[0])(branch.x)
    points = frozen(jnp.concatenate([flat, branch.parameter[:, None]], axis=1))

    def locate(place):
        exists = place < absent
        place = jnp.where(exists, place, 0)
        slopes = jax.lax.stop_gradient(branch.slope)[jnp.stack([place, place + 1])]
        weight = jnp.where(exists, slopes[0] / (slopes[0] - slopes[1]), 0.0)
        guess = points[place] + weight * (points[place + 1] - points[place])
        chord = (points[place + 1] - points[place])[:-1]
        v = chord / jnp.linalg.norm(chord)
        guess = jnp.where(exists, guess, points[0])

        def extended(unknowns):
            z, w = unknowns
            along = jax.jvp(F, (z,), (jnp.append(w, 0.0),))[1]
            system = jnp.concatenate([F(z), along, (jnp.dot(w, v) - 1.0)[None]])
            # What does not exist is a solution of its own.
            blank = jnp.concatenate([z - guess, w - v])
            return jnp.where(exists, system, blank)

        root = newton_root(extended, (guess, v))
        z = jnp.where(exists, root.value[0], jnp.nan)
        result = RESULTS.where(exists, root.result, RESULTS.no_fixed_point)
        shown = RESULTS.where(exists, root.result, RESULTS.successful)
        return Folds(unravel(z[:-1]), z[-1], exists, result), shown

    found, shown = jax.jit(jax.vmap(locate))(places)
    raise_unless_successful(shown, "folds", throw)
    return found


class OnBranch(eqx.Module):
    """Where a branch passes a parameter.

    Attributes:
        x: the solutions, with a first axis over the passages.
        exists: whether there is such a passage; the numbers of those that there are not are NaN.
        index: the point of the branch before each passage.
        result: of each, `RESULTS.successful` or why not.
    """

    x: PyTree[Float[Array, "passages ..."]]
    exists: Bool[Array, " passages"]
    index: Int[Array, " passages"]
    result: RESULTS


def on_branch(
    residual: Residual,
    branch: Branch,
    parameter: ScalarLike,
    *,
    max_passages: int = 3,
    throw: bool = True,
) -> OnBranch:
    r"""The solutions of a branch at one parameter, with their derivatives at that parameter.

    Args:
        residual: that of the branch.
        branch: what `follow` returned.
        parameter: $\lambda$; the solutions are differentiable with respect to it as well.
        max_passages: how many are looked for, in the order of the branch: 3 for one S-shape.
        throw: raise a `SolverError` if one that the branch shows is not found.
    """
    if max_passages < 1:
        raise ValueError(f"Argument `max_passages` must be at least 1, but is {max_passages}.")
    parameter = jnp.asarray(parameter, branch.parameter.dtype)
    values = jax.lax.stop_gradient(branch.parameter)
    height = values - jax.lax.stop_gradient(parameter)
    there = branch.reached[:-1] & branch.reached[1:]
    crossing = there & ((height[:-1] < 0) != (height[1:] < 0))
    absent = crossing.size
    places = jnp.nonzero(crossing, size=max_passages, fill_value=absent)[0]

    def locate(place):
        exists = place < absent
        place = jnp.where(exists, place, 0)
        ends = height[place], height[place + 1]
        weight = jnp.where(exists, ends[0] / (ends[0] - ends[1]), 0.0)

        def between(leaf):
            leaf = jax.lax.stop_gradient(leaf)
            return leaf[place] + weight * (leaf[place + 1] - leaf[place])

        guess: Any = jax.tree.map(between, branch.x)

        def gap(x):
            blank = jax.tree.map(jnp.subtract, x, guess)
            return jax.tree.map(lambda a, b: jnp.where(exists, a, b), residual(x, parameter), blank)

        root = newton_root(gap, guess)
        x = jax.tree.map(lambda leaf: jnp.where(exists, leaf, jnp.nan), root.value)
        result = RESULTS.where(exists, root.result, RESULTS.no_fixed_point)
        shown = RESULTS.where(exists, root.result, RESULTS.successful)
        return OnBranch(x, exists, place, result), shown

    found, shown = jax.jit(jax.vmap(locate))(places)
    raise_unless_successful(shown, "on_branch", throw)
    return found
