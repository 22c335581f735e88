"""Gaussian inputs and latent vectors with any covariances."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number, check_shape
from ..numerics import is_concrete, real_dtype
from ._base import Inputs


class CovariateInputs(Inputs):
    r"""Jointly Gaussian inputs $x$ and latent vectors $c$ with any covariances.

    $\Omega = \mathbb E x x^T$, $\Phi = \mathbb E c x^T$, $\Psi = \mathbb E c c^T$: the
    Gaussian covariate model (arXiv 2102.08127; in its names $v = x$ and $u = c$). Whatever data or
    feature maps have these covariances, learning sees at large dimension no more than them.

    Attributes:
        Omega: `(N, N)`, positive semidefinite.
        Phi: `(D, N)`.
        Psi: `(D, D)`, positive semidefinite (None: the unit matrix).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import inputs
        >>> law = inputs.CovariateInputs(Omega=2 * jnp.eye(3), Phi=jnp.ones((1, 3)) / 2)
        >>> x, latent = law.sample(jax.random.key(0), 10)
        >>> x.shape, latent.shape
        ((10, 3), (10, 1))
    """

    Omega: Float[Array, "N N"]
    Phi: Float[Array, "D N"]
    Psi: Float[Array, "D D"]
    root: Float[Array, "E E"] | None

    def __init__(self, Omega, Phi, Psi=None):
        """Checks the covariances, which must be those of some joint law."""
        dtype = real_dtype(Omega, Phi, Psi)
        self.Omega, self.Phi = jnp.asarray(Omega, dtype), jnp.asarray(Phi, dtype)
        if self.Phi.ndim != 2:
            check_shape("Phi", self.Phi, (None, None), "(D, N)")
        D, N = self.Phi.shape
        self.Psi = jnp.eye(D, dtype=dtype) if Psi is None else jnp.asarray(Psi, dtype)
        check_shape("Omega", self.Omega, (N, N), f"({N}, {N}), for `Phi` has shape ({D}, {N})")
        check_shape("Psi", self.Psi, (D, D), f"({D}, {D}), for `Phi` has shape ({D}, {N})")
        self.root = self._checked_root()

    def _checked_root(self):
        if not is_concrete((self.Omega, self.Phi, self.Psi)):
            return None
        parts = {"Omega": self.Omega, "Phi": self.Phi, "Psi": self.Psi}
        for name, value in parts.items():
            check_number(name, value)
        Omega, Phi, Psi = (np.asarray(x) for x in parts.values())
        for name, matrix in (("Omega", Omega), ("Psi", Psi)):
            if np.max(np.abs(matrix - matrix.T)) > 1e-6 * np.max(np.abs(matrix)):
                raise ValueError(f"Argument `{name}` must be symmetric, but is not.")
            _root(f"Argument `{name}` must be", matrix)
        joint = np.block([[Psi, Phi], [Phi.T, Omega]])
        return jnp.asarray(_root("Arguments `Omega`, `Phi` and `Psi` together must be", joint))

    @property
    def dimension(self) -> int:
        """$N$."""
        return self.Phi.shape[1]

    @property
    def latent_dimension(self) -> int:
        """$D$."""
        return self.Phi.shape[0]

    @property
    def covariance(self) -> Float[Array, "N N"]:
        r"""$\Omega$."""
        return self.Omega

    @property
    def cross_covariance(self) -> Float[Array, "D N"]:
        r"""$\Phi$."""
        return self.Phi

    @property
    def latent_covariance(self) -> Float[Array, "D D"]:
        r"""$\Psi$."""
        return self.Psi

    def sample(
        self, key: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "n N"], Float[Array, "n D"]]:
        """Gaussian vectors by a root of the joint covariance."""
        if self.root is None:
            raise ValueError("Covariances that are being traced cannot be sampled from.")
        size = self.root.shape[0]
        both = jax.random.normal(key, (samples, size), self.root.dtype) @ self.root
        D = self.latent_dimension
        return both[:, D:], both[:, :D]

    @classmethod
    def from_data(cls, x, latent, *, shrinkage: float = 0.0) -> "CovariateInputs":
        r"""The empirical covariances of data, their means taken out.

        Args:
            x: inputs, `(n, N)`.
            latent: what the teacher acts on, `(n, D)`, or labels `(n,)` for $D = 1$.
            shrinkage: fraction of $\Omega$ that is replaced by the unit matrix times its mean
                eigenvalue, for few data.

        Example:
            >>> import numpy as np
            >>> from jaxsp import inputs
            >>> x = np.random.default_rng(0).normal(size=(100, 3))
            >>> inputs.CovariateInputs.from_data(x, np.sign(x[:, 0])).Phi.shape
            (1, 3)
        """
        check_number("shrinkage", shrinkage, minimum=0.0, maximum=1.0)
        x = jnp.asarray(x)
        latent = jnp.asarray(latent)
        latent = latent[:, None] if latent.ndim == 1 else latent
        check_shape("x", x, (None, None), "(n, N)")
        check_shape("latent", latent, (x.shape[0], None), f"({x.shape[0]}, D)")
        x, latent = x - x.mean(axis=0), latent - latent.mean(axis=0)
        n = x.shape[0]
        Omega = x.T @ x / n
        N = Omega.shape[0]
        # The cross-covariance shrinks with the square root: the joint law stays one.
        Phi = (1 - shrinkage) ** 0.5 * latent.T @ x / n
        unit = jnp.trace(Omega) / N * jnp.eye(N, dtype=Omega.dtype)
        return cls((1 - shrinkage) * Omega + shrinkage * unit, Phi, latent.T @ latent / n)


def _root(who: str, matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root, or an error."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    slack = 1e3 * np.finfo(matrix.dtype).eps * max(values[-1], 0.0)
    if values[0] < -slack:
        raise ValueError(
            f"{who} positive semidefinite, but the lowest eigenvalue is {values[0]:.3g}."
        )
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
