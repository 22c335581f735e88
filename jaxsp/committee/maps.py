"""Outputs that are any map of the fields: to a label, to a real number with noise, by their likelihood."""

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import Rule, frozen, is_concrete, log_normal_density
from ._points import nested_panels, standard_normal
from .outputs import Output

# A likelihood below this is an impossible outcome; its logarithm stays finite.
_FLOOR = {jnp.dtype("float64"): -600.0, jnp.dtype("float32"): -75.0}
# Standard deviations of the noise of a real output that count.
_SPILL = {jnp.dtype("float64"): 8.0, jnp.dtype("float32"): 5.5}
# Changes of a label along the last field that are looked for, and how they are bracketed.
_CHANGES, _GRID, _BISECTIONS = 3, 33, 48


class IntegratedOutput(Output):
    r"""An output law given by $\log P_{\rm out}(y|h)$, integrated over the K fields.

    $$ Z_{\rm out}(y; \omega, V) = \mathbb E_{z \sim \mathcal N(0, I)} P_{\rm out}(y\,|\,\omega + L z),
       \qquad V = L L^T. $$

    By the trapezoid rule in each direction up to three units, whose error falls exponentially for smooth
    likelihoods, or by Gauss-Legendre panels between `field_breakpoints`, one field after the other; beyond
    three units by quasi-random points. Without breakpoints derivatives are those of the likelihood; with
    them those of the Gaussian, since the likelihood may have none.
    """

    integrated: ClassVar[bool] = True

    points: eqx.AbstractVar[int]
    """Points of the quadrature over the field of a single unit; each of several gets fewer."""

    @abc.abstractmethod
    def log_likelihood(self, y: Scalar, fields: Float[Array, " K"]) -> Scalar:
        r"""$\log P_{\rm out}(y|h)$ of one output."""

    def noise_dimensions(self, hidden_units: int) -> int:
        """As many as there are units."""
        return hidden_units

    def noise_rule(self, omega: Float[Array, " K"], root: Float[Array, "K K"], order: int) -> Rule:
        r"""Standard normal points z for the fields $\omega + L z$."""
        K = omega.shape[0]
        share = {1: 1.0, 2: 0.3, 3: 0.1}.get(K, 1.0)
        points = max(math.ceil(share * self.points * order / 12), 8)
        if self.field_breakpoints and K <= 3:
            share = {1: 0.3, 2: 0.2, 3: 0.06}[K]
            points = max(math.ceil(share * self.points * order / 12), 5)
            return nested_panels(
                omega, root, self.field_breakpoints, points, self.last_boundaries()
            )
        return standard_normal(K, points, 8 * points, omega.dtype)

    def last_boundaries(self) -> Callable | None:
        """What finds steps of the likelihood along the last field, given the others."""
        return None

    def outcome_log_partitions(
        self,
        y: Float[Array, " outputs"],
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int,
        noise: Rule | None,
    ) -> Float[Array, " outputs"]:
        """The logarithms of the integrals, all over the same points."""
        fixed, fixed_omega, fixed_V = frozen((self, omega, V))
        fixed_root = jnp.linalg.cholesky(fixed_V)
        if noise is None:
            noise = jax.lax.stop_gradient(fixed.noise_rule(fixed_omega, fixed_root, order))
        z, root = noise.nodes, jnp.linalg.cholesky(V)
        if self.field_breakpoints:
            fields = fixed_omega + z @ fixed_root.T
            moved = jax.scipy.linalg.solve_triangular(root, (fields - omega).T, lower=True)
            stretch = jnp.log(jnp.diagonal(fixed_root) / jnp.diagonal(root))
            log_measure = 0.5 * jnp.sum(z**2 - moved.T**2, axis=1) + jnp.sum(stretch)
        else:
            fields = omega + z @ root.T
            log_measure = jnp.zeros_like(noise.weights)

        def at(y):
            log_p = jax.vmap(lambda h: self.log_likelihood(y, h))(fields)
            log_p = jnp.maximum(log_p, _FLOOR[jnp.dtype(V.dtype)])
            return jax.scipy.special.logsumexp(log_p + log_measure, b=noise.weights)

        return jax.vmap(at)(y)

    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        """The logarithm of the integral."""
        return self.outcome_log_partitions(y[None], omega, V, 12, None)[0]


class NoisyFunction(IntegratedOutput):
    r"""$y = \varphi(h_1 \dots h_K) + \sqrt\Delta\, \xi$ with $\xi \sim \mathcal N(0, 1)$: any real map.

    Attributes:
        function: $\varphi$, of the vector of the K fields; a plain function or an Equinox module, whose
            arrays are then parameters that can be differentiated.
        noise_variance: $\Delta > 0$.
        breakpoints: values of a field at which $\varphi$ has a kink or a step.
        points: of the quadrature over the field of a single unit (0.3 of it for each of two, a tenth for
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
        _check_breakpoints(self.breakpoints)
        steepness = self._steepness()
        if self.points == 0:
            self.points = int(np.clip(math.ceil(40 * steepness), 128, 1024))
        if self.output_points == 0:
            self.output_points = int(np.clip(math.ceil(32 + 5 * steepness), 40, 200))
        _check_points("points", self.points)
        _check_points("output_points", self.output_points)

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
        return _uniform(low, high, math.ceil(self.output_points * order / 12), V.dtype)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""Minus the entropy of the noise, $-\frac12 \log 2 \pi e \Delta$."""
        return _gaussian_entropy(self.noise_variance, rho.dtype)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""
        output = jnp.vectorize(self.mean_output, signature="(k)->()")(fields)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, fields.dtype))
        return output + deviation * jax.random.normal(key, output.shape, fields.dtype)


class SoftCommittee(NoisyFunction):
    r"""$y = v \sum_l \varphi(h_l) + \sqrt\Delta\, \xi$: the soft committee, with any activation.

    Attributes:
        function: the activation $\varphi$, of one field.
        noise_variance: $\Delta > 0$.
        breakpoints: where $\varphi$ has kinks or steps, as ReLU at 0.
        points: see `NoisyFunction`. The default is $40\, s$ with $s = |v \varphi'| / \sqrt\Delta$ and the
            largest slope between fields of -5 and 5, within 128 and 1024; 240 if they are traced.
        output_points: of the quadrature over the output: by default $32 + 5 s$.
        readout: $v$, the weight of each unit in the second layer.
        odd: whether the activation is an odd function, which halves the cost; None to try it out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> erf = committee.SoftCommittee(jax.scipy.special.erf, noise_variance=0.1)
        >>> relu = committee.SoftCommittee(jax.nn.relu, noise_variance=0.1, breakpoints=(0.0,))
        >>> float(relu.mean_output(jnp.array([2.0, -1.0])))
        2.0
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
        return _uniform(mean - reach, mean + reach, 49, V.dtype)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""Minus the entropy of the noise, $-\frac12 \log 2 \pi e \Delta$."""
        return _gaussian_entropy(self.noise_variance, rho.dtype)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""
        mean = jnp.asarray(self.readout, fields.dtype) * jnp.sum(fields, axis=-1)
        deviation = jnp.sqrt(jnp.asarray(self.noise_variance, fields.dtype))
        return mean + deviation * jax.random.normal(key, mean.shape, fields.dtype)


class LabelMap(IntegratedOutput):
    r"""$y = f(h_1 \dots h_K)$, any function of the fields to finitely many labels.

    Steps at `breakpoints` of a field, and any step along the last field (which is found by bisection), are
    exact in the quadrature; what it misses of others is in `quadrature_error`. Labels that depend on the
    signs of the fields alone have faster closed forms: see `LabelOfSigns`.

    Attributes:
        function: $f$, of the vector of the K fields.
        values: the labels.
        breakpoints: values of a field at which the label may change whatever the others are.
        points: of the quadrature over the field of a single unit, see `IntegratedOutput`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> output = committee.LabelMap(lambda h: jnp.sign(jnp.sum(h) - 1), values=(-1, 1))
        >>> output.sample(jax.random.key(0), jnp.array([[0.2, 0.3], [1.0, 2.0]])).tolist()
        [-1.0, 1.0]
    """

    function: Callable[[Float[Array, " K"]], Array]
    values: tuple[float | int, ...] = eqx.field(static=True)
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=(0.0,))
    points: int = eqx.field(static=True, default=160)

    def __check_init__(self):
        if len(set(self.values)) < max(2, len(self.values)):
            raise ValueError(
                "Argument `values` must hold at least two different labels, each of them once, "
                f"but is {self.values}."
            )
        _check_breakpoints(self.breakpoints)
        if not self.breakpoints:
            raise ValueError(
                "Argument `breakpoints` must hold a value of a field at which labels may change."
            )
        _check_points("points", self.points)

    def labels(self, hidden_units: int) -> Float[Array, " labels"]:
        """The values."""
        return jnp.asarray(self.values, float)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where the label may change."""
        return self.breakpoints

    def _label(self, fields: Float[Array, " K"]) -> Scalar:
        return jnp.asarray(self.function(fields), fields.dtype).reshape(())

    def log_likelihood(self, y: Scalar, fields: Float[Array, " K"]) -> Scalar:
        """Zero for the label, and minus infinity for others."""
        return jnp.where(self._label(fields) == y, 0.0, -jnp.inf).astype(fields.dtype)

    def last_boundaries(self) -> Callable:
        """Bisection of the changes of the label on a grid along the last field."""

        def find(before, centre, width, reach):
            def label(z):
                return self._label(jnp.append(before, centre + width * z))

            grid = jnp.linspace(-reach, reach, _GRID, dtype=before.dtype)
            found = jax.vmap(label)(grid)
            places = jnp.nonzero(found[1:] != found[:-1], size=_CHANGES, fill_value=-1)[0]

            def bisect(place):
                first = found[place]

                def halve(_, ends):
                    low, high = ends
                    middle = 0.5 * (low + high)
                    same = label(middle) == first
                    return jnp.where(same, middle, low), jnp.where(same, high, middle)

                ends = jax.lax.fori_loop(0, _BISECTIONS, halve, (grid[place], grid[place + 1]))
                return jnp.where(place < 0, reach, ends[1])

            return jax.vmap(bisect)(places)

        return find

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """The label of each vector of fields."""
        return jnp.vectorize(self._label, signature="(k)->()")(fields)

    def check_outputs(self, y: Float[Array, "..."], hidden_units: int) -> None:
        """Raise a `ValueError` unless all are labels."""
        super().check_outputs(y, hidden_units)
        check_labels(y, self.values)


class FromLogLikelihood(IntegratedOutput):
    r"""Any output law of labels, given by a function $\log P_{\rm out}(y|h_1 \dots h_K)$.

    Attributes:
        function: `(y, h) -> log P(y|h)` of a label and the vector of the fields, normalised over the labels;
            a plain function or an Equinox module, whose arrays are parameters that can be differentiated.
        values: the labels.
        breakpoints: values of a field at which the likelihood has a kink or a step.
        points: of the quadrature over the field of a single unit, see `IntegratedOutput`.

    Example:
        A vote of logistic units:

        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> def vote(y, h):
        ...     return jax.nn.log_sigmoid(y * jnp.sum(h))
        >>> output = committee.FromLogLikelihood(vote, values=(-1, 1))
        >>> value = output.log_partition(jnp.asarray(1.0), jnp.zeros(2), jnp.eye(2))
        >>> round(float(jnp.exp(value)), 6)
        0.5
    """

    function: Callable[[Scalar, Float[Array, " K"]], Scalar]
    values: tuple[float | int, ...] = eqx.field(static=True)
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=())
    points: int = eqx.field(static=True, default=128)

    def __check_init__(self):
        if len(set(self.values)) < max(2, len(self.values)):
            raise ValueError(
                "Argument `values` must hold at least two different labels, each of them once, "
                f"but is {self.values}."
            )
        _check_breakpoints(self.breakpoints)
        _check_points("points", self.points)

    def labels(self, hidden_units: int) -> Float[Array, " labels"]:
        """The values."""
        return jnp.asarray(self.values, float)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where the likelihood has kinks or steps."""
        return self.breakpoints

    def log_likelihood(self, y: Scalar, fields: Float[Array, " K"]) -> Scalar:
        """The function."""
        return self.function(y, fields)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        """By the quadrature over the fields."""
        root = jnp.linalg.cholesky(rho)
        rule = frozen(self.noise_rule(jnp.zeros_like(rho[0]), root, order))

        def at(z):
            log_p = jax.vmap(lambda y: self.log_likelihood(y, root @ z))(
                self.labels(rho.shape[0]).astype(rho.dtype)
            )
            log_p = jnp.maximum(log_p, _FLOOR[jnp.dtype(rho.dtype)])
            return jnp.sum(jnp.exp(log_p) * log_p)

        return rule.weights @ jax.vmap(at)(rule.nodes)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One label for each vector of fields."""
        values = jnp.asarray(self.values, fields.dtype)

        def log_p(fields):
            return jax.vmap(lambda y: self.log_likelihood(y, fields))(values)

        logits = jnp.vectorize(log_p, signature="(k)->(y)")(fields)
        return values[jax.random.categorical(key, logits)]

    def check_outputs(self, y: Float[Array, "..."], hidden_units: int) -> None:
        """Raise a `ValueError` unless all are labels."""
        super().check_outputs(y, hidden_units)
        check_labels(y, self.values)


def check_labels(y: Float[Array, "..."], values) -> None:
    """Raise a `ValueError` unless all of concrete data are among the values."""
    if not is_concrete(y):
        return
    data = np.asarray(y)
    strange = ~np.isin(data, values)
    if np.any(strange):
        raise ValueError(
            f"Argument `y` must hold labels out of {sorted(values)}, "
            f"but has the value {data[strange][0]}."
        )


def _gaussian_entropy(variance: ScalarLike, dtype) -> Scalar:
    return -0.5 * jnp.log(2 * math.pi * math.e * jnp.asarray(variance, dtype))


def _check_breakpoints(breakpoints: tuple[float | int, ...]) -> None:
    if not all(math.isfinite(point) for point in breakpoints):
        raise ValueError(f"Argument `breakpoints` must be finite, but is {breakpoints}.")


def _check_points(name: str, points: int) -> None:
    if points < 16:
        raise ValueError(f"Argument `{name}` must be at least 16, but is {points}.")


def _uniform(low: Scalar, high: Scalar, points: int, dtype) -> Rule:
    """The trapezoid rule, for what vanishes at both ends."""
    nodes = low + (high - low) * jnp.asarray(np.linspace(0, 1, points), dtype)
    weights = jnp.broadcast_to((high - low) / (points - 1), (points,))
    return Rule(nodes, weights, jnp.zeros_like(weights))
