r"""Random instances of the spiked matrix-tensor model, and their landscape on the sphere."""

import math
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_shape
from .._types import Scalar, ScalarLike
from ..numerics import is_concrete, real_dtype
from ._tensor import SymmetricTensor, noisy_rank_one, tensor_bytes
from .model import MatrixTensor, Spherical


class Instance(eqx.Module):
    r"""One draw of the model.

    Attributes:
        signal: $x^*$, `(N,)`.
        Y: the matrix `(N, N)`, symmetric with a zero diagonal; None if the model has none.
        tensors: one `SymmetricTensor` for each order of the model; None for infinite noise.
    """

    signal: Float[Array, " n"]
    Y: Float[Array, "n n"] | None
    tensors: tuple[SymmetricTensor | None, ...]


def sample_instance(
    model: MatrixTensor,
    *,
    size: int,
    key: PRNGKeyArray,
    strength: ScalarLike = 1.0,
    memory_limit: float | None = None,
    dtype=None,
) -> Instance:
    r"""Draw a signal and the noisy matrix and tensors made of it (see `MatrixTensor`).

    Args:
        model: the model.
        size: $N$.
        key: of the random numbers.
        strength: factor of the signal's part in the matrix and the tensors; 0 for noise alone, and
            $1/T$ for the noise that a signal drawn from equilibrium at temperature $T$ has.
        memory_limit: bytes that the data may take; by default half of the device's memory, or of the
            machine's.
        dtype: of the arrays (default: JAX's).

    Raises:
        ValueError: if `size` is too small, or the data would not fit; the message says how much they
            take, and which size would fit.

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=4.0)
        >>> data = spiked.sample_instance(model, size=30, key=jax.random.key(0))
        >>> data.Y.shape, data.tensors[0].dense().shape
        ((30, 30), (30, 30, 30))
    """
    if size < 2:
        raise ValueError(f"Argument `size` must be at least 2, but is {size}.")
    dtype = jnp.dtype(real_dtype() if dtype is None else dtype)
    limit = _available_memory() / 2 if memory_limit is None else memory_limit
    needed = data_bytes(model, size, dtype)
    if needed > limit:
        fits = size
        while fits > 2 and data_bytes(model, fits, dtype) > limit:
            fits = fits * 9 // 10
        raise ValueError(
            f"Argument `size` must be such that the data fit into {_readable(limit)}, but for size "
            f"{size} they take {_readable(needed)} ({dtype.name}); size {fits} would fit."
        )
    strength = jnp.asarray(strength, dtype)
    signal_key, matrix_key, tensor_key = jax.random.split(key, 3)
    if isinstance(model.prior, Spherical):
        direction = jax.random.normal(signal_key, (size,), dtype)
        signal = on_sphere(direction)
    else:
        signal = model.prior.sample(signal_key, (size,)).astype(dtype)
    Y = None
    if not _absent(model.delta2):
        upper = jnp.triu(jax.random.normal(matrix_key, (size, size), dtype), 1)
        noise = jnp.sqrt(jnp.asarray(model.delta2, dtype)) * (upper + upper.T)
        spike = jnp.outer(strength * signal, signal) / math.sqrt(size)
        Y = noise + spike - jnp.diag(jnp.diag(spike))
    tensors = []
    for p, noise in zip(model.orders, model.tensor_noises, strict=True):
        if _absent(noise):
            tensors.append(None)
            continue
        scale = jnp.asarray(strength * _scale(p, size), dtype)
        own = jax.random.fold_in(tensor_key, p)
        tensors.append(noisy_rank_one(signal, scale, jnp.asarray(noise, dtype), p, own))
    return Instance(signal, Y, tuple(tensors))


def energies(
    model: MatrixTensor, instance: Instance, x: Float[Array, " n"]
) -> Float[Array, " terms"]:
    r"""The terms $H_2, H_p, \dots$ of the Hamiltonian at `x`, in the order of the covariance's degrees.

    $$ H_2 = -\frac{1}{\Delta_2 \sqrt N} \sum_{i<j} Y_{ij} x_i x_j, \qquad
       H_p = -\frac{\sqrt{(p-1)!}}{\Delta_p N^{(p-1)/2}} \sum_{i_1 < \dots < i_p} T_{i_1 \dots i_p}
       x_{i_1} \cdots x_{i_p}. $$

    Args:
        model: the model; its noise variances enter.
        instance: the data.
        x: a configuration.

    Example:
        >>> import jax
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=4.0)
        >>> data = spiked.sample_instance(model, size=30, key=jax.random.key(0))
        >>> spiked.energies(model, data, data.signal).shape
        (2,)
    """
    size = instance.signal.shape[0]
    check_shape("x", x, (size,), f"({size},)")
    zero = jnp.zeros((), x.dtype)
    matrix = zero
    if instance.Y is not None:
        matrix = -(x @ (instance.Y @ x)) / (2 * model.delta2 * math.sqrt(size))
    parts = [matrix]
    for tensor, noise in zip(instance.tensors, model.tensor_noises, strict=True):
        if tensor is None:
            parts.append(zero)
        else:
            parts.append(-_scale(tensor.order, size) / noise * tensor.form(x))
    return jnp.stack(parts)


def hamiltonian(model: MatrixTensor, instance: Instance, x: Float[Array, " n"]) -> Scalar:
    r"""$H(x)$, the negative log-likelihood up to constants; $\langle H \rangle = -N Q(x \cdot x^*/N)$.

    Args:
        model: the model.
        instance: the data.
        x: a configuration.
    """
    return jnp.sum(energies(model, instance, x))


def gradient(model: MatrixTensor, instance: Instance, x: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""The gradient of $H$ on the sphere, $\nabla H - x\, (x \cdot \nabla H) / |x|^2$.

    Args:
        model: the model.
        instance: the data.
        x: a configuration; its own norm is taken as the radius.
    """
    slope = jax.grad(hamiltonian, 2)(model, instance, x)
    return slope - x * (x @ slope) / (x @ x)


def hessian(model: MatrixTensor, instance: Instance, x: Float[Array, " n"]) -> Float[Array, "n n"]:
    r"""The Hessian of $H$ on the sphere, $P (\nabla^2 H + \mu I) P$ with $\mu = -x \cdot \nabla H/|x|^2$.

    $P$ projects on the tangent space, so `x` itself is an eigenvector to eigenvalue zero.

    Args:
        model: the model.
        instance: the data.
        x: a configuration; its own norm is taken as the radius.
    """
    size, square = x.shape[0], x @ x
    slope = jax.grad(hamiltonian, 2)(model, instance, x)
    identity = jnp.eye(size, dtype=x.dtype)
    full = jnp.zeros_like(identity)
    if instance.Y is not None:
        full = full - instance.Y / (model.delta2 * math.sqrt(size))
    for tensor, noise in zip(instance.tensors, model.tensor_noises, strict=True):
        if tensor is not None:
            full = full - _scale(tensor.order, size) / noise * tensor.second_derivative(x)
    project = identity - jnp.outer(x, x) / square
    return project @ (full - (x @ slope) / square * identity) @ project


def on_sphere(x: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""The vector with its norm set to $\sqrt N$."""
    return x * jax.lax.rsqrt(jnp.mean(x * x))


def _scale(p: int, size: int) -> float:
    r"""$\sqrt{(p-1)!} / N^{(p-1)/2}$."""
    return math.exp(0.5 * (math.lgamma(p) - (p - 1) * math.log(size)))


def _absent(noise) -> bool:
    return is_concrete(noise) and bool(np.isinf(noise))


def data_bytes(model: MatrixTensor, size: int, dtype) -> float:
    """Memory of an instance."""
    total = 0 if _absent(model.delta2) else size**2 * jnp.dtype(dtype).itemsize
    for p, noise in zip(model.orders, model.tensor_noises, strict=True):
        total += 0 if _absent(noise) else tensor_bytes(size, p, dtype)
    return float(total)


def _available_memory() -> float:
    statistics = jax.devices()[0].memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return float(limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _readable(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.3g} {unit}"
