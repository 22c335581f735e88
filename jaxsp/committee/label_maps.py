"""Outputs that are labels: any function of the fields, or any likelihood of a label given them."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._types import Scalar
from ..numerics import frozen
from .integrated import FLOOR, IntegratedOutput, check_breakpoints, check_points
from .outputs import check_labels

# Changes of a label along the last field that are looked for, and how they are bracketed.
_CHANGES, _GRID, _BISECTIONS = 3, 33, 48


class LabelledOutput(IntegratedOutput):
    """An integrated output whose values are labels."""

    values: eqx.AbstractVar[tuple[float | int, ...]]
    """The labels."""
    breakpoints: eqx.AbstractVar[tuple[float | int, ...]]
    """Values of a field at which the likelihood has a kink or a step."""

    def __check_init__(self):
        if len(set(self.values)) < max(2, len(self.values)):
            raise ValueError(
                "Argument `values` must hold at least two different labels, each of them once, "
                f"but is {self.values}."
            )
        check_breakpoints(self.breakpoints)
        check_points("points", self.points)

    def labels(self, hidden_units: int) -> Float[Array, " labels"]:
        """The values."""
        return jnp.asarray(self.values, float)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where the likelihood has kinks or steps."""
        return self.breakpoints

    def check_outputs(self, y: Float[Array, "..."], hidden_units: int) -> None:
        """Raise a `ValueError` unless all are labels."""
        super().check_outputs(y, hidden_units)
        check_labels(y, self.values)


class LabelMap(LabelledOutput):
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

    noiseless: ClassVar[bool] = True

    function: Callable[[Float[Array, " K"]], Array]
    values: tuple[float | int, ...] = eqx.field(static=True)
    breakpoints: tuple[float | int, ...] = eqx.field(static=True, default=(0.0,))
    points: int = eqx.field(static=True, default=160)

    def __check_init__(self):
        if not self.breakpoints:
            raise ValueError(
                "Argument `breakpoints` must hold a value of a field at which labels may change."
            )

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


class FromLogLikelihood(LabelledOutput):
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
            log_p = jnp.maximum(log_p, FLOOR[jnp.dtype(rho.dtype)])
            return jnp.sum(jnp.exp(log_p) * log_p)

        return rule.weights @ jax.vmap(at)(rule.nodes)

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One label for each vector of fields."""
        values = jnp.asarray(self.values, fields.dtype)

        def log_p(fields):
            return jax.vmap(lambda y: self.log_likelihood(y, fields))(values)

        logits = jnp.vectorize(log_p, signature="(k)->(y)")(fields)
        return values[jax.random.categorical(key, logits)]
