"""What learns from what: a student and a teacher network, and the state of their overlaps."""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number, check_shape
from .._types import Scalar, ScalarLike
from ..numerics import is_concrete, real_dtype
from .activations import Activation, Layered

Rate: TypeAlias = ScalarLike | Callable[[Scalar], Scalar]
"""A number, or a function of time (steps over inputs' dimension)."""


class PiecewiseLinear(eqx.Module):
    """A schedule: linear between given times, constant before and after; differentiable in its values.

    Attributes:
        times: increasing, `(n,)`.
        values: the rate at these times, `(n,)`.

    Example:
        >>> import jax.numpy as jnp
        >>> schedule = PiecewiseLinear(jnp.array([0.0, 10.0]), jnp.array([1.0, 0.0]))
        >>> float(schedule(jnp.asarray(2.5)))
        0.75
    """

    times: Float[Array, " n"]
    values: Float[Array, " n"]

    def __check_init__(self):
        if is_concrete(self.times) and np.any(np.diff(np.asarray(self.times)) <= 0):
            raise ValueError(f"Argument `times` must be increasing, but is {self.times}.")
        check_shape("values", self.values, jnp.shape(self.times), f"{jnp.shape(self.times)}")

    def __call__(self, t: Scalar) -> Scalar:
        """The rate at a time."""
        return jnp.interp(t, self.times, self.values)


def rate_at(rate: Rate, t: Scalar) -> Scalar:
    """The value of a rate that may be a schedule."""
    return jnp.asarray(rate(t) if callable(rate) else rate, t.dtype)


class TeacherStudent(eqx.Module):
    r"""A two-layer student that learns a two-layer teacher by online gradient descent.

    Fields $\lambda_k = w_k \cdot x / \sqrt N$ of $K$ student and $\nu_m$ of $M$ teacher units;
    outputs $\phi = \sum_k v_k g(\lambda_k)$ and $y = \sum_m A_m \tilde g(\nu_m) + \sigma \zeta$. At each
    step one fresh sample (or `batch_size` of them, averaged), $\Delta = \phi - y$,

    $$ w_k \leftarrow w_k - \frac{\eta}{\sqrt N} v_k g'(\lambda_k) \Delta\, x - \frac{\kappa}{N} w_k, \qquad
       v_k \leftarrow v_k - \frac{\eta_v}{N} g(\lambda_k) \Delta - \frac{\kappa_v}{N} v_k, $$

    and time is the number of steps over $N$ (Saad and Solla 1995; arXiv 1906.08632).

    Attributes:
        student_units: $K$.
        teacher_units: $M$.
        activation: $g$: `Erf()`, `ReLU()`, `Linear()`, or `Custom(function)`.
        noise: standard deviation $\sigma$ of the labels' noise.
        learning_rate: $\eta$ of the first layer, a number or a function of time.
        train_second_layer: whether $v$ learns too.
        second_layer_learning_rate: $\eta_v$ (None: the same).
        weight_decay: $\kappa$, a number or a function of time.
        second_layer_weight_decay: $\kappa_v$ (None: the same).
        batch_size: samples of a step.
        teacher_activation: $\tilde g$ (None: the same).

    Example:
        >>> from jaxsp import online
        >>> net = online.TeacherStudent(4, 2, online.Erf(), noise=0.1, learning_rate=0.5)
        >>> net.student_units
        4
    """

    student_units: int = eqx.field(static=True)
    teacher_units: int = eqx.field(static=True)
    activation: Activation
    noise: ScalarLike = 0.0
    learning_rate: Rate = 1.0
    train_second_layer: bool = eqx.field(static=True, default=False)
    second_layer_learning_rate: Rate | None = None
    weight_decay: Rate = 0.0
    second_layer_weight_decay: Rate | None = None
    batch_size: int = eqx.field(static=True, default=1)
    teacher_activation: Activation | None = None

    def __check_init__(self):
        for name in ("student_units", "teacher_units", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Argument `{name}` must be a positive integer, but is {value!r}.")
        check_number("noise", self.noise, minimum=0.0)
        for name in (
            "learning_rate", "second_layer_learning_rate", "weight_decay", "second_layer_weight_decay",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not callable(value):
                check_number(name, value, minimum=0.0)

    @property
    def units(self) -> Activation:
        """The activations of all fields, the student's first."""
        if self.teacher_activation is None:
            return self.activation
        return Layered(self.activation, self.teacher_activation, self.student_units)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        r"""$\eta, \eta_v, \kappa, \kappa_v$ at a time; those of a fixed second layer are zero."""
        eta, kappa = rate_at(self.learning_rate, t), rate_at(self.weight_decay, t)
        if not self.train_second_layer:
            return eta, jnp.zeros_like(eta), kappa, jnp.zeros_like(eta)
        second = (self.second_layer_learning_rate, self.second_layer_weight_decay)
        eta_v, kappa_v = (
            first if rate is None else rate_at(rate, t)
            for rate, first in zip(second, (eta, kappa), strict=True)
        )
        return eta, eta_v, kappa, kappa_v


class Overlaps(eqx.Module):
    r"""The state of a student that learns: the fields' covariances, and the second layers.

    Attributes:
        Q: $\mathbb E \lambda_k \lambda_l$, `(K, K)`.
        R: $\mathbb E \lambda_k \nu_m$, `(K, M)`.
        T: $\mathbb E \nu_m \nu_n$, `(M, M)`.
        v: the student's second layer, `(K,)`.
        A: the teacher's second layer, `(M,)`.
    """

    Q: Float[Array, "*b K K"]
    R: Float[Array, "*b K M"]
    T: Float[Array, "*b M M"]
    v: Float[Array, "*b K"]
    A: Float[Array, "*b M"]

    def __init__(self, Q, R, T, v=None, A=None):
        """The second layers are ones where they are not given: soft committee machines."""
        dtype = real_dtype(Q, R, T, v, A)
        Q, R, T = (jnp.asarray(x, dtype) for x in (Q, R, T))
        self.Q, self.R, self.T = Q, R, T
        self.v = jnp.ones(Q.shape[:-1], dtype) if v is None else jnp.asarray(v, dtype)
        self.A = jnp.ones(T.shape[:-1], dtype) if A is None else jnp.asarray(A, dtype)

    @property
    def covariance(self) -> Float[Array, "*b n n"]:
        """The covariance of all fields, the student's first."""
        top = jnp.concatenate([self.Q, self.R], axis=-1)
        bottom = jnp.concatenate([jnp.swapaxes(self.R, -1, -2), self.T], axis=-1)
        return jnp.concatenate([top, bottom], axis=-2)

    @property
    def readout(self) -> Float[Array, "*b n"]:
        r"""$u = (v, -A)$: the error is $\sum_a u_a g_a$."""
        return jnp.concatenate([self.v, -self.A], axis=-1)

    @property
    def specialization(self) -> Float[Array, "*b K M"]:
        r"""$R_{km} / \sqrt{Q_{kk} T_{mm}}$: the cosine between each student's and each teacher's unit."""
        diagonal = lambda x: jnp.diagonal(x, axis1=-2, axis2=-1)  # noqa: E731
        scale = jnp.sqrt(diagonal(self.Q)[..., :, None] * diagonal(self.T)[..., None, :])
        return self.R / jnp.where(scale > 0, scale, 1.0)


def generalization_error(net: TeacherStudent, overlaps: Overlaps) -> Scalar:
    r"""$\epsilon_g = \frac12 \mathbb E (\phi - \sum_m A_m \tilde g_m)^2 = \frac12 u^T I_2 u$.

    The labels' noise is left out.

    Args:
        net: the networks.
        overlaps: their state.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> net = online.TeacherStudent(1, 1, online.Linear())
        >>> state = online.Overlaps(Q=jnp.eye(1), R=0.5 * jnp.eye(1), T=jnp.eye(1))
        >>> float(online.generalization_error(net, state))
        0.5
    """
    check_overlaps(net, overlaps)
    u = overlaps.readout
    return 0.5 * u @ net.units.products(overlaps.covariance) @ u


def check_overlaps(net: TeacherStudent, overlaps: Overlaps) -> None:
    """Raise a `ValueError` unless the state fits the networks and its covariance can be one."""
    K, M = net.student_units, net.teacher_units
    shapes = {"Q": (K, K), "R": (K, M), "T": (M, M), "v": (K,), "A": (M,)}
    for name, shape in shapes.items():
        check_shape(f"overlaps.{name}", getattr(overlaps, name), shape, f"{shape}")
        check_number(f"overlaps.{name}", getattr(overlaps, name))
    if not is_concrete(overlaps):
        return
    # In numpy: under a transformation even constants become traced as soon as JAX computes with them.
    Q, R, T = (np.asarray(x) for x in (overlaps.Q, overlaps.R, overlaps.T))
    C = np.block([[Q, R], [R.T, T]])
    slack = 64 * np.finfo(C.dtype).eps * max(float(np.max(np.abs(C))), 1.0) * len(C)
    for name in ("Q", "T"):
        matrix = np.asarray(getattr(overlaps, name))
        if np.max(np.abs(matrix - matrix.T)) > slack:
            raise ValueError(f"Argument `overlaps.{name}` must be symmetric, but is {matrix}.")
    lowest = np.linalg.eigvalsh(0.5 * (C + C.T))[0]
    if lowest < -slack:
        raise ValueError(
            "Argument `overlaps` must hold a covariance [[Q, R], [R^T, T]] without negative eigenvalues, "
            f"but it has the eigenvalue {lowest}."
        )
