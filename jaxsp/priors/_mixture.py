"""Priors that are mixtures of Gaussians and atoms: one implementation, several names."""

import abc
import itertools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import check_number, check_shape
from .._types import Scalar, ScalarLike
from ..numerics import (
    Rule,
    gauss_hermite,
    graded_panels,
    is_concrete,
    log_normal_density,
    log_sum_exp,
    real_dtype,
)
from ..numerics._quadrature import TAIL
from ..numerics._special import at_largest, softmax
from ._base import Prior

_Components = tuple[Float[Array, " k"], Float[Array, " k"], Float[Array, " k"]]

_Terms = tuple[Scalar, ...] | Float[Array, " k"]
# More components than these are an axis.
_FEW = 8


def _atoms_rule(atoms, boundaries, farther, widths, lower, upper, order, even=False) -> Rule:
    """Panels around atoms (noise of width one) and around the boundaries between neighbours.

    A boundary's layer falls off like an exponential, and can be cut after 80 of its widths, unless the
    noise of the atoms beside it (the farther one at the distance `farther`) does not fill the rest.
    """
    tail = TAIL[real_dtype(atoms)]
    isolated = 0.5 * farther > tail
    reach = jnp.where(isolated, 80 * widths, math.inf)
    return graded_panels(
        jnp.concatenate([boundaries, atoms]),
        jnp.concatenate([widths, jnp.ones_like(atoms)]),
        lower, upper, order, reach=jnp.concatenate([reach, jnp.full_like(atoms, tail)]), even=even,
    )  # fmt: skip


class AbstractMixture(Prior):
    r"""$P_w = \sum_k p_k \mathcal N(\mu_k, v_k)$, where $v_k = 0$ is an atom."""

    @abc.abstractmethod
    def components(self) -> _Components:
        """Weights (which sum to one), means and variances."""

    def log_partition(self, A: Scalar, b: Scalar) -> Scalar:
        r"""$\log \sum_k p_k (1 + A v_k)^{-1/2} \exp\frac{b \mu_k - A \mu_k^2/2 + b^2 v_k/2}{1 + A v_k}$."""
        return log_sum_exp(self._posterior_terms(A, b))

    def _each(self, term: Callable[[Scalar, Scalar, Scalar], Scalar], like: Scalar) -> _Terms:
        """What each component contributes: few in a tuple, many along the first axis of an array."""
        columns = self.components()
        if columns[0].size <= _FEW:
            return tuple(map(term, *columns))
        return term(*(column.reshape(-1, *jnp.ndim(like) * (1,)) for column in columns))

    def _posterior_terms(self, A: Scalar, b: Scalar) -> _Terms:
        def term(weight, mean, variance):
            spread = 1 + A * variance
            exponent = (b * mean - 0.5 * A * mean**2 + 0.5 * b**2 * variance) / spread
            return jnp.log(weight) - 0.5 * jnp.log(spread) + exponent

        return self._each(term, A * b)

    def denoise(self, A: ScalarLike, b: ScalarLike) -> tuple[Scalar, Scalar]:
        r"""Posterior mean and variance.

        Those of the components, $m_k = (\mu_k + b v_k) / (1 + A v_k)$ and $v_k / (1 + A v_k)$, and what
        the means differ by, $\sum_{i<j} p_i p_j (m_i - m_j)^2$: nothing cancels.
        """
        dtype = real_dtype(A, b, *jax.tree.leaves(self))
        A, b = jnp.asarray(A, dtype), jnp.asarray(b, dtype)
        p = softmax(self._posterior_terms(A, b))
        m = self._each(lambda _, mean, v: (mean + b * v) / (1 + A * v), A * b)
        within = self._each(lambda _, mean, v: v / (1 + A * v), A * b)
        if not (isinstance(p, tuple) or isinstance(m, tuple) or isinstance(within, tuple)):
            # From the state that dominates: what the others add is exact, however little.
            apart = m - at_largest(p, m)
            spread = (apart - jnp.sum(p * apart, axis=0)) ** 2
            return jnp.sum(p * m, axis=0), jnp.sum(p * (within + spread), axis=0)
        variance = sum(p_k * v for p_k, v in zip(p, within, strict=True))
        for (p_i, m_i), (p_j, m_j) in itertools.combinations(zip(p, m, strict=True), 2):
            variance = variance + p_i * p_j * (m_i - m_j) ** 2
        mean = sum(p_k * m_k for p_k, m_k in zip(p, m, strict=True))
        return jnp.asarray(mean), jnp.asarray(variance)

    def log_evidence(self, snr: Scalar, observation: Scalar) -> Scalar:
        """The same with the square completed, so that nothing cancels at large snr."""

        def term(weight, mean, variance):
            spread = 1 + snr * variance
            distance = observation - jnp.sqrt(snr) * mean
            return jnp.log(weight) - 0.5 * jnp.log(spread) - 0.5 * distance**2 / spread

        return log_sum_exp(self._each(term, snr * observation))

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Panels around each component and around the boundary between neighbours."""
        weights, means, variances = self.components()
        root = jnp.sqrt(snr)
        widths = jnp.sqrt(1 + snr * variances)
        tail = TAIL[real_dtype(snr, means)]
        lower, upper = (root * means - tail * widths).min(), (root * means + tail * widths).max()
        sorting = jnp.argsort(means)
        sorted_means, log_weights = root * means[sorting], jnp.log(weights[sorting])
        gaps = sorted_means[1:] - sorted_means[:-1]
        # Where two neighbouring atoms are equally probable, and the width of the change-over. It
        # never lies outside of the components' bulk by more than the tail.
        safe = jnp.maximum(gaps, 1e-3)
        shift = jnp.clip((log_weights[:-1] - log_weights[1:]) / safe, -tail, tail)
        boundaries = 0.5 * (sorted_means[1:] + sorted_means[:-1]) + shift
        layers = jnp.minimum(1 / safe, 1.0)
        if self._atoms_alone:
            farther = 0.5 * gaps + jnp.abs(shift)
            return _atoms_rule(root * means, boundaries, farther, layers, lower, upper, order)
        landmarks = jnp.concatenate([root * means, boundaries])
        layers = jnp.concatenate([jnp.ones_like(widths), layers])
        return graded_panels(landmarks, layers, lower, upper, order, subdivisions=3)

    @property
    def _atoms_alone(self) -> bool:
        return False

    def dimension(self) -> Scalar:
        """Total weight of the components that are not atoms."""
        weights, _, variances = self.components()
        return jnp.sum(jnp.where(variances > 0, weights, 0.0))

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws of the weight."""
        weights, means, variances = self.components()
        which, normal = jax.random.split(key)
        index = jax.random.choice(which, means.shape[0], shape, p=weights)
        noise = jax.random.normal(normal, shape, means.dtype)
        return means[index] + jnp.sqrt(variances[index]) * noise


def _pack(*columns) -> _Components:
    """Component columns of scalars, stacked in their common floating-point type."""
    dtype = real_dtype(*(x for column in columns for x in column))
    weights, means, variances = (
        jnp.stack([jnp.asarray(x, dtype) for x in column]) for column in columns
    )
    return weights, means, variances


class Gaussian(AbstractMixture):
    r"""$w \sim \mathcal N(\text{mean}, \text{variance})$; the spherical perceptron's weights.

    Example:
        >>> import jaxsp
        >>> prior = jaxsp.priors.Gaussian(variance=2.0)
        >>> round(float(prior.second_moment()), 6)
        2.0
    """

    mean: ScalarLike = 0.0
    variance: ScalarLike = 1.0

    def __check_init__(self):
        check_number("mean", self.mean)
        check_number("variance", self.variance, minimum=0.0, strict=True)

    def components(self) -> _Components:
        """One component."""
        return _pack([1.0], [self.mean], [self.variance])

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Gauss-Hermite points, exact: means are linear in the Gaussian observation, information quadratic.

        Derivatives in the snr multiply these polynomials by others: points for degree 31 are enough for
        a dozen of them.
        """
        _, (mean,), (variance,) = self.components()
        rule = gauss_hermite(16, real_dtype(snr, mean))
        spread = jnp.sqrt(1 + snr * variance)
        # Weights of dy, not of the observation's law.
        unit = spread * jnp.exp(-log_normal_density(rule.nodes, jnp.ones_like(rule.nodes)))
        nodes = jnp.sqrt(snr) * mean + spread * rule.nodes
        return Rule(nodes, rule.weights * unit, rule.coarse_weights * unit)


class Rademacher(AbstractMixture):
    r"""$w = \pm 1$ with $\mathbb E w$ = `bias`: binary weights.

    Example:
        >>> import jaxsp
        >>> mean, variance = jaxsp.priors.Rademacher(bias=0.5).moments()
        >>> round(float(mean), 6), round(float(variance), 6)
        (0.5, 0.75)
    """

    bias: ScalarLike = 0.0
    unbiased: bool = eqx.field(static=True, init=False)

    def __post_init__(self):
        # Known when the prior is made: a traced or batched bias is taken as any other.
        self.unbiased = isinstance(self.bias, float | int) and self.bias == 0

    def __check_init__(self):
        check_number("bias", self.bias, minimum=-1.0, maximum=1.0, strict=True)

    def components(self) -> _Components:
        """Two atoms."""
        return _pack([(1 - self.bias) / 2, (1 + self.bias) / 2], [-1.0, 1.0], [0.0, 0.0])

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Panels around the two atoms and the boundary between them; half of that without bias."""
        if not self.unbiased:
            return super().observation_rule(snr, order)
        root = jnp.sqrt(snr)
        tail = root + TAIL[real_dtype(snr)]
        width = 1 / jnp.maximum(2 * root, 1.0)
        origin = jnp.zeros_like(root)
        return _atoms_rule(
            root[None], origin[None], root[None], width[None], -tail, tail, order, even=True
        )

    @property
    def _atoms_alone(self) -> bool:
        return True


class GaussBernoulli(AbstractMixture):
    r"""$w = 0$ with probability $1 - \text{sparsity}$, else $\mathcal N(\text{mean}, \text{variance})$.

    Sparse weights; `sparsity` is the fraction that is not zero.

    Example:
        >>> import jaxsp
        >>> round(float(jaxsp.priors.GaussBernoulli(sparsity=0.2).second_moment()), 6)
        0.2
    """

    sparsity: ScalarLike
    mean: ScalarLike = 0.0
    variance: ScalarLike = 1.0
    centred: bool = eqx.field(static=True, init=False)

    def __post_init__(self):
        self.centred = isinstance(self.mean, float | int) and self.mean == 0

    def __check_init__(self):
        check_number("sparsity", self.sparsity, minimum=0.0, maximum=1.0)
        check_number("sparsity", self.sparsity, minimum=0.0, strict=True)
        check_number("mean", self.mean)
        check_number("variance", self.variance, minimum=0.0, strict=True)

    def components(self) -> _Components:
        """The atom and the Gaussian."""
        return _pack([1 - self.sparsity, self.sparsity], [0.0, self.mean], [0.0, self.variance])

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        """Panels around the atom, the bulk, and where they are equally probable."""
        spread = 1 + snr * self.variance
        centre = jnp.sqrt(snr) * self.mean
        tail = TAIL[real_dtype(snr)]
        # y^2/2 - (y - c)^2/(2 s) = log odds of the atom at the origin.
        odds = jnp.maximum(1 - self.sparsity, 1e-6) / self.sparsity * jnp.sqrt(spread)
        a, b = 0.5 * (1 - 1 / spread), centre / spread
        c = -0.5 * centre * centre / spread - jnp.log(odds)
        root = jnp.sqrt(jnp.maximum(b * b - 4 * a * c, 0.0))
        edges = jnp.array([1.0, -1.0], root.dtype) * root - b
        edges = edges / jnp.maximum(2 * a, jnp.finfo(a.dtype).tiny)
        edges = jnp.clip(edges, -4 * tail, 4 * tail)
        layers = 1 / jnp.maximum(jnp.abs(edges), 1.0)
        reach = tail * jnp.sqrt(spread)
        origin = jnp.zeros_like(root)
        if self.centred:
            return graded_panels(
                jnp.stack([origin, edges[0]]), jnp.stack([origin + 1, layers[0]]),
                -reach, reach, order, subdivisions=3, even=True,
            )  # fmt: skip
        landmarks = jnp.stack([origin, centre, *edges])
        widths = jnp.stack([origin + 1, jnp.sqrt(spread), *layers])
        lower, upper = jnp.minimum(-tail, centre - reach), jnp.maximum(tail, centre + reach)
        return graded_panels(landmarks, widths, lower, upper, order, subdivisions=3)


class Discrete(AbstractMixture):
    r"""$w$ takes finitely many `values` with the given probabilities: ternary weights and the like.

    Example:
        >>> import jax.numpy as jnp, jaxsp
        >>> ternary = jaxsp.priors.Discrete(jnp.array([-1.0, 0.0, 1.0]), jnp.array([0.25, 0.5, 0.25]))
        >>> mean, variance = ternary.moments()
        >>> round(float(variance), 6)
        0.5
    """

    values: Float[Array, " k"]
    weights: Float[Array, " k"]

    def __check_init__(self):
        _check_weights(self.weights, values=self.values)

    def components(self) -> _Components:
        """One atom for each value."""
        return self.weights, self.values, jnp.zeros_like(self.values)

    @property
    def _atoms_alone(self) -> bool:
        return True


class GaussianMixture(AbstractMixture):
    r"""$P_w = \sum_k p_k\, \mathcal N(\mu_k, v_k)$; a variance of zero is an atom.

    Example:
        >>> import jax.numpy as jnp, jaxsp
        >>> half = jnp.array([0.5, 0.5])
        >>> prior = jaxsp.priors.GaussianMixture(half, jnp.array([-1.0, 1.0]), jnp.array([0.1, 0.1]))
        >>> round(float(prior.second_moment()), 6)
        1.1
    """

    weights: Float[Array, " k"]
    means: Float[Array, " k"]
    variances: Float[Array, " k"]

    def __check_init__(self):
        _check_weights(self.weights, means=self.means, variances=self.variances)
        check_number("variances", self.variances, minimum=0.0)

    def components(self) -> _Components:
        """The components."""
        return self.weights, self.means, self.variances


def _check_weights(weights: Array, **others: Array) -> None:
    for name, array in others.items():
        check_shape(name, array, weights.shape, f"{weights.shape}, one entry for each weight")
        check_number(name, array)
    check_number("weights", weights, minimum=0.0, maximum=1.0)
    if is_concrete(weights) and abs(float(jnp.sum(weights)) - 1) > 1e-5:
        raise ValueError(
            f"Argument `weights` must sum to 1, but sums to {float(jnp.sum(weights)):.6g}."
        )
