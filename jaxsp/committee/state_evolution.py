r"""State evolution: the overlap that AMP follows, and where it ends."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from .._checks import check_choice, check_number
from .._types import Count, Scalar, ScalarLike
from ..numerics import RESULTS, fixed_point, raise_unless_successful, refined_order
from .curve import State, scan
from .fields import full_potential, symmetric_potential
from .iteration import limit_from, unspecialized_limit
from .model import CommitteeMachine, has_curves, prepare, tolerance
from .overlaps import check_overlap
from .solution import UNSPECIALIZED, Solution, evaluate, find_candidates, solution_at
from .weights import as_pair, full_weights, symmetric_weights

# What stands for an infinitesimal overlap or error, relative to the second moment.
_NUDGE = 1e-6
_STARTS = ("uninformed", "broken", "specialized")


class StateEvolution(Solution):
    r"""The fixed point that a start flows to, and the first steps of the way.

    Attributes:
        trajectory: overlaps $q_0 \dots q_T$, K x K each.
        iterations: how many steps the limit took; zero if it was found on the explicit curve.
    """

    trajectory: Float[Array, "*s steps K K"]
    iterations: Count


def state_evolution(
    model: CommitteeMachine,
    alpha: ScalarLike,
    init: str | Num[ArrayLike, "K K"] = "uninformed",
    *,
    steps: int = 0,
    max_steps: int = 20_000,
    throw: bool = True,
) -> StateEvolution:
    r"""What AMP reaches from a given start in the large-size limit.

    $$ q_{t+1} = \mathbb E \langle w \rangle \langle w \rangle^T (r_t), \qquad
       r_t = \alpha\, \mathbb E\, g_{\rm out} g_{\rm out}^T (q_t) $$

    (arXiv 1806.05451, eq. 11). From the named starts the overlap stays permutation-symmetric. Up to two units
    with labels of their signs its limit is not iterated: it is a crossing of an explicit curve, and is exact
    however slow the convergence. For more units and other outputs an iteration finds it, and Broyden's method
    its value. From a matrix the full K x K overlap is iterated to its limit.

    Args:
        model: the committee.
        alpha: number of samples over number of inputs, at least 0.
        init: "uninformed" (the prior's mean: all units alike, which they stay), "broken" (the same with
            an infinitesimal difference between the units, as in AMP from a random start),
            "specialized" (at the teacher), or an overlap matrix `(K, K)`.
        steps: length T of the trajectory that is recorded.
        max_steps: of the iteration from a matrix.
        throw: raise a `SolverError` if the limit is not to be trusted.

    Raises:
        ValueError: if alpha is negative, or the matrix is not symmetric with $0 \le q \le \rho$.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> se = committee.state_evolution(model, alpha=3.2, init="specialized")
        >>> bool(se.q_d > 0.1)
        True
    """
    check_number("alpha", alpha, minimum=0.0)
    if steps < 0:
        raise ValueError(f"Argument `steps` must be at least 0, but is {steps}.")
    model, (alpha,), order = prepare(model, alpha)
    if isinstance(init, str):
        check_choice("init", init, _STARTS)
        found = _from_start(model, alpha, init, steps, order)
    else:
        start = check_overlap("init", init, model, alpha.dtype)
        found = _from_matrix(model, alpha, start, steps, max_steps, order)
    raise_unless_successful(found.result, "state_evolution", throw)
    return found


@eqx.filter_jit
def _from_start(
    model: CommitteeMachine, alpha: Scalar, init: str, steps: int, order: int
) -> StateEvolution:
    if has_curves(model):
        curves = scan(jax.lax.stop_gradient(model), alpha.dtype, order)
        found = find_candidates(model, alpha, curves)
        first = jnp.argmax(found.stable)
        last = found.stable.size - 1 - jnp.argmax(found.stable[::-1])
        index = {"uninformed": 0, "broken": first, "specialized": last}[init]
        exists = found.exists[index] if init == "uninformed" else jnp.any(found.stable)
        kind, x, slopes = found.kind[index], found.x[index], found.slopes[index]
    else:
        limit = unspecialized_limit(model, alpha, order)
        if init != "uninformed" and model.hidden_units > 1:
            coarse = max(order // 2, 4)
            informed = init == "specialized"
            limit = limit_from(model, alpha, limit, coarse, specialized=informed)
        kind = UNSPECIALIZED if init == "uninformed" else limit.kind
        x, slopes, exists = limit.x, limit.slopes, jnp.asarray(True)
    solution = solution_at(model, alpha, kind, x, slopes, exists, order)

    rho = as_pair(model.second_moment())
    uninformed = symmetric_weights(model, jnp.zeros_like(rho), order)
    q, V = uninformed.overlap, uninformed.error
    nudge = _NUDGE * rho
    if init == "broken":
        q, V = q + nudge, V - nudge
    elif init == "specialized":
        q, V = rho - nudge, nudge
    path = _symmetric_path(model, alpha, q, V, steps, order)
    return _with_path(solution, path, jnp.asarray(0))


def _symmetric_path(model, alpha, q, V, steps, order) -> Array:
    K = model.hidden_units

    def step(state, _):
        q, V = state
        r = alpha * symmetric_potential(model, q, V, order).information
        weights = symmetric_weights(model, r, order)
        return (weights.overlap, weights.error), weights.overlap

    pairs = q[None]
    if steps:
        _, later = jax.lax.scan(step, (q, V), length=steps)
        pairs = jnp.concatenate([pairs, later])
    mean = jnp.full((K, K), 1 / K, q.dtype)
    return pairs[:, :1, None] * (jnp.eye(K, dtype=q.dtype) - mean) + pairs[:, 1:, None] * mean


def _with_path(solution: Solution, path: Array, iterations: Count) -> StateEvolution:
    fields = {name: getattr(solution, name) for name in solution.__dataclass_fields__}
    return StateEvolution(**fields, trajectory=path, iterations=iterations)


@eqx.filter_jit
def _from_matrix(
    model: CommitteeMachine, alpha: Scalar, start: Array, steps: int, max_steps: int, order: int
) -> StateEvolution:
    rho = model.second_moment()

    def image(q):
        q = 0.5 * (q + q.T)
        r = alpha * full_potential(model, q, rho - q, order).information
        return full_weights(model, r, order).overlap

    def step(q, _):
        new = image(q)
        return new, new

    path = start[None]
    if steps:
        path = jnp.concatenate([path, jax.lax.scan(step, start, length=steps)[1]])
    step_size = 1e-12 if start.dtype == jnp.float64 else 1e-5
    limit = fixed_point(image, start, rtol=0.0, atol=step_size, max_steps=max_steps)
    q = limit.value
    r = alpha * full_potential(model, q, rho - q, order).information
    finer = refined_order(order)
    weights = full_weights(model, r, finer)
    state = State(r, weights, full_potential(model, weights.overlap, weights.error, finer))
    solution = evaluate(model, alpha, state)
    accurate = solution.quadrature_error < max(tolerance(model, q.dtype), 1e-5)
    accurate = accurate | (limit.result != RESULTS.successful)
    result = RESULTS.where(limit.result == RESULTS.successful, solution.result, limit.result)
    result = RESULTS.where(accurate, result, RESULTS.inaccurate)
    solution = eqx.tree_at(lambda s: s.result, solution, result)
    return _with_path(solution, path, limit.iterations)
