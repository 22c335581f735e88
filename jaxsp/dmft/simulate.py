r"""The same dynamics at finite size: trajectories on the sphere in sampled landscapes."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .. import spiked
from .._checks import check_number, check_shape
from .._types import Scalar
from ..mixtures import Mixture
from ..numerics import is_concrete, varying_like
from ..spiked.simulate import data_bytes
from .problem import SphericalDynamics, prepared

Times: TypeAlias = Sequence[float] | Float[Array | np.ndarray, " n"]

# What a batch of instances may take by default: more at once is no faster.
_BATCH_BYTES = 2**20


class Simulation(eqx.Module):
    r"""What was measured on trajectories, one for each landscape.

    Attributes:
        times: when.
        overlap: $x(t) \cdot x^* / N$.
        correlation: $x(t) \cdot x(s) / N$.
        energies: of each interaction, per spin, in the order of the mixture's degrees.
        multiplier: $\mu = T - \sum_p p\, e_p$.
        size: $N$.
    """

    times: Float[Array, " n"]
    overlap: Float[Array, "instances n"]
    correlation: Float[Array, "instances n n"]
    energies: Float[Array, "instances n terms"]
    multiplier: Float[Array, "instances n"]
    size: int = eqx.field(static=True)

    @property
    def energy(self) -> Float[Array, "instances n"]:
        r"""$H / N$."""
        return jnp.sum(self.energies, axis=-1)


def simulate(
    problem: SphericalDynamics,
    times: Times,
    *,
    size: int,
    instances: int,
    key: PRNGKeyArray,
    step: float | None = None,
    batch_size: int | None = None,
    dtype=None,
) -> Simulation:
    r"""Run the dynamics of a problem in landscapes of finite size, from starts of the given overlap.

    The landscape of each instance is made of a sampled matrix and sampled tensors (see
    `jaxsp.spiked.MatrixTensor`; of noise alone for a mixture without a signal), and run as in
    `trajectory`. What is left to the theory of `jaxsp.dmft.solve` is of order $1/N$ in the mean, and
    $N^{-1/2}$ from one instance to the next: average, and extrapolate in $1/N$.

    Args:
        problem: landscape, noise and start.
        times: when to measure, increasing, from 0 on.
        size: $N$; the data of one instance must fit into memory.
        instances: how many.
        key: of the random numbers.
        step: the longest time step, see `trajectory`.
        batch_size: how many instances are run at once; by default as many as take 1 MB: more are not
            faster on a CPU.
        dtype: of the arrays (default: that of the problem).

    Raises:
        ValueError: if an argument is out of its range, or an instance would not fit into memory.

    Example:
        >>> import jax
        >>> from jaxsp import dmft, spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
        >>> problem = dmft.SphericalDynamics(model, temperature=1.0, initial_overlap=0.2)
        >>> run = dmft.simulate(problem, [0.0, 1.0], size=40, instances=3, key=jax.random.key(0))
        >>> run.correlation.shape, [round(float(x), 5) for x in run.overlap[:, 0]]
        ((3, 2, 2), [0.2, 0.2, 0.2])
    """
    for name, value, least in (("size", size, 2), ("instances", instances, 1)):
        if value < least:
            raise ValueError(f"Argument `{name}` must be at least {least}, but is {value}.")
    if not is_concrete(problem):
        raise ValueError("Argument `problem` must hold known numbers: instances are not traced.")
    problem, own_dtype = prepared(problem)
    dtype = jnp.dtype(own_dtype if dtype is None else dtype)
    schedule = _schedule(problem, times, step, dtype)
    model = landscape(problem)
    if batch_size is None:
        fitting = int(_BATCH_BYTES // max(data_bytes(model, size, dtype), 1.0))
        batch_size = max(1, min(instances, fitting))
    if batch_size < 1:
        raise ValueError(f"Argument `batch_size` must be at least 1, but is {batch_size}.")
    keys = jax.random.split(key, instances)
    return _simulate(problem, model, schedule, keys, size, batch_size)


def trajectory(
    problem: SphericalDynamics,
    instance: spiked.Instance,
    start: Float[Array, " n"],
    times: Times,
    *,
    key: PRNGKeyArray,
    step: float | None = None,
) -> Float[Array, "times n"]:
    r"""The path of one start in one given landscape, at some times.

    $$ dx = -P_x \nabla H(x)\, dt + \sqrt{2T}\, P_x \circ dW, \qquad P_x = 1 - x x^T / N, $$

    is integrated on the sphere by Strang's splitting: flow by a Runge-Kutta step of fourth order between
    two halves of a Brownian step, which turns $x$ into a random direction by the angle whose cosine
    is the exact mean $e^{-T h (N-1)/N}$. The step's error is of fourth order at $T = 0$, and of second
    order in all averages at $T > 0$ (up to $h/N$).

    Args:
        problem: noise and protocols; its model's noise variances weigh the terms of $H$.
        instance: the data, see `jaxsp.spiked.sample_instance` and `landscape`.
        start: $x(0)$; it is put on the sphere.
        times: when to look, increasing, from 0 on.
        key: of the noise.
        step: the longest time step; by default $0.2 / (\sqrt{Q''(1)} + T)$.

    Example:
        >>> import jax
        >>> from jaxsp import dmft, spiked
        >>> problem = dmft.SphericalDynamics(spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0))
        >>> data = spiked.sample_instance(problem.model, size=50, key=jax.random.key(0))
        >>> path = dmft.trajectory(problem, data, data.signal, [0.0, 1.0], key=jax.random.key(1))
        >>> energy = [float(spiked.hamiltonian(problem.model, data, x)) for x in path]
        >>> energy[1] < energy[0]
        True
    """
    check_shape("start", start, instance.signal.shape, f"{instance.signal.shape}, as the signal")
    problem, _ = prepared(problem)
    schedule = _schedule(problem, times, step, start.dtype)
    model = landscape(problem)
    return _run(problem, model, schedule, instance, spiked.on_sphere(start), key)[0]


def landscape(problem: SphericalDynamics) -> spiked.MatrixTensor:
    """The model whose instances have the landscape of a problem (for a mixture, at signal strength 0).

    Example:
        >>> from jaxsp import dmft, spiked
        >>> dmft.landscape(dmft.SphericalDynamics(spiked.pure_p_spin(3))).p
        (3,)
    """
    model = problem.model
    if isinstance(model, Mixture):
        noises = {p: 1 / (p * c) for p, c in zip(model.degrees, model.coefficients, strict=True)}
        orders = tuple(p for p in model.degrees if p > 2)
        delta2 = noises.get(2, math.inf)
        model = spiked.MatrixTensor(orders, delta2, tuple(noises[p] for p in orders))
    elif not isinstance(model, spiked.MatrixTensor):
        raise ValueError(
            "Argument `problem` must have a `MatrixTensor` or a `Mixture` as its model, of which "
            f"instances can be drawn, but has a {type(model).__name__}."
        )
    # As a Python number, infinite noise is known in compiled code too: the term is left out.
    return jax.tree.map(lambda noise: math.inf if np.isinf(noise) else noise, model)


class _Schedule(eqx.Module):
    """When to measure, and in how many steps to get there."""

    times: Float[Array, " n"]
    counts: Int[Array, " n"]


def _schedule(problem: SphericalDynamics, times: Times, step, dtype) -> _Schedule:
    measured = np.asarray(times, float)
    check_number("times", measured, minimum=0.0)
    if measured.ndim != 1 or measured.size == 0 or np.any(np.diff(measured) <= 0):
        raise ValueError(f"Argument `times` must be a list of increasing times, but is {times}.")
    step = _default_step(problem, jnp.asarray(measured)) if step is None else step
    check_number("step", step, minimum=0.0, strict=True)
    counts = np.ceil(np.diff(measured, prepend=0.0) / step * (1 - 1e-12)).astype(int)
    return _Schedule(jnp.asarray(measured, dtype), jnp.asarray(counts))


def _default_step(problem: SphericalDynamics, times: Array) -> float:
    Q = problem.covariance

    def rate(t):
        factors = problem.strengths_at(t) ** 2
        strong = Mixture(Q.degrees, Q.coefficients * factors)
        return jnp.sqrt(strong.derivative(jnp.ones_like(t), 2)) + problem.temperature_at(t)

    return 0.2 / max(float(jnp.max(jax.vmap(rate)(times))), 1e-6)


@eqx.filter_jit
def _simulate(problem, model, schedule, keys, size: int, batch_size: int) -> Simulation:
    times = schedule.times
    strength = 1.0
    if not problem.planted:
        T = problem.initial_temperature
        strength = 0.0 if T is None else 1 / T

    def one(key):
        data_key, start_key, noise_key = jax.random.split(key, 3)
        data = spiked.sample_instance(
            model, size=size, key=data_key, strength=strength, dtype=times.dtype
        )
        m = jnp.asarray(problem.start, times.dtype)
        x = m * data.signal + jnp.sqrt(1 - m**2) * _orthogonal(data.signal, start_key)
        path, energies = _run(problem, model, schedule, data, x, noise_key)
        return path @ data.signal / size, path @ path.T / size, energies / size

    # Alone, an instance's products are those of matrices, which are faster than batches of small ones.
    measured = jax.lax.map(one, keys, batch_size=None if batch_size == 1 else batch_size)
    overlap, correlation, energies = measured
    orders = jnp.asarray(problem.covariance.degrees, times.dtype)
    temperatures = jax.vmap(problem.temperature_at)(times)
    multiplier = temperatures - energies @ orders
    return Simulation(times, overlap, correlation, energies, multiplier, size)


@eqx.filter_jit
def _run(problem, model, schedule, data, x, key):
    """Places and energies at the scheduled times."""
    times, dtype = schedule.times, schedule.times.dtype
    degrees = (2, *model.orders)
    places = np.array([degrees.index(p) for p in problem.covariance.degrees])

    def energies(x, t):
        return problem.strengths_at(t) * spiked.energies(model, data, x)[places]

    def force(x, t):
        slope = jax.grad(lambda x: jnp.sum(energies(x, t)))(x)
        return x * ((x @ slope) / (x @ x)) - slope

    def advance(x, t, h, key):
        first, second = jax.random.split(key)
        x = _turned(x, problem.temperature_at(t + 0.25 * h) * 0.5 * h, first)
        k1 = force(x, t)
        k2 = force(x + 0.5 * h * k1, t + 0.5 * h)
        k3 = force(x + 0.5 * h * k2, t + 0.5 * h)
        k4 = force(x + h * k3, t + h)
        x = spiked.on_sphere(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        return _turned(x, problem.temperature_at(t + 0.75 * h) * 0.5 * h, second)

    def to_next(carry, target):
        x, t = carry
        until, count, key = target
        h = (until - t) / jnp.maximum(count, 1)

        def step(n, x):
            return advance(x, t + n * h, h, jax.random.fold_in(key, n))

        x = jax.lax.fori_loop(0, count, step, x)
        return (x, until), (x, energies(x, until))

    keys = jax.random.split(key, times.size)
    start = varying_like((x, jnp.zeros((), dtype)), x)
    return jax.lax.scan(to_next, start, (times, schedule.counts, keys))[1]


def _turned(x: Array, amount: Scalar, key: PRNGKeyArray) -> Array:
    """Brownian motion on the sphere for a time of `amount` at unit temperature."""
    amount = amount * (1 - 1 / x.size)
    across = _orthogonal(x, key)
    return spiked.on_sphere(jnp.exp(-amount) * x + jnp.sqrt(-jnp.expm1(-2 * amount)) * across)


def _orthogonal(x: Array, key: PRNGKeyArray) -> Array:
    """A random point on the sphere among those orthogonal to x."""
    direction = jax.random.normal(key, x.shape, x.dtype)
    return spiked.on_sphere(direction - x * ((x @ direction) / (x @ x)))
