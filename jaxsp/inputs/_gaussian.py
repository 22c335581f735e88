"""Inputs without structure."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._base import Inputs, check_dimension


class GaussianInputs(Inputs):
    r"""Independent components $x_i \sim \mathcal N(0, 1)$; student and teacher see the same vector.

    Attributes:
        size: $N$.

    Example:
        >>> import jax
        >>> from jaxsp import inputs
        >>> x, latent = inputs.GaussianInputs(dimension=5).sample(jax.random.key(0), 3)
        >>> x.shape, bool((x == latent).all())
        ((3, 5), True)
    """

    size: int = eqx.field(static=True)

    def __init__(self, dimension: int):
        """Takes the dimension."""
        check_dimension("dimension", dimension)
        self.size = dimension

    @property
    def dimension(self) -> int:
        """$N$."""
        return self.size

    @property
    def latent_dimension(self) -> int:
        """$N$ too."""
        return self.dimension

    @property
    def covariance(self) -> Float[Array, "N N"]:
        """The unit matrix."""
        return jnp.eye(self.dimension)

    @property
    def cross_covariance(self) -> Float[Array, "N N"]:
        """The unit matrix."""
        return jnp.eye(self.dimension)

    @property
    def latent_covariance(self) -> Float[Array, "N N"]:
        """The unit matrix."""
        return jnp.eye(self.dimension)

    def sample(
        self, key: PRNGKeyArray, samples: int
    ) -> tuple[Float[Array, "n N"], Float[Array, "n N"]]:
        """Standard normal vectors, and themselves."""
        x = jax.random.normal(key, (samples, self.dimension))
        return x, x
