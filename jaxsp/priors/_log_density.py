"""Priors given by a user's log-density."""

import itertools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._types import Scalar
from ..numerics import Rule, graded_panels, real_dtype
from ..numerics._quadrature import TAIL
from ._base import Prior


class FromLogDensity(Prior):
    r"""Any law with a density, given by its logarithm up to a constant.

    The log-partition function is a quadrature over $w$ whose points crowd where the posterior sits:
    around the observation $b/A$ with width $A^{-1/2}$, and around the prior's own features. It is
    normalised numerically.

    Args:
        log_density: unnormalised $\log P_w(w)$ of a scalar; plain function or Equinox module (whose
            arrays are then parameters that can be differentiated).
        support: lower and upper end, finite; take them where the density is negligible.
        breakpoints: where the density has kinks, steps or narrow features.
        points: Gauss-Legendre points on each panel.

    Example:
        >>> import jax.numpy as jnp, jaxsp
        >>> prior = jaxsp.priors.FromLogDensity(lambda w: -w**4, support=(-4.0, 4.0))
        >>> mean, variance = prior.moments()    # Gamma(3/4) / Gamma(1/4)
        >>> round(float(variance), 6)
        0.337989
    """

    log_density: Callable[[Scalar], Scalar]
    support: tuple[float | int, float | int] = eqx.field(static=True)
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=())
    points: int = eqx.field(static=True, default=16)

    def __check_init__(self):
        low, high = self.support
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"Argument `support` must be two increasing finite numbers, but is {self.support}."
            )
        outside = [x for x in self.breakpoints if not low < x < high]
        if outside:
            raise ValueError(
                f"Argument `breakpoints` must lie inside the support {self.support}, "
                f"but has {outside[0]}."
            )

    def _weights_rule(self, A: Scalar, b: Scalar) -> Rule:
        """Points in w for the tilted law: a panel around the observation, graded towards it."""
        low, high = (jnp.asarray(end, A.dtype) for end in self.support)
        size = high - low
        features = jnp.asarray([*self.breakpoints, 0.5 * (low + high)], A.dtype)
        # Without breakpoints the density varies on the scale of its support.
        feature_widths = jnp.full_like(features, 0.05).at[-1].set(0.25) * size
        width = 1 / jnp.sqrt(A + 16 / size**2)
        centre = jnp.clip(b * width**2, low, high)
        # Far outside of the support the posterior leans on its end, on the scale of the slope.
        slope = jnp.abs(b - A * centre)
        width = jnp.minimum(width, 4 / jnp.maximum(slope, 4 / size))
        landmarks = jnp.concatenate([features, centre[None]])
        widths = jnp.concatenate([feature_widths, width[None]])
        return graded_panels(landmarks, widths, low, high, self.points, subdivisions=3)

    def _log_integral(self, A: Scalar, b: Scalar, exponent: Callable[[Scalar], Scalar]) -> Scalar:
        rule = jax.lax.stop_gradient(self._weights_rule(*jax.lax.stop_gradient((A, b))))
        values = jax.vmap(lambda w: self.log_density(w) + exponent(w))(rule.nodes)
        return jax.scipy.special.logsumexp(values, b=rule.weights)

    def _log_norm(self, A: Scalar) -> Scalar:
        zero = jnp.zeros_like(A)
        return self._log_integral(zero, zero, jnp.zeros_like)

    def log_partition(self, A: Scalar, b: Scalar) -> Scalar:
        r"""$\log \int dw\, P_w(w) \exp(b w - A w^2/2)$ by quadrature."""
        return self._log_integral(A, b, lambda w: b * w - 0.5 * A * w * w) - self._log_norm(A)

    def log_evidence(self, snr: Scalar, observation: Scalar) -> Scalar:
        """The same with the square completed."""
        root = jnp.sqrt(snr)

        def exponent(w):
            return -0.5 * (observation - root * w) ** 2

        return self._log_integral(snr, root * observation, exponent) - self._log_norm(snr)

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Panels around the images of the breakpoints and of the middle of the support."""
        root = jnp.sqrt(snr)
        low, high = self.support
        tail = TAIL[real_dtype(snr)]
        places = jnp.asarray([*self.breakpoints, 0.5 * (low + high)], snr.dtype)
        # The density varies on the scale of the support, the noise on its own.
        widths = jnp.ones_like(places).at[-1].set(1.0) + 0 * root
        widths = widths.at[-1].set(jnp.maximum(1.0, 0.1 * root * (high - low)))
        return graded_panels(
            root * places, widths, root * low - tail, root * high + tail, order, subdivisions=3
        )

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws, by inverting the distribution function on a fine grid."""
        low, high = self.support
        cuts = sorted({low, high, *self.breakpoints})
        grid = jnp.concatenate([jnp.linspace(a, b, 2049) for a, b in itertools.pairwise(cuts)])
        middle = 0.5 * (grid[1:] + grid[:-1])
        log_p = jax.vmap(self.log_density)(middle)
        mass = jnp.exp(log_p - jnp.max(log_p)) * (grid[1:] - grid[:-1])
        cumulative = jnp.concatenate([jnp.zeros(1, mass.dtype), jnp.cumsum(mass)])
        uniform = jax.random.uniform(key, shape, mass.dtype)
        return jnp.interp(uniform, cumulative / cumulative[-1], grid)
