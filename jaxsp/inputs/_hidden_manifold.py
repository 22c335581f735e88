"""Inputs on a manifold of lower dimension, folded into the space of inputs."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from .._types import Scalar, ScalarLike
from ..numerics import gaussian_panels, integrate
from ._base import Inputs, check_dimension


def fold_moments(fold: Callable[[Scalar], Scalar], dtype=None) -> tuple[Scalar, Scalar, Scalar]:
    r"""$\mathbb E f(u)$, $b = \mathbb E u f(u)$ and $c = \mathrm{Var} f(u)$ for $u \sim \mathcal N(0, 1)$.

    Args:
        fold: $f$, which may have a kink or a step at the origin.
        dtype: of the numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import inputs
        >>> mean, b, c = inputs.fold_moments(jnp.sign)
        >>> round(float(b), 4), round(float(c), 4)    # sqrt(2 / pi), 1
        (0.7979, 1.0)
    """
    zeros = jnp.zeros(1, dtype)
    rule = gaussian_panels(zeros, zeros + 1)

    def moments(u):
        f = fold(u)
        return jnp.stack([f, u * f, f**2])

    mean, b, square = integrate(moments, rule).value
    return mean, b, square - mean**2


class HiddenManifoldInputs(Inputs):
    r"""$x = f(F c / \sqrt D) - \mathbb E f$ with latent $c \sim \mathcal N(0, I_D)$ (arXiv 1909.11500).

    The rows of the Gaussian $F$ are normalised, so that each $u_i = F_i \cdot c / \sqrt D$ has unit
    variance. By Gaussian equivalence $\Omega = (c_f - b^2) I + b^2 F F^T / D$ (with the variance $c_f$ of
    $f(u)$ and $b = \mathbb E u f(u)$) and $\Phi = b F^T / \sqrt D$.

    Attributes:
        features: $F$, `(N, D)`.
        fold: $f$.
        teacher_on_inputs: whether the teacher acts on $x$ instead of $c$.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import inputs
        >>> law = inputs.HiddenManifoldInputs(8, latent_dimension=2, fold=jnp.sign, key=jax.random.key(0))
        >>> x, latent = law.sample(jax.random.key(1), 3)
        >>> x.shape, latent.shape
        ((3, 8), (3, 2))
    """

    features: Float[Array, "N D"]
    fold: Callable
    teacher_on_inputs: bool = eqx.field(static=True)

    def __init__(
        self,
        dimension: int | None = None,
        latent_dimension: int | None = None,
        fold: Callable = jnp.sign,
        *,
        key: PRNGKeyArray | None = None,
        features: Float[Array, "N D"] | None = None,
        teacher_on_inputs: bool = False,
        dtype=None,
    ):
        """Draws the features, unless they are given (with rows of any norm, which are normalised)."""
        if features is None:
            if key is None or dimension is None or latent_dimension is None:
                raise ValueError(
                    "Arguments `dimension`, `latent_dimension` and `key` must be given if `features` "
                    "are not."
                )
            check_dimension("dimension", dimension)
            check_dimension("latent_dimension", latent_dimension)
            features = jax.random.normal(key, (dimension, latent_dimension), dtype)
        check_shape("features", features, (None, None), "(N, D)")
        check_number("features", features)
        norm = jnp.sqrt(jnp.mean(features**2, axis=1, keepdims=True))
        check_number("norms of the rows of features", norm, minimum=0.0, strict=True)
        self.features = features / norm
        self.fold = fold
        self.teacher_on_inputs = teacher_on_inputs

    @property
    def moments(self) -> tuple[Scalar, Scalar, Scalar]:
        r"""$\mathbb E f$, $b$, $c$ of the fold."""
        return fold_moments(self.fold, self.features.dtype)

    @property
    def dimension(self) -> int:
        """$N$."""
        return self.features.shape[0]

    @property
    def latent_dimension(self) -> int:
        """$D$, or $N$ if the teacher acts on the inputs."""
        return self.features.shape[0 if self.teacher_on_inputs else 1]

    @property
    def covariance(self) -> Float[Array, "N N"]:
        r"""$(c - b^2) I + b^2 F F^T / D$."""
        _, b, c = self.moments
        N, D = self.features.shape
        return (c - b**2) * jnp.eye(N) + b**2 * self.features @ self.features.T / D

    @property
    def cross_covariance(self) -> Float[Array, "D N"]:
        r"""$b F^T / \sqrt D$."""
        if self.teacher_on_inputs:
            return self.covariance
        return self.moments[1] * self.features.T / self.features.shape[1] ** 0.5

    @property
    def latent_covariance(self) -> Float[Array, "D D"]:
        """The unit matrix, or that of the inputs if the teacher acts on them."""
        return self.covariance if self.teacher_on_inputs else jnp.eye(self.features.shape[1])

    def sample(
        self, key: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "n N"], Float[Array, "n D"]]:
        """Latent vectors, folded."""
        D = self.features.shape[1]
        latent = jax.random.normal(key, (samples, D), self.features.dtype)
        u = latent @ self.features.T / D**0.5
        x = self.fold(u) - self.moments[0]
        return x, x if self.teacher_on_inputs else latent


class HiddenManifoldLimit(eqx.Module):
    r"""Hidden manifolds of infinite dimensions at a fixed ratio $\delta = D / N$; the teacher on $c$.

    The spectrum of the features is then Marchenko and Pastur's, and a few tens of modes stand for all.

    Attributes:
        ratio: $\delta$.
        fold: $f$.
        modes: number of eigenvalues that stand for the spectrum.
    """

    ratio: ScalarLike
    fold: Callable = jnp.sign
    modes: int = eqx.field(static=True, default=40)

    def __check_init__(self):
        check_number("ratio", self.ratio, minimum=0.0, strict=True)
        check_dimension("modes", self.modes)
