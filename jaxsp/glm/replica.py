r"""Replica-symmetric theory of the GLM: free entropy, all fixed points, the Bayes optimum.

$$ f = \sup_m \inf_{\hat m} \Big[ \Phi_w(\hat m) + \alpha \Phi_{\rm out}(m) - \tfrac12 m \hat m \Big] $$

(arXiv 1708.03395, eq. 4). All fixed points lie on one explicit curve, see `jaxsp.glm.curve`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    best_entry,
    bracketed_root,
    frozen,
    is_concrete,
    raise_unless_successful,
    varying_like,
)
from .curve import Curve, scan
from .model import GLM
from .potentials import output_potential, prepare, weight_potential
from .solution import (
    REGULAR,
    SATURATED,
    UNINFORMATIVE,
    Solution,
    free_entropy_at,
    solution_at,
    some_data,
    state_near,
)


class Branches(eqx.Module):
    """All fixed points of a model at one alpha, by increasing overlap.

    The first entry is the uninformative one, the last one perfect (or saturated) recovery; where
    `exists` is false the numbers of an entry are NaN and its `result` says so.

    Attributes:
        solution: a `Solution` whose fields have a last axis over the fixed points.
        exists: whether there is such a fixed point.
        stable: whether it exists and attracts state evolution.
    """

    solution: Solution
    exists: Bool[Array, "*s k"]
    stable: Bool[Array, "*s k"]

    @property
    def optimal(self) -> Solution:
        """Of the stable ones, that of largest free entropy: what `bayes_optimal` gives."""
        f = self.solution.free_entropy
        return best_entry(self.solution, jnp.where(self.stable & ~jnp.isnan(f), f, -jnp.inf))

    @property
    def uninformed(self) -> Solution:
        """The stable one of least overlap: where `state_evolution` from an uninformed start ends."""
        return best_entry(self.solution, self.stable)


class Candidates(eqx.Module):
    """Fixed points before their evaluation; carries no derivative.

    The free entropies are minus infinity where no stable one was asked for.
    """

    kind: Array
    x: Array
    exists: Bool[Array, " k"]
    stable: Bool[Array, " k"]
    free_entropy: Float[Array, " k"]


def find_candidates(
    model: GLM,
    alpha: Scalar,
    curve: Curve,
    order: int,
    max_roots: int,
    *,
    stable_only: bool = False,
    free_entropies: bool = False,
) -> Candidates:
    """The uninformative, regular and saturated fixed points, by increasing snr.

    With `stable_only`, the regular ones where the curve falls are left out.
    """
    model, alpha = frozen((model, alpha))
    target = jnp.log(some_data(alpha))
    height = curve.log_alpha - target
    usable = curve.valid[1:] & curve.valid[:-1]
    crossing = ((height[:-1] < 0) != (height[1:] < 0)) & usable
    if stable_only:
        crossing = crossing & (height[:-1] < 0)
    absent = height.size - 1
    places = jnp.nonzero(crossing, size=max_roots, fill_value=absent)[0]
    top = jnp.maximum(jnp.sum(curve.valid) - 1, 0)
    below = jnp.where(curve.zero_fixed, True, height[0] >= 0)
    below_stable = jnp.where(curve.zero_fixed, alpha < curve.start, below)
    rising = ~jnp.isfinite(curve.end)
    above = jnp.where(rising, height[top] < 0, alpha > curve.end)
    # Below the scan the information in an output is that without data, up to second order in the snr.
    few = curve.x[0] - height[0] - (1 - curve.slope[0])

    def evaluate(kind, x):
        """Distance from the curve in log(alpha), and free entropy, which is off by its square."""
        state = state_near(model, alpha, curve, kind, x, order)
        f = free_entropy_at(alpha, curve, kind, state) if free_entropies else jnp.nan
        return x - jnp.log(state.output.information) - target, jnp.where(jnp.isnan(f), -jnp.inf, f)

    def locate(candidate):
        kind, wanted, ends, heights, slopes = candidate
        return _root_of_curve(lambda x: evaluate(kind, x), ends, heights, slopes, wanted)

    # The fixed points at the curve's ends are known: brackets of no width.
    kind = jnp.array([UNINFORMATIVE, *[REGULAR] * max_roots, SATURATED])
    on_curve = places < absent
    exists = jnp.concatenate([below[None], on_curve, above[None]])
    rises = on_curve & (height[places] < 0)
    stable = jnp.concatenate([below_stable[None], rises, above[None]])
    wanted = jnp.where(kind == REGULAR, exists, stable & free_entropies)
    first, last = jnp.zeros_like(top)[None], top[None]
    left = jnp.concatenate([first, places, last])
    right = jnp.concatenate([first, jnp.where(on_curve, places + 1, places), last])
    pairs = jnp.stack([left, right], axis=1)
    ends = curve.x[pairs].at[0].set(few)
    # One after the other: a batch over alpha then skips those that no lane has.
    x, f = jax.lax.map(locate, (kind, wanted, ends, height[pairs], curve.slope[pairs]))
    return Candidates(kind, x, exists, stable, f)


def _root_of_curve(evaluate, ends, heights, slopes, wanted):
    """Where the curve passes a height between two points of the scan, and what else is known there.

    From the root of the cubic that has the curve's values and slopes at the two points, with its slope
    there and then with those of secants, kept inside the bracket: three or four evaluations, where
    bracketing alone takes ten. They need no derivative, which costs more than two values.
    """
    width = ends[1] - ends[0]

    def cubic(t):
        rise = heights[1] - heights[0]
        first, last = slopes[0] * width - rise, slopes[1] * width - rise
        return heights[0] + t * (rise + (1 - t) * (first * (1 - t) - last * t))

    def halve(_, interval):
        middle = 0.5 * (interval[0] + interval[1])
        before = jnp.sign(cubic(middle)) == sign
        return jnp.where(before, middle, interval[0]), jnp.where(before, interval[1], middle)

    sign = jnp.sign(heights[0])
    interval = varying_like((jnp.zeros_like(width), jnp.ones_like(width)), heights[0])
    guess, _ = jax.lax.fori_loop(0, 20, halve, interval)
    epsilon = jnp.finfo(width.dtype).eps
    # Differences of values below this are rounding for some per cent.
    rounding = epsilon**0.8

    def unfinished(state):
        *_, moving, steps = state
        return moving & (steps < 60)

    def step(state):
        x, _, slope, low, high, last_gap, last_move, _, steps = state
        gap, f = evaluate(x)
        rise = gap - last_gap
        secant = (steps > 0) & (jnp.abs(rise) > rounding * (1 + jnp.abs(x)))
        slope = jnp.where(secant, rise / last_move, slope)
        before = jnp.sign(gap) == sign
        low, high = jnp.where(before, x, low), jnp.where(before, high, x)
        newton = x - gap / slope
        inside = (newton >= low) & (newton <= high)
        new = jnp.where(inside, newton, 0.5 * (low + high))
        move = new - x
        # The error left by a step is its size times the last one's, and the curvature over the slope.
        small = epsilon * jnp.clip(jnp.abs(slope), 1e-4, 1.0)
        done = jnp.abs(move * last_move) <= small
        done = done | (high - low <= 2 * epsilon * (1 + jnp.abs(x)))
        return new, f, slope, low, high, gap, move, ~done, steps + 1

    start = jnp.where(wanted, ends[0] + guess * width, ends[0])
    slope = jax.grad(cubic)(guess) / width
    nowhere = jnp.full_like(width, -jnp.inf)
    state = (start, nowhere, slope, *ends, jnp.zeros_like(width), width, wanted, jnp.asarray(0))
    state = varying_like(state, heights[0])
    return jax.lax.while_loop(unfinished, step, state)[:2]


def bayes_optimal(model: GLM, alpha: ScalarLike, *, throw: bool = True) -> Solution:
    r"""The extremiser of the free entropy: what is information-theoretically optimal at $\alpha = n/p$.

    Of all stable fixed points, the one of largest free entropy (arXiv 1708.03395, Theorem 1).

    Args:
        model: the GLM.
        alpha: number of samples over number of weights, at least 0.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.

    Returns:
        A `Solution`, differentiable with respect to alpha and the model's parameters.

    Raises:
        ValueError: if alpha is negative or not finite.
        SolverError: if no fixed point is found or the quadrature is inaccurate.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Gaussian(), channels.Sign())
        >>> solution = glm.bayes_optimal(model, 2.0)
        >>> print(f"{solution.overlap:.4f}")
        0.7283
    """
    check_number("alpha", alpha, minimum=0.0)
    model, (alpha,), order = prepare(model, alpha)
    solution = _bayes_optimal(model, alpha, order)
    raise_unless_successful(solution.result, "bayes_optimal", throw)
    return solution


@eqx.filter_jit
def _bayes_optimal(model: GLM, alpha: Scalar, order: int) -> Solution:
    curve = scan(model, alpha.dtype, order)
    candidates = find_candidates(
        model, alpha, curve, order, MAX_STABLE, stable_only=True, free_entropies=True
    )
    best = jnp.argmax(jnp.where(candidates.stable, candidates.free_entropy, -jnp.inf))
    return solution_at(
        model, alpha, curve, candidates.kind[best], candidates.x[best], candidates.stable[best],
        order,
    )  # fmt: skip


# More stable crossings of one alpha are not looked for: two first-order transitions at once.
MAX_STABLE = 3


def branches(model: GLM, alpha: ScalarLike, *, max_roots: int = 3, throw: bool = True) -> Branches:
    r"""All fixed points at one alpha: stable and unstable, uninformative to perfect.

    Args:
        model: the GLM.
        alpha: number of samples over number of weights, at least 0.
        max_roots: how many fixed points on the explicit curve are looked for, besides the two at its
            ends; 3 is one first-order transition (two stable branches and the unstable one).
        throw: raise a `SolverError` if one of them is not to be trusted.

    Returns:
        `Branches` with `max_roots + 2` entries, differentiable like `bayes_optimal`.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=0.01))
        >>> int(glm.branches(model, 1.5).stable.sum())
        2
    """
    check_number("alpha", alpha, minimum=0.0)
    if max_roots < 1:
        raise ValueError(f"Argument `max_roots` must be at least 1, but is {max_roots}.")
    model, (alpha,), order = prepare(model, alpha)
    found = _branches(model, alpha, order, max_roots)
    if is_concrete(found):
        kept = jax.tree.map(lambda a: a[found.exists], found.solution.result)
        raise_unless_successful(kept, "branches", throw)
    return found


@eqx.filter_jit
def _branches(model: GLM, alpha: Scalar, order: int, max_roots: int) -> Branches:
    curve = scan(model, alpha.dtype, order)
    found = find_candidates(model, alpha, curve, order, max_roots)
    solution = jax.vmap(
        lambda kind, x, exists: solution_at(model, alpha, curve, kind, x, exists, order)
    )(found.kind, found.x, found.exists)
    return Branches(solution, found.exists, found.stable)


def free_entropy(model: GLM, alpha: ScalarLike, m: ScalarLike) -> Scalar:
    r"""The replica-symmetric potential $f(m) = \inf_{\hat m} [\Phi_w + \alpha\Phi_{\rm out} - m\hat m/2]$.

    Its maxima over the overlap are the stable fixed points (`branches`), its value at the largest one
    is the model's free entropy.

    Args:
        model: the GLM.
        alpha: number of samples over number of weights, at least 0.
        m: overlap, in $[0, \rho)$. Below $(\mathbb E w)^2$ the infimum is at $\hat m = 0$.

    Returns:
        The potential, differentiable (twice and more) in all three arguments.

    Raises:
        ValueError: if alpha is negative, or `m` outside of $[0, \rho)$.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Gaussian(), channels.Linear(noise_variance=1.0))
        >>> f = glm.free_entropy(model, 1.0, 0.5)
    """
    check_number("alpha", alpha, minimum=0.0)
    if is_concrete((model, m)):
        rho = float(model.prior.second_moment())
        check_number("m", m, minimum=0.0)
        if float(jnp.max(jnp.asarray(m))) >= rho:
            raise ValueError(
                f"Argument `m` must be below the second moment of the prior, {rho:.6g}, but is {m}."
            )
    model, (alpha, m), order = prepare(model, alpha, m)
    return _free_entropy(model, alpha, m, order)


@eqx.filter_jit
def _free_entropy(model: GLM, alpha: Scalar, m: Scalar, order: int) -> Scalar:
    mean, variance = model.prior.moments()
    V = variance + mean**2 - m
    informed = m > mean**2
    safe_m = jnp.where(informed, m, mean**2 + 0.5 * variance)
    target = jnp.log(safe_m - mean**2) - jnp.log(mean**2 + variance - safe_m)

    def gap(x):
        weight = weight_potential(model, jnp.exp(x), order)
        gained = weight.overlap - mean**2
        return jnp.log(gained) - jnp.log(weight.error_variance) - target

    low, high = (-18.0, 60.0) if m.dtype == jnp.float64 else (-11.0, 25.0)
    shift = jnp.log(variance)
    x = bracketed_root(gap, low - shift, high - shift).value
    snr = jnp.where(informed, jnp.exp(x), 0.0)
    psi = jnp.where(informed, weight_potential(model, jnp.exp(x), order).negative_information, 0.0)
    return psi + 0.5 * V * snr + alpha * output_potential(model, m, V, order).potential
