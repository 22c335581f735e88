"""Approximate message passing on finite instances: Bayes-optimal and maximum-likelihood."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Count, Scalar, ScalarLike
from ..numerics import RESULTS, raise_unless_successful, varying_like
from ..priors import Prior
from .model import MatrixTensor, Spherical, prepared
from .replica import check_spherical
from .simulate import Instance, hamiltonian, on_sphere

Vector = Float[Array, " n"]


class AMPResult(eqx.Module):
    r"""The estimate of AMP, and how it got there.

    Entry $t$ of a trajectory belongs to the estimate after $t$ iterations, entry 0 to the start; after the
    last iteration the last value is repeated.

    Attributes:
        mean: the estimate $\hat x$.
        overlap_trajectory: $m_t = \hat x_t \cdot x^* / N$.
        self_overlap_trajectory: $q_t = |\hat x_t|^2 / N$.
        change_trajectory: $|\hat x_t - \hat x_{t-1}| / \sqrt N$; infinite at $t = 0$.
        iterations: how many were taken.
        residual: the last of these changes.
        result: `RESULTS.successful`, or why not.
    """

    mean: Vector
    overlap_trajectory: Float[Array, " steps"]
    self_overlap_trajectory: Float[Array, " steps"]
    change_trajectory: Float[Array, " steps"]
    iterations: Count
    residual: Scalar
    result: RESULTS

    @property
    def overlap(self) -> Scalar:
        """The overlap of the estimate with the signal."""
        return self.overlap_trajectory[..., -1]


def amp(
    model: MatrixTensor,
    instance: Instance,
    init: ScalarLike | Vector | None = None,
    *,
    key: PRNGKeyArray | None = None,
    damping: ScalarLike = 0.0,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    throw: bool = True,
) -> AMPResult:
    r"""Bayes-optimal AMP (arXiv 1812.09066, and 1701.00858 for the matrix alone).

    $$ B_t = -\nabla H(\hat x_t) - Q''(\hat x_t \cdot \hat x_{t-1}/N)\, V_t\, \hat x_{t-1}, \qquad
       \hat x_{t+1} = \eta(B_t), \quad V_{t+1} = \tfrac1N \operatorname{div} \eta, $$

    where $\eta(B) = \sigma B$, $\sigma = 2/(1 + \sqrt{1 + 4|B|^2/N})$ on the sphere, and the posterior
    mean of an entry at precision $A = Q'(|\hat x_t|^2/N)$ and field $B_i$ for a separable prior. It follows
    `state_evolution` from the same start.

    Args:
        model: the model that the data come from.
        instance: the data.
        init: an estimate `(N,)`, or the overlap of a start with the signal (its squared norm is the
            overlap too, as that of a posterior mean). By default the prior's mean.
        key: of the random numbers of a start with given overlap; without `init`, of a random start of
            squared norm $1/N$ around the prior's mean. Where $m = 0$ is a fixed point one of them is
            needed; which sign of the signal is found, is then a matter of chance.
        damping: weight of the previous field, in [0, 1).
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change at which to stop (default: 1e-8 in float64, 1e-4 in float32).
        throw: raise a `SolverError` if it has not converged; `result` says it too.

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.4, deltap=2.0)
        >>> data = spiked.sample_instance(model, size=60, key=jax.random.key(0))
        >>> run = spiked.amp(model, data, 0.3, key=jax.random.key(1), throw=False)
        >>> bool(run.overlap > 0.4)
        True
    """
    x = _start(instance, init, key, spherical=False)
    if x is None:
        x = jnp.zeros_like(instance.signal)
        if not isinstance(model.prior, Spherical):
            x = x + model.prior.moments()[0].astype(x.dtype)
        if key is not None:
            x = x + jax.random.normal(key, x.shape, x.dtype) / x.size**0.5
    denoiser = _posterior_mean
    return _run(model, instance, x, denoiser, damping, max_steps, tolerance, throw, "amp")


def ml_amp(
    model: MatrixTensor,
    instance: Instance,
    init: ScalarLike | Vector | None = None,
    *,
    key: PRNGKeyArray | None = None,
    damping: ScalarLike = 0.0,
    max_steps: int = 200,
    tolerance: ScalarLike | None = None,
    throw: bool = True,
) -> AMPResult:
    r"""Maximum-likelihood AMP on the sphere (arXiv 1902.00139).

    The same as `amp` with $\eta(B) = \sqrt N B / |B|$. It follows `ml_state_evolution`, and a fixed point is
    a stationary point of $H$ on the sphere. Where the replica-symmetric solution is unstable
    (`MaximumLikelihood.replicon` negative) the overlap still follows state evolution but the
    configuration does not settle, and the result says so.

    Args:
        model: the model; its prior must be `spherical`.
        instance: the data.
        init: a configuration `(N,)`, or the overlap of a start on the sphere with the signal.
        key: of the random start.
        damping: weight of the previous field, in [0, 1).
        max_steps: number of iterations, at least 1.
        tolerance: root mean square change at which to stop (default: 1e-8 in float64, 1e-4 in float32).
        throw: raise a `SolverError` if it has not converged; `result` says it too.

    Raises:
        ValueError: for another prior, or if neither `init` nor `key` is given.

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.2, deltap=2.0)
        >>> data = spiked.sample_instance(model, size=60, key=jax.random.key(0))
        >>> run = spiked.ml_amp(model, data, 0.3, key=jax.random.key(1))
        >>> slope = spiked.gradient(model, data, run.mean)
        >>> bool((slope**2).mean() < 1e-6)
        True
    """
    check_spherical(model)
    x = _start(instance, init, key, spherical=True)
    if x is None:
        if key is None:
            raise ValueError(
                "Argument `init` or `key` must be given: there is no start of norm zero."
            )
        x = on_sphere(jax.random.normal(key, instance.signal.shape, instance.signal.dtype))
    return _run(model, instance, x, _mode, damping, max_steps, tolerance, throw, "ml_amp")


def _posterior_mean(prior: Spherical | Prior, A: Scalar, B: Vector) -> tuple[Vector, Scalar]:
    """Posterior mean and its divergence; on the sphere the constraint takes the place of A."""
    if isinstance(prior, Spherical):
        spread = 2 / (1 + jnp.sqrt(1 + 4 * jnp.mean(B * B)))
        return spread * B, spread
    mean, variance = jax.vmap(prior.denoise, in_axes=(None, 0))(A, B)
    return mean, jnp.mean(variance)


def _mode(prior: Spherical, A: Scalar, B: Vector) -> tuple[Vector, Scalar]:
    spread = jax.lax.rsqrt(jnp.mean(B * B))
    return spread * B, spread


def _start(instance: Instance, init, key, spherical: bool) -> Vector | None:
    signal = instance.signal
    if init is None:
        return None
    if jnp.ndim(init) > 0:
        check_shape("init", init, signal.shape, f"{signal.shape}, that of the signal")
        start = jnp.asarray(init, signal.dtype)
        return on_sphere(start) if spherical else start
    if key is None:
        raise ValueError("Argument `key` must be given where `init` is an overlap.")
    check_number("init", init, minimum=-1.0 if spherical else 0.0, maximum=1.0)
    noise = jax.random.normal(key, signal.shape, signal.dtype)
    square = jnp.mean(signal**2)
    noise = on_sphere(noise - signal * jnp.mean(noise * signal) / square)
    share = jnp.asarray(init, signal.dtype) / square
    norm = 1.0 if spherical else init
    return share * signal + jnp.sqrt(jnp.maximum(norm - share**2 * square, 0.0)) * noise


def _run(
    model: MatrixTensor,
    instance: Instance,
    x: Vector,
    denoiser: Callable,
    damping: ScalarLike,
    max_steps: int,
    tolerance: ScalarLike | None,
    throw: bool,
    where: str,
) -> AMPResult:
    if max_steps < 1:
        raise ValueError(f"Argument `max_steps` must be at least 1, but is {max_steps}.")
    check_number("damping", damping, minimum=0.0)
    check_number("damping", damping, maximum=1.0, strict=True)
    if tolerance is None:
        tolerance = 1e-8 if x.dtype == jnp.float64 else 1e-4
    check_number("tolerance", tolerance, minimum=0.0, strict=True)
    numbers = jnp.asarray(damping, x.dtype), jnp.asarray(tolerance, x.dtype)
    run = _iterate(prepared(model), instance, x, denoiser, *numbers, max_steps)
    raise_unless_successful(run.result, where, throw)
    return run


@eqx.filter_jit
def _iterate(
    model: MatrixTensor,
    instance: Instance,
    x: Vector,
    denoiser: Callable,
    damping: Scalar,
    tolerance: Scalar,
    max_steps: int,
) -> AMPResult:
    Q, signal = model.covariance, instance.signal
    slope = jax.grad(lambda x: hamiltonian(model, instance, x))

    def unfinished(state):
        _, _, _, _, change, _, steps = state
        return (change > tolerance) & jnp.isfinite(change) & (steps < max_steps)

    def measure(new, change):
        return jnp.stack([jnp.mean(new * signal), jnp.mean(new * new), change])

    def step(state):
        x, echo, B, V, _, record, steps = state
        onsager = Q.derivative(jnp.mean(x * echo), order=2) * V
        field = -slope(x) - onsager * echo

        def mix(old, new):
            # The first field has no predecessor.
            return jnp.where(steps == 0, new, damping * old + (1 - damping) * new)

        # What returns of an entry is what its neighbours' damped fields hold of it: damped alike.
        B, echo = mix(B, field), mix(echo, x)
        A = Q.derivative(jnp.mean(x * x))
        new, V = denoiser(model.prior, A, B)
        change = jnp.sqrt(jnp.mean((new - x) ** 2))
        steps = steps + 1
        return new, echo, B, V, change, record.at[steps].set(measure(new, change)), steps

    zero = jnp.zeros_like(x)
    # The start is compared with nothing: its change is anything above the tolerance, and finite.
    large = jnp.asarray(2.0, x.dtype) + tolerance
    record = jnp.zeros((max_steps + 1, 3), x.dtype).at[0].set(measure(x, jnp.inf))
    state = (x, zero, zero, jnp.zeros((), x.dtype), large, record, jnp.asarray(0))
    state = varying_like(state, slope(x) + x)
    x, _, _, _, change, record, steps = jax.lax.while_loop(unfinished, step, state)
    after = jnp.arange(max_steps + 1) > steps
    record = jnp.where(after[:, None], record[steps], record)
    result = RESULTS.where(change <= tolerance, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(jnp.isfinite(change), result, RESULTS.nonfinite)
    overlaps, self_overlaps, changes = record.T
    return AMPResult(x, overlaps, self_overlaps, changes, steps, change, result)
