r"""The K weights of one input, seen through Gaussian noise.

They are observed as $\sqrt r\, w + \xi$ with a K x K matrix r of signal-to-noise ratios. For mixtures of
Gaussians and atoms, all sums over the components of the K weights are done exactly.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import Rule, log_sum_exp, product, trapezoid
from ..priors import Gaussian, Prior
from ..priors._mixture import AbstractMixture
from ._points import PRODUCT_UNITS, relative_spread, replicated
from .model import CommitteeMachine
from .outputs import symmetric
from .overlaps import lower_root

# Seeds of the points for the noise, apart from those for the fields.
_NOISE = 900


class VectorPotential(eqx.Module):
    r"""The K weights of one input observed at signal-to-noise r.

    Attributes:
        overlap: $q = \mathbb E \langle w \rangle \langle w \rangle^T$: its two eigenvalues for the
            symmetric ansatz, or the K x K matrix.
        error: $\mathbb E\, \mathrm{Cov}(w|y) = \rho - q$, as a sum of positive terms.
        negative_information: $\Psi = \Phi_w(r) - \mathrm{Tr}(\rho r)/2$, minus the mutual information
            between the weights and their observation.
        normalisation: total probability of the observation; one, up to the quadrature.
        statistical_error: of Monte Carlo averages the standard error of the overlap, relative to its largest
            entry; zero for quadratures and closed forms.
    """

    overlap: Float[Array, "..."]
    error: Float[Array, "..."]
    negative_information: Scalar
    normalisation: Scalar
    statistical_error: Scalar


def log_partition(prior: Prior, A: Float[Array, "K K"], b: Float[Array, " K"]) -> Scalar:
    r"""$\log \mathbb E_w \exp(b \cdot w - w^T A w / 2)$ for K independent weights."""
    K = b.shape[0]
    if K == 1:
        return prior.log_partition(A[0, 0], b[0])
    weights, means, variances = _mixture(prior).components()

    def term(indices):
        index = jnp.asarray(indices)
        mean, variance = means[index], variances[index]
        exponent = jnp.sum(jnp.log(weights[index])) + b @ mean - 0.5 * mean @ A @ mean
        if _atoms_alone(prior):
            return exponent
        # (S^-1 + A)^-1 written so that S may vanish; an inverse, as A is common to a batch of fields.
        field = b - A @ mean
        spread = jnp.eye(K, dtype=b.dtype) + variance[:, None] * A
        exponent = exponent + 0.5 * field @ (jnp.linalg.inv(spread) @ (variance * field))
        return exponent - 0.5 * jnp.linalg.slogdet(spread)[1]

    components = itertools.product(range(weights.shape[0]), repeat=K)
    return log_sum_exp(tuple(map(term, components)))


def denoise(
    prior: Prior, A: Float[Array, "K K"], b: Float[Array, " K"]
) -> tuple[Float[Array, " K"], Float[Array, "K K"]]:
    """Posterior mean and covariance of the K weights."""
    if isinstance(prior, Gaussian):
        # One component: no sum to be differentiated.
        variance = jnp.asarray(prior.variance, b.dtype)
        identity = jnp.eye(b.shape[0], dtype=b.dtype)
        covariance = variance * jnp.linalg.inv(identity + variance * A)
        return covariance @ (b + prior.mean / variance), covariance
    slope = jax.grad(log_partition, 2)
    return slope(prior, A, b), jax.jacfwd(slope, 2)(prior, A, b)


@eqx.filter_jit
def symmetric_weights(
    model: CommitteeMachine, r: Float[Array, " 2"], order: int
) -> VectorPotential:
    """Expectations for a symmetric r, given by its eigenvalues (difference, sum)."""
    K, prior = model.hidden_units, model.prior
    if isinstance(prior, Gaussian):
        mean, variance = prior.moments()
        gain = 1 + variance * r
        error = variance / gain
        centre = jnp.stack([jnp.zeros_like(mean), K * mean**2])
        multiplicity = jnp.asarray([K - 1.0, 1.0], r.dtype)
        information = 0.5 * jnp.sum(multiplicity * jnp.log(gain))
        one = jnp.ones_like(information)
        return VectorPotential(centre + variance * r * error, error, -information, one, 0 * one)
    positive = r > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, r, 1.0)), 0.0)
    if K == 2:
        # Noise of the difference and of the sum: the sum over the teacher's components is the same for
        # either sign of the first (units exchanged), and of the second if the prior is even.
        turn = jnp.asarray([[1.0, 1.0], [-1.0, 1.0]], r.dtype) / math.sqrt(2)
        mirrors = (True, _is_even(prior))
        found = _through_noise(model, symmetric(r, K), turn * root, order, mirrors)
    else:
        found = _through_noise(model, symmetric(r, K), symmetric(root, K), order, alike=True)
    return eqx.tree_at(
        lambda f: (f.overlap, f.error), found, (as_pair(found.overlap), as_pair(found.error))
    )


@eqx.filter_jit
def full_weights(model: CommitteeMachine, r: Float[Array, "K K"], order: int) -> VectorPotential:
    """Expectations for any r."""
    K, prior = model.hidden_units, model.prior
    identity = jnp.eye(K, dtype=r.dtype)
    if isinstance(prior, Gaussian):
        mean, variance = prior.moments()
        gain = identity + variance * r
        error = variance * jnp.linalg.inv(gain)
        information = 0.5 * jnp.linalg.slogdet(gain)[1]
        one = jnp.ones_like(information)
        overlap = mean**2 * jnp.ones_like(r) + variance * r @ error
        return VectorPotential(overlap, error, -information, one, 0 * one)
    return _through_noise(model, r, lower_root(r), order)


class Response(eqx.Module):
    r"""What is known of unspecialised weights, and how they respond to a first specialisation.

    Attributes:
        potential: the expectations at $r_d = 0$.
        response: $\partial q_d / \partial r_d$ there.
    """

    potential: VectorPotential
    response: Scalar


@eqx.filter_jit
def unspecialized_weights(model: CommitteeMachine, r: Scalar, order: int) -> Response:
    r"""Expectations when nothing but the sum of the units is observed.

    To first order $q_d = r_d\, \mathbb E\, C_d^2$ with $C_d$ the posterior variance of a difference.
    """
    K, prior = model.hidden_units, model.prior
    pair = jnp.stack([jnp.zeros_like(r), r])
    if isinstance(prior, Gaussian):
        found = symmetric_weights(model, pair, order)
        return Response(found, found.error[0] ** 2)
    positive = r > 0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, r, 1.0)), 0.0)
    axis = jnp.full(K, K**-0.5, r.dtype)
    weights, means, variances = _mixture(prior).components()
    noise = trapezoid(16 * order + 1, 3.0, r.dtype)
    matrix = symmetric(pair, K)

    def from_component(component):
        index, repeats = component
        spread = jnp.sqrt(1 + r * jnp.mean(variances[index]))
        centre = root * (axis @ means[index])

        def at(z):
            observation = centre + spread * z
            field = root * observation * axis
            m, C = denoise(prior, matrix, field)
            information = log_partition(prior, matrix, field) - 0.5 * observation**2 + 0.5
            one = jnp.ones_like(information)
            overlap, error = as_pair(jnp.outer(m, m)), as_pair(C)
            potential = VectorPotential(overlap, error, information, one, 0 * one)
            return Response(potential, error[0] ** 2)

        values = jax.vmap(at)(noise.nodes)
        probability = repeats * jnp.prod(weights[index])
        return jax.tree.map(lambda v: probability * jnp.tensordot(noise.weights, v, axes=1), values)

    # The units are alike.
    parts = jax.lax.map(from_component, _components(weights.shape[0], K, True))
    return jax.tree.map(lambda v: jnp.sum(v, axis=0), parts)


def as_pair(matrix: Float[Array, "K K"]) -> Float[Array, " 2"]:
    """The eigenvalues (difference, sum) of a permutation-symmetric matrix.

    A single unit has no differences; the first entry is then inert.
    """
    K = matrix.shape[0]
    total = jnp.sum(matrix) / K
    other = (jnp.trace(matrix) - total) / (K - 1) if K > 1 else total
    return jnp.stack([other, total])


def _through_noise(
    model: CommitteeMachine,
    r: Float[Array, "K K"],
    root: Float[Array, "K K"],
    order: int,
    mirrors: tuple[bool, ...] = (),
    *,
    alike: bool = False,
) -> VectorPotential:
    """Sum over the teacher's components, and a quadrature of the noise; `root @ root.T` is r.

    Where `mirrors` says so, either sign of an entry of the noise gives the same, and one is enough. If the
    units are `alike`, so are components that differ by a permutation of them, of which one is then gone
    through: only what permutations do not change is right.
    """
    K = model.hidden_units
    if K <= PRODUCT_UNITS:
        rule = _noise_rule(K, r.dtype, order, mirrors or K * (False,))
        return _over_noise(model, r, root, rule, alike=alike)
    sets = replicated(K, 64 * order, order + _NOISE, r.dtype)
    values = jax.lax.map(lambda rule: _over_noise(model, r, root, rule, alike=alike), sets)
    found = jax.tree.map(lambda v: jnp.mean(v, axis=0), values)
    # Alike units have an overlap only up to what permutations change.
    overlaps = jax.vmap(as_pair)(values.overlap) if alike else values.overlap
    return eqx.tree_at(lambda f: f.statistical_error, found, relative_spread(overlaps, overlaps))


def _over_noise(
    model: CommitteeMachine,
    r: Float[Array, "K K"],
    root: Float[Array, "K K"],
    rule: Rule,
    *,
    alike: bool,
) -> VectorPotential:
    """The same with given points for the noise."""
    K, prior = model.hidden_units, model.prior
    identity = jnp.eye(K, dtype=r.dtype)
    weights, means, variances = _mixture(prior).components()

    def from_component(component):
        index, repeats = component
        mean, variance = means[index], variances[index]
        probability = repeats * jnp.prod(weights[index])
        spread = identity + root.T @ (variance[:, None] * root)
        scale = identity if _atoms_alone(prior) else jnp.linalg.cholesky(spread)

        def at(noise):
            observation = root.T @ mean + scale @ noise
            field = root @ observation
            m, C = denoise(prior, r, field)
            # The entropy of the noise is that of K standard normal numbers.
            information = log_partition(prior, r, field) - 0.5 * observation @ observation + 0.5 * K
            one = jnp.ones_like(information)
            return VectorPotential(jnp.outer(m, m), C, information, one, 0 * one)

        values = jax.vmap(at)(rule.nodes)
        return jax.tree.map(lambda v: probability * jnp.tensordot(rule.weights, v, axes=1), values)

    parts = jax.lax.map(from_component, _components(weights.shape[0], K, alike))
    return jax.tree.map(lambda v: jnp.sum(v, axis=0), parts)


def _components(count: int, units: int, alike: bool) -> tuple[Array, Array]:
    """Which component each unit's weight has, and how often such a choice occurs."""
    if alike:
        chosen = list(itertools.combinations_with_replacement(range(count), units))
    else:
        chosen = list(itertools.product(range(count), repeat=units))
    orders = math.factorial(units)
    repeats = [
        orders // math.prod(math.factorial(pick.count(c)) for c in set(pick)) if alike else 1
        for pick in chosen
    ]
    return jnp.asarray(chosen), jnp.asarray(repeats)


def _noise_rule(K: int, dtype, order: int, mirrors: tuple[bool, ...]) -> Rule:
    """K independent standard normal numbers: the trapezoid rule, exponentially accurate here."""
    points = {1: 16 * order, 2: 8 * order + 32, 3: 3 * order}[K] | 1
    rule = trapezoid(points, 3.0, dtype)
    weights = np.where(np.arange(points) == points // 2, 1.0, 2.0)
    half = jax.tree.map(lambda x: x[points // 2 :], rule)
    half = eqx.tree_at(lambda r: r.weights, half, half.weights * weights[points // 2 :])
    rules = [half if mirrored else rule for mirrored in mirrors]
    return product(*rules)


def _is_even(prior: Prior) -> bool:
    """Whether it is known to be when the program is made."""
    return getattr(prior, "unbiased", False) or getattr(prior, "centred", False)


def _mixture(prior: Prior) -> AbstractMixture:
    if isinstance(prior, AbstractMixture):
        return prior
    raise ValueError(
        "Argument `prior` must be a mixture of Gaussians and atoms (Gaussian, Rademacher, Discrete, "
        f"GaussBernoulli, GaussianMixture) for a committee, but is {type(prior).__name__}."
    )


def _atoms_alone(prior: Prior) -> bool:
    return _mixture(prior)._atoms_alone
