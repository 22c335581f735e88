r"""The soft committee of units that are linear on both sides of zero, in closed form.

Given the signs of the fields the output is linear in them. So the partition function is a sum over the
patterns of signs, of a Gaussian in y times the probability that fields which have seen y have these signs:

$$ Z_{\rm out}(y; \omega, V) = \sum_\sigma \mathcal N(y; v\, c \cdot \omega, v^2 c^T V c + \Delta)\,
   P\big[\sigma_l h_l > 0\ \forall l\big],  \qquad
   h \sim \mathcal N\big(\omega + k (y - v\, c \cdot \omega), V - v\, k\, c^T V\big), $$

with $c_l$ the slope on the side $\sigma_l$ and $k = v V c / (v^2 c^T V c + \Delta)$. There is no quadrature
over the fields, and so no kink that it would have to resolve.
"""

import itertools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import Rule, is_concrete, log_ndtr, log_normal_density
from ._orthant import log_quadrants
from ._triples import all_positive, standardised
from .integrated import check_points
from .outputs import Output
from .real_outputs import gaussian_entropy, uniform

# Deviations of the output that count: of the noise alone, and of all of it about its value at the
# mean fields, from which the mean output may be away.
_SPILL = {jnp.dtype("float64"): 8.0, jnp.dtype("float32"): 5.5}
_BEYOND = 0.8


class ReLUCommittee(Output):
    r"""$y = v \sum_l \varphi(h_l) + \sqrt\Delta\, \xi$ with $\varphi(h) = \max(h, 0) + a \min(h, 0)$.

    Any activation that is linear on both sides of zero: ReLU, leaky ReLU (a > 0, as in
    `channels.LeakyReLU`), the absolute value (a = -1). In closed form up to three units; `SoftCommittee`
    averages over the fields of more.

    Attributes:
        noise_variance: $\Delta > 0$.
        slope: $a$, of the activation below zero: 0 for ReLU, -1 for the absolute value.
        readout: $v$, the weight of each unit in the second layer.
        output_points: of the quadrature over the output: by default $32 + 14 s$ with s the largest slope in
            units of the noise, within 48 and 400; 100 if they are traced. Noise below about 1e-3 wants more
            of them unless the fields are known well, as `quadrature_error` says.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import committee
        >>> relu = committee.ReLUCommittee(noise_variance=0.1)
        >>> float(relu.mean_output(jnp.array([2.0, -1.0])))
        2.0
        >>> value = relu.log_partition(jnp.asarray(2.0), jnp.array([2.0, -1.0]), 1e-6 * jnp.eye(2))
        >>> round(float(value), 3)    # log N(0; 0, 0.1)
        0.232
    """

    most_units: ClassVar[float] = 3

    noise_variance: ScalarLike
    slope: ScalarLike = 0.0
    readout: ScalarLike = 1.0
    output_points: int = eqx.field(static=True, default=0)

    def __post_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0, strict=True)
        for name in ("slope", "readout"):
            check_number(name, getattr(self, name))
        if self.output_points == 0:
            self.output_points = int(np.clip(math.ceil(32 + 14 * self._steepness()), 48, 400))
        check_points("output_points", self.output_points)

    def _steepness(self) -> float:
        numbers = self.noise_variance, self.slope, self.readout
        if not is_concrete(numbers) or any(np.ndim(x) > 0 for x in numbers):
            return 4.8  # a noise of a twentieth
        noise, slope, readout = map(float, numbers)
        return abs(readout) * max(1.0, abs(slope)) / math.sqrt(noise)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Zero."""
        return (0.0,)

    def mean_output(self, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        r"""$v \sum_l \varphi(h_l)$."""
        readout, slope = (jnp.asarray(x, fields.dtype) for x in (self.readout, self.slope))
        units = jnp.maximum(fields, 0.0) + slope * jnp.minimum(fields, 0.0)
        return readout * jnp.sum(units, axis=-1)

    def _weights(self, signs: Float[Array, " K"]) -> Float[Array, " K"]:
        """How the output depends on each of the fields if they have these signs."""
        readout, slope = (jnp.asarray(x, signs.dtype) for x in (self.readout, self.slope))
        return readout * jnp.where(signs > 0, 1.0, slope)

    def outcome_log_partitions(
        self,
        y: Float[Array, " outputs"],
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int,
        noise: Rule | None,
    ) -> Float[Array, " outputs"]:
        """The logarithms of the sums over the patterns."""
        variance = jnp.asarray(self.noise_variance, V.dtype)

        def pattern(signs):
            slopes = self._weights(signs)
            seen = V @ slopes
            total = slopes @ seen + variance
            gain = seen / total
            left = signs[:, None] * signs * (V - jnp.outer(gain, seen))
            away = y - slopes @ omega
            means = signs * (omega + away[:, None] * gain)
            log_p = jax.vmap(lambda mean: log_orthant(mean, left))(means)
            return log_normal_density(away, jnp.broadcast_to(total, away.shape)) + log_p

        terms = jax.vmap(pattern)(_patterns(omega.shape[0], V.dtype))
        return jax.scipy.special.logsumexp(terms, axis=0)

    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        """The logarithm of the sum over the patterns."""
        return self.outcome_log_partitions(y[None], omega, V, 12, None)[0]

    def output_rule(
        self, omega: Float[Array, " K"], V: Float[Array, "K K"], order: int, noise: Rule | None
    ) -> Rule:
        """The trapezoid rule over what a Gaussian of the largest slope about the output at `omega` covers."""
        dtype = V.dtype
        variance, reach = jnp.asarray(self.noise_variance, dtype), _SPILL[jnp.dtype(dtype)]
        slopes = jax.vmap(self._weights)(_patterns(omega.shape[0], dtype))
        steepest = jnp.max(jnp.einsum("sk,kl,sl->s", slopes, V, slopes))
        spread = (reach + _BEYOND) * jnp.sqrt(steepest + variance)
        # Activations that are nowhere negative have outputs of one sign, up to the noise.
        one_sided = jnp.where(jnp.asarray(self.slope, dtype) > 0, jnp.inf, 0.0)
        spill = reach * jnp.sqrt(variance)
        centre, positive = self.mean_output(omega), jnp.asarray(self.readout) > 0
        low = jnp.maximum(centre - spread, -spill - jnp.where(positive, one_sided, jnp.inf))
        high = jnp.minimum(centre + spread, spill + jnp.where(positive, jnp.inf, one_sided))
        return uniform(low, high, math.ceil(self.output_points * order / 12), dtype)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""Minus the entropy of the noise, $-\frac12 \log 2 \pi e \Delta$."""
        return gaussian_entropy(self.noise_variance, rho.dtype)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""
        mean = self.mean_output(fields)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, fields.dtype))
        return mean + deviation * jax.random.normal(key, mean.shape, fields.dtype)


def _patterns(units: int, dtype) -> Float[Array, "s K"]:
    return jnp.asarray(list(itertools.product((1.0, -1.0), repeat=units)), dtype)


def log_orthant(mean: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
    """Log-probability that all of up to three fields are positive; of three none is below rounding."""
    K = mean.shape[0]
    if K == 3:
        probability = all_positive(*standardised(mean, V))
        return jnp.log(jnp.maximum(probability, jnp.finfo(V.dtype).eps))
    scale = jnp.sqrt(jnp.diagonal(V))
    a = mean / scale
    if K == 1:
        return log_ndtr(a[0])
    product = scale[0] * scale[1]
    kappa = jnp.sqrt((product + V[0, 1]) / (product - V[0, 1]))
    return log_quadrants(a[0], a[1], kappa)[0]
