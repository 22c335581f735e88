"""Networks with weights: the start of a simulation, and of the theory at finite dimension."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import ScalarLike
from ..inputs import Inputs
from .model import Overlaps, TeacherStudent


class Networks(eqx.Module):
    r"""Weights of a student and of its teacher.

    Attributes:
        w: the student's first layer, `(K, N)`.
        v: its second layer, `(K,)`.
        B: the teacher's first layer, on the latent vectors, `(M, D)`.
        A: its second layer, `(M,)`.
    """

    w: Float[Array, "*s K N"]
    v: Float[Array, "*s K"]
    B: Float[Array, "*s M D"]
    A: Float[Array, "*s M"]


def sample_networks(
    net: TeacherStudent,
    inputs: Inputs,
    *,
    key: PRNGKeyArray,
    scale: ScalarLike = 1.0,
    second_layer_scale: ScalarLike | None = None,
    v: Float[Array, " K"] | None = None,
    A: Float[Array, " M"] | None = None,
) -> Networks:
    r"""Draw a teacher with iid $\mathcal N(0, 1)$ first-layer weights and a student to start from.

    Args:
        net: their sizes.
        inputs: what they act on.
        key: of the random numbers.
        scale: standard deviation of the student's first layer.
        second_layer_scale: standard deviation of a random second layer of the student.
        v: the student's second layer, if it is not random (default: ones).
        A: the teacher's second layer (default: ones).

    Example:
        >>> import jax
        >>> from jaxsp import inputs, online
        >>> net = online.TeacherStudent(2, 1, online.Erf())
        >>> start = sample_networks(net, inputs.GaussianInputs(100), key=jax.random.key(0))
        >>> start.w.shape, start.B.shape
        ((2, 100), (1, 100))
    """
    check_number("scale", scale, minimum=0.0)
    K, M = net.student_units, net.teacher_units
    first, second, teacher = jax.random.split(key, 3)
    w = scale * jax.random.normal(first, (K, inputs.dimension))
    B = jax.random.normal(teacher, (M, inputs.latent_dimension))
    if v is None:
        v = jnp.ones(K, w.dtype)
        if second_layer_scale is not None:
            v = second_layer_scale * jax.random.normal(second, (K,))
    A = jnp.ones(M, w.dtype) if A is None else jnp.asarray(A, w.dtype)
    networks = Networks(w, jnp.asarray(v, w.dtype), B, A)
    check_networks(net, inputs, networks)
    return networks


def check_networks(net: TeacherStudent, inputs: Inputs, networks: Networks) -> None:
    """Raise a `ValueError` unless the weights fit the sizes."""
    K, M, N, D = net.student_units, net.teacher_units, inputs.dimension, inputs.latent_dimension
    shapes = {"w": (K, N), "v": (K,), "B": (M, D), "A": (M,)}
    for name, shape in shapes.items():
        value = getattr(networks, name)
        check_shape(f"networks.{name}", value, shape, f"{shape}")
        check_number(f"networks.{name}", value)


def network_overlaps(inputs: Inputs, networks: Networks) -> Overlaps:
    r"""$Q = w \Omega w^T / N$, $R = w \Phi^T B^T / \sqrt{N D}$, $T = B \Psi B^T / D$.

    Args:
        inputs: their law.
        networks: the weights.

    Example:
        >>> import jax
        >>> from jaxsp import inputs, online
        >>> net, law = online.TeacherStudent(2, 1, online.Erf()), inputs.GaussianInputs(100)
        >>> start = online.sample_networks(net, law, key=jax.random.key(0))
        >>> network_overlaps(law, start).Q.shape
        (2, 2)
    """
    w, B = networks.w / inputs.dimension**0.5, networks.B / inputs.latent_dimension**0.5
    return Overlaps(
        Q=w @ inputs.covariance @ w.T,
        R=w @ inputs.cross_covariance.T @ B.T,
        T=B @ inputs.latent_covariance @ B.T,
        v=networks.v,
        A=networks.A,
    )
