"""Channels with hard labels: the perceptron and the symmetric door."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, Rule, log_ndtr, log_ndtr_difference, log_sum_exp, search_bracket
from ._base import Channel
from ._panels import even_layer, mirrored_layer


class _HardLabel(Channel):
    r"""$y = \pm 1$ as a function of $z + \sqrt\Delta\,\xi$, without further noise."""

    noise_variance: ScalarLike = 0.0

    reach: ClassVar[float] = 8.0
    even: ClassVar[bool] = True

    @property
    def labels(self) -> Float[Array, " labels"]:
        """The two labels, -1 and 1."""
        return jnp.array([-1.0, 1.0])

    def deviation(self, V: Scalar) -> Scalar:
        r"""Standard deviation of the noisy field, $\sqrt{V + \Delta}$."""
        return jnp.sqrt(V + self.noise_variance)

    def noisy(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The fields with the channel's noise."""
        noise = jnp.sqrt(jnp.asarray(self.noise_variance, z.dtype))
        return z + noise * jax.random.normal(key, z.shape, z.dtype)


class Sign(_HardLabel):
    r"""$y = \mathrm{sign}(z + \sqrt\Delta\,\xi)$ with $\xi \sim \mathcal N(0,1)$: the perceptron.

    $\log Z_{\rm out} = \log \Phi\big(y\omega/\sqrt{V + \Delta}\big)$. With `noise_variance`
    $\Delta > 0$ this is the probit model.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Sign().denoise(1.0, 0.0, 1.0)
        >>> round(float(g), 6), round(float(dg), 6)    # sqrt(2 / pi), -2 / pi
        (0.797885, -0.63662)
    """

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0)

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log \Phi(y \omega / \sqrt{V + \Delta})$."""
        return log_ndtr(y * omega / self.deviation(V))

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The decision boundary, as wide as the noise on the field."""
        return jnp.zeros_like(V)[None], self.deviation(V)[None]

    def decision_boundaries(self, V: Scalar) -> Float[Array, " k"]:
        """The origin."""
        return jnp.zeros_like(V)[None]

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        """Points in the layer around the decision boundary."""
        scale = jnp.sqrt(jnp.maximum(m, jnp.finfo(m.dtype).tiny))
        return even_layer(self.deviation(V) / scale, max(order // 2, 4))

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One label for each field."""
        return jnp.where(self.noisy(key, z) >= 0, 1.0, -1.0).astype(z.dtype)


class SymmetricDoor(_HardLabel):
    r"""$y = \mathrm{sign}(|z + \sqrt\Delta\,\xi| - \kappa)$: one label inside, the other outside.

    The label is -1 for fields within `width` $\kappa$ of the origin and 1 outside (arXiv 1708.03395).
    The default width gives balanced labels when $\mathbb E w^2 = 1$.

    Example:
        >>> import jax, jax.numpy as jnp, jaxsp
        >>> fields = jnp.array([-2.0, 0.3, 0.7])
        >>> jaxsp.channels.SymmetricDoor().sample(jax.random.key(0), fields).tolist()
        [1.0, -1.0, 1.0]
    """

    width: ScalarLike = 0.6744897501960817

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0)
        check_number("width", self.width, minimum=0.0, strict=True)

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log[\Phi(\frac{\kappa - \omega}{s}) - \Phi(\frac{-\kappa-\omega}{s})]$ inside."""
        s = self.deviation(V)
        left, right = (-self.width - omega) / s, (self.width - omega) / s
        inside = log_ndtr_difference(left, right)
        outside = log_sum_exp((log_ndtr(left), log_ndtr(-right)))
        return jnp.where(y > 0, outside, inside)

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The middle of the door and its wall."""
        s = self.deviation(V)
        return jnp.stack([jnp.zeros_like(V), jnp.asarray(self.width, V.dtype)]), jnp.stack([s, s])

    def decision_boundaries(self, V: Scalar) -> Float[Array, " k"]:
        """The wall, moved inwards by the field's uncertainty, to the origin if that is too large."""
        ends = jnp.stack([jnp.zeros_like(V), jnp.asarray(self.width, V.dtype)])

        def margin(omega):
            plus, minus = (self.log_partition(jnp.asarray(y), omega, V) for y in (1.0, -1.0))
            return plus - minus

        xtol = 4 * jnp.finfo(V.dtype).eps * ends[1]
        wall = search_bracket(margin, *ends, *jax.vmap(margin)(ends), xtol=xtol)
        inside = wall.result == RESULTS.successful
        return jnp.stack([ends[0], jnp.where(inside, wall.value, 0.0)])

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        """Points in the layer around the wall."""
        scale = jnp.sqrt(jnp.maximum(m, jnp.finfo(m.dtype).tiny))
        centre = jnp.asarray(self.width, m.dtype) / scale
        return mirrored_layer(centre, self.deviation(V) / scale, max(5 * order // 8, 4))

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One label for each field."""
        outside = jnp.abs(self.noisy(key, z)) >= self.width
        return jnp.where(outside, 1.0, -1.0).astype(z.dtype)
