"""Approximate message passing on finite instances."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Count, Scalar, ScalarLike
from ..numerics import RESULTS, numbers_as_arrays, raise_unless_successful, real_dtype
from .model import GLM

Design = Float[Array, "n p"] | lx.AbstractLinearOperator


class AMPResult(eqx.Module):
    r"""The estimate of AMP, and how it got there.

    Entry $t$ of a history belongs to the estimate after $t$ iterations, entry 0 to the start, so it
    stands beside entry $t$ of `state_evolution(...).trajectory` from the same start. After the last
    iteration the last value is repeated.

    Attributes:
        mean: estimate of the weights, the mean of their marginal posteriors.
        variance: variances of the marginal posteriors.
        self_overlap_trajectory: $q_t = |\hat w_t|^2 / p$, which estimates the overlap without knowing
            the teacher.
        overlap_trajectory: $m_t = \hat w_t \cdot w^* / p$, if the teacher was given, else None.
        mean_squared_error_trajectory: $|\hat w_t - w^*|^2 / p$, if the teacher was given, else None.
        variance_trajectory: $V_t$, the mean of the posterior variances, which estimates it without.
        iterations: how many were taken.
        residual: root mean square of the last change of the estimate.
        result: `RESULTS.successful`, or why not.
    """

    mean: Float[Array, " p"]
    variance: Float[Array, " p"]
    self_overlap_trajectory: Float[Array, " steps"]
    overlap_trajectory: Float[Array, " steps"] | None
    mean_squared_error_trajectory: Float[Array, " steps"] | None
    variance_trajectory: Float[Array, " steps"]
    iterations: Count
    residual: Scalar
    result: RESULTS


class AMPState(eqx.Module):
    """What one iteration hands to the next."""

    mean: Float[Array, " p"]
    variance: Float[Array, " p"]
    g: Float[Array, " n"]
    precision: Scalar


def amp_step(
    model: GLM, X: Design, y: Float[Array, " n"], state: AMPState, damping: Scalar
) -> AMPState:
    r"""One iteration of GAMP with scalar variances (arXiv 1708.03395, eq. 17; Rangan 2011).

    $$ \omega = X \hat w - V g, \quad g_\mu = g_{\rm out}(y_\mu, \omega_\mu, V), \quad
       A = -\tfrac1p \sum_\mu \partial_\omega g_{\rm out}, \quad
       \hat w_i = \partial_b \log Z_w(A, A \hat w_i + (X^T g)_i). $$

    $V$ is the mean of the posterior variances: for iid entries of variance $1/p$ it is the variance of
    every field up to $O(p^{-1/2})$. The two products with $X$ are the whole cost.
    """
    p = state.mean.shape[0]
    # Without noise and with discrete weights V underflows when all of them are found.
    scale = jnp.mean(state.mean**2 + state.variance)
    V = jnp.maximum(jnp.mean(state.variance), jnp.finfo(y.dtype).eps * scale)
    omega = _multiply(X, state.mean) - V * state.g
    g, dg = jax.vmap(lambda y, omega: model.channel.denoise(y, omega, V))(y, omega)
    g = damping * state.g + (1 - damping) * g
    # A channel that is not log-concave may have a negative curvature on a finite instance.
    precision = jnp.maximum(-jnp.sum(dg) / p, jnp.finfo(V.dtype).tiny)
    precision = damping * state.precision + (1 - damping) * precision
    field = precision * state.mean + _multiply_transposed(X, g)
    mean, variance = jax.vmap(lambda b: model.prior.denoise(precision, b))(field)
    mean = damping * state.mean + (1 - damping) * mean
    variance = damping * state.variance + (1 - damping) * variance
    return AMPState(mean, variance, g, precision)


def amp(
    model: GLM,
    X: Design,
    y: Float[Array, " n"],
    *,
    init: Float[Array, " p"] | None = None,
    key: PRNGKeyArray | None = None,
    damping: ScalarLike = 0.0,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    teacher: Float[Array, " p"] | None = None,
    throw: bool = True,
) -> AMPResult:
    r"""Bayes-optimal approximate message passing for one instance.

    Follows `state_evolution` from the same start when the entries of `X` are iid with mean zero and
    variance $1/p$. Compiled as one loop; `jax.vmap` runs a batch of instances.

    Args:
        model: the GLM that the data come from.
        X: design matrix `(n, p)`, or a lineax operator of that shape (its transpose is used too).
        y: outputs `(n,)`.
        init: estimate to start from; by default the prior's mean.
        key: start from a small random estimate instead, a tenth of the prior's deviation: models for
            which $m = 0$ is a fixed point (phase retrieval, symmetric door) never leave the mean.
        damping: in [0, 1), the weight of the previous iterate.
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change of the estimate, relative to the prior's second moment, at
            which to stop (default: 1e-8 in float64, 1e-4 in float32).
        teacher: the true weights, to record the overlap with them.
        throw: raise a `SolverError` if it has not converged; `result` says it too.

    Raises:
        ValueError: if shapes disagree, data are not finite or outside of the channel's range, or a
            parameter is out of its range.
        SolverError: if it did not converge or diverged; the last finite iterate is in the result
            that `throw=False` returns.

    Example:
        >>> import jax
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Gaussian(), channels.Linear(noise_variance=0.1))
        >>> data = glm.sample_instance(model, weights=200, samples=400, key=jax.random.key(0))
        >>> run = glm.amp(model, data.X, data.y, teacher=data.weights)
        >>> bool(run.mean_squared_error_trajectory[-1] < 0.3)
        True
    """
    check_number("damping", damping, minimum=0.0)
    check_number("damping", damping, maximum=1.0 - 1e-6)
    if max_steps < 1:
        raise ValueError(f"Argument `max_steps` must be at least 1, but is {max_steps}.")
    X, n, p = _checked_design(X)
    dtype = real_dtype(X.out_structure().dtype if isinstance(X, lx.AbstractLinearOperator) else X)
    y = jnp.asarray(y, dtype)
    check_shape("y", y, (n,), f"({n},), one output for each row of `X`")
    model.channel.check_outputs(y)
    for name, vector in (("init", init), ("teacher", teacher)):
        if vector is not None:
            check_shape(name, vector, (p,), f"({p},), one entry for each column of `X`")
            check_number(name, vector)
    if tolerance is None:
        tolerance = 1e-8 if dtype == jnp.float64 else 1e-4
    check_number("tolerance", tolerance, minimum=0.0, strict=True)
    model = numbers_as_arrays(model, dtype)
    numbers = jnp.asarray(damping, dtype), jnp.asarray(tolerance, dtype)
    run = _amp(model, X, y, init, key, teacher, *numbers, max_steps)
    raise_unless_successful(run.result, "amp", throw)
    return run


@eqx.filter_jit
def _amp(model, X, y, init, key, teacher, damping, tolerance, max_steps) -> AMPResult:
    dtype = y.dtype
    p = X.in_size() if isinstance(X, lx.AbstractLinearOperator) else X.shape[1]
    prior_mean, prior_variance = (jnp.asarray(v, dtype) for v in model.prior.moments())
    rho = prior_mean**2 + prior_variance
    mean = jnp.broadcast_to(prior_mean, (p,))
    if key is not None:
        mean = mean + 0.1 * jnp.sqrt(prior_variance) * jax.random.normal(key, (p,), dtype)
    if init is not None:
        mean = jnp.asarray(init, dtype)
    # The variance that belongs to an estimate of this size (Nishimori: E <w>^2 + V = rho).
    V = jnp.clip(rho - jnp.mean(mean**2), 1e-6 * rho, prior_variance)
    teacher = None if teacher is None else jnp.asarray(teacher, dtype)
    state = AMPState(mean, jnp.full((p,), V), jnp.zeros_like(y), jnp.zeros((), dtype))

    def measure(state):
        numbers = [jnp.mean(state.mean**2), jnp.mean(state.variance)]
        if teacher is not None:
            numbers += [jnp.mean(state.mean * teacher), jnp.mean((state.mean - teacher) ** 2)]
        return jnp.stack(numbers)

    def unfinished(carry):
        _, _, change, finite, steps = carry
        return (change > tolerance) & finite & (steps < max_steps)

    def iterate(carry):
        state, history, change, _, steps = carry
        # The first iteration has no previous one to be damped with.
        new = amp_step(model, X, y, state, jnp.where(steps == 0, 0.0, damping))
        new_change = jnp.sqrt(jnp.mean((new.mean - state.mean) ** 2) / rho)
        # An estimate far beyond the prior's scale is on its way to overflow.
        finite = jnp.isfinite(new_change) & (jnp.mean(new.mean**2) < 1e6 * rho)
        state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
        history = history.at[steps + 1].set(measure(state))
        return state, history, jnp.where(finite, new_change, change), finite, steps + 1

    first = measure(state)
    history = jnp.zeros((max_steps + 1, first.size), dtype).at[0].set(first)
    start = (state, history, jnp.asarray(jnp.inf, dtype), jnp.asarray(True), jnp.asarray(0))
    state, history, change, finite, steps = jax.lax.while_loop(unfinished, iterate, start)
    history = jnp.where(jnp.arange(max_steps + 1)[:, None] <= steps, history, history[steps])
    result = RESULTS.where(change <= tolerance, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return AMPResult(
        mean=state.mean,
        variance=state.variance,
        self_overlap_trajectory=history[:, 0],
        overlap_trajectory=None if teacher is None else history[:, 2],
        mean_squared_error_trajectory=None if teacher is None else history[:, 3],
        variance_trajectory=history[:, 1],
        iterations=steps,
        residual=change,
        result=result,
    )


def _multiply(X: Design, a: Array) -> Array:
    return X.mv(a) if isinstance(X, lx.AbstractLinearOperator) else X @ a


def _multiply_transposed(X: Design, g: Array) -> Array:
    return X.T.mv(g) if isinstance(X, lx.AbstractLinearOperator) else g @ X


def _checked_design(X: Any) -> tuple[Design, int, int]:
    if isinstance(X, lx.AbstractLinearOperator):
        return X, X.out_size(), X.in_size()
    X = jnp.asarray(X)
    X = X.astype(real_dtype(X))
    check_shape("X", X, (None, None), "(samples, weights)")
    check_number("X", X)
    return X, *X.shape
