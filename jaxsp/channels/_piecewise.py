"""Piecewise linear activations with Gaussian noise: linear, absolute value, ReLU and its relatives."""

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    Rule,
    graded_panels,
    log_ndtr,
    log_ndtr_difference,
    log_normal_density,
    log_sum_exp,
    real_dtype,
)
from ..numerics._quadrature import TAIL
from ._base import Channel


class Piece(NamedTuple):
    """One linear piece `slope * z + intercept` on `[lower, upper]`; infinite ends are math.inf."""

    lower: ScalarLike
    upper: ScalarLike
    slope: ScalarLike
    intercept: ScalarLike


def _infinite(end: ScalarLike) -> bool:
    return isinstance(end, float) and math.isinf(end)


class _PiecewiseLinear(Channel):
    r"""$y = \varphi(z) + \sqrt\Delta\,\xi$ with piecewise linear continuous $\varphi$.

    On a piece $\varphi = a z + c$ the Gaussian integral is closed:

    $$ Z_{\rm out} = \sum_k \mathcal N(y; a_k\omega + c_k, a_k^2 V + \Delta)\,
       \big[\Phi(\tfrac{z^+_k - \mu_k}{\sigma_k}) - \Phi(\tfrac{z^-_k - \mu_k}{\sigma_k})\big], $$

    with $\mu_k, \sigma_k^2$ the mean and variance of $z$ given $y$ on that piece. Without noise each
    piece contributes its density where $y$ lies in its image, and a flat piece is an atom. Whether
    there is noise is decided when the channel is made: a zero that is an array or traced is noise.
    """

    noise_variance: ScalarLike = 0.0
    noiseless: bool = eqx.field(static=True, init=False)

    def __post_init__(self):
        self.noiseless = isinstance(self.noise_variance, int | float) and self.noise_variance == 0

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0)

    def pieces(self) -> tuple[Piece, ...]:
        """The linear pieces from left to right."""
        raise NotImplementedError

    flat: ClassVar[bool] = False
    """Whether the first of two pieces is flat: without noise its outputs are an atom."""

    @property
    def dimension(self) -> float:
        """Without noise, how likely an output is to give its field away."""
        return (0.5 if self.flat else 1.0) if self.noiseless else 0.0

    def activation(self, z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        r"""$\varphi(z)$."""
        first, *others = self.pieces()
        value = first.slope * z + first.intercept
        for piece in others:
            value = jnp.where(z >= piece.lower, piece.slope * z + piece.intercept, value)
        return value

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        """Sum over the pieces in log space."""
        if not self.noiseless:
            return log_sum_exp(tuple(self._noisy_term(p, y, omega, V) for p in self.pieces()))
        atoms = self.pieces()[:1] if self.flat else ()
        dense = self.pieces()[len(atoms) :]
        terms = [self._density(piece, y, omega, V) for piece in dense]
        terms += [self._atom(piece, y, omega, V) for piece in atoms]
        return log_sum_exp(tuple(terms))

    def _noisy_term(self, piece: Piece, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        total = piece.slope**2 * V + self.noise_variance
        density = log_normal_density(y - piece.slope * omega - piece.intercept, total)
        pull = piece.slope * V * (y - piece.intercept)
        mean = (omega * self.noise_variance + pull) / total
        deviation = jnp.sqrt(V * self.noise_variance / total)
        return density + self._log_window(piece, mean, deviation)

    def _atom(self, piece: Piece, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        mass = self._log_window(piece, omega, jnp.sqrt(V))
        return jnp.where(y == piece.intercept, mass, -jnp.inf)

    def _density(self, piece: Piece, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        z = (y - piece.intercept) / piece.slope
        inside = jnp.asarray(True)
        if not _infinite(piece.lower):
            inside = inside & (z > piece.lower)
        if not _infinite(piece.upper):
            inside = inside & (z <= piece.upper)
        density = log_normal_density(z - omega, V) - jnp.log(jnp.abs(piece.slope))
        return jnp.where(inside, density, -jnp.inf)

    def _log_window(self, piece: Piece, mean: Scalar, deviation: Scalar) -> Scalar:
        """Log-probability that a Gaussian field lies on the piece."""
        if _infinite(piece.lower) and _infinite(piece.upper):
            return jnp.zeros_like(mean)
        if _infinite(piece.upper):
            return log_ndtr((mean - piece.lower) / deviation)
        if _infinite(piece.lower):
            return log_ndtr((piece.upper - mean) / deviation)
        return log_ndtr_difference(
            (piece.lower - mean) / deviation, (piece.upper - mean) / deviation
        )

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The kinks, as wide as the field's uncertainty."""
        kinks = [piece.lower for piece in self.pieces()[1:]] or [0.0]
        centres = jnp.stack([jnp.asarray(kink, V.dtype) for kink in kinks])
        return centres, jnp.broadcast_to(jnp.sqrt(V), centres.shape)

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """Panels around the most probable output and the images of the kinks; atoms as points."""
        pieces = self.pieces()
        tail = TAIL[real_dtype(omega)]
        spread = tail * jnp.sqrt(V)
        kinks = [jnp.asarray(piece.lower, omega.dtype) for piece in pieces[1:]]
        reachable = jnp.stack([jnp.clip(k, omega - spread, omega + spread) for k in kinks]
                              + [omega - spread, omega, omega + spread])  # fmt: skip
        images = self.activation(reachable)
        noise = jnp.zeros_like(V) if self.noiseless else jnp.sqrt(self.noise_variance + 0 * V)
        lower, upper = images.min() - tail * noise, images.max() + tail * noise
        slope = self._slope_at(omega)
        centre = self.activation(omega)[None]
        centre_width = jnp.sqrt(slope**2 * V + noise**2)[None]
        # A flat piece without noise has no density to resolve around its image.
        centre_width = jnp.where(centre_width > 0, centre_width, jnp.sqrt(V))
        kink_images = images[: len(kinks)]
        kink_width = jnp.sqrt(V) if self.noiseless else noise
        widths = jnp.concatenate([jnp.broadcast_to(kink_width, kink_images.shape), centre_width])
        landmarks = jnp.concatenate([kink_images, centre])
        if self.noiseless:
            rule = graded_panels(landmarks, widths, lower, upper, 3 * order // 4)
        else:
            # Noise far below the field's uncertainty makes two scales on every piece.
            rule = graded_panels(landmarks, widths, lower, upper, order // 2, subdivisions=3)
        if not (self.noiseless and self.flat):
            return rule
        atom = jnp.asarray(pieces[0].intercept, omega.dtype)[None]
        one = jnp.ones_like(atom)
        return Rule(
            jnp.concatenate([atom, rule.nodes]),
            jnp.concatenate([one, rule.weights]),
            jnp.concatenate([one, rule.coarse_weights]),
        )

    def _slope_at(self, z: Scalar) -> Scalar:
        first, *others = self.pieces()
        slope = jnp.asarray(first.slope, z.dtype)
        for piece in others:
            slope = jnp.where(z >= piece.lower, piece.slope, slope)
        return slope

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One output for each field."""
        noise = jnp.sqrt(jnp.asarray(self.noise_variance, z.dtype))
        return self.activation(z) + noise * jax.random.normal(key, z.shape, z.dtype)


class Linear(_PiecewiseLinear):
    r"""$y = z + \sqrt\Delta\,\xi$: linear regression, compressed sensing.

    $\log Z_{\rm out} = \log\mathcal N(y; \omega, V + \Delta)$, and one output holds the information
    $F = 1/(V + \Delta)$ whatever the field.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Linear(noise_variance=1.0).denoise(2.0, 0.0, 1.0)
        >>> float(g), float(dg)
        (1.0, -0.5)
    """

    def pieces(self) -> tuple[Piece, ...]:
        """One piece."""
        return (Piece(-math.inf, math.inf, 1.0, 0.0),)

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log \mathcal N(y; \omega, V + \Delta)$."""
        return log_normal_density(y - omega, V + self.noise_variance)

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """Panels over the Gaussian law of the output."""
        width = jnp.sqrt(V + self.noise_variance)
        tail = TAIL[real_dtype(omega)] * width
        return graded_panels(omega[None], width[None], omega - tail, omega + tail, order)

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        """A single point: all fields are alike."""
        zero = jnp.zeros_like(m)[None]
        return Rule(zero, zero + 1, zero + 1)


class AbsoluteValue(_PiecewiseLinear):
    r"""$y = |z| + \sqrt\Delta\,\xi$: real phase retrieval.

    Example:
        >>> import jaxsp
        >>> phase = jaxsp.channels.AbsoluteValue()
        >>> round(float(phase.log_partition(0.0001, 0.0, 1.0)), 4)    # log(2 / sqrt(2 pi))
        -0.2258
    """

    even: ClassVar[bool] = True

    def pieces(self) -> tuple[Piece, ...]:
        """Two pieces of opposite slopes."""
        return Piece(-math.inf, 0.0, -1.0, 0.0), Piece(0.0, math.inf, 1.0, 0.0)

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse negative outputs without noise, and what is not finite."""
        super().check_outputs(y)
        if self.noiseless:
            check_number("y", y, minimum=0.0)


class ReLU(_PiecewiseLinear):
    r"""$y = \max(z, 0) + \sqrt\Delta\,\xi$.

    Without noise, half of the outputs are exactly zero and tell only the sign.

    Example:
        >>> import jaxsp
        >>> relu = jaxsp.channels.ReLU()
        >>> round(float(relu.log_partition(0.0, 0.0, 1.0)), 6)    # log(1/2)
        -0.693147
    """

    flat: ClassVar[bool] = True

    def pieces(self) -> tuple[Piece, ...]:
        """A flat piece and one of slope one."""
        return Piece(-math.inf, 0.0, 0.0, 0.0), Piece(0.0, math.inf, 1.0, 0.0)

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse negative outputs without noise, and what is not finite."""
        super().check_outputs(y)
        if self.noiseless:
            check_number("y", y, minimum=0.0)


class LeakyReLU(_PiecewiseLinear):
    r"""$y = \max(z, 0) + a \min(z, 0) + \sqrt\Delta\,\xi$ with `slope` $a > 0$ on the negative side.

    Example:
        >>> import jaxsp
        >>> leaky = jaxsp.channels.LeakyReLU(slope=0.5)
        >>> import jax.numpy as jnp
        >>> float(leaky.activation(jnp.asarray(-2.0)))
        -1.0
    """

    slope: ScalarLike = 0.01

    def __check_init__(self):
        check_number("slope", self.slope, minimum=0.0, strict=True)

    def pieces(self) -> tuple[Piece, ...]:
        """Two pieces of positive slopes."""
        return Piece(-math.inf, 0.0, self.slope, 0.0), Piece(0.0, math.inf, 1.0, 0.0)
