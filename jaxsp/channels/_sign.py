"""The perceptron's channel."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import log_ndtr
from ._base import LabelChannel


class Sign(LabelChannel):
    r"""$y = \mathrm{sign}(z + \sqrt\Delta\,\xi)$ with $\xi \sim \mathcal N(0,1)$: the perceptron.

    $\log Z_{\rm out} = \log \Phi\big(y\omega/\sqrt{V + \Delta}\big)$. With `noise_variance`
    $\Delta > 0$ this is the probit model.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Sign().denoise(1.0, 0.0, 1.0)
        >>> round(float(g), 6), round(float(dg), 6)    # sqrt(2 / pi), -2 / pi
        (0.797885, -0.63662)
    """

    noise_variance: ScalarLike = 0.0

    reach: ClassVar[float] = 12.0
    even: ClassVar[bool] = True

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0)

    @property
    def labels(self) -> Float[Array, " labels"]:
        """The two labels."""
        return jnp.array([-1.0, 1.0])

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log \Phi(y \omega / \sqrt{V + \Delta})$."""
        return log_ndtr(y * omega / jnp.sqrt(V + self.noise_variance))

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The decision boundary, as wide as the noise on the field."""
        return jnp.zeros_like(V)[None], jnp.sqrt(V + self.noise_variance)[None]

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One label for each field."""
        noise = jnp.sqrt(jnp.asarray(self.noise_variance, z.dtype))
        field = z + noise * jax.random.normal(key, z.shape, z.dtype)
        return jnp.where(field >= 0, 1.0, -1.0).astype(z.dtype)
