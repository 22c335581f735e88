r"""Replica-symmetric theory of the spiked matrix-tensor model: Bayes optimum and maximum likelihood.

The Bayes optimum is solved for the logarithm $z$ of the effective snr $\hat m = Q'(m)$, maximum
likelihood for the log-odds of the overlap: overlaps next to zero and to one keep their precision.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Flag, Scalar, ScalarLike
from ..mixtures import Mixture
from ..numerics import RESULTS, bracketed_root, frozen, is_concrete, raise_unless_successful
from ._roots import Roots, all_roots
from ._scalar import limits, log_snr_at, log_snr_grid, observe
from .model import MatrixTensor, Spherical, prepared, spherical


class Branches(eqx.Module):
    """All fixed points, by increasing overlap; entry 0 is the uninformative one.

    Where `exists` is false the numbers of an entry are NaN.

    Attributes:
        overlap: $m$.
        free_entropy: free entropy per spin (Bayes optimum), or minus the energy (maximum likelihood).
        exists: whether there is such a fixed point.
        stable: whether it exists and attracts state evolution.
    """

    overlap: Float[Array, "*s k"]
    free_entropy: Float[Array, "*s k"]
    exists: Bool[Array, "*s k"]
    stable: Bool[Array, "*s k"]

    @classmethod
    def of(
        cls, overlap: Array, f: Array, roots: Roots, zero_exists: Flag, zero_stable: Flag
    ) -> "Branches":
        """The uninformative fixed point, whose numbers come first, and the roots."""
        exists = jnp.concatenate([zero_exists[None], roots.exists])
        stable = jnp.concatenate([zero_stable[None], roots.exists & roots.rising])
        nan = jnp.full_like(f, jnp.nan)
        return cls(jnp.where(exists, overlap, nan), jnp.where(exists, f, nan), exists, stable)


class BayesOptimal(eqx.Module):
    r"""The Bayes optimum.

    Attributes:
        overlap: $m = \mathbb E\, \hat x \cdot x^* / N$ of the posterior mean.
        mean_squared_error: $\mathbb E |\hat x - x^*|^2 / N = \rho - m$.
        snr: $\hat m = Q'(m)$, of the effective Gaussian observation of one entry.
        free_entropy: $\phi = \lim \frac1N \mathbb E \log \int dP(x)\, e^{-H(x) - N Q(|x|^2/N)/2}$.
        mutual_information: between the signal and the data, per spin: $Q(\rho)/2 - \phi$.
        energy: $\mathbb E H(x) / N$ of a sample from the posterior, $-Q(\rho)$.
        branches: all fixed points.
        result: `RESULTS.successful`, or why not.
    """

    overlap: Scalar
    mean_squared_error: Scalar
    snr: Scalar
    free_entropy: Scalar
    mutual_information: Scalar
    energy: Scalar
    branches: Branches
    result: RESULTS


class MaximumLikelihood(eqx.Module):
    r"""The minimum of $H$ on the sphere, at the replica-symmetric level.

    Attributes:
        overlap: $m = x \cdot x^* / N$ of the minimiser.
        mean_squared_error: $|x - x^*|^2 / N = 2 (1 - m)$.
        energy: $H(x) / N$ there.
        multiplier: $\mu = -x \cdot \nabla H / N$, the Lagrange multiplier of the sphere.
        replicon: $1 - Q''(1) (1 - m^2) / Q'(1)$. Where it is negative the symmetric solution is
            unstable to replica-symmetry breaking, energy and overlap are approximate, and ML-AMP
            does not settle on a point.
        branches: all fixed points of ML-AMP's state evolution.
        result: `RESULTS.successful`, or why not.
    """

    overlap: Scalar
    mean_squared_error: Scalar
    energy: Scalar
    multiplier: Scalar
    replicon: Scalar
    branches: Branches
    result: RESULTS


def free_entropy(model: MatrixTensor, m: ScalarLike) -> Scalar:
    r"""The replica-symmetric potential at overlap $m$, whose maxima are the stable fixed points.

    $\phi(m) = \Phi_x(\hat m) + \tfrac12 [Q(m) - m \hat m]$ at the $\hat m$ whose posterior has overlap
    $m$; for the spherical signal $\phi(m) = \tfrac12 [\log(1-m) + m + Q(m)]$ (arXiv 1812.09066).

    Args:
        model: the model.
        m: overlap, between those of no and of perfect information: $[0, 1)$ for the sphere.

    Raises:
        ValueError: if `m` is outside.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=4.0)
        >>> round(float(spiked.free_entropy(model, 0.4)), 4)
        0.0044
    """
    model = prepared(model)
    Q = model.covariance
    m = jnp.asarray(m, Q.coefficients.dtype)
    low, rho = limits(model.prior, m.dtype)
    if is_concrete((model, m)) and not bool(jnp.all((m >= low) & (m < rho))):
        raise ValueError(
            f"Argument `m` must be in [{float(low):.6g}, {float(rho):.6g}), but is {m}."
        )
    informed = m > low
    log_snr = log_snr_at(model.prior, jnp.where(informed, m, 0.5 * (low + rho)))
    information = observe(model.prior, log_snr).negative_information
    snr = jnp.where(informed, jnp.exp(log_snr), 0.0)
    return jnp.where(informed, information, 0.0) + 0.5 * ((rho - m) * snr + Q(m))


def bayes_optimal(model: MatrixTensor, *, throw: bool = True) -> BayesOptimal:
    r"""The Bayes-optimal estimate: of all stable fixed points $m = m_x(Q'(m))$ that of largest $\phi$.

    For the spherical signal $m = Q'(m) / (1 + Q'(m))$ (arXiv 1812.09066); for iid entries $m_x(\hat m)$ is
    the overlap of the posterior mean of one entry, observed at the snr $\hat m$.

    Args:
        model: the model.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.

    Returns:
        A `BayesOptimal`, differentiable with respect to the noise variances and the prior.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=4.0)
        >>> round(float(spiked.bayes_optimal(model).overlap), 4)
        0.3392
    """
    found = _bayes_optimal(prepared(model))
    raise_unless_successful(found.result, "bayes_optimal", throw)
    return found


def bayes_residual(model: MatrixTensor, z: Scalar) -> Scalar:
    r"""$z - \log Q'(m_x(e^z))$: zero at the fixed points, rising at the stable ones."""
    return z - _log_slope(model.covariance, observe(model.prior, z).overlap)


@eqx.filter_jit
def _bayes_optimal(model: MatrixTensor) -> BayesOptimal:
    Q, prior = model.covariance, model.prior
    dtype = Q.coefficients.dtype
    low, rho = limits(prior, dtype)
    extrema = 2 * len(model.orders) + (0 if isinstance(prior, Spherical) else 4)
    roots = all_roots(bayes_residual, model, log_snr_grid(prior, dtype), extrema)
    seen = jax.vmap(lambda z: observe(prior, z))(roots.x)
    snr = jnp.exp(roots.x)
    f = seen.negative_information + 0.5 * (seen.error_variance * snr + Q(seen.overlap))

    # With a mean there is no fixed point without information.
    symmetric = low <= jnp.finfo(dtype).eps * rho
    zero_stable = symmetric & (Q.derivative(low, order=2) * rho**2 < 1)
    zero = jnp.zeros(1, dtype)
    overlap = jnp.concatenate([zero, seen.overlap])
    error = jnp.concatenate([rho[None], seen.error_variance])
    snr, f = jnp.concatenate([zero, snr]), jnp.concatenate([zero, f])
    branches = Branches.of(overlap, f, roots, symmetric, zero_stable)
    best = select_branch(branches)
    return BayesOptimal(
        overlap=overlap[best],
        mean_squared_error=error[best],
        snr=snr[best],
        free_entropy=f[best],
        mutual_information=0.5 * Q(rho) - f[best],
        energy=-Q(rho),
        branches=branches,
        result=found_result(branches),
    )


def maximum_likelihood(model: MatrixTensor, *, throw: bool = True) -> MaximumLikelihood:
    r"""Maximum likelihood on the sphere: zero temperature, replica-symmetric.

    Fixed points of ML-AMP's state evolution $m = Q'(m) / \sqrt{Q'(m)^2 + Q'(1)}$ (arXiv 1902.00139) are
    stationary points of $e(m) = -Q(m) - \sqrt{Q'(1) (1 - m^2)}$. The one of least energy is returned; the
    uninformative one enters the comparison with the ground-state energy of the landscape without a
    signal (`uninformed_energy`), since symmetric replicas would take it far too low.

    Args:
        model: the model; its prior must be `spherical`.
        throw: raise a `SolverError` if the solution is not to be trusted; `result` says it too.

    Raises:
        ValueError: if the prior is another one.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
        >>> m = float(spiked.maximum_likelihood(model).overlap)
        >>> slope = 2 * m + m**2 / 4
        >>> abs(m - slope / (slope**2 + 2.25) ** 0.5) < 1e-6
        True
    """
    check_spherical(model)
    found = _maximum_likelihood(prepared(model))
    raise_unless_successful(found.result, "maximum_likelihood", throw)
    return found


def ml_residual(Q: Mixture, x: Scalar) -> Scalar:
    r"""$\log\frac{m}{\sqrt{1-m^2}} - \log\frac{Q'(m)}{\sqrt{Q'(1)}}$ at the log-odds $x$ of the overlap."""
    m, V = jax.nn.sigmoid(x), jax.nn.sigmoid(-x)
    noise = 0.5 * jnp.log(Q.derivative(jnp.ones_like(x)))
    return -jax.nn.softplus(-x) - 0.5 * (jnp.log(V) + jnp.log1p(m)) - _log_slope(Q, m) + noise


@eqx.filter_jit
def _maximum_likelihood(model: MatrixTensor) -> MaximumLikelihood:
    Q = model.covariance
    dtype = Q.coefficients.dtype
    one = jnp.ones((), dtype)
    extrema = 2 * len(model.orders)
    roots = all_roots(ml_residual, Q, log_snr_grid(spherical, dtype), extrema)
    m, V = jax.nn.sigmoid(roots.x), jax.nn.sigmoid(-roots.x)
    noise, curvature = Q.derivative(one), Q.derivative(one, order=2)
    energy = -Q(m) - jnp.sqrt(noise * V * (1 + m))
    zero_stable = Q.derivative(0 * one, order=2) ** 2 < noise
    uninformed = uninformed_energy(Q)
    overlap = jnp.concatenate([jnp.zeros(1, dtype), m])
    error = jnp.concatenate([jnp.ones(1, dtype), V])
    energies = jnp.concatenate([uninformed[None], energy])
    branches = Branches.of(overlap, -energies, roots, jnp.asarray(True), zero_stable)
    best = select_branch(branches)
    m, V = overlap[best], error[best]
    slope = jnp.sqrt(Q.derivative(m) ** 2 + noise)
    # Without overlap the multiplier is that of marginal minima.
    marginal = 2 * jnp.sqrt(curvature)
    return MaximumLikelihood(
        overlap=m,
        mean_squared_error=2 * V,
        energy=energies[best],
        multiplier=jnp.where(best == 0, marginal, slope + curvature / slope),
        replicon=1 - curvature * V * (1 + m) / noise,
        branches=branches,
        result=found_result(branches),
    )


def uninformed_energy(Q: Mixture) -> Scalar:
    r"""Ground-state energy of the landscape without a signal, with one step of replica-symmetry breaking.

    $$ e_0 = -\min_{\chi, y > 0} \tfrac12 \Big[ \chi Q'(1) + y Q(1) + \tfrac1y \log(1 + y/\chi) \Big] $$

    (the zero-temperature limit of Crisanti and Sommers 1992). It is exact for pure $p$-spin models with
    $p \ge 3$; for mixtures with a full hierarchy it is a lower bound.

    Args:
        Q: covariance function of the landscape.

    Example:
        >>> from jaxsp import spiked
        >>> round(float(-(2**0.5) * spiked.uninformed_energy(spiked.pure_p_spin(3))), 4)
        1.657
    """
    one = jnp.ones((), Q.coefficients.dtype)
    level, slope = Q(one), Q.derivative(one)

    # With u = y / chi, stationarity in chi is chi^2 Q'(1) = 1 / (1 + u), that in y the condition.
    def condition(w):
        u = jnp.exp(w)
        return level / slope - (1 + u) * _gain(u)

    reach = 30.0 if level.dtype == jnp.float64 else 12.0
    w = bracketed_root(condition, -reach, reach).value
    u = jnp.exp(w)
    chi = 1 / jnp.sqrt(slope * (1 + u))
    y = u * chi
    return -0.5 * (chi * slope + y * level + jnp.log1p(u) / y)


def _gain(u: Scalar) -> Scalar:
    r"""$[\log(1+u) - u/(1+u)] / u^2$ for $u > 0$, by its series where the difference would cancel."""
    small = u < 1e-2
    safe = jnp.where(small, 1.0, u)
    direct = (jnp.log1p(safe) - safe / (1 + safe)) / safe**2
    v = jnp.where(small, u, 0.0)
    series = jnp.zeros_like(v)
    for k in range(9, 1, -1):
        series = (1 - 1 / k) * (-1) ** k + v * series
    return jnp.where(small, series, direct)


def check_spherical(model: MatrixTensor) -> None:
    """Refuse a separable prior where the theory is that of the sphere."""
    if not isinstance(model.prior, Spherical):
        raise ValueError(
            "Argument `model` must have the prior `spherical` here, but has "
            f"{type(model.prior).__name__}."
        )


def _log_slope(Q: Mixture, m: Scalar) -> Scalar:
    """Log Q'(m), finite where there is no information at all."""
    return jnp.log(jnp.maximum(Q.derivative(m), jnp.finfo(m.dtype).tiny))


def select_branch(branches: Branches) -> Array:
    """Index of the stable branch of largest free entropy."""
    f = frozen(branches.free_entropy)
    return jnp.argmax(jnp.where(branches.stable, f, -jnp.inf))


def found_result(branches: Branches) -> RESULTS:
    """Whether any stable branch was found."""
    return RESULTS.where(jnp.any(branches.stable), RESULTS.successful, RESULTS.no_fixed_point)
