"""Laws of the output of a committee given its local fields."""

import abc
import itertools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._types import Scalar
from ..numerics import Rule, is_concrete, log_ndtr, log_sum_exp
from ._counts import counts
from ._exchangeable import log_counts
from ._orthant import log_quadrants
from ._points import product_normal, quasi_random_normal
from ._triples import triple_counts


class Output(eqx.Module):
    r"""The law of an output $y$ given K fields, through its log-partition function.

    $$ \log Z_{\rm out}(y; \omega, V) = \log \mathbb E_{h \sim \mathcal N(\omega, V)} P_{\rm out}(y|h) $$

    with $\omega$ of K entries and V a K x K covariance matrix (arXiv 1806.05451). It must not change
    when the units are permuted. Denoisers, state evolution and the free entropy follow from it. Beside
    it subclasses write `labels`, or `output_rule` for an output that is no label.
    """

    integrated: ClassVar[bool] = False
    """Whether `log_partition` is a quadrature of its own. Fields are then gone through one by one, in
    little memory, instead of all at once."""

    noiseless: ClassVar[bool] = False
    """Whether the fields fix the output, which must then be a label."""

    most_units: ClassVar[float] = math.inf
    """How many hidden units it is defined for."""

    @abc.abstractmethod
    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        r"""$\log \mathbb E_{h \sim \mathcal N(\omega, V)} P_{\rm out}(y|h)$ for one output."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""

    def labels(self, hidden_units: int) -> Float[Array, " labels"] | None:
        """The values of the output if they are finitely many; None for other outputs."""
        return None

    def output_rule(
        self, omega: Float[Array, " K"], V: Float[Array, "K K"], order: int, noise: Rule | None
    ) -> Rule:
        r"""Outputs y with the weights of the measure dy (one for a label).

        They must cover the law of y for fields of $\mathcal N(\omega, V)$.
        """
        labels = self.labels(omega.shape[0])
        assert labels is not None
        labels = labels.astype(omega.dtype)
        return Rule(labels, jnp.ones_like(labels), jnp.ones_like(labels))

    def noise_dimensions(self, hidden_units: int) -> int:
        """Over how many standard normal numbers `outcome_log_partitions` averages; 0 in closed form."""
        return 0

    def outcome_log_partitions(
        self,
        y: Float[Array, " outputs"],
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int,
        noise: Rule | None,
    ) -> Float[Array, " outputs"]:
        """`log_partition` of all outputs of a rule at once.

        Args:
            y: the nodes of `output_rule`.
            omega: means of the fields.
            V: their covariance.
            order: Gauss-Legendre points on a panel, or what stands for it in other rules.
            noise: what to average over, if it is no quadrature.
        """
        return jax.vmap(lambda y: self.log_partition(y, omega, V))(y)

    def expected_log_likelihood(self, rho: Float[Array, "K K"], order: int) -> Scalar:
        r"""$\mathbb E \log P_{\rm out}(y|h)$ over fields of covariance $\rho$; zero without noise."""
        return jnp.zeros((), rho.dtype)

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Values of a field at which the law of the output has a kink or a step."""
        return ()

    @property
    def mirrored(self) -> bool:
        """Whether fields of opposite signs have outputs that differ by a relabelling."""
        return False

    def check_outputs(self, y: Float[Array, "..."], hidden_units: int) -> None:
        """Raise a `ValueError` if data cannot come from it; traced data pass unseen."""
        if is_concrete(y) and not np.all(np.isfinite(np.asarray(y))):
            raise ValueError(
                "Argument `y` must be finite, but has entries that are NaN or infinite."
            )


class LabelOfSigns(Output):
    r"""A label that depends on the signs of the fields alone, and not on their order.

    Subclasses say which label belongs to $k$ positive fields out of K. The partition functions are
    probabilities of orthants: one unit by the normal distribution function, two by
    a one-dimensional integral of positive terms that is accurate in all tails, more by an average over
    K - 1 normal numbers given which the fields are independent.
    """

    noiseless: ClassVar[bool] = True

    @abc.abstractmethod
    def label(self, positive: int, hidden_units: int) -> float:
        """The label when so many of the fields are positive."""

    def labels(self, hidden_units: int) -> Float[Array, " labels"]:
        """All labels, the one of all fields positive first."""
        return jnp.asarray(self._label_values(hidden_units))

    def _label_values(self, hidden_units: int) -> list[float]:
        found = [self.label(k, hidden_units) for k in range(hidden_units, -1, -1)]
        return list(dict.fromkeys(found))

    @property
    def field_breakpoints(self) -> tuple[float | int, ...]:
        """Where a field changes its sign."""
        return (0.0,)

    def noise_dimensions(self, hidden_units: int) -> int:
        """One less than there are units, for three and more."""
        return hidden_units - 1 if hidden_units > 2 else 0

    def outcome_log_partitions(
        self,
        y: Float[Array, " outputs"],
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int,
        noise: Rule | None,
    ) -> Float[Array, " outputs"]:
        """The log-probabilities of all labels; of three units minus infinity below rounding."""
        K = omega.shape[0]
        if K == 3 and noise is None:
            found = self._grouped(triple_counts(omega, V))
            floor = 100 * jnp.finfo(omega.dtype).eps
            return jnp.where(found > floor, jnp.log(jnp.maximum(found, floor)), -jnp.inf)
        return self.log_partitions(omega, V, order, noise)

    def log_partitions(
        self,
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int = 12,
        noise: Rule | None = None,
    ) -> Float[Array, " labels"]:
        """The log-probability of each of the labels, in the order of `labels`.

        With three units and more `order` and `noise` say what is averaged over.
        """
        K = omega.shape[0]
        if K > 2:
            if noise is None:
                noise = _noise(K - 1, order, omega.dtype)
            totals = self._grouped(counts(omega, V, noise))
            return jnp.log(jnp.maximum(totals, jnp.finfo(omega.dtype).tiny))
        if K == 1:
            a = omega[0] / jnp.sqrt(V[0, 0])
            patterns = (log_ndtr(a), log_ndtr(-a))
        else:
            scale = jnp.sqrt(V[0, 0]), jnp.sqrt(V[1, 1])
            product = scale[0] * scale[1]
            kappa = jnp.sqrt((product + V[0, 1]) / (product - V[0, 1]))
            patterns = tuple(log_quadrants(omega[0] / scale[0], omega[1] / scale[1], kappa))
        return self._gather(K, patterns)

    def common_log_partitions(
        self, hidden_units: int, total: Scalar, V: Float[Array, " 2"]
    ) -> Float[Array, " labels"]:
        r"""The same for fields of a common mean, at any number of units.

        Args:
            hidden_units: K.
            total: mean of the normalised sum of the fields, $\sum_l h_l / \sqrt K$.
            V: variances of a normalised difference of the fields and of their normalised sum.
        """
        K = hidden_units
        mean = total / math.sqrt(K)
        if K <= 2:
            a = mean / jnp.sqrt(((K - 1) * V[0] + V[1]) / K)
            if K == 1:
                return self._gather(K, (log_ndtr(a), log_ndtr(-a)))
            return self._gather(K, tuple(log_quadrants(a, a, jnp.sqrt(V[1] / V[0]))))
        return log_counts(K, mean, V[0], V[1], self._groups(K))

    def _groups(self, K: int) -> list[list[int]]:
        """For each label the numbers of positive fields that have it."""
        return [
            [k for k in range(K + 1) if self.label(k, K) == value]
            for value in self._label_values(K)
        ]

    def _grouped(self, found: Float[Array, " k"]) -> Float[Array, " labels"]:
        """The probabilities of the labels from those of the numbers of positive fields."""
        groups = self._groups(found.shape[0] - 1)
        return jnp.stack([jnp.sum(found[jnp.asarray(group)]) for group in groups])

    def _gather(self, K: int, patterns: tuple[Scalar, ...]) -> Float[Array, " labels"]:
        """The probabilities of the sign patterns, all positive first, added up for each label."""
        counts = [K - sum(signs) for signs in itertools.product((0, 1), repeat=K)]
        members = {value: [] for value in self._label_values(K)}
        for count, pattern in zip(counts, patterns, strict=True):
            members[self.label(count, K)].append(pattern)
        return jnp.stack([log_sum_exp(tuple(terms)) for terms in members.values()])

    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        r"""The log-probability of one label."""
        values = self.log_partitions(omega, V)
        chosen = self.labels(omega.shape[0]).astype(omega.dtype) == y
        return jnp.sum(jnp.where(chosen, values, 0.0))

    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """The label of each vector of fields."""
        K = fields.shape[-1]
        table = jnp.asarray([self.label(k, K) for k in range(K + 1)], fields.dtype)
        return table[jnp.sum(fields > 0, axis=-1)]

    def check_outputs(self, y: Float[Array, "..."], hidden_units: int) -> None:
        """Raise a `ValueError` unless all are labels."""
        super().check_outputs(y, hidden_units)
        check_labels(y, self._label_values(hidden_units))


def _noise(dimensions: int, order: int, dtype) -> Rule:
    if dimensions == 2:
        return product_normal(2, 5 * order // 2, dtype)
    return quasi_random_normal(dimensions, 64 * order, 0, dtype)


class MajorityVote(LabelOfSigns):
    r"""$y = \mathrm{sign} \sum_l \mathrm{sign}\, h_l$, with $\mathrm{sign}\, 0 = 0$: the committee machine.

    For an even number of units a tie is a third label, $y = 0$, as in the code that comes with
    arXiv 1806.05451. Breaking ties at random is another problem, with other thresholds.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> fields = jnp.array([[1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
        >>> committee.MajorityVote().sample(jax.random.key(0), fields).tolist()
        [1.0, 0.0, -1.0]
    """

    @property
    def mirrored(self) -> bool:
        """Yes."""
        return True

    def label(self, positive: int, hidden_units: int) -> float:
        """The sign of the majority."""
        return float(np.sign(2 * positive - hidden_units))


class Parity(LabelOfSigns):
    r"""$y = \prod_l \mathrm{sign}\, h_l$: the parity machine.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import committee
        >>> fields = jnp.array([[1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
        >>> committee.Parity().sample(jax.random.key(0), fields).tolist()
        [1.0, -1.0, 1.0]
    """

    @property
    def mirrored(self) -> bool:
        """Yes."""
        return True

    def label(self, positive: int, hidden_units: int) -> float:
        """The product of the signs."""
        return float((-1) ** (hidden_units - positive))


def symmetric(pair: Float[Array, " 2"], hidden_units: int) -> Float[Array, "K K"]:
    r"""The permutation-symmetric matrix with given eigenvalues.

    The first belongs to the K - 1 directions in which the units differ, the second to their sum.
    """
    mean = jnp.full((hidden_units, hidden_units), 1 / hidden_units, pair.dtype)
    return pair[0] * (jnp.eye(hidden_units, dtype=pair.dtype) - mean) + pair[1] * mean


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
