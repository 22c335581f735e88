"""Networks with weights: the start of a simulation, and of the theory at finite dimension."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Scalar, ScalarLike
from ..inputs import GaussianInputs, Inputs
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


def label_teacher(networks: Networks) -> Networks:
    r"""The same student, with the latent vector's one component itself as the teacher's output.

    For `inputs.DataInputs`, with `teacher_units=1` and `teacher_activation=Linear()`.
    """
    dtype = networks.w.dtype
    return Networks(networks.w, networks.v, jnp.ones((1, 1), dtype), jnp.ones(1, dtype))


def disagreement(
    net: TeacherStudent,
    first: Networks,
    second: Networks,
    inputs: Inputs,
    *,
    key: PRNGKeyArray | None = None,
    samples: int = 10_000,
) -> Scalar:
    r"""$\epsilon_{12} = \frac12 \mathbb E (\phi_1 - \phi_2)^2$: how far two students are from one function.

    Two students that have learned the same task are the same function only if this is small on iid
    inputs too (arXiv 1909.11500). In closed form for Gaussian inputs, and a mean over samples otherwise.

    Args:
        net: the students' sizes and activation.
        first: one student.
        second: the other one.
        inputs: the inputs on which they are compared.
        key: of the samples, for inputs that are not Gaussian.
        samples: how many.

    Example:
        >>> import jax
        >>> from jaxsp import inputs, online
        >>> net, law = online.TeacherStudent(2, 1, online.Erf()), inputs.GaussianInputs(100)
        >>> start = online.sample_networks(net, law, key=jax.random.key(0))
        >>> float(online.disagreement(net, start, start, law)) < 1e-6
        True
    """
    u = jnp.concatenate([first.v, -second.v])
    w = jnp.concatenate([first.w, second.w]) / inputs.dimension**0.5
    if isinstance(inputs, GaussianInputs):
        return 0.5 * u @ net.activation.products(w @ w.T) @ u
    if key is None:
        raise ValueError("Argument `key` must be given for inputs that are sampled, but is None.")
    x, _ = inputs.sample(key, samples)
    outputs = jnp.vectorize(net.activation.__call__)(x @ w.T) @ u
    return 0.5 * jnp.mean(outputs**2)
