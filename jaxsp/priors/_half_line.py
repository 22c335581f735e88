"""Exponential and Gaussian laws on half-lines: Laplace, exponential and truncated Gaussian weights."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import Rule, graded_panels, log_ndtr, log_sum_exp, real_dtype
from ..numerics._quadrature import TAIL
from ._base import Prior


class HalfLine(eqx.Module):
    r"""One piece of a law: density $c\, \exp(-\lambda w - \kappa w^2/2)$ on $w > 0$, or mirrored.

    Attributes:
        log_height: $\log c$.
        rate: $\lambda$; may be negative if $\kappa > 0$.
        curvature: $\kappa \ge 0$.
        sign: 1 or -1, the side on which it lies.
    """

    log_height: Scalar
    rate: Scalar
    curvature: Scalar
    sign: int = eqx.field(static=True)


def _log_integral(
    rate: Scalar, curvature: Scalar, offset: ScalarLike = 0.0, exponent: Scalar | None = None
) -> Scalar:
    r"""$\log \int_0^\infty \exp(-\lambda w - \kappa w^2 / 2)\, dw - {}$`offset` for $\kappa \ge 0$.

    Two forms of the same: $\log[\sqrt{2\pi/\kappa}\, e^{u^2/2} \Phi(-u)]$ with $u = \lambda/\sqrt\kappa$,
    and, where $u$ is large (in the limit of no curvature above all), the series of the Mills ratio,
    $-\log\lambda + \log(1 - \epsilon + 3\epsilon^2 - \dots)$ with $\epsilon = \kappa/\lambda^2$.
    Give `exponent`, $u^2/2 - {}$`offset`, where the difference of the two cancels.
    """
    threshold = 1e-3 if rate.dtype == jnp.float64 else 1e-2
    series = (rate > 0) & (curvature < threshold * rate * rate)
    kappa = jnp.where(series, 1.0, curvature)
    u = jnp.where(series, 0.0, rate) / jnp.sqrt(kappa)
    if exponent is None:
        exponent = 0.5 * u * u - offset
    direct = log_ndtr(-u) + exponent + 0.5 * jnp.log(2 * jnp.pi / kappa)
    safe = jnp.where(series, rate, 1.0)
    e = jnp.where(series, curvature, 0.0) / (safe * safe)
    tail = 1.0
    for odd in (11, 9, 7, 5, 3, 1):
        tail = 1 - odd * e * tail
    return jnp.where(series, jnp.log(tail) - jnp.log(safe) - offset, direct)


class AbstractHalfLine(Prior):
    """A law made of pieces on the two half-lines."""

    @abc.abstractmethod
    def pieces(self) -> tuple[HalfLine, ...]:
        """The pieces, of total probability one."""

    @abc.abstractmethod
    def scale(self) -> tuple[Scalar, Scalar]:
        """Where the weights are, and how far from there forty digits of them reach."""

    def log_partition(self, A: Scalar, b: Scalar) -> Scalar:
        r"""Sum over the pieces of $c \int_0^\infty e^{-(\lambda \mp b) w - (\kappa + A) w^2/2} dw$."""

        def term(piece):
            tilted = _log_integral(piece.rate - piece.sign * b, piece.curvature + A)
            return piece.log_height + tilted

        return log_sum_exp(tuple(map(term, self.pieces())))

    def log_evidence(self, snr: Scalar, observation: Scalar) -> Scalar:
        """The same with the square completed, so that nothing cancels at large snr."""
        root = jnp.sqrt(snr)

        def term(piece):
            field, curvature = piece.sign * root * observation, piece.curvature + snr
            cross = piece.rate**2 - 2 * piece.rate * field - piece.curvature * observation**2
            safe = jnp.maximum(curvature, jnp.finfo(curvature.dtype).tiny)
            tilted = _log_integral(
                piece.rate - field, curvature, 0.5 * observation**2, 0.5 * cross / safe
            )
            return piece.log_height + tilted

        return log_sum_exp(tuple(map(term, self.pieces())))

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Panels around the edge of the half-line and the bulk of the weights."""
        centre, reach = self.scale()
        root = jnp.sqrt(snr)
        tail = TAIL[real_dtype(snr)]
        noise = jnp.ones_like(root)
        both_sides = len(self.pieces()) > 1
        lower = -tail - (root * reach if both_sides else 0.0)
        upper = tail + root * (centre + reach)
        landmarks = jnp.stack([jnp.zeros_like(root), root * centre])
        return graded_panels(
            landmarks, jnp.stack([noise, noise]), lower, upper, order, subdivisions=3
        )


class Exponential(AbstractHalfLine):
    r"""$P_w(w) = \lambda e^{-\lambda w}$ on $w \ge 0$: non-negative weights.

    Example:
        >>> import jaxsp
        >>> mean, variance = jaxsp.priors.Exponential(rate=2.0).moments()
        >>> round(float(mean), 6), round(float(variance), 6)
        (0.5, 0.25)
    """

    rate: ScalarLike = 1.0

    def __check_init__(self):
        check_number("rate", self.rate, minimum=0.0, strict=True)

    def pieces(self) -> tuple[HalfLine, ...]:
        """One piece."""
        rate = jnp.asarray(self.rate, real_dtype(self.rate))
        return (HalfLine(jnp.log(rate), rate, jnp.zeros_like(rate), 1),)

    def scale(self) -> tuple[Scalar, Scalar]:
        """The origin, and forty decay lengths."""
        rate = jnp.asarray(self.rate, real_dtype(self.rate))
        return jnp.zeros_like(rate), 40 / rate

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws of the weight."""
        rate = jnp.asarray(self.rate, real_dtype(self.rate))
        return jax.random.exponential(key, shape, rate.dtype) / rate


class Laplace(AbstractHalfLine):
    r"""$P_w(w) = e^{-|w|/s} / (2 s)$ with `scale_length` $s$.

    Example:
        >>> import jaxsp
        >>> round(float(jaxsp.priors.Laplace(scale_length=2.0).second_moment()), 6)
        8.0
    """

    scale_length: ScalarLike = 1.0

    def __check_init__(self):
        check_number("scale_length", self.scale_length, minimum=0.0, strict=True)

    def pieces(self) -> tuple[HalfLine, ...]:
        """Two mirror images."""
        rate = 1 / jnp.asarray(self.scale_length, real_dtype(self.scale_length))
        height, flat = jnp.log(0.5 * rate), jnp.zeros_like(rate)
        return HalfLine(height, rate, flat, 1), HalfLine(height, rate, flat, -1)

    def scale(self) -> tuple[Scalar, Scalar]:
        """The origin, and forty decay lengths."""
        length = jnp.asarray(self.scale_length, real_dtype(self.scale_length))
        return jnp.zeros_like(length), 40 * length

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws of the weight."""
        length = jnp.asarray(self.scale_length, real_dtype(self.scale_length))
        return length * jax.random.laplace(key, shape, length.dtype)


class TruncatedGaussian(AbstractHalfLine):
    r"""$\mathcal N(\text{mean}, \text{variance})$ restricted to $w \ge 0$: non-negative weights.

    Example:
        >>> import jaxsp
        >>> mean, variance = jaxsp.priors.TruncatedGaussian().moments()
        >>> round(float(mean), 6), round(float(variance), 6)    # sqrt(2/pi), 1 - 2/pi
        (0.797885, 0.36338)
    """

    mean: ScalarLike = 0.0
    variance: ScalarLike = 1.0

    def __check_init__(self):
        check_number("mean", self.mean)
        check_number("variance", self.variance, minimum=0.0, strict=True)

    def pieces(self) -> tuple[HalfLine, ...]:
        """One piece."""
        dtype = real_dtype(self.mean, self.variance)
        curvature = 1 / jnp.asarray(self.variance, dtype)
        rate = -self.mean * curvature
        return (HalfLine(-_log_integral(rate, curvature), rate, curvature, 1),)

    def scale(self) -> tuple[Scalar, Scalar]:
        """The maximum of the density, and ten deviations."""
        dtype = real_dtype(self.mean, self.variance)
        centre = jnp.maximum(jnp.asarray(self.mean, dtype), 0.0)
        return centre, 10 * jnp.sqrt(jnp.asarray(self.variance, dtype))

    def sample(self, key: PRNGKeyArray, shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws of the weight."""
        dtype = real_dtype(self.mean, self.variance)
        deviation = jnp.sqrt(jnp.asarray(self.variance, dtype))
        edge = -jnp.asarray(self.mean, dtype) / deviation
        normal = jax.random.truncated_normal(key, edge, jnp.inf, shape, dtype)
        return jnp.maximum(self.mean + deviation * normal, 0.0)
