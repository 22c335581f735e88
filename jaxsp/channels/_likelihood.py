"""Channels that are known by their likelihood: the field is integrated out numerically."""

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import Rule, frozen, graded_panels, is_concrete, log_normal_density, panels
from ._base import Channel
from ._panels import gathered, reach

# Deviations of the field that are integrated over.
_FIELDS = 9.5

# Points around a single peak.
_PEAK = {jnp.dtype("float64"): 81, jnp.dtype("float32"): 41}


class AbstractLikelihood(Channel):
    r"""An output law given by $\log P_{\rm out}(y|z)$, integrated over the field by quadrature.

    $$ Z_{\rm out}(y; \omega, V) = \int Du\; P_{\rm out}(y\,|\,\omega + \sqrt V u). $$

    By the trapezoid rule, whose error falls exponentially for smooth likelihoods once its spacing is
    below the width of their features, or by Gauss-Legendre panels between `field_breakpoints`, where
    the likelihood has kinks or steps. Without breakpoints the derivatives in $\omega$ and $V$ are
    those of the likelihood, which loses nothing as $V \to 0$; with them, those of the Gaussian,
    since the likelihood may have none.

    What the quadratures miss of the probability counts as the `quadrature_error` of a solution.
    """

    integrated: ClassVar[bool] = True

    points: eqx.AbstractVar[int]
    """Number of points of the quadrature over the field."""

    @abc.abstractmethod
    def log_likelihood(self, y: Scalar, z: Scalar) -> Scalar:
        r"""$\log P_{\rm out}(y|z)$ of one output, normalised over the outputs."""

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """The fields at which the likelihood has a kink or a step."""
        return ()

    def posterior_rule(self, y: Scalar, omega: Scalar, V: Scalar) -> Rule:
        """Points in $u$, for the measure $du$, fit for the posterior of the field."""
        if not self.field_breakpoints:
            return _uniform(-_FIELDS, _FIELDS, self.points, y.dtype)
        breaks = (jnp.asarray(self.field_breakpoints, y.dtype) - omega) / jnp.sqrt(V)
        ends = jnp.asarray([-_FIELDS, _FIELDS], y.dtype)
        cuts = jnp.sort(jnp.append(ends, jnp.clip(breaks, *ends)))
        return panels(cuts, max(5 * self.points // 8, 8))

    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        """The logarithm of the integral, a sum in log-space."""
        fixed, *fixed_numbers = frozen((self, y, omega, V))
        rule = jax.lax.stop_gradient(fixed.posterior_rule(*fixed_numbers))
        u = rule.nodes
        if self.field_breakpoints:
            _, fixed_omega, fixed_V = fixed_numbers
            z = fixed_omega + jnp.sqrt(fixed_V) * u
            moved = (fixed_omega - omega) / jnp.sqrt(V) + jnp.sqrt(fixed_V / V) * u
            log_measure = log_normal_density(moved, jnp.ones_like(u)) + 0.5 * jnp.log(fixed_V / V)
        else:
            z = omega + jnp.sqrt(V) * u
            log_measure = log_normal_density(u, jnp.ones_like(u))
        log_p = jax.vmap(self.log_likelihood, (None, 0))(y, z)
        return jax.scipy.special.logsumexp(log_p + log_measure, b=rule.weights)

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The origin, and the breakpoints as wide as the field's uncertainty."""
        breaks = jnp.asarray(self.field_breakpoints, V.dtype)
        smooth = jnp.sqrt(V + 1)
        widths = jnp.append(smooth, jnp.broadcast_to(jnp.sqrt(V), breaks.shape))
        return jnp.append(jnp.zeros((), V.dtype), breaks), widths

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        """Points around the origin and the breakpoints."""
        scale = jnp.sqrt(jnp.maximum(m, jnp.finfo(m.dtype).tiny))
        centres, widths = self.landmarks(V)
        tail = reach(m.dtype) + 1.0
        widths = jnp.clip(widths / scale, jnp.finfo(m.dtype).eps, 1.0)
        # Beside a step, the layer in which fields are undecided may be narrow without limit.
        subdivisions, points = (3, 5 * order // 8) if self.field_breakpoints else (1, order)
        rule = graded_panels(
            jnp.clip(centres / scale, -tail, tail), widths, -tail, tail, max(points, 4),
            subdivisions=subdivisions, even=self.even,
        )  # fmt: skip
        density = jnp.exp(log_normal_density(rule.nodes, jnp.ones_like(rule.nodes)))
        return Rule(rule.nodes, density * rule.weights, density * rule.coarse_weights)


def _uniform(low: ScalarLike, high: ScalarLike, points: int, dtype) -> Rule:
    """The trapezoid rule, for what vanishes at both ends."""
    low, high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    nodes = low + (high - low) * jnp.asarray(np.linspace(0, 1, points), dtype)
    weights = jnp.broadcast_to((high - low) / (points - 1), (points,))
    return Rule(nodes, weights, jnp.where(np.arange(points) % 2 == 0, 2 * weights, 0))


class AbstractLogConcave(AbstractLikelihood):
    r"""A likelihood whose logarithm is smooth and concave in the field.

    The posterior of $u$ then has one peak, and the trapezoid rule in $t$ with $u = c + \delta\sinh t$
    around it resolves it at any width.
    """

    @property
    def points(self) -> int:
        """Enough for full precision."""
        return _PEAK[jnp.dtype(jnp.result_type(float))]

    def posterior_rule(self, y: Scalar, omega: Scalar, V: Scalar) -> Rule:
        """Points around the peak, found by Newton's method with bounded steps."""
        deviation = jnp.sqrt(V)

        def slope_and_curvature(u):
            def slope(u):
                return jax.grad(self.log_likelihood, 1)(y, omega + deviation * u) * deviation - u

            return jax.jvp(slope, (u,), (jnp.ones_like(u),))

        def newton(_, u):
            slope, curvature = slope_and_curvature(u)
            longest = 1.5 / jnp.maximum(deviation, 0.1)
            return u + jnp.clip(-slope / curvature, -longest, longest)

        centre = jax.lax.fori_loop(0, 16, newton, jnp.zeros_like(y + omega + V))
        width = jax.lax.rsqrt(jnp.maximum(-slope_and_curvature(centre)[1], 1.0))
        low, high = jnp.minimum(centre, 0) - _FIELDS, jnp.maximum(centre, 0) + _FIELDS
        start, end = jnp.arcsinh((low - centre) / width), jnp.arcsinh((high - centre) / width)
        rule = _uniform(start, end, _PEAK[jnp.dtype(centre.dtype)], centre.dtype)
        jacobian = width * jnp.cosh(rule.nodes)
        return Rule(
            centre + width * jnp.sinh(rule.nodes),
            jacobian * rule.weights,
            jacobian * rule.coarse_weights,
        )


class Logistic(AbstractLogConcave):
    r"""$y = \pm 1$ with $P(y|z) = 1/(1 + e^{-yz})$: logistic regression.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Logistic().denoise(1.0, 0.0, 1e-6)
        >>> round(float(g), 5), round(float(dg), 5)
        (0.5, -0.25)
    """

    even: ClassVar[bool] = True

    @property
    def labels(self) -> Float[Array, " labels"]:
        """The two labels, -1 and 1."""
        return jnp.array([-1.0, 1.0])

    def decision_boundaries(self, V: Scalar) -> Float[Array, " k"]:
        """The origin."""
        return jnp.zeros_like(V)[None]

    def log_likelihood(self, y: Scalar, z: Scalar) -> Scalar:
        r"""$-\log(1 + e^{-yz})$."""
        return -jax.nn.softplus(-y * z)

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One label for each field."""
        return jnp.where(jax.random.bernoulli(key, jax.nn.sigmoid(z)), 1.0, -1.0).astype(z.dtype)


class Poisson(AbstractLogConcave):
    r"""Counts $y = 0, 1, 2, \dots$ with mean `rate` $\cdot\, e^z$.

    Sums over the counts go to infinity: term by term up to some tens, beyond as integrals over a
    continuous count, into which they pass over a smooth window. Where the summand is analytic and
    changes over more than a few counts, the two are equal up to $e^{-2\pi^2 w^2}$ with $w$ the width
    of the window (Poisson summation).

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Poisson(rate=3.0).denoise(4.0, 0.0, 1e-6)
        >>> round(float(g), 4), round(float(dg), 4)    # y - rate, -rate
        (1.0, -3.0)
    """

    rate: ScalarLike = 1.0

    def __check_init__(self):
        check_number("rate", self.rate, minimum=0.0, strict=True)

    def log_likelihood(self, y: Scalar, z: Scalar) -> Scalar:
        r"""$y (z + \log r) - r e^z - \log y!$."""
        log_mean = z + jnp.log(jnp.asarray(self.rate, z.dtype))
        return y * log_mean - jnp.exp(log_mean) - jax.scipy.special.gammaln(y + 1)

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """The first counts one by one, all others by an integral."""
        window = 1.5 if omega.dtype == jnp.float64 else 1.0
        spill = (reach(omega.dtype) + 0.5) * window
        last = 2 * math.ceil(spill)
        counts = jnp.arange(last + 1, dtype=omega.dtype)

        def share(y):
            return jax.scipy.special.ndtr((y - 0.5 * last) / window)

        mean = self.rate * jnp.exp(omega)
        deviation = jnp.sqrt(V)
        # Up to what the largest field gives, in the second moment of the outputs too.
        highest = self.rate * jnp.exp(omega + (reach(omega.dtype) + 2 * deviation) * deviation)
        highest = last + highest + 2 * reach(omega.dtype) * jnp.sqrt(highest + 1)
        centres = jnp.stack([jnp.asarray(0.5 * last, omega.dtype), mean])
        widths = jnp.stack(
            [jnp.asarray(4 * window, omega.dtype), jnp.sqrt(mean + V * mean**2 + 16 * window**2)]
        )
        tail = graded_panels(centres, widths, 0.0, highest, 3 * order // 2)
        by_ones = 1 - share(counts)
        tail_share = share(tail.nodes)
        tail = Rule(tail.nodes, tail.weights * tail_share, tail.coarse_weights * tail_share)
        return gathered(Rule(counts, by_ones, by_ones), tail)

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One count for each field."""
        return jax.random.poisson(key, self.rate * jnp.exp(z)).astype(z.dtype)

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse what is not a count."""
        super().check_outputs(y)
        check_number("y", y, minimum=0.0)
        if is_concrete(y):
            data = np.asarray(y)
            strange = data != np.round(data)
            if np.any(strange):
                raise ValueError(
                    f"Argument `y` must hold whole numbers, but has the value {data[strange][0]}."
                )


class Activation(AbstractLikelihood):
    r"""$y = \varphi(z) + \sqrt\Delta\,\xi$ with $\xi \sim \mathcal N(0, 1)$ and any activation $\varphi$.

    For piecewise linear activations `PiecewiseLinear` has closed forms.

    Attributes:
        function: $\varphi$, of a scalar; a plain function or an Equinox module, whose arrays are then
            parameters that can be differentiated.
        noise_variance: $\Delta > 0$.
        breakpoints: where $\varphi$ has kinks or steps.
        points: number of points of the quadratures over the field and the output. The noise is the
            scale that they must resolve; the default is $40\, |\varphi'| / \sqrt\Delta$ with the largest
            slope between fields of -5 and 5 (at least one), between 64 and 1024, and 256 if noise
            variance or activation are traced.

    Example:
        >>> import jax.numpy as jnp, jaxsp
        >>> soft = jaxsp.channels.Activation(jnp.tanh, noise_variance=0.1)
        >>> g, dg = soft.denoise(0.5, 0.0, 1e-6)    # (y - tanh 0) / noise_variance
        >>> round(float(g), 3)
        5.0
    """

    function: Callable[[Scalar], Scalar]
    noise_variance: ScalarLike
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=())
    points: int = eqx.field(static=True, default=0)

    def __post_init__(self):
        check_number("noise_variance", self.noise_variance, minimum=0.0, strict=True)
        _check_features(self.breakpoints, self.points)
        if self.points == 0:
            self.points = self._points_needed()

    def _points_needed(self) -> int:
        noise = self.noise_variance
        if not is_concrete((self.function, noise)) or np.ndim(noise) > 0:
            return 256
        with jax.ensure_compile_time_eval():
            image = jax.vmap(self.function)(jnp.linspace(-5.0, 5.0, 201))
            slope = float(jnp.max(jnp.abs(jnp.diff(image)))) / 0.05
        return int(np.clip(math.ceil(40 * max(slope, 1.0) / math.sqrt(float(noise))), 64, 1024))

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where the activation has kinks or steps."""
        return self.breakpoints

    def log_likelihood(self, y: Scalar, z: Scalar) -> Scalar:
        r"""$\log \mathcal N(y; \varphi(z), \Delta)$."""
        return log_normal_density(y - self.function(z), jnp.asarray(self.noise_variance, y.dtype))

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """The trapezoid rule over the image of the likely fields and the noise around it."""
        tail = reach(omega.dtype)
        u = jnp.asarray(np.linspace(-1, 1, 65), omega.dtype) * (tail + 0.5)
        image = jax.vmap(self.function)(omega + jnp.sqrt(V) * u)
        spill = tail * jnp.sqrt(jnp.asarray(self.noise_variance, omega.dtype))
        points = self.points * order // 32
        return _uniform(jnp.min(image) - spill, jnp.max(image) + spill, points, omega.dtype)

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One output for each field."""
        output = jnp.vectorize(self.function)(z)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, z.dtype))
        return output + deviation * jax.random.normal(key, z.shape, z.dtype)


class FromLogLikelihood(AbstractLikelihood):
    r"""Any output law, given by a function $\log P_{\rm out}(y|z)$.

    Attributes:
        function: `(y, z) -> log P(y|z)` of two scalars, normalised over the outputs; a plain function
            or an Equinox module, whose arrays are then parameters that can be differentiated.
        values: the values that the output takes, for labels (one value each: integers, classes).
        support: lower and upper end of a continuous output; take them where the density is
            negligible. Give either `values` or `support`.
        breakpoints: fields at which the likelihood has kinks or steps.
        points: number of points of the quadrature over the field (on each side of a breakpoint).
        output_points: number of points of the quadrature over the support.

    Example:
        The perceptron whose labels are flipped with probability 0.1:

        >>> import jax.numpy as jnp, jaxsp
        >>> def flipped(y, z):
        ...     return jnp.where(y * z > 0, jnp.log(0.9), jnp.log(0.1))
        >>> channel = jaxsp.channels.FromLogLikelihood(flipped, values=(-1, 1), breakpoints=(0.0,))
        >>> g, dg = channel.denoise(1.0, 0.0, 1.0)    # 0.8 sqrt(2 / pi)
        >>> round(float(g), 6)
        0.638308
    """

    function: Callable[[Scalar, Scalar], Scalar]
    values: tuple[float | int, ...] | None = eqx.field(static=True, default=None)
    support: tuple[float | int, float | int] | None = eqx.field(static=True, default=None)
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=())
    points: int = eqx.field(static=True, default=128)
    output_points: int = eqx.field(static=True, default=256)

    def __check_init__(self):
        if (self.values is None) == (self.support is None):
            raise ValueError(
                "Give one of the arguments `values` (labels) and `support` (a continuous output), "
                f"not {'none' if self.values is None else 'both'}."
            )
        if self.values is not None and len(set(self.values)) < max(2, len(self.values)):
            raise ValueError(
                "Argument `values` must hold at least two different labels, each of them once, "
                f"but is {self.values}."
            )
        if self.support is not None:
            low, high = self.support
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(
                    "Argument `support` must be two increasing finite numbers, "
                    f"but is {self.support}."
                )
        if self.output_points < 16:
            raise ValueError(
                f"Argument `output_points` must be at least 16, but is {self.output_points}."
            )
        _check_features(self.breakpoints, self.points)
        self._check_normalised()

    def _check_normalised(self):
        one = jnp.ones(())
        for z in (-1.0, 0.3, 1.0):
            rule = self.output_rule(one, one, 32)
            density = jax.vmap(lambda y, z=z: self.log_likelihood(y, z * one))(rule.nodes)
            total = jnp.sum(rule.weights * jnp.exp(density))
            if is_concrete(total) and not abs(total - 1) < 1e-3:
                raise ValueError(
                    "Argument `function` must be a normalised log-likelihood, but the "
                    f"probabilities of the outputs at z = {z} sum to {float(total):.6g}."
                )

    @property
    def labels(self) -> Float[Array, " labels"] | None:
        """The values, if there are finitely many."""
        return None if self.values is None else jnp.asarray(self.values, float)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Fields at which the likelihood has kinks or steps."""
        return self.breakpoints

    def log_likelihood(self, y: Scalar, z: Scalar) -> Scalar:
        """The function."""
        return self.function(y, z)

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """The labels, or panels of equal length over the support."""
        if self.support is None:
            return super().output_rule(omega, V, order)
        cuts = jnp.asarray(np.linspace(*self.support, self.output_points // 16 + 1), omega.dtype)
        return panels(cuts, 16)

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One output for each field, by inverting the distribution function."""
        grid = self.labels
        if grid is None:
            assert self.support is not None
            grid = jnp.linspace(*self.support, 4097, dtype=z.dtype)
        grid = grid.astype(z.dtype)

        def draw(arguments):
            key, z = arguments
            log_p = jax.vmap(self.log_likelihood, (0, None))(grid, z)
            if self.support is None:
                return grid[jax.random.categorical(key, log_p)]
            density = jnp.exp(log_p - jnp.max(log_p))
            mass = jnp.cumsum(0.5 * (density[1:] + density[:-1]))
            uniform = mass[-1] * jax.random.uniform(key, (), z.dtype)
            return jnp.interp(uniform, jnp.append(jnp.zeros(1, z.dtype), mass), grid)

        fields = z.ravel()
        keys = jax.random.split(key, fields.size)
        return jax.lax.map(draw, (keys, fields), batch_size=512).reshape(z.shape)

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse outputs outside of the support."""
        super().check_outputs(y)
        if self.support is not None:
            check_number("y", y, minimum=self.support[0], maximum=self.support[1])


def _check_features(breakpoints: tuple[float | int, ...], points: int) -> None:
    if points < 0:
        raise ValueError(f"Argument `points` must be positive, but is {points}.")
    if not all(math.isfinite(point) for point in breakpoints):
        raise ValueError(f"Argument `breakpoints` must be finite, but is {breakpoints}.")
