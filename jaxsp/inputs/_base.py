"""What inputs are: vectors that the student sees, and latent ones that the teacher acts on."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class Inputs(eqx.Module):
    r"""Pairs of an input $x \in \mathbb R^N$ and a latent vector $c \in \mathbb R^D$.

    A student's fields are $w \cdot x / \sqrt N$, a teacher's $B \cdot c / \sqrt D$. Their covariances are all
    that the theory asks for, for Gaussian vectors exactly and for others at large dimension (Gaussian
    equivalence, arXiv 1909.11500, 2006.14709).
    """

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """$N$, of the student's inputs."""

    @property
    @abc.abstractmethod
    def latent_dimension(self) -> int:
        """$D$, of what the teacher acts on."""

    @property
    @abc.abstractmethod
    def covariance(self) -> Float[Array, "N N"]:
        r"""$\Omega = \mathbb E x x^T$."""

    @property
    @abc.abstractmethod
    def cross_covariance(self) -> Float[Array, "D N"]:
        r"""$\Phi = \mathbb E c x^T$."""

    @property
    @abc.abstractmethod
    def latent_covariance(self) -> Float[Array, "D D"]:
        r"""$\Psi = \mathbb E c c^T$."""

    @abc.abstractmethod
    def sample(
        self, key: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "n N"], Float[Array, "n D"]]:
        """Independent draws of inputs and latent vectors."""


def check_dimension(name: str, value: int) -> None:
    """Raise a `ValueError` unless a dimension is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Argument `{name}` must be a positive integer, but is {value!r}.")
