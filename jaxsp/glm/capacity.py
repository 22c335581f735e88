r"""Storage capacity: how many random labels a perceptron can learn by heart.

The replica-symmetric entropy per weight of the perceptron that stores $\alpha p$ random labels at
margin $\kappa$ (Gardner 1988; Gardner and Derrida 1989; Krauth and Mezard 1989),

$$ s = \mathrm{extr}_{q, \hat q, A} \Big[ \mathbb E_z \log Z_w(A, \sqrt{\hat q}\, z)
   + \tfrac12 A - \tfrac12 \hat q (1 - q)
   + \alpha\, \mathbb E_v \log \Phi\Big(\frac{\sqrt q\, v - \kappa}{\sqrt{1 - q}}\Big) \Big], $$

from the same log-partition functions as the Bayes-optimal theory; $A$ keeps the weights on the sphere.
By the heat equation the energetic term's derivative in $q$ is minus half the information
$F(q) = \mathbb E g^2$, so every extremum lies on the explicit curve $\alpha = \hat q / F(q)$.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    RESULTS,
    bracketed_root,
    gaussian_panels,
    integrate,
    inverse_mills,
    log_ndtr,
    numbers_as_arrays,
    raise_unless_successful,
    real_dtype,
)
from ..priors import Gaussian, Prior, Rademacher


class StorageEntropy(eqx.Module):
    r"""The replica-symmetric entropy of solutions, per weight.

    Attributes:
        entropy: $s$ in nats; counts solutions for binary weights (log 2 at alpha = 0), and is the
            logarithm of the fraction of the sphere for spherical ones (0 at alpha = 0).
        overlap: $q$, the overlap of two solutions.
        conjugate_overlap: $\hat q$.
        residual: relative violation of $\alpha F = \hat q$.
        result: `RESULTS.no_fixed_point` beyond the alpha at which $q = 1$.
    """

    entropy: Float[Array, "..."]
    overlap: Float[Array, "..."]
    conjugate_overlap: Float[Array, "..."]
    residual: Float[Array, "..."]
    result: RESULTS


class StorageCapacity(eqx.Module):
    r"""The largest alpha at which all labels can be stored.

    Attributes:
        capacity: $\alpha_c(\kappa)$.
        overlap: overlap of two solutions there (1 for spherical weights).
        result: `RESULTS.successful`, or why not.
    """

    capacity: Float[Array, "..."]
    overlap: Float[Array, "..."]
    result: RESULTS


class _Weights(NamedTuple):
    """The entropic side at one point of the curve: overlap, 1 - overlap, conjugate, entropic term."""

    q: Scalar
    V: Scalar
    conjugate: Scalar
    entropy: Scalar


def storage_entropy(
    prior: Prior, alpha: ScalarLike, margin: ScalarLike = 0.0, *, throw: bool = True
) -> StorageEntropy:
    r"""Entropy of the perceptrons that store alpha p random labels at a margin.

    Args:
        prior: `Gaussian()` for weights on the sphere $|w|^2 = p$, `Rademacher()` for binary ones.
        alpha: number of labels over number of weights, at least 0.
        margin: $\kappa$. For spherical weights and $\kappa < 0$ replica symmetry is broken and the
            result is an upper bound.
        throw: raise a `SolverError` if there is no replica-symmetric solution.

    Example:
        >>> from jaxsp import glm, priors
        >>> s = glm.storage_entropy(priors.Rademacher(), 0.5)
        >>> bool(0 < s.entropy < 0.6931)
        True
    """
    check_number("alpha", alpha, minimum=0.0)
    check_number("margin", margin)
    _check_prior(prior)
    dtype = real_dtype(alpha, margin)
    prior = numbers_as_arrays(prior, dtype)
    found = _entropy(prior, jnp.asarray(alpha, dtype), jnp.asarray(margin, dtype))
    raise_unless_successful(found.result, "storage_entropy", throw)
    return found


def storage_capacity(
    prior: Prior, margin: ScalarLike = 0.0, *, throw: bool = True
) -> StorageCapacity:
    r"""The storage capacity at a margin, differentiable in it.

    Spherical weights: where the volume of solutions shrinks to a point, $q \to 1$:
    $\alpha_c^{-1} = \int_{-\kappa}^\infty Dt\, (t + \kappa)^2$ (Gardner 1988), 2 at $\kappa = 0$. Binary
    weights: where the replica-symmetric entropy vanishes (Krauth and Mezard 1989), 0.833 at
    $\kappa = 0$.

    Args:
        prior: `Gaussian()` for weights on the sphere $|w|^2 = p$, `Rademacher()` for binary ones.
        margin: $\kappa$; see `storage_entropy` for negative ones.
        throw: raise a `SolverError` if it is not found.

    Example:
        >>> from jaxsp import glm, priors
        >>> round(float(glm.storage_capacity(priors.Gaussian()).capacity), 6)
        2.0
    """
    check_number("margin", margin)
    _check_prior(prior)
    margin = jnp.asarray(margin, real_dtype(margin))
    found = _capacity(numbers_as_arrays(prior, margin.dtype), margin)
    raise_unless_successful(found.result, "storage_capacity", throw)
    return found


def _check_prior(prior: Prior) -> None:
    spherical = isinstance(prior, Gaussian)
    if spherical:
        check_number("prior.mean", prior.mean, minimum=0.0, maximum=0.0)
        check_number("prior.variance", prior.variance, minimum=1.0, maximum=1.0)
    elif not (isinstance(prior, Rademacher) and prior.unbiased):
        raise ValueError(
            "Argument `prior` must be `Gaussian()` (spherical weights) or `Rademacher()` (binary "
            f"weights), but is {prior}."
        )


def _weights(prior: Prior, x: Scalar) -> _Weights:
    """The entropic side at x = log of the conjugate (binary) or of q / (1 - q) (spherical)."""
    if isinstance(prior, Gaussian):
        # Stationarity in A and in the conjugate: 1 + A = 1 / V and conjugate = q / V^2. There the
        # terms A / 2 and conjugate (1 - q) / 2 cancel, and E log Z_w = (log V + q / V) / 2 is left.
        q, V = jax.nn.sigmoid(x), jax.nn.sigmoid(-x)
        return _Weights(q, V, q / V**2, 0.5 * (jax.nn.log_sigmoid(-x) + q / V))
    conjugate = jnp.exp(x)
    root = jnp.sqrt(conjugate)
    width = 1 / jax.lax.stop_gradient(jnp.maximum(root, 1.0))
    rule = gaussian_panels(jnp.zeros_like(x)[None], width[None], even=True, subdivisions=3)

    def at(z):
        mean, variance = prior.denoise(conjugate, root * z)
        return mean**2, variance, prior.log_partition(conjugate, root * z)

    q, V, log_z = integrate(at, rule).value
    # On the sphere already: A drops out, and the number of weights enters with its logarithm.
    entropy = math.log(2) + log_z + 0.5 * conjugate - 0.5 * conjugate * V
    return _Weights(q, V, conjugate, entropy)


def _labels(q: Scalar, V: Scalar, margin: Scalar) -> tuple[Scalar, Scalar]:
    """Energetic term and information in a label, with the layer at the margin resolved."""
    root, deviation = jnp.sqrt(q), jnp.sqrt(V)
    centre, width = jax.lax.stop_gradient((margin / root, deviation / root))
    rule = gaussian_panels(
        jnp.clip(centre, -30.0, 30.0)[None], jnp.minimum(width, 30.0)[None], subdivisions=3
    )

    def at(v):
        u = (root * v - margin) / deviation
        return log_ndtr(u), (inverse_mills(u) / deviation) ** 2

    return integrate(at, rule).value


def _log_alpha(prior: Prior, x: Scalar, margin: Scalar) -> Scalar:
    side = _weights(prior, x)
    return jnp.log(side.conjugate) - jnp.log(_labels(side.q, side.V, margin)[1])


def _range(prior: Prior, dtype: jnp.dtype) -> tuple[Scalar, Scalar]:
    """Ends of the curve in x; beyond the upper one V underflows."""
    low, high = (-30.0, 9.0) if dtype == jnp.float64 else (-14.0, 4.0)
    high = 2.2 * high if isinstance(prior, Gaussian) else high
    return jnp.asarray(low, dtype), jnp.asarray(high, dtype)


@eqx.filter_jit
def _entropy(prior: Prior, alpha: Scalar, margin: Scalar) -> StorageEntropy:
    low, high = _range(prior, alpha.dtype)
    positive = alpha > 0
    target = jnp.log(jnp.where(positive, alpha, 1.0))
    root = bracketed_root(lambda x: _log_alpha(prior, x, margin) - target, low, high)
    side = _weights(prior, root.value)
    energy, information = _labels(side.q, side.V, margin)
    # Few labels: overlaps vanish, and the energetic term is that of independent weights.
    few = ~positive | (target < _log_alpha(prior, low, margin))
    at_start = math.log(2) if isinstance(prior, Rademacher) else 0.0
    entropy = jnp.where(few, at_start + alpha * log_ndtr(-margin), side.entropy + alpha * energy)
    residual = jnp.abs(alpha * information / side.conjugate - 1)
    result = RESULTS.where(
        root.result == RESULTS.not_bracketed, RESULTS.no_fixed_point, root.result
    )
    return StorageEntropy(
        entropy=entropy,
        overlap=jnp.where(few, 0.0, side.q),
        conjugate_overlap=jnp.where(few, 0.0, side.conjugate),
        residual=jax.lax.stop_gradient(jnp.where(few, 0.0, residual)),
        result=RESULTS.where(few, RESULTS.successful, result),
    )


@eqx.filter_jit
def _capacity(prior: Prior, margin: Scalar) -> StorageCapacity:
    if isinstance(prior, Gaussian):
        density = jnp.exp(-0.5 * margin**2) / math.sqrt(2 * math.pi)
        inverse = (1 + margin**2) * jax.scipy.special.ndtr(margin) + margin * density
        good = RESULTS.where(inverse > 0, RESULTS.successful, RESULTS.nonfinite)
        return StorageCapacity(1 / inverse, jnp.ones_like(margin), good)

    def entropy(x):
        side = _weights(prior, x)
        energy, information = _labels(side.q, side.V, margin)
        return side.entropy + side.conjugate / information * energy

    low, high = _range(prior, margin.dtype)
    root = bracketed_root(entropy, low, high)
    side = _weights(prior, root.value)
    capacity = jnp.exp(_log_alpha(prior, root.value, margin))
    return StorageCapacity(capacity, side.q, root.result)
