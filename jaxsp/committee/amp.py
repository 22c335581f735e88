"""Approximate message passing for a committee: a K x K covariance for each weight and field."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Count, Scalar, ScalarLike
from ..numerics import RESULTS, is_concrete, numbers_as_arrays, raise_unless_successful, real_dtype
from .model import CommitteeMachine, check_feasible
from .weights import denoise


class AMPState(eqx.Module):
    r"""What one iteration hands to the next.

    Attributes:
        mean: $\hat w$ `(p, K)`, means of the marginal posteriors.
        covariance: the mean over the inputs of their K x K covariances.
        g: $g_{\rm out}$ of each output at the last iteration (zero before the first), damped.
        precision: $A$ of the last iteration, K x K, damped.
        reacted: the mean that the outputs' $g$ has answered to, $\hat w$ damped alike.
    """

    mean: Float[Array, "p K"]
    covariance: Float[Array, "K K"]
    g: Float[Array, "n K"]
    precision: Float[Array, "K K"]
    reacted: Float[Array, "p K"]


class AMPResult(eqx.Module):
    r"""The estimate of AMP, and how it got there.

    Entry $t$ of a trajectory belongs to the estimate after $t$ iterations; after the last one the last
    value is repeated. As $n, p \to \infty$ and without damping the overlap tends to `trajectory[t]` of
    `state_evolution` from the same start.

    Attributes:
        mean: estimate of the weights `(p, K)`, the means of their marginal posteriors.
        covariance: K x K mean covariance of the marginal posteriors.
        self_overlap_trajectory: $\hat w_t^T \hat w_t / p$, which estimates the overlap without the teacher.
        overlap_trajectory: $\hat w_t^T w^* / p$ if the teacher was given, its units brought into the
            order that fits the estimate best at the end, else None.
        change_trajectory: root mean square change relative to the prior's second moment.
        iterations: how many were taken.
        residual: the last of these changes.
        result: `RESULTS.successful`, or why not.
    """

    mean: Float[Array, "p K"]
    covariance: Float[Array, "K K"]
    self_overlap_trajectory: Float[Array, "steps K K"]
    overlap_trajectory: Float[Array, "steps K K"] | None
    change_trajectory: Float[Array, " steps"]
    iterations: Count
    residual: Scalar
    result: RESULTS


def amp_step(
    model: CommitteeMachine,
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    state: AMPState,
    damping: Scalar,
) -> AMPState:
    r"""One iteration of AMP (arXiv 1806.05451, algorithm 1).

    $$ \omega = X \hat w - g V, \quad g_\mu = \nabla_\omega \log Z_{\rm out}(y_\mu; \omega_\mu, V), \quad
       A = \tfrac1p \sum_\mu g_\mu g_\mu^T, \quad
       \hat w_i = \nabla_b \log Z_w(A, A \hat w_i + (X^T g)_i). $$

    $V$, the mean of the posterior covariances, and $A$ are common to all fields and weights, up to
    $O(p^{-1/2})$ for iid entries of variance $1/p$. At the Bayes optimum $A$ may be had from $g g^T$
    instead of from a second derivative: it then has no negative direction. Damping mixes $g$, $A$ and the
    $\hat w_i$ of $A \hat w_i$ with their predecessors, never that of $X \hat w$: see `jaxsp.glm.amp_step`.
    """
    p, K = state.mean.shape
    # At perfect recovery the covariance underflows; the rounding of a field does not.
    size = jnp.sum(state.mean**2) / p
    floor = jnp.finfo(size.dtype).eps ** 1.5 * (size + jnp.trace(state.covariance))
    V = state.covariance + floor * jnp.eye(K, dtype=size.dtype)
    omega = X @ state.mean - state.g @ V
    slope = jax.grad(model.output.log_partition, 1)
    if model.output.noise_dimensions(K):
        # Outputs that are averages themselves, in parts: each needs memory for its points.
        g = jax.lax.map(lambda pair: slope(*pair, V), (y, omega), batch_size=256)
    else:
        g = jax.vmap(slope, (0, 0, None))(y, omega, V)
    precision = damping * state.precision + (1 - damping) * (g.T @ g) / p
    g = damping * state.g + (1 - damping) * g
    reacted = damping * state.reacted + (1 - damping) * state.mean
    # Not `X.T @ g`: on CPU that writes out the transposed matrix, and so does a product whose transpose the
    # compiler sees: behind the barrier it does not.
    field = reacted @ precision + jax.lax.optimization_barrier(g.T @ X).T
    mean, covariances = jax.vmap(lambda b: denoise(model.prior, precision, b))(field)
    return AMPState(mean, jnp.mean(covariances, axis=0), g, precision, reacted)


def amp(
    model: CommitteeMachine,
    X: Num[Array, "..."],
    y: Num[Array, "..."],
    *,
    key: PRNGKeyArray | None = None,
    init: Num[Array, "..."] | None = None,
    damping: ScalarLike = 0.0,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    teacher: Num[Array, "..."] | None = None,
    throw: bool = True,
) -> AMPResult:
    r"""Bayes-optimal approximate message passing for one instance.

    Compiled as one loop; `jax.vmap` runs a batch of instances. **Units that start alike stay alike** (until
    rounding has grown, if specialisation is possible). By default it starts from independent random
    estimates of the units, of a hundredth of the prior's size, drawn from `key`; which unit learns
    which of the teacher's is then a matter of chance, and where specialisation is possible it grows
    out of the start in $O(\log p)$ iterations.

    Args:
        model: the committee.
        X: design matrix `(n, p)`. Its floating-point type is that of the computation.
        y: outputs `(n,)`.
        key: of the random start (default: `jax.random.key(0)`).
        init: estimate `(p, K)` to start from instead.
        damping: in [0, 1), the weight of the previous iterate.
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change of the estimate, relative to the prior's second moment, at
            which to stop (default: 1e-8 in float64, 1e-4 in float32).
        teacher: the true weights `(p, K)`, to record the overlap with them.
        throw: raise a `SolverError` if it has not converged; `result` says it too.

    Raises:
        ValueError: if shapes disagree, data are not finite or outside of the output's range, or a
            parameter is out of its range.
        SolverError: if it did not converge; the last iterate is in the result that `throw=False` returns.

    Example:
        >>> import jax
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> data = committee.sample_instance(model, inputs=100, samples=150, key=jax.random.key(0))
        >>> run = committee.amp(model, data.X, data.y, max_steps=5, throw=False)
        >>> run.mean.shape, int(run.iterations)
        ((100, 2), 5)
    """
    check_number("damping", damping, minimum=0.0)
    if is_concrete(damping) and float(damping) >= 1:
        raise ValueError(f"Argument `damping` must be in [0, 1), but is {damping}.")
    if max_steps < 1:
        raise ValueError(f"Argument `max_steps` must be at least 1, but is {max_steps}.")
    if init is not None and key is not None:
        raise ValueError("Arguments `init` and `key` are two starts: give one of them.")
    check_feasible(model)
    K = model.hidden_units
    dtype = real_dtype(X)
    X = jnp.asarray(X, dtype)
    check_shape("X", X, (None, None), "(n, p)")
    n, p = X.shape
    y = jnp.asarray(y, dtype)
    check_shape("y", y, (n,), f"({n},), one output for each row of `X`")
    check_number("X", X)
    model.output.check_outputs(y, K)
    model = jax.tree.map(
        lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x,
        numbers_as_arrays(model, dtype),
    )

    def as_weights(name, value):
        value = jnp.asarray(value, dtype)
        check_shape(name, value, (p, K), f"({p}, {K}), a row for each input")
        check_number(name, value)
        return value

    mean, variance = model.prior.moments()
    if init is None:
        key = jax.random.key(0) if key is None else key
        init = mean + 0.01 * jnp.sqrt(variance) * jax.random.normal(key, (p, K), dtype)
    start = as_weights("init", init)
    teacher = None if teacher is None else as_weights("teacher", teacher)
    if tolerance is None:
        tolerance = 1e-8 if dtype == jnp.float64 else 1e-4
    check_number("tolerance", tolerance, minimum=0.0, strict=True)
    numbers = jnp.asarray(damping, dtype), jnp.asarray(tolerance, dtype)
    run = _amp(model, X, y, start, teacher, *numbers, max_steps)
    raise_unless_successful(run.result, "amp", throw)
    return run


@eqx.filter_jit
def _amp(
    model: CommitteeMachine,
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    start: Float[Array, "p K"],
    teacher: Float[Array, "p K"] | None,
    damping: Scalar,
    tolerance: Scalar,
    max_steps: int,
) -> AMPResult:
    (n, p), K = X.shape, model.hidden_units
    rho = model.second_moment()

    def measure(state):
        own = state.mean.T @ state.mean / p
        return own, own if teacher is None else state.mean.T @ teacher / p

    def unfinished(carry):
        _, _, changes, finite, steps = carry
        return (changes[steps] > tolerance) & finite & (steps < max_steps)

    def iterate(carry):
        state, history, changes, _, steps = carry
        # The first iteration has no previous one to be damped with.
        new = amp_step(model, X, y, state, jnp.where(steps == 0, 0.0, damping))
        change = jnp.sqrt(jnp.mean((new.mean - state.mean) ** 2) / rho[0, 0])
        finite = jnp.isfinite(change)
        state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
        steps = steps + 1
        history = tuple(h.at[steps].set(v) for h, v in zip(history, measure(state), strict=True))
        return state, history, changes.at[steps].set(change), finite, steps

    # Nishimori's identity gives the covariance that belongs to an estimate.
    mean, variance = model.prior.moments()
    centred = (start - mean).T @ (start - mean) / p
    covariance = variance * jnp.eye(K, dtype=y.dtype) - centred
    lowest = 1e-6 * variance
    values, vectors = jnp.linalg.eigh(covariance)
    covariance = (vectors * jnp.maximum(values, lowest)) @ vectors.T
    state = AMPState(
        start, covariance, jnp.zeros((n, K), y.dtype), jnp.zeros((K, K), y.dtype), start
    )
    history = tuple(jnp.broadcast_to(v, (max_steps + 1, K, K)) for v in measure(state))
    changes = jnp.full(max_steps + 1, jnp.inf, y.dtype)
    carry = (state, history, changes, jnp.asarray(True), jnp.asarray(0))
    state, history, changes, finite, steps = jax.lax.while_loop(unfinished, iterate, carry)
    times = jnp.minimum(jnp.arange(max_steps + 1), steps)
    own, overlap = (h[times] for h in history)
    converged = changes[steps] <= tolerance
    result = RESULTS.where(converged, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return AMPResult(
        mean=state.mean,
        covariance=state.covariance,
        self_overlap_trajectory=own,
        overlap_trajectory=None if teacher is None else _matched(overlap, steps),
        change_trajectory=changes[times],
        iterations=steps,
        residual=changes[steps],
        result=result,
    )


def _matched(overlaps: Float[Array, "steps K K"], last: Array) -> Float[Array, "steps K K"]:
    """Columns in the order of the teacher's units in which the last matrix has the largest trace."""
    K = overlaps.shape[-1]
    orders = jnp.asarray(np.asarray(list(itertools.permutations(range(K)))))
    traces = jnp.sum(overlaps[last][jnp.arange(K), orders], axis=-1)
    return overlaps[:, :, orders[jnp.argmax(traces)]]
