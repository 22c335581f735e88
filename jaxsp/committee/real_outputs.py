"""Outputs that are any real function of the fields, with Gaussian noise."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import Rule, is_concrete, log_normal_density
from .integrated import IntegratedOutput, check_breakpoints, check_points
from .outputs import Output

# Standard deviations of the noise that count.
_SPILL = {jnp.dtype("float64"): 8.0, jnp.dtype("float32"): 5.5}


class NoisyFunction(IntegratedOutput):
    r"""$y = \varphi(h_1 \dots h_K) + \sqrt\Delta\, \xi$ with $\xi \sim \mathcal N(0, 1)$: any real map.

    Attributes:
        function: $\varphi$, of the vector of the K fields; a plain function or an Equinox module, whose
            arrays are then parameters that can be differentiated.
        noise_variance: $\Delta > 0$.
        breakpoints: values of a field at which $\varphi$ has a kink or a step.
        points: of the quadrature over the field of a single unit (0.3 of it for each of two, 0.15 for
            each of three): by default 128. Little noise wants more: it is the scale that they must resolve.
        output_points: of the quadrature over the output: by default 47.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import committee
        >>> output = committee.NoisyFunction(lambda h: jnp.max(jnp.tanh(h)), noise_variance=0.1)
        >>> value = output.log_partition(jnp.asarray(0.0), jnp.zeros(2), 1e-6 * jnp.eye(2))
        >>> round(float(value), 3)    # log N(0; 0, 0.1)
        0.232
    """

    function: Callable[[Float[Array, " K"]], Scalar]
    noise_variance: ScalarLike
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=())
    points: int = eqx.field(static=True, default=0)
    output_points: int = eqx.field(static=True, default=0)

    def __post_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0, strict=True)
        check_breakpoints(self.breakpoints)
        steepness = self._steepness()
        if self.points == 0:
            self.points = int(np.clip(math.ceil(40 * steepness), 128, 1024))
        if self.output_points == 0:
            self.output_points = int(np.clip(math.ceil(32 + 5 * steepness), 40, 200))
        check_points("points", self.points)
        check_points("output_points", self.output_points)

    def _steepness(self) -> float:
        """The slope in units of the noise, which is the scale that points must resolve."""
        return 3.0

    def mean_output(self, fields: Float[Array, " K"]) -> Scalar:
        r"""$\varphi$."""
        return jnp.asarray(self.function(fields), fields.dtype)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where the function has kinks or steps."""
        return self.breakpoints

    def log_likelihood(self, y: Scalar, fields: Float[Array, " K"]) -> Scalar:
        r"""$\log \mathcal N(y; \varphi(h), \Delta)$."""
        noise = jnp.asarray(self.noise_variance, fields.dtype)
        return log_normal_density(y - self.mean_output(fields), noise)

    def output_rule(
        self, omega: Float[Array, " K"], V: Float[Array, "K K"], order: int, noise: Rule | None
    ) -> Rule:
        """The trapezoid rule over the image of the likely fields and the noise around it."""
        root = jnp.linalg.cholesky(V)
        if noise is None:
            noise = self.noise_rule(omega, root, order)
        image = jax.vmap(self.mean_output)(omega + noise.nodes @ root.T)
        spill = _SPILL[jnp.dtype(V.dtype)] * jnp.sqrt(jnp.asarray(self.noise_variance, V.dtype))
        low, high = jnp.min(image) - spill, jnp.max(image) + spill
        return uniform(low, high, math.ceil(self.output_points * min(order, 12) / 12), V.dtype)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""Minus the entropy of the noise, $-\frac12 \log 2 \pi e \Delta$."""
        return gaussian_entropy(self.noise_variance, rho.dtype)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""
        output = jnp.vectorize(self.mean_output, signature="(k)->()")(fields)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, fields.dtype))
        return output + deviation * jax.random.normal(key, output.shape, fields.dtype)


class SoftCommittee(NoisyFunction):
    r"""$y = v \sum_l \varphi(h_l) + \sqrt\Delta\, \xi$: the soft committee, with any smooth activation.

    An activation that is linear on both sides of zero (ReLU, leaky ReLU, the absolute value) is
    `ReLUCommittee`, in closed form up to three units. Here such a kink is integrated over: three units then
    lack some per cent of the probability at low orders, as `quadrature_error` says.

    Attributes:
        function: the activation $\varphi$, of one field.
        noise_variance: $\Delta > 0$.
        breakpoints: where $\varphi$ has kinks or steps.
        points: see `NoisyFunction`. The default is $40\, s$ with $s = |v \varphi'| / \sqrt\Delta$ and the
            largest slope between fields of -5 and 5, within 128 and 1024; 240 if they are traced.
        output_points: of the quadrature over the output: by default $32 + 5 s$.
        readout: $v$, the weight of each unit in the second layer.
        odd: whether the activation is an odd function, which halves the cost; None to try it out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> softplus = committee.SoftCommittee(jax.nn.softplus, noise_variance=0.1)
        >>> float(softplus.mean_output(jnp.array([2.0, -1.0])).round(4))
        2.4402
    """

    readout: ScalarLike = 1.0
    odd: bool | None = eqx.field(static=True, default=None)

    def __post_init__(self):
        super().__post_init__()
        if self.odd is None:
            self.odd = self._looks_odd()

    def _looks_odd(self) -> bool:
        if not is_concrete(self.function):
            return False
        with jax.ensure_compile_time_eval():
            h = jnp.asarray(np.geomspace(1e-3, 8.0, 101))
            above, below = jax.vmap(self.function)(h), jax.vmap(self.function)(-h)
            largest = float(jnp.max(jnp.abs(above + below)))
            return largest <= 8 * float(jnp.finfo(h.dtype).eps) * float(jnp.max(jnp.abs(above)))

    @property
    def mirrored(self) -> bool:
        """If the activation is odd."""
        return bool(self.odd)

    def _steepness(self) -> float:
        noise = self.noise_variance
        if not is_concrete((self.function, noise, self.readout)) or np.ndim(noise) > 0:
            return 6.0
        with jax.ensure_compile_time_eval():
            image = self.readout * jax.vmap(self.function)(jnp.linspace(-5.0, 5.0, 201))
            slope = float(jnp.max(jnp.abs(jnp.diff(image)))) / 0.05
        return slope / math.sqrt(float(noise))

    def mean_output(self, fields: Float[Array, " K"]) -> Scalar:
        r"""$v \sum_l \varphi(h_l)$."""
        readout = jnp.asarray(self.readout, fields.dtype)
        return readout * jnp.sum(jax.vmap(self.function)(fields))


class LinearOutput(Output):
    r"""$y = v \sum_l h_l + \sqrt\Delta\, \xi$: units that only their sum can tell apart, in closed form.

    Attributes:
        noise_variance: $\Delta > 0$.
        readout: $v$, the weight of each unit in the second layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import committee
        >>> output = committee.LinearOutput(noise_variance=0.5)
        >>> float(output.log_partition(jnp.asarray(0.0), jnp.zeros(2), 0.25 * jnp.eye(2)).round(4))
        -0.9189
    """

    noise_variance: ScalarLike
    readout: ScalarLike = 1.0

    def __check_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0, strict=True)

    @property
    def mirrored(self) -> bool:
        """Yes."""
        return True

    def _moments(self, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> tuple[Scalar, Scalar]:
        readout = jnp.asarray(self.readout, omega.dtype)
        noise = jnp.asarray(self.noise_variance, omega.dtype)
        return readout * jnp.sum(omega), readout**2 * jnp.sum(V) + noise

    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        r"""$\log \mathcal N(y; v \sum_l \omega_l, v^2 \sum_{kl} V_{kl} + \Delta)$."""
        mean, variance = self._moments(omega, V)
        return log_normal_density(y - mean, variance)

    def output_rule(
        self, omega: Float[Array, " K"], V: Float[Array, "K K"], order: int, noise: Rule | None
    ) -> Rule:
        """The trapezoid rule, exact here to rounding."""
        mean, variance = self._moments(omega, V)
        reach = (_SPILL[jnp.dtype(V.dtype)] + 1) * jnp.sqrt(variance)
        return uniform(mean - reach, mean + reach, 49, V.dtype)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""Minus the entropy of the noise, $-\frac12 \log 2 \pi e \Delta$."""
        return gaussian_entropy(self.noise_variance, rho.dtype)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""
        mean = jnp.asarray(self.readout, fields.dtype) * jnp.sum(fields, axis=-1)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, fields.dtype))
        return mean + deviation * jax.random.normal(key, mean.shape, fields.dtype)


def gaussian_entropy(variance: ScalarLike, dtype) -> Scalar:
    """Minus the entropy of Gaussian noise."""
    return -0.5 * jnp.log(2 * math.pi * math.e * jnp.asarray(variance, dtype))


def uniform(low: Scalar, high: Scalar, points: int, dtype) -> Rule:
    """The trapezoid rule, for what vanishes at both ends."""
    nodes = low + (high - low) * jnp.asarray(np.linspace(0, 1, points), dtype)
    weights = jnp.broadcast_to((high - low) / (points - 1), (points,))
    return Rule(nodes, weights, jnp.zeros_like(weights))
