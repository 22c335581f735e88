"""Piecewise linear activations with Gaussian noise, in closed form."""

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    Rule,
    is_concrete,
    log_ndtr,
    log_ndtr_difference,
    log_normal_density,
    log_sum_exp,
    panels,
)
from ._base import Channel
from ._panels import gathered, reach


class Pieces(NamedTuple):
    r"""The pieces $a_k z + c_k$ of a continuous function from left to right, and the knots between them."""

    knots: tuple[ScalarLike, ...]
    slopes: tuple[ScalarLike, ...]
    intercepts: tuple[ScalarLike, ...]

    @property
    def values(self) -> tuple[ScalarLike, ...]:
        """The function at the knots."""
        right = zip(self.knots, self.slopes[1:], self.intercepts[1:], strict=True)
        return tuple(a * knot + c for knot, a, c in right)


class AbstractPiecewiseLinear(Channel):
    r"""$y = \varphi(z) + \sqrt\Delta\,\xi$ with $\xi \sim \mathcal N(0,1)$ and piecewise linear $\varphi$.

    With $\varphi = a_k z + c_k$ between the knots $b_k$ and $b_{k+1}$,

    $$ Z_{\rm out} = \sum_k \mathcal N(y; a_k\omega + c_k, a_k^2 V + \Delta)\,
       \big[\Phi(\tfrac{b_{k+1} - \mu_k}{s_k}) - \Phi(\tfrac{b_k - \mu_k}{s_k})\big] $$

    with $\mu_k$ and $s_k^2$ the mean and variance of $z$ given $y$ if it were on piece $k$. Without
    noise a piece contributes its density to the outputs in its image, and a flat piece a probability:
    there `log_partition` is the logarithm of a mass, not of a density.

    Whether there is noise is decided when the channel is made: a `noise_variance` that is traced, or
    replaced later (`eqx.tree_at`), is noise, and may be zero if $\varphi$ has no flat piece. A channel
    that was made without noise gives NaN if noise is put in later. Its derivative in the noise
    variance leaves out what the noise does at the knots, which matters unless $\varphi$ is even or
    linear.
    """

    noise_variance: eqx.AbstractVar[ScalarLike]
    noiseless: bool = eqx.field(static=True, init=False, repr=False)

    # What the layers around the knots do not contain is a piece, along which all fields are alike.
    reach: ClassVar[float] = 8.0

    flat: ClassVar[tuple[int, ...]] = ()
    """Which pieces are flat; without noise each of them is an atom."""

    folds: ClassVar[bool] = False
    """Whether pieces of different steepness may have the same image."""

    def __post_init__(self):
        noise = self.noise_variance
        self.noiseless = is_concrete(noise) and bool(np.all(np.asarray(noise) == 0))

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0)

    @abc.abstractmethod
    def pieces(self) -> Pieces:
        r"""The activation $\varphi$."""

    @property
    def dimension(self) -> float:
        """One without noise: an output gives its field away, up to finitely many values."""
        return 1.0 if self.noiseless else 0.0

    def activation(self, z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        r"""$\varphi(z)$."""
        knots, slopes, intercepts = self.pieces()
        value = slopes[0] * z + intercepts[0]
        for knot, slope, intercept in zip(knots, slopes[1:], intercepts[1:], strict=True):
            value = jnp.where(z > knot, slope * z + intercept, value)
        return value

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        """The closed form above."""
        return self._without_noise(y, omega, V) if self.noiseless else self._noisy(y, omega, V)

    def _noisy(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        pieces, noise = self.pieces(), self._noise(V)
        terms = []
        for k, (slope, intercept) in enumerate(zip(*pieces[1:], strict=True)):
            total = slope**2 * V + noise
            # (b - mu) / s, in the form in which nothing cancels whichever of V and noise is small.
            near, far = jnp.sqrt(noise / (V * total)), slope * jnp.sqrt(V / (noise * total))
            ends = [
                near * (knot - omega) + far * (value - y)
                for knot, value in zip(pieces.knots, pieces.values, strict=True)
            ]
            density = log_normal_density(y - slope * omega - intercept, total)
            terms.append(density + _log_probability(ends, k))
        return log_sum_exp(tuple(terms))

    def _without_noise(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        pieces = self.pieces()
        at_atom = jnp.asarray(False)
        for k in self.flat:
            at_atom = at_atom | (y == pieces.intercepts[k])
        terms = []
        for k, (slope, intercept) in enumerate(zip(*pieces[1:], strict=True)):
            if k in self.flat:
                ends = [(knot - omega) / jnp.sqrt(V) for knot in pieces.knots]
                terms.append(jnp.where(y == intercept, _log_probability(ends, k), -jnp.inf))
            else:
                inside = ~at_atom
                if k > 0:
                    inside &= slope * (y - pieces.values[k - 1]) >= 0
                if k < len(pieces.knots):
                    inside &= slope * (y - pieces.values[k]) <= 0
                variance = slope**2 * V + self.noise_variance
                density = log_normal_density(y - slope * omega - intercept, variance)
                terms.append(jnp.where(inside, density, -jnp.inf))
        # Noise that was put in after the channel had been made without would be ignored: say so.
        return jnp.where(self.noise_variance == 0, log_sum_exp(tuple(terms)), jnp.nan)

    def _noise(self, V: Scalar) -> Scalar:
        """The noise variance, but no less than what can be told from none at all."""
        epsilon = jnp.finfo(V.dtype).eps
        floor = epsilon**2 * V
        for value in self.pieces().values:
            floor = floor + (1e3 * epsilon * jnp.asarray(value, V.dtype)) ** 2
        return jnp.maximum(jnp.asarray(self.noise_variance, V.dtype), jax.lax.stop_gradient(floor))

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The knots, as wide as the field's uncertainty."""
        knots = jnp.asarray(self.pieces().knots, V.dtype)
        return knots, jnp.broadcast_to(jnp.sqrt(V), knots.shape)

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """Panels between the images of the knots, layers of noise around them, and the atoms."""
        pieces = self.pieces()
        knots, slopes, intercepts = (jnp.asarray(a, omega.dtype) for a in pieces)
        values = jnp.asarray(pieces.values, omega.dtype)
        noise = jnp.zeros_like(V) if self.noiseless else self._noise(V)
        spill = reach(omega.dtype) * jnp.sqrt(noise)
        end = jnp.full(1, jnp.inf, omega.dtype)
        left, right = jnp.concatenate([-end, knots]), jnp.concatenate([knots, end])
        away = jnp.maximum(jnp.maximum(left - omega, omega - right), 0)
        # The law of the output on each piece, cut where the image of the piece ends.
        centres = slopes * omega + intercepts
        spreads = reach(omega.dtype) * jnp.sqrt(slopes**2 * V + noise)
        outer = jnp.sign(slopes[jnp.array([0, -1])]) * jnp.array([-jnp.inf, jnp.inf])
        outer = jnp.where(slopes[jnp.array([0, -1])] == 0, centres[jnp.array([0, -1])], outer)
        images = jnp.concatenate([outer[:1], values, outer[1:]]).astype(omega.dtype)
        bottom, top = jnp.minimum(images[:-1], images[1:]), jnp.maximum(images[:-1], images[1:])
        low = jnp.maximum(centres - spreads, bottom - spill)
        high = jnp.minimum(centres + spreads, top + spill)
        active = away <= reach(omega.dtype) * jnp.sqrt(V)
        lowest = jnp.min(jnp.where(active, low, jnp.inf))
        highest = jnp.max(jnp.where(active, high, -jnp.inf))
        cuts = [jnp.stack([lowest, centres[jnp.argmin(away)], highest]), values]
        if self.folds:
            cuts += [jnp.where(active, low, lowest), jnp.where(active, high, highest)]
        if not self.noiseless:
            cuts += [values + part * spill for part in (-1.0, -0.5, 0.5, 1.0)]
        cuts = jnp.sort(jnp.clip(jnp.concatenate(cuts), lowest, highest))
        rule = panels(cuts, max((10 if self.noiseless else 9) * order // 16, 4))
        if not (self.noiseless and self.flat):
            return rule
        atoms = intercepts[jnp.array(self.flat)]
        return gathered(Rule(atoms, jnp.ones_like(atoms), jnp.ones_like(atoms)), rule)

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One output for each field."""
        output = self.activation(z)
        if self.noiseless:
            return output
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, z.dtype))
        return output + deviation * jax.random.normal(key, z.shape, z.dtype)


def _log_probability(ends: list[Scalar], k: int) -> Scalar | float:
    """Log-probability that a standard normal variable is between ends k - 1 and k of a list."""
    if not ends:
        return 0.0
    if k == 0:
        return log_ndtr(ends[0])
    if k == len(ends):
        return log_ndtr(-ends[-1])
    return log_ndtr_difference(ends[k - 1], ends[k])
