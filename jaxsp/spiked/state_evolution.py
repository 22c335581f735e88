r"""State evolution: the overlap that AMP follows, and the threshold recipe at fixed self-overlap."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..mixtures import Mixture
from ..numerics import RESULTS, raise_unless_successful
from ._roots import all_roots
from ._scalar import limits, observe
from .model import MatrixTensor, prepared
from .replica import check_spherical


class ThresholdStates(eqx.Module):
    r"""Marginal states on which the dynamics age.

    Attributes:
        self_overlap: $q$, the overlap of two configurations of one state.
        susceptibility: $\chi = (1 - q)/T$, at temperature zero its limit $1/\sqrt{Q''(1)}$.
        result: `RESULTS.no_fixed_point` above the temperature at which there are no such states.
    """

    self_overlap: Scalar
    susceptibility: Scalar
    result: RESULTS


def state_evolution(
    model: MatrixTensor, init: ScalarLike = 1e-4, *, steps: int = 100
) -> Float[Array, " time"]:
    r"""Overlap of Bayes-optimal AMP with the signal: $m_{t+1} = m_x(Q'(m_t))$ (arXiv 1812.09066).

    For the spherical signal $m_x(\hat m) = \hat m/(1+\hat m)$. Where it ends is one of `bayes_optimal`'s
    branches, the next stable one in the direction of the first step.

    Args:
        model: the model.
        init: overlap at the start, in $[0, \rho]$.
        steps: number of iterations.

    Returns:
        $m_0 \dots m_T$.

    Example:
        >>> from jaxsp import spiked
        >>> m = spiked.state_evolution(spiked.MatrixTensor(3, 0.7, 4.0), 0.1, steps=500)
        >>> m.shape, round(float(m[-1]), 4)
        ((501,), 0.3392)
    """
    model = prepared(model)
    Q = model.covariance
    _, rho = limits(model.prior, Q.coefficients.dtype)
    if not isinstance(rho, jax.core.Tracer):
        check_number("init", init, minimum=0.0, maximum=float(rho))
    tiny = jnp.finfo(rho.dtype).tiny

    def step(m):
        return observe(model.prior, jnp.log(jnp.maximum(Q.derivative(m), tiny))).overlap

    return _trajectory(step, init, steps, rho.dtype)


def ml_state_evolution(
    model: MatrixTensor, init: ScalarLike = 1e-4, *, steps: int = 100
) -> Float[Array, " time"]:
    r"""Overlap of maximum-likelihood AMP: $m_{t+1} = Q'(m_t)/\sqrt{Q'(m_t)^2 + Q'(1)}$ (arXiv 1902.00139).

    Args:
        model: the model; its prior must be `spherical`.
        init: overlap at the start, in $[-1, 1]$.
        steps: number of iterations.

    Returns:
        $m_0 \dots m_T$.

    Example:
        >>> from jaxsp import spiked
        >>> m = spiked.ml_state_evolution(spiked.MatrixTensor(3, 0.7, 4.0), 0.1, steps=500)
        >>> bool(m[-1] > 0.1)
        True
    """
    check_spherical(model)
    check_number("init", init, minimum=-1.0, maximum=1.0)
    Q = prepared(model).covariance
    noise = Q.derivative(jnp.ones((), Q.coefficients.dtype))

    def step(m):
        slope = Q.derivative(m)
        return slope / jnp.sqrt(slope**2 + noise)

    return _trajectory(step, init, steps, noise.dtype)


def fixed_self_overlap_state_evolution(
    model: MatrixTensor,
    self_overlap: ScalarLike,
    temperature: ScalarLike,
    init: ScalarLike = 1e-4,
    *,
    steps: int = 100,
) -> Float[Array, " time"]:
    r"""The threshold recipe: $m_{t+1} = \frac{1-q}{T} Q'(m_t)$ in a state of given self-overlap $q$.

    A state is held at its $q$, and asked whether a small overlap with the signal grows. (The talk's slide
    prints the power $p - 2$ of $m$; it is $p - 1$.)

    Args:
        model: the model; its prior must be `spherical`.
        self_overlap: $q$ in $[0, 1]$.
        temperature: positive.
        init: overlap at the start.
        steps: number of iterations.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(3, 0.5, 4.0)
        >>> m = spiked.fixed_self_overlap_state_evolution(model, 0.6, 1.0, 0.01, steps=5)
        >>> bool(m[-1] < m[0])
        True
    """
    check_spherical(model)
    check_number("self_overlap", self_overlap, minimum=0.0, maximum=1.0)
    check_number("temperature", temperature, minimum=0.0, strict=True)
    Q = prepared(model).covariance
    dtype = Q.coefficients.dtype
    chi = (1 - jnp.asarray(self_overlap, dtype)) / temperature
    return _trajectory(lambda m: chi * Q.derivative(m), init, steps, dtype)


def growth_factor(model: MatrixTensor, susceptibility: ScalarLike) -> Scalar:
    r"""$\chi Q''(0)$ with $\chi = (1-q)/T$: by how much a small overlap grows at fixed self-overlap.

    Larger than one in states that the signal makes unstable.

    Args:
        model: the model.
        susceptibility: $\chi$.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(3, 0.5, 4.0)
        >>> states = spiked.threshold_states(model, temperature=0.0)
        >>> round(float(spiked.growth_factor(model, states.susceptibility)), 4)
        1.2649
    """
    Q = prepared(model).covariance
    return susceptibility * Q.derivative(jnp.zeros((), Q.coefficients.dtype), order=2)


def threshold_states(
    model: MatrixTensor | Mixture, temperature: ScalarLike, *, throw: bool = True
) -> ThresholdStates:
    r"""The marginal states of the landscape without overlap with the signal: $Q''(q)(1-q)^2 = T^2$.

    The replicon condition, of whose roots the largest $q$ counts. At $T = 0$ they are the minima at the
    edge, $(1-q)/T = 1/\sqrt{Q''(1)}$.

    Args:
        model: the model, or the covariance function of a glass.
        temperature: $T \ge 0$.
        throw: raise a `SolverError` if there are none at this temperature; `result` says it too.

    Example:
        >>> from jaxsp import spiked
        >>> states = spiked.threshold_states(spiked.pure_p_spin(3), temperature=0.5)
        >>> round(float(states.self_overlap), 4)
        0.6388
    """
    check_number("temperature", temperature, minimum=0.0)
    Q = model if isinstance(model, Mixture) else prepared(model).covariance
    found = _threshold_states(Q, jnp.asarray(temperature, Q.coefficients.dtype))
    raise_unless_successful(found.result, "threshold_states", throw)
    return found


@eqx.filter_jit
def _threshold_states(Q: Mixture, T: Scalar) -> ThresholdStates:
    dtype = Q.coefficients.dtype

    # In units of the edge's susceptibility: its logarithm, w = 0 at T = 0.
    def condition(parameters, w):
        Q, T = parameters
        edge = jax.lax.rsqrt(Q.derivative(jnp.ones((), dtype), order=2))
        q = jnp.maximum(1 - T * edge * jnp.exp(w), 0.0)
        return jnp.log(Q.derivative(q, order=2)) + 2 * (w + jnp.log(edge))

    edge = jax.lax.rsqrt(Q.derivative(jnp.ones((), dtype), order=2))
    # No root lies further than where all correlation is gone, or where only a pure tensor's would be.
    reach = jnp.minimum(-jnp.log(jnp.maximum(T * edge, 1e-3)), 5.0)
    grid = jnp.linspace(-1e-3, 0.999, 128, dtype=dtype) * reach
    roots = all_roots(condition, (Q, T), grid, 2 * len(Q.degrees))
    first = jnp.argmax(roots.exists)
    chi = edge * jnp.exp(roots.x[first])
    found = jnp.any(roots.exists) & (reach > 0)
    result = RESULTS.where(found, RESULTS.successful, RESULTS.no_fixed_point)
    nan = jnp.asarray(jnp.nan, dtype)
    return ThresholdStates(jnp.where(found, 1 - T * chi, nan), jnp.where(found, chi, nan), result)


def _trajectory(step, init: ScalarLike, steps: int, dtype) -> Float[Array, " time"]:
    if steps < 1:
        raise ValueError(f"Argument `steps` must be at least 1, but is {steps}.")
    start = jnp.asarray(init, dtype)

    def body(m, _):
        new = step(m)
        return new, new

    return jnp.concatenate([start[None], jax.lax.scan(body, start, length=steps)[1]])
