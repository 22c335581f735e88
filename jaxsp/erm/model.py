"""What is learned from: Gaussian covariates and a teacher that acts on correlated ones."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number, check_shape
from .._types import Scalar
from ..channels import Channel, Linear, Sign
from ..inputs import CovariateInputs, HiddenManifoldLimit, Inputs, fold_moments, marchenko_pastur
from ..numerics import is_concrete, real_dtype


class TeacherModes(eqx.Module):
    r"""A teacher and a student by the eigenmodes of the student's covariance: all that the theory reads.

    The teacher's field is $\nu$, the student's $\lambda = w \cdot x / \sqrt d$. In the mode of eigenvalue
    $\rho_\tau$ of $\Omega = \mathbb E x x^T$, the teacher is
    $f_\tau = \sqrt d\, u_\tau \cdot \mathbb E x \nu$.

    Attributes:
        eigenvalues: $\rho_\tau$.
        weights: the fraction of the dimension that each mode stands for.
        squared_teacher: $f_\tau^2$.
        teacher_variance: $\rho = \mathbb E \nu^2$.
        channel: law of the outputs given $\nu$: with labels, or `channels.Linear(...)` for regression.
    """

    eigenvalues: Float[Array, " d"]
    weights: Float[Array, " d"]
    squared_teacher: Float[Array, " d"]
    teacher_variance: Scalar
    channel: Channel

    def __check_init__(self):
        if self.channel.labels is None and not isinstance(self.channel, Linear):
            raise ValueError(
                "Argument `channel` must have labels or be `channels.Linear`, but is a "
                f"{type(self.channel).__name__}."
            )
        check_number("teacher_variance", self.teacher_variance, minimum=0.0, strict=True)


class GaussianCovariates(TeacherModes):
    r"""The Gaussian covariate model (arXiv 2102.08127), by the eigenmodes of the student's covariance.

    The teacher's field is $\nu = \theta \cdot u / \sqrt p$ and the student's
    $\lambda = w \cdot x / \sqrt d$ with jointly Gaussian $u \in \mathbb R^p$ and $x \in \mathbb R^d$,
    $\Psi = \mathbb E u u^T$, $\Phi = \mathbb E u x^T$, $\Omega = \mathbb E x x^T$; the outputs' law is a
    channel's. The attributes are those of `TeacherModes`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import erm
        >>> eye = jnp.eye(3)
        >>> model = erm.GaussianCovariates(Psi=eye, Phi=eye, Omega=eye, teacher=jnp.ones(3))
        >>> round(float(model.teacher_variance), 6)
        1.0
    """

    def __init__(self, Psi, Phi, Omega, teacher, channel: Channel | None = None):
        r"""Diagonalises the student's covariance.

        Args:
            Psi: `(p, p)`, positive semidefinite.
            Phi: `(p, d)`.
            Omega: `(d, d)`, positive semidefinite.
            teacher: $\theta$, `(p,)`.
            channel: of the outputs (default: `channels.Sign()`).

        Raises:
            ValueError: if shapes do not fit, or the covariances are not those of a joint law.
        """
        law = CovariateInputs(Omega, Phi, Psi)
        dtype = real_dtype(law.Omega, teacher)
        teacher = jnp.asarray(teacher, dtype)
        p, d = law.latent_dimension, law.dimension
        check_shape("teacher", teacher, (p,), f"({p},)")
        check_number("teacher", teacher)
        rho, U = jnp.linalg.eigh(law.Omega)
        theta = teacher / p**0.5
        f = d**0.5 * (theta @ law.Phi @ U)
        self.eigenvalues, self.weights = jnp.maximum(rho, 0.0), jnp.full_like(rho, 1 / d)
        self.squared_teacher, self.teacher_variance = f**2, theta @ law.Psi @ theta
        self.channel = Sign() if channel is None else channel

    @classmethod
    def from_inputs(
        cls, law: Inputs, teacher: Float[Array, " D"], channel: Channel | None = None
    ) -> "GaussianCovariates":
        """Inputs of any law of `jaxsp.inputs`, by their covariances (Gaussian equivalence).

        Args:
            law: the inputs; the teacher acts on their latent vectors.
            teacher: `(D,)`.
            channel: of the outputs.
        """
        covariances = law.latent_covariance, law.cross_covariance, law.covariance
        return cls(*covariances, teacher, channel)

    @classmethod
    def from_data(cls, x, y, *, channel: Channel | None = None) -> "GaussianCovariates":
        r"""Regression of outputs of real data on their inputs, by their covariances alone.

        The outputs themselves are the teacher's field: $\Psi = \mathrm{Var}\, y$ and
        $\Phi = \mathrm{Cov}(y, x)$.

        Args:
            x: inputs, `(n, d)`.
            y: outputs, `(n,)`.
            channel: of the outputs (default: `channels.Linear()`).

        Raises:
            ValueError: if all outputs are the same.
        """
        if is_concrete(y) and np.ptp(np.asarray(y)) == 0:
            raise ValueError(
                "Argument `y` must have more than one value (a class of each kind), but all are "
                f"{float(np.ravel(np.asarray(y))[0])}."
            )
        law = CovariateInputs.from_data(x, y)
        return cls.from_inputs(law, jnp.ones(1), Linear() if channel is None else channel)


def hidden_manifold(limit: HiddenManifoldLimit, channel: Channel | None = None) -> TeacherModes:
    r"""A hidden manifold (or random features) of infinite dimension, by Marchenko and Pastur's law.

    Its covariance $(c - b^2) I + b^2 F F^T / D$ has the eigenvalue $c - b^2 + b^2 \rho / \delta$ for each
    $\rho$ of $F^T F / N$, where $f^2 = b^2 \rho / \delta^2$ for a teacher of unit variance.

    Args:
        limit: the manifold.
        channel: of the outputs (default: `channels.Sign()`).

    Example:
        >>> from jaxsp import erm, inputs
        >>> model = erm.hidden_manifold(inputs.HiddenManifoldLimit(0.5))
        >>> round(float(model.weights @ model.eigenvalues), 4)    # variance of an input
        1.0
    """
    delta = jnp.asarray(limit.ratio, real_dtype(limit.ratio))
    law = marchenko_pastur(delta, limit.modes)
    _, b, c = fold_moments(limit.fold, delta.dtype)
    rho = jnp.append(law.eigenvalues, 0.0)
    weights = jnp.append(delta * law.weights, 1 - delta)
    channel = Sign() if channel is None else channel
    one = jnp.ones((), delta.dtype)
    eigenvalues = c - b**2 + b**2 * rho / delta
    return TeacherModes(eigenvalues, weights, b**2 * rho / delta**2, one, channel)
