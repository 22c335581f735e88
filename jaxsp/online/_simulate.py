"""Online gradient descent at finite size, for the same networks as the theory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import ScalarLike
from ..inputs import GaussianInputs, Inputs
from ..numerics import RESULTS, is_concrete, raise_unless_successful
from .model import Overlaps, TeacherStudent
from .networks import Networks, check_networks, sample_networks

# Samples are drawn this many steps at a time, so that structured inputs are matrix products.
_BLOCK = 32


class Simulation(eqx.Module):
    """What was measured on the way, for each run.

    Attributes:
        times: when, in steps over the inputs' dimension, `(t,)`.
        overlaps: fields of leading shape `(runs, t)`; means over the inputs' covariances.
        generalization_error: half the mean squared error without label noise, `(runs, t)`: from the
            overlaps for Gaussian inputs, on a test set otherwise.
        networks: the weights at the end, with a leading axis of runs.
        result: `RESULTS.successful`, or `diverged` if the weights are not finite.
    """

    times: Float[Array, " t"]
    overlaps: Overlaps
    generalization_error: Float[Array, "runs t"]
    networks: Networks
    result: RESULTS


def simulate(
    net: TeacherStudent,
    inputs: Inputs,
    t_max: ScalarLike,
    *,
    key: PRNGKeyArray,
    networks: Networks | None = None,
    runs: int = 1,
    measurements: int = 32,
    test_samples: int = 0,
    throw: bool = True,
) -> Simulation:
    r"""Online gradient descent as in `TeacherStudent`, one fresh batch of samples at each step.

    All runs are one compiled loop, and see different samples.

    Args:
        net: the networks and how they learn.
        inputs: the inputs' law.
        t_max: the last time; the number of steps is $N t$, rounded up to measurements of whole blocks
            of 32 steps.
        key: of the random numbers.
        networks: weights at the start (default: `sample_networks(net, inputs, key=key)`), the same for
            all runs, or with a leading axis of runs.
        runs: how many.
        measurements: how many times, evenly spaced, after that of the start.
        test_samples: the size of a test set to measure the error on. 0: the error follows from the
            overlaps, by Gaussian equivalence if the inputs are not Gaussian.
        throw: raise a `SolverError` if the weights diverge; `result` says it too.

    Raises:
        ValueError: if shapes do not fit, or a size is not positive.
        SolverError: if the weights diverge.

    Example:
        >>> import jax
        >>> from jaxsp import inputs, online
        >>> net = online.TeacherStudent(1, 1, online.Erf(), learning_rate=0.5)
        >>> run = online.simulate(net, inputs.GaussianInputs(200), 20.0, key=jax.random.key(0))
        >>> bool(run.generalization_error[0, -1] < 0.01 * run.generalization_error[0, 0])
        True
    """
    check_number("t_max", t_max, minimum=0.0, strict=True)
    for name, value in (("runs", runs), ("measurements", measurements)):
        check_number(name, value, minimum=1.0)
    check_number("test_samples", test_samples, minimum=0.0)
    if not is_concrete(t_max):
        raise ValueError(
            "Argument `t_max` must be a concrete number: it says how many steps there are."
        )
    networks = sample_networks(net, inputs, key=key) if networks is None else networks
    if networks.w.ndim == 3:
        check_shape("networks.w", networks.w, (runs, None, None), f"({runs}, K, N)")
        check_networks(net, inputs, jax.tree.map(lambda x: x[0], networks))
    else:
        check_networks(net, inputs, networks)
        networks = jax.tree.map(lambda x: jnp.broadcast_to(x, (runs, *x.shape)), networks)
    steps = int(np.ceil(float(t_max) * inputs.dimension))
    blocks = max(1, int(np.ceil(steps / (measurements * _BLOCK))))
    found = _run(
        net, inputs, networks, jax.random.fold_in(key, 1), runs, measurements, blocks, test_samples
    )
    raise_unless_successful(found.result, "online.simulate", throw)
    return found


@eqx.filter_jit
def _run(net, inputs, networks, key, runs, measurements, blocks, test_samples) -> Simulation:
    dtype = networks.w.dtype

    def one(key, networks):
        test_key = jax.random.fold_in(key, 0)
        return _one_run(net, inputs, networks, key, test_key, measurements, blocks, test_samples)

    keys = jax.random.split(jax.random.fold_in(key, 1), runs)
    (w, v), (states, errors) = jax.vmap(one)(keys, networks)
    times = jnp.arange(measurements + 1, dtype=dtype) * (blocks * _BLOCK / inputs.dimension)
    fine = jnp.all(jnp.isfinite(w)) & jnp.all(jnp.isfinite(v))
    result = RESULTS.where(fine, RESULTS.successful, RESULTS.diverged)
    ends = Networks(w, v, networks.B, networks.A)
    return Simulation(times, states, errors, ends, result)


def _one_run(net, inputs, networks, key, test_key, measurements, blocks, test_samples):
    N, root_N = inputs.dimension, inputs.dimension**0.5
    B = networks.B / inputs.latent_dimension**0.5
    dtype = networks.w.dtype
    student_units, teacher = net.activation, net.teacher_activation or net.activation
    g = jnp.vectorize(student_units.__call__)
    slope = jnp.vectorize(student_units.derivative)
    if isinstance(inputs, GaussianInputs):
        covariances = None
    else:
        cross = inputs.cross_covariance.T @ B.T
        covariances = inputs.covariance, cross, B @ inputs.latent_covariance @ B.T

    def labels(latent):
        return jnp.vectorize(teacher.__call__)(latent @ B.T) @ networks.A

    def overlaps(w, v) -> Overlaps:
        w = w / root_N
        if covariances is None:
            return Overlaps(w @ w.T, w @ B.T, B @ B.T, v, networks.A)
        Omega, cross, T = covariances
        return Overlaps(w @ Omega @ w.T, w @ cross, T, v, networks.A)

    if test_samples:
        test_x, test_latent = inputs.sample(test_key, test_samples)
        test_y = labels(test_latent)

    def measure(w, v):
        state = overlaps(w, v)
        if test_samples:
            return state, 0.5 * jnp.mean((g(test_x @ w.T / root_N) @ v - test_y) ** 2)
        u = state.readout
        return state, 0.5 * u @ net.units.products(state.covariance) @ u

    def step(carry, sample):
        w, v, count = carry
        x, y = sample
        fields = x @ w.T / root_N
        units = g(fields)
        error = units @ v - y
        eta, eta_v, kappa, kappa_v = net.rates(count / N)
        pull = (error[:, None] * slope(fields) * v).T @ x / net.batch_size
        w_new = w - eta / root_N * pull - kappa / N * w
        v_new = v - eta_v / N * (error @ units) / net.batch_size - kappa_v / N * v
        return (w_new.astype(dtype), v_new.astype(dtype), count + 1), None

    def block(carry, key):
        b = net.batch_size
        x_key, noise_key = jax.random.split(key)
        x, latent = inputs.sample(x_key, _BLOCK * b)
        y = labels(latent)
        y = y + net.noise * jax.random.normal(noise_key, y.shape, dtype)
        x, y = x.astype(dtype), y.astype(dtype)
        return jax.lax.scan(step, carry, (x.reshape(_BLOCK, b, N), y.reshape(_BLOCK, b)))

    def chunk(carry, key):
        carry, _ = jax.lax.scan(block, carry, jax.random.split(key, blocks))
        return carry, measure(carry[0], carry[1])

    start = (networks.w, networks.v, jnp.zeros((), dtype))
    first = measure(networks.w, networks.v)
    (w, v, _), rest = jax.lax.scan(chunk, start, jax.random.split(key, measurements))
    together = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
    return (w, v), together
