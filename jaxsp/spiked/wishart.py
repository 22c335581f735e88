r"""Low-rank estimation of a rectangular matrix $u v^T$: the spiked Wishart model (arXiv 1701.00858)."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Count, Flag, Scalar, ScalarLike
from ..numerics import RESULTS, numbers_as_arrays, raise_unless_successful, real_dtype, varying_like
from ..priors import Gaussian, Prior
from ._roots import all_roots
from ._scalar import limits, log_snr_grid, observe
from .replica import Branches, found_result, select_branch


class SpikedWishart(eqx.Module):
    r"""$Y = u v^T/\sqrt N$ + noise of variance $\Delta$, with $u \in \mathbb R^N$, $v \in \mathbb R^M$.

    Attributes:
        delta: noise variance of an entry.
        ratio: $\alpha = M/N$.
        prior_u: law of the entries of $u$.
        prior_v: law of the entries of $v$.

    Example:
        >>> from jaxsp import priors, spiked
        >>> model = spiked.SpikedWishart(0.5, 2.0, prior_u=priors.Rademacher())
    """

    delta: ScalarLike
    ratio: ScalarLike
    prior_u: Prior = Gaussian()
    prior_v: Prior = Gaussian()

    def __check_init__(self):
        check_number("delta", self.delta, minimum=0.0, strict=True)
        check_number("ratio", self.ratio, minimum=0.0, strict=True)


class WishartOptimal(eqx.Module):
    r"""The Bayes optimum of a spiked Wishart model.

    Attributes:
        overlap_u: $\mathbb E\, \hat u \cdot u / N$.
        overlap_v: $\mathbb E\, \hat v \cdot v / M$.
        mean_squared_error_u: of an entry of $u$.
        mean_squared_error_v: of an entry of $v$.
        free_entropy: per entry of $u$.
        mutual_information: between the signal and the data, per entry of $u$.
        branches: all fixed points, by their overlap with $u$.
        result: `RESULTS.successful`, or why not.
    """

    overlap_u: Scalar
    overlap_v: Scalar
    mean_squared_error_u: Scalar
    mean_squared_error_v: Scalar
    free_entropy: Scalar
    mutual_information: Scalar
    branches: Branches
    result: RESULTS


class WishartInstance(eqx.Module):
    """One draw: the data `(N, M)` and the two factors."""

    Y: Float[Array, "n m"]
    u: Float[Array, " n"]
    v: Float[Array, " m"]


class WishartAMP(eqx.Module):
    r"""The estimates of AMP.

    Attributes:
        u: estimate of $u$.
        v: estimate of $v$.
        overlap_u_trajectory: $\hat u_t \cdot u / N$; the last value is repeated after the last iteration.
        overlap_v_trajectory: $\hat v_t \cdot v / M$; entry 0 is the start.
        iterations: how many were taken.
        residual: root mean square change of $\hat v$ in the last one.
        result: `RESULTS.successful`, or why not.
    """

    u: Float[Array, " n"]
    v: Float[Array, " m"]
    overlap_u_trajectory: Float[Array, " steps"]
    overlap_v_trajectory: Float[Array, " steps"]
    iterations: Count
    residual: Scalar
    result: RESULTS


def wishart_optimal(model: SpikedWishart, *, throw: bool = True) -> WishartOptimal:
    r"""The Bayes optimum: fixed points of $m_u = m_u(\alpha m_v/\Delta)$, $m_v = m_v(m_u/\Delta)$.

    $\phi = \Phi_u(\alpha m_v/\Delta) + \alpha \Phi_v(m_u/\Delta) - \alpha m_u m_v/(2\Delta)$ (arXiv
    1701.00858), of whose stable stationary points that of largest $\phi$ counts. For zero-mean
    priors $m = 0$ is unstable for $\Delta < \sqrt\alpha\, \rho_u \rho_v$.

    Args:
        model: the model.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.

    Example:
        >>> from jaxsp import spiked
        >>> found = spiked.wishart_optimal(spiked.SpikedWishart(0.5, 1.0))
        >>> round(float(found.overlap_u), 6)      # (alpha - delta^2) / (alpha + delta)
        0.5
    """
    found = _optimal(_prepared(model))
    raise_unless_successful(found.result, "wishart_optimal", throw)
    return found


@eqx.filter_jit
def _optimal(model: SpikedWishart) -> WishartOptimal:
    delta, ratio = model.delta, model.ratio
    dtype = jnp.result_type(delta)
    tiny = jnp.finfo(dtype).tiny
    low_u, rho_u = limits(model.prior_u, dtype)
    low_v, rho_v = limits(model.prior_v, dtype)

    # In z, the logarithm of the snr m_u / delta at which v is seen.
    def both(model, z):
        v = observe(model.prior_v, z)
        log_snr = jnp.log(jnp.maximum(model.ratio * v.overlap / model.delta, tiny))
        return observe(model.prior_u, log_snr), v

    def residual(model, z):
        u, _ = both(model, z)
        return z - jnp.log(jnp.maximum(u.overlap / model.delta, tiny))

    roots = all_roots(residual, model, log_snr_grid(model.prior_v, dtype), 4)
    u, v = jax.vmap(lambda z: both(model, z))(roots.x)
    # Phi = Psi + rho snr / 2; the large parts are taken together.
    energy = u.error_variance * v.overlap + rho_v * u.overlap
    f = u.negative_information + ratio * (v.negative_information + 0.5 * energy / delta)

    epsilon = jnp.finfo(dtype).eps
    zero: Flag = (low_u <= epsilon * rho_u) & (low_v <= epsilon * rho_v)
    zero_stable = zero & (ratio * (rho_u * rho_v) ** 2 < delta**2)
    nothing = jnp.zeros(1, dtype)
    overlap_u, overlap_v, f = (
        jnp.concatenate([nothing, part]) for part in (u.overlap, v.overlap, f)
    )
    error_u = jnp.concatenate([rho_u[None], u.error_variance])
    error_v = jnp.concatenate([rho_v[None], v.error_variance])
    branches = Branches.of(overlap_u, f, roots, zero, zero_stable)
    best = select_branch(branches)
    return WishartOptimal(
        overlap_u=overlap_u[best],
        overlap_v=overlap_v[best],
        mean_squared_error_u=error_u[best],
        mean_squared_error_v=error_v[best],
        free_entropy=f[best],
        mutual_information=0.5 * ratio * rho_u * rho_v / delta - f[best],
        branches=branches,
        result=found_result(branches),
    )


def wishart_state_evolution(
    model: SpikedWishart, init: ScalarLike = 1e-4, *, steps: int = 100
) -> tuple[Float[Array, " time"], Float[Array, " time"]]:
    r"""Overlaps of `wishart_amp`: $m_u^t = m_u(\alpha m_v^t/\Delta)$, $m_v^{t+1} = m_v(m_u^t/\Delta)$.

    Args:
        model: the model.
        init: $m_v$ at the start.
        steps: number of iterations.

    Returns:
        $m_u^0 \dots m_u^{T-1}$ preceded by zero, and $m_v^0 \dots m_v^T$.

    Example:
        >>> from jaxsp import spiked
        >>> u, v = spiked.wishart_state_evolution(spiked.SpikedWishart(0.5, 1.0), 0.1, steps=60)
        >>> round(float(u[-1]), 4)
        0.5
    """
    if steps < 1:
        raise ValueError(f"Argument `steps` must be at least 1, but is {steps}.")
    check_number("init", init, minimum=0.0)
    model = _prepared(model)
    dtype = jnp.result_type(model.delta)
    tiny = jnp.finfo(dtype).tiny

    def log(x):
        return jnp.log(jnp.maximum(x, tiny))

    def body(m_v, _):
        m_u = observe(model.prior_u, log(model.ratio * m_v / model.delta)).overlap
        m_v = observe(model.prior_v, log(m_u / model.delta)).overlap
        return m_v, (m_u, m_v)

    start = jnp.asarray(init, dtype)
    _, (u, v) = jax.lax.scan(body, start, length=steps)
    return jnp.concatenate([jnp.zeros(1, dtype), u]), jnp.concatenate([start[None], v])


def sample_wishart(
    model: SpikedWishart, *, size: int, key: PRNGKeyArray, dtype=None
) -> WishartInstance:
    r"""Draw $u$, $v$ and $Y$; $M$ is `ratio` times `size`, rounded.

    Args:
        model: the model; its ratio must not be traced.
        size: $N$.
        key: of the random numbers.
        dtype: of the arrays (default: JAX's).

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> data = spiked.sample_wishart(spiked.SpikedWishart(0.5, 2.0), size=30, key=jax.random.key(0))
        >>> data.Y.shape
        (30, 60)
    """
    if size < 1:
        raise ValueError(f"Argument `size` must be at least 1, but is {size}.")
    dtype = real_dtype() if dtype is None else dtype
    columns = max(1, round(float(model.ratio) * size))
    first, second, third = jax.random.split(key, 3)
    u = model.prior_u.sample(first, (size,)).astype(dtype)
    v = model.prior_v.sample(second, (columns,)).astype(dtype)
    noise = jnp.sqrt(jnp.asarray(model.delta, dtype)) * jax.random.normal(
        third, (size, columns), dtype
    )
    return WishartInstance(jnp.outer(u, v) / math.sqrt(size) + noise, u, v)


def wishart_amp(
    model: SpikedWishart,
    instance: WishartInstance,
    init: Float[Array, " m"],
    *,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    throw: bool = True,
) -> WishartAMP:
    r"""Bayes-optimal AMP for $u v^T$ (arXiv 1701.00858).

    $$ B_u = \frac{Y \hat v}{\Delta\sqrt N} - \frac{\alpha V_v}{\Delta}\, \hat u', \qquad
       B_v = \frac{Y^T \hat u}{\Delta\sqrt N} - \frac{V_u}{\Delta}\, \hat v, $$

    $A_u = |\hat v|^2/(N\Delta)$, $A_v = |\hat u|^2/(N\Delta)$, and posterior means and variances of the
    entries at these precisions and fields ($\hat u'$: of the previous iteration).

    Args:
        model: the model that the data come from.
        instance: the data.
        init: an estimate of $v$ to start from, `(M,)`.
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change of $\hat v$ at which to stop (default: 1e-8 in float64, 1e-4 in
            float32).
        throw: raise a `SolverError` if it has not converged; `result` says it too.

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> model = spiked.SpikedWishart(0.3, 2.0)
        >>> data = spiked.sample_wishart(model, size=100, key=jax.random.key(0))
        >>> run = spiked.wishart_amp(model, data, 0.1 * data.v)
        >>> bool(run.overlap_u_trajectory[-1] > 0.5)
        True
    """
    if max_steps < 1:
        raise ValueError(f"Argument `max_steps` must be at least 1, but is {max_steps}.")
    shape = instance.v.shape
    check_shape("init", init, shape, f"{shape}, that of `v`")
    dtype = instance.Y.dtype
    if tolerance is None:
        tolerance = 1e-8 if dtype == jnp.float64 else 1e-4
    check_number("tolerance", tolerance, minimum=0.0, strict=True)
    start = jnp.asarray(init, dtype)
    run = _amp(_prepared(model), instance, start, jnp.asarray(tolerance, dtype), max_steps)
    raise_unless_successful(run.result, "wishart_amp", throw)
    return run


@eqx.filter_jit
def _amp(model, instance, start, tolerance, max_steps) -> WishartAMP:
    Y, delta = instance.Y, model.delta
    size = Y.shape[0]
    scale = 1 / (delta * math.sqrt(size))

    def unfinished(state):
        change, steps = state[-1], state[-2]
        return (change > tolerance) & jnp.isfinite(change) & (steps < max_steps)

    def step(state):
        u, v, V_v, record, steps, _ = state
        field = scale * (Y @ v) - jnp.sum(V_v) / (size * delta) * u
        precision = jnp.sum(v * v) / (size * delta)
        u, V_u = jax.vmap(model.prior_u.denoise, in_axes=(None, 0))(precision, field)
        field = scale * (u @ Y) - jnp.mean(V_u) / delta * v
        precision = jnp.mean(u * u) / delta
        new, V_v = jax.vmap(model.prior_v.denoise, in_axes=(None, 0))(precision, field)
        change = jnp.sqrt(jnp.mean((new - v) ** 2))
        steps = steps + 1
        overlaps = jnp.stack([jnp.mean(u * instance.u), jnp.mean(new * instance.v)])
        return u, new, V_v, record.at[steps].set(overlaps), steps, change

    zero = jnp.zeros((), Y.dtype)
    first = jnp.stack([zero, jnp.mean(start * instance.v)])
    record = jnp.zeros((max_steps + 1, 2), Y.dtype).at[0].set(first)
    # The first field of u has no predecessor: its estimate is zero. Any change is large enough to go on.
    u = jnp.zeros_like(instance.u)
    state = (u, start, jnp.zeros_like(start), record, jnp.asarray(0), 2 + tolerance)
    state = varying_like(state, Y + 0 * start[0])
    u, v, _, record, steps, change = jax.lax.while_loop(unfinished, step, state)
    after = jnp.arange(max_steps + 1) > steps
    overlap_u, overlap_v = jnp.where(after[:, None], record[steps], record).T
    result = RESULTS.where(change <= tolerance, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(jnp.isfinite(change), result, RESULTS.nonfinite)
    return WishartAMP(u, v, overlap_u, overlap_v, steps, change, result)


def _prepared(model: SpikedWishart) -> SpikedWishart:
    return numbers_as_arrays(model, real_dtype(*jax.tree.leaves(model)))
