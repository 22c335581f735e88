"""Laws of the output of a committee given its local fields."""

import abc
import itertools
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._types import Scalar
from ..numerics import is_concrete, log_ndtr, log_sum_exp
from ._exchangeable import log_counts
from ._orthant import log_quadrants


class Output(eqx.Module):
    r"""The law of an output $y$ given K fields, through its log-partition function.

    $$ \log Z_{\rm out}(y; \omega, V) = \log \mathbb E_{h \sim \mathcal N(\omega, V)} P_{\rm out}(y|h) $$

    with $\omega$ of K entries and V a K x K covariance matrix (arXiv 1806.05451). It must not change
    when the units are permuted. Denoisers, state evolution and the free entropy follow from it.
    """

    @abc.abstractmethod
    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        r"""$\log \mathbb E_{h \sim \mathcal N(\omega, V)} P_{\rm out}(y|h)$ for one output."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, fields: Float[Array, "*s K"]) -> Float[Array, "*s"]:
        """One output for each vector of fields."""

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
    a one-dimensional integral of positive terms that is accurate in all tails.
    """

    @abc.abstractmethod
    def label(self, positive: int, hidden_units: int) -> float:
        """The label when so many of the fields are positive."""

    def labels(self, hidden_units: int) -> Float[Array, " labels"]:
        """All labels, the one of all fields positive first."""
        return jnp.asarray(self._label_values(hidden_units))

    def _label_values(self, hidden_units: int) -> list[float]:
        found = [self.label(k, hidden_units) for k in range(hidden_units, -1, -1)]
        return list(dict.fromkeys(found))

    def log_partitions(
        self, omega: Float[Array, " K"], V: Float[Array, "K K"]
    ) -> Float[Array, " labels"]:
        """The log-probability of each of the labels, in the order of `labels`."""
        K = omega.shape[0]
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
        groups = [
            [k for k in range(K + 1) if self.label(k, K) == value]
            for value in self._label_values(K)
        ]
        return log_counts(K, mean, V[0], V[1], groups)

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
        if not is_concrete(y):
            return
        data, labels = np.asarray(y), self._label_values(hidden_units)
        strange = ~np.isin(data, labels)
        if np.any(strange):
            raise ValueError(
                f"Argument `y` must hold labels out of {sorted(labels)}, "
                f"but has the value {data[strange][0]}."
            )


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
