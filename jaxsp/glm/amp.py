"""Approximate message passing on finite instances."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, ArrayLike, Float, Num, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Count, Scalar, ScalarLike
from ..numerics import (
    RESULTS,
    is_concrete,
    numbers_as_arrays,
    raise_unless_successful,
    real_dtype,
    varying_like,
)
from .model import GLM

Design = Float[Array, "n p"] | lx.AbstractLinearOperator


class AMPResult(eqx.Module):
    r"""The estimate of AMP, and how it got there.

    Entry $t$ of a trajectory belongs to the estimate after $t$ iterations, entry 0 to the start. As
    $n, p \to \infty$ and without damping, the overlap and the self-overlap at $t$ tend to $m_t$, entry
    $t$ of `state_evolution(model, n / p, init).trajectory` from the same start, and the mean squared
    error and the variance to $\rho - m_t$. After the last iteration the last value is repeated.

    Attributes:
        mean: estimate of the weights, the means of their marginal posteriors.
        variance: variances of the marginal posteriors.
        self_overlap_trajectory: $q_t = |\hat w_t|^2 / p$, which estimates the overlap without knowing
            the teacher.
        overlap_trajectory: $m_t = \hat w_t \cdot w^* / p$ if the teacher was given, else None. Where a
            model determines the weights up to a sign only, so is the sign of this.
        mean_squared_error_trajectory: $|\hat w_t - w^*|^2 / p$ if the teacher was given, else None.
        variance_trajectory: $V_t$, the mean of the posterior variances, which estimates it without.
        change_trajectory: $|\hat w_t - \hat w_{t-1}| / \sqrt{p \rho}$; infinite at $t = 0$.
        iterations: how many were taken.
        residual: the last of these changes.
        result: `RESULTS.successful`, or why not.
    """

    mean: Float[Array, " p"]
    variance: Float[Array, " p"]
    self_overlap_trajectory: Float[Array, " steps"]
    overlap_trajectory: Float[Array, " steps"] | None
    mean_squared_error_trajectory: Float[Array, " steps"] | None
    variance_trajectory: Float[Array, " steps"]
    change_trajectory: Float[Array, " steps"]
    iterations: Count
    residual: Scalar
    result: RESULTS


class AMPState(eqx.Module):
    r"""What one iteration hands to the next.

    Attributes:
        mean: $\hat w$, means of the marginal posteriors.
        variance: their variances.
        g: $g_{\rm out}$ of each output at the last iteration (zero before the first), damped.
        precision: $A$ of the last iteration, damped.
        reacted: the mean that the outputs' $g$ has answered to, $\hat w$ damped alike.
    """

    mean: Float[Array, " p"]
    variance: Float[Array, " p"]
    g: Float[Array, " n"]
    precision: Scalar
    reacted: Float[Array, " p"]


def amp_step(
    model: GLM, X: Design, y: Float[Array, " n"], state: AMPState, damping: Scalar
) -> AMPState:
    r"""One iteration of GAMP (arXiv 1708.03395, eq. 17; Rangan 2010, arXiv 1010.5141).

    $$ \omega = X \hat w - V g, \quad g_\mu = g_{\rm out}(y_\mu, \omega_\mu, V), \quad
       A = -\tfrac1p \sum_\mu \partial_\omega g_{\rm out}, \quad
       \hat w_i = \partial_b \log Z_w(A, A \hat w_i + (X^T g)_i), $$

    and the variances likewise. $V$ is the mean of the posterior variances and $A$ is common to all
    weights: for iid entries of variance $1/p$ each field has the same variance, and each weight the
    same precision, up to $O(p^{-1/2})$. The two products with $X$ are the whole cost.

    Damping mixes $g$ and $A$ with their predecessors, and the $\hat w_i$ of $A \hat w_i$ in the same
    proportions (as in Rangan et al. 2014, arXiv 1402.3210): that term takes away what the $g$ owe to
    the weight itself, $V g$ what $\hat w$ owes to the output itself, and both must match what is there.
    With a damped $\hat w$ in $X \hat w$, an output of steep $g$, as those of noiseless phase retrieval,
    oscillates against its own echo for ever.
    """
    p = state.mean.shape[0]
    square = jnp.mean(state.mean**2)
    V = jnp.mean(state.variance)
    # At perfect recovery the variance underflows; the rounding of a field does not.
    V = jnp.maximum(V, jnp.finfo(V.dtype).eps ** 2 * square)
    omega = _multiply(X, state.mean) - V * state.g
    g, dg = jax.vmap(model.channel.denoise, in_axes=(0, 0, None))(y, omega, V)
    precision = -jnp.sum(dg) / p
    # A variance below what a single weight contributes to a field leaves the expansion's range: when
    # no output is that close to a decision boundary, nothing is seen of the weights that have just
    # been found. What was known of them stays.
    found = (p * V < square + V) & (precision * (square + V) < 1)
    precision = jnp.where(found, state.precision, precision)
    # A channel that is not log-concave may have a negative curvature on a finite instance.
    precision = jnp.maximum(precision, jnp.finfo(V.dtype).tiny)
    g = damping * state.g + (1 - damping) * g
    precision = damping * state.precision + (1 - damping) * precision
    reacted = damping * state.reacted + (1 - damping) * state.mean
    field = precision * reacted + _multiply_transposed(X, g)
    mean, variance = jax.vmap(model.prior.denoise, in_axes=(None, 0))(precision, field)
    return AMPState(mean, variance, g, precision, reacted)


def amp(
    model: GLM,
    X: Num[ArrayLike, "..."] | lx.AbstractLinearOperator,
    y: Num[ArrayLike, "..."],
    *,
    init: Num[ArrayLike, "..."] | None = None,
    key: PRNGKeyArray | None = None,
    damping: ScalarLike = 0.0,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    teacher: Num[ArrayLike, "..."] | None = None,
    throw: bool = True,
) -> AMPResult:
    r"""Bayes-optimal approximate message passing for one instance.

    Follows `state_evolution` from the same start when the entries of `X` are iid with mean zero and
    variance $1/p$, or the design is a `structured_design`. Compiled as one loop; `jax.vmap` runs a
    batch of instances, and derivatives are taken in forward mode.

    **Symmetric models.** Where $m = 0$ is a fixed point (phase retrieval, symmetric door) AMP never
    leaves the prior's mean, and converges there at once: start from a random estimate by giving a
    `key`. It has the size $1/p$ of its own accidental overlap; the signal then grows out of it in
    $O(\log p)$ iterations, by which the trajectory lags behind that of `state_evolution`, and its
    sign is a matter of chance.

    Args:
        model: the GLM that the data come from.
        X: design matrix `(n, p)`, or a lineax operator of that shape (its transpose is used too). Its
            floating-point type is that of the computation.
        y: outputs `(n,)`.
        init: estimate `(p,)` to start from; by default the prior's mean. Its variance is taken to be
            what Nishimori's identity gives, $V_0 = \rho - |\hat w_0|^2 / p$, cut at $10^{-6}\rho$ below and
            at the prior's variance above.
        key: start from a random estimate around the prior's mean instead.
        damping: in [0, 1), the weight of the previous iterate (`amp_step` says of what). It slows the
            escape from $m = 0$.
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change of the estimate, relative to the prior's second moment, at
            which to stop (default: 1e-8 in float64, 1e-4 in float32).
        teacher: the true weights `(p,)`, to record the overlap with them.
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
    _check_damping(damping)
    if max_steps < 1:
        raise ValueError(f"Argument `max_steps` must be at least 1, but is {max_steps}.")
    if init is not None and key is not None:
        raise ValueError("Arguments `init` and `key` are two starts: give one of them.")
    X, n, p, dtype = _as_design(X)
    y = jnp.asarray(y, dtype)
    check_shape("y", y, (n,), f"({n},), one output for each row of `X`")
    model.channel.check_outputs(y)
    init = _as_weights("init", init, p, dtype)
    teacher = _as_weights("teacher", teacher, p, dtype)
    if tolerance is None:
        tolerance = 1e-8 if dtype == jnp.float64 else 1e-4
    check_number("tolerance", tolerance, minimum=0.0, strict=True)
    model = _in_precision(model, dtype)
    numbers = jnp.asarray(damping, dtype), jnp.asarray(tolerance, dtype)
    run = _amp(model, X, y, init, key, teacher, *numbers, max_steps)
    raise_unless_successful(run.result, "amp", throw)
    return run


@eqx.filter_jit
def _amp(
    model: GLM,
    X: Design,
    y: Float[Array, " n"],
    init: Float[Array, " p"] | None,
    key: PRNGKeyArray | None,
    teacher: Float[Array, " p"] | None,
    damping: Scalar,
    tolerance: Scalar,
    max_steps: int,
) -> AMPResult:
    rho = model.prior.second_moment()
    infinite = jnp.asarray(jnp.inf, y.dtype)

    def measure(state, change):
        numbers = [jnp.mean(state.mean**2), jnp.mean(state.variance), change]
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
        change = jnp.where(finite, new_change, change)
        history = history.at[steps + 1].set(measure(state, change))
        return state, history, change, finite, steps + 1

    state = _start(model, X, y, init, key)
    first = measure(state, infinite)
    history = jnp.zeros((max_steps + 1, first.size), y.dtype).at[0].set(first)
    start = (state, history, infinite, jnp.asarray(True), jnp.asarray(0))
    start = varying_like(start, _probe((model, X, y, init, teacher)))
    state, history, change, finite, steps = jax.lax.while_loop(unfinished, iterate, start)
    history = jnp.where(jnp.arange(max_steps + 1)[:, None] <= steps, history, history[steps])
    result = RESULTS.where(change <= tolerance, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return AMPResult(
        mean=state.mean,
        variance=state.variance,
        self_overlap_trajectory=history[:, 0],
        variance_trajectory=history[:, 1],
        change_trajectory=history[:, 2],
        overlap_trajectory=None if teacher is None else history[:, 3],
        mean_squared_error_trajectory=None if teacher is None else history[:, 4],
        iterations=steps,
        residual=change,
        result=result,
    )


def _start(
    model: GLM,
    X: Design,
    y: Float[Array, " n"],
    init: Float[Array, " p"] | None,
    key: PRNGKeyArray | None,
) -> AMPState:
    """The state before the first iteration."""
    p = X.in_size() if isinstance(X, lx.AbstractLinearOperator) else X.shape[1]
    prior_mean, prior_variance = model.prior.moments()
    mean = jnp.broadcast_to(prior_mean, (p,)) if init is None else init
    if key is not None:
        # An estimate of squared length q has an accidental overlap of order sqrt(q / p). They are
        # alike, as those of a posterior mean are, at q = 1/p.
        mean = mean + jnp.sqrt(prior_variance / p) * jax.random.normal(key, (p,), y.dtype)
    rho = prior_mean**2 + prior_variance
    V = jnp.clip(rho - jnp.mean(mean**2), 1e-6 * rho, prior_variance)
    return AMPState(mean, jnp.broadcast_to(V, (p,)), jnp.zeros_like(y), 1 / V, mean)


def _multiply(X: Design, a: Float[Array, " p"]) -> Float[Array, " n"]:
    return X.mv(a) if isinstance(X, lx.AbstractLinearOperator) else X @ a


def _multiply_transposed(X: Design, g: Float[Array, " n"]) -> Float[Array, " p"]:
    # Not `X.T @ g`: on CPU that writes out the transposed matrix, at ten times the cost.
    return X.T.mv(g) if isinstance(X, lx.AbstractLinearOperator) else g @ X


def _as_design(X) -> tuple[Design, int, int, jnp.dtype]:
    """The design with its shape and floating-point type; an operator that holds a matrix is dense."""
    if isinstance(X, lx.MatrixLinearOperator):
        X = X.matrix
    if isinstance(X, lx.AbstractLinearOperator):
        outputs, weights = X.out_structure(), X.in_structure()
        if not all(
            isinstance(side, jax.ShapeDtypeStruct) and len(side.shape) == 1
            for side in (outputs, weights)
        ):
            raise ValueError(
                "Argument `X` must take a vector to a vector, but has another structure."
            )
        return X, outputs.shape[0], weights.shape[0], outputs.dtype
    X = jnp.asarray(X)
    X = X.astype(real_dtype(X))
    check_shape("X", X, (None, None), "(n, p), a row for each output and a column for each weight")
    # Reduced where the array lives: it may be large, and far from the host.
    if is_concrete(X) and not bool(_all_finite(X)):
        raise ValueError("Argument `X` must be finite, but has entries that are NaN or infinite.")
    n, p = X.shape
    return X, n, p, X.dtype


@jax.jit
def _all_finite(X: Float[Array, "n p"]) -> Array:
    return jnp.all(jnp.isfinite(X))


def _as_weights(name: str, vector, p: int, dtype: jnp.dtype) -> Float[Array, " p"] | None:
    if vector is None:
        return None
    vector = jnp.asarray(vector, dtype)
    check_shape(name, vector, (p,), f"({p},), one entry for each column of `X`")
    check_number(name, vector)
    return vector


def _check_damping(damping: ScalarLike) -> None:
    if is_concrete(damping) and not 0 <= damping < 1:
        raise ValueError(f"Argument `damping` must be in [0, 1), but is {damping}.")


def _in_precision(model: GLM, dtype: jnp.dtype) -> GLM:
    """The model with all its real parameters in the data's precision."""
    model = numbers_as_arrays(model, dtype)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if _is_real(leaf) else leaf, model)


def _is_real(leaf) -> bool:
    return eqx.is_array_like(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _probe(tree) -> Scalar:
    """A number that varies over devices as any of the arrays does."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if _is_real(leaf)]
    return jnp.sum(jnp.stack([jnp.ravel(leaf)[0] for leaf in leaves if leaf.size]))
