r"""How many minima the landscape has, and what its Hessian looks like there (arXiv 1902.00139, 1907.08226).

The annealed complexity $\Sigma = \lim \frac1N \log \mathbb E\, \mathcal N$ counts critical points of $H$ on
the sphere by the Kac-Rice formula. With $Q$ the covariance function, $m$ the overlap with the signal and
$e_p$ the energies per spin of the interactions,

$$ \Sigma = \tfrac12 \log\frac{Q''(1)}{Q'(1)} + \tfrac12 \log(1-m^2) - \frac{Q'(m)^2 (1-m^2)}{2 Q'(1)}
   - \sum_p \frac{(e_p + Q_p(m))^2}{2 Q_p(1)} + \Phi(t) - L(\theta, t), $$

where $Q_p$ is the part of $Q$ of degree $p$. The Hessian at such a point is a matrix of the Gaussian
orthogonal ensemble, shifted and with one spike along the signal: in units of $\sqrt{Q''(1)}$ its bulk is
$[t - 2, t + 2]$ and its outlier $t - \theta - 1/\theta$ (where $\theta > 1$), with

$$ t = \frac{\mu}{\sqrt{Q''(1)}} = -\frac{\sum_p p\, e_p}{\sqrt{Q''(1)}}, \qquad
   \theta = \frac{Q''(m) (1-m^2)}{\sqrt{Q''(1)}}. $$

$\Phi(t) = \frac{t^2}{4} - \mathbb 1_{|t|>2} \big[\frac{|t|}{4}\sqrt{t^2-4}
- \log\frac{|t|+\sqrt{t^2-4}}{2}\big]$ is the mean of $\log|t - \lambda| + \frac12$ over the semicircle.
$L$ is the cost of keeping the outlier positive, which minima need:
$L = \frac12 [\log\theta + \frac12 (t-\theta)^2 - \Phi(t) + \frac12]$ for $\theta > 1$ and
$2 \le t \le \theta + 1/\theta$, zero for larger $t$, and infinite for $t < 2$.
"""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_choice, check_number, check_shape
from .._types import Scalar, ScalarLike
from ..mixtures import Mixture
from ..numerics import bracketed_root, real_dtype
from ._semicircle import edge_cost, log_potential, rapidity, spike_excess
from .first_order import tensor_thresholds
from .model import MatrixTensor, prepared, pure_p_spin
from .replica import check_spherical, uninformed_energy

_KINDS = ("minima", "all", "index")


class CriticalPoints(eqx.Module):
    r"""The most numerous critical points under the conditions given.

    Attributes:
        complexity: $\Sigma$, annealed; negative where there are typically none, minus infinity where
            the conditions contradict each other.
        t: place of the Hessian's bulk, $\mu/\sqrt{Q''(1)}$; at least 2 for minima.
        theta: size of the spike in the Hessian.
        energies: the most probable energies per spin of the interactions.
        multiplier: $\mu$, which shifts the Hessian.
        bulk_edge: lower edge of the Hessian's bulk, $\mu - 2\sqrt{Q''(1)}$.
        outlier: the Hessian's typical eigenvalue along the signal, $\mu - \sqrt{Q''(1)}(\theta + 1/\theta)$;
            the bulk's edge where $\theta \le 1$.
    """

    complexity: Scalar
    t: Scalar
    theta: Scalar
    energies: Float[Array, " terms"]
    multiplier: Scalar
    bulk_edge: Scalar
    outlier: Scalar


class Spectrum(eqx.Module):
    r"""The Hessian's spectrum at a point of the sphere.

    Attributes:
        lower: lower edge of the bulk.
        upper: upper edge.
        outlier: the eigenvalue that the signal pulls out of the bulk; the lower edge if it does not.
        alignment: squared component of its eigenvector along the signal, $1 - 1/\theta^2$ or zero.
    """

    lower: Scalar
    upper: Scalar
    outlier: Scalar
    alignment: Scalar


class GlassConstants(eqx.Module):
    r"""The pure spherical $p$-spin glass, in the normalisation $Q(x) = x^p/2$.

    In that of Auffinger, Ben Arous and Cerny (arXiv 1003.1129), $Q(x) = x^p$, energies are $\sqrt2$ times as
    large: $E_\infty = 2\sqrt{(p-1)/p}$, and $E_0 = 1.6570$ for $p = 3$.

    Attributes:
        threshold_energy: of the marginal minima, $-\sqrt{2(p-1)/p}$.
        ground_state_energy: where the complexity of minima vanishes.
        total_complexity: of all critical points, $\frac12\log(p-1)$.
        minima_complexity: of all minima, $\frac12\log(p-1) - \frac{p-2}{p}$.
        dynamic_temperature: below it equilibrium falls apart into states (not for $p = 2$: NaN).
        static_temperature: below it a few of them dominate (not for $p = 2$: NaN).
    """

    threshold_energy: Scalar
    ground_state_energy: Scalar
    total_complexity: Scalar
    minima_complexity: Scalar
    dynamic_temperature: Scalar
    static_temperature: Scalar


def complexity(
    model: MatrixTensor | Mixture,
    overlap: ScalarLike = 0.0,
    *,
    energies: Sequence[ScalarLike] | Float[Array, " terms"] | None = None,
    energy: ScalarLike | None = None,
    kind: str = "minima",
    index: ScalarLike | None = None,
) -> Scalar:
    r"""Annealed complexity $\Sigma$ of the critical points at a given overlap with the signal.

    The formula stands in the module's docstring. Energies that are not given are optimised over, in
    closed form: at fixed $t$ what is left of them is
    $-\frac{(t\sqrt{Q''(1)} - m Q'(m))^2}{2 (Q'(1) + Q''(1))}$.

    Args:
        model: the model (spherical prior), or the covariance function of a glass without a signal.
        overlap: $m$ in $[-1, 1]$; zero for a glass.
        energies: per spin, one for each degree of the covariance function (of the matrix first).
        energy: their sum, if only that is given.
        kind: "minima"; "all" critical points; or "index": saddles of which a fraction `index` of the
            directions goes down.
        index: that fraction, in (0, 1).

    Raises:
        ValueError: for an overlap outside, an unknown kind, energies of the wrong number, both `energies`
            and `energy`, or an index without its kind.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=2.0, deltap=1.0)
        >>> bool(spiked.complexity(model, overlap=0.0) > 0)
        True
        >>> round(float(spiked.complexity(spiked.pure_p_spin(3), kind="all")), 6)      # log(2) / 2
        0.346574
    """
    return critical_points(
        model, overlap, energies=energies, energy=energy, kind=kind, index=index
    ).complexity


def critical_points(
    model: MatrixTensor | Mixture,
    overlap: ScalarLike = 0.0,
    *,
    energies: Sequence[ScalarLike] | Float[Array, " terms"] | None = None,
    energy: ScalarLike | None = None,
    kind: str = "minima",
    index: ScalarLike | None = None,
) -> CriticalPoints:
    """What `complexity` counts: the typical energies and Hessian of the most numerous points.

    Args:
        model: as for `complexity`, like all the others.
        overlap: with the signal.
        energies: of the interactions.
        energy: their sum.
        kind: of the points.
        index: fraction of the directions that go down.

    Example:
        >>> from jaxsp import spiked
        >>> found = spiked.critical_points(spiked.MatrixTensor(3, 0.7, 4.0), overlap=0.2)
        >>> bool(found.t >= 2)
        True
    """
    check_choice("kind", kind, _KINDS)
    check_number("overlap", overlap, minimum=-1.0, maximum=1.0)
    if (kind == "index") != (index is not None):
        raise ValueError(
            f'Argument `index` must be given for kind "index" and for no other, but kind is {kind!r} '
            f"and index is {index}."
        )
    if index is not None:
        check_number("index", index, minimum=0.0, maximum=1.0, strict=True)
    if energies is not None and energy is not None:
        raise ValueError("Arguments `energies` and `energy` are two conditions: give one of them.")
    if isinstance(model, Mixture):
        Q, spike = model, 0.0
    else:
        check_spherical(model)
        Q, spike = prepared(model).covariance, 1.0
    dtype = Q.coefficients.dtype
    if energies is not None:
        energies = jnp.stack([jnp.asarray(e, dtype) for e in energies])
        count = len(Q.degrees)
        check_shape("energies", energies, (count,), f"({count},), one for each interaction")
    m, energy, index, spike = (
        None if v is None else jnp.asarray(v, dtype) for v in (overlap, energy, index, spike)
    )
    return _critical_points(Q, spike, m, energies, energy, kind, index)


@eqx.filter_jit
def _critical_points(Q, spike, m, energies, energy, kind, index) -> CriticalPoints:
    dtype = m.dtype
    one = jnp.ones((), dtype)
    degrees = jnp.asarray(Q.degrees, dtype)
    slope, curvature = Q.derivative(one), Q.derivative(one, order=2)
    unit = jnp.sqrt(curvature)
    rest = (1 - m) * (1 + m)
    theta = spike * Q.derivative(m, order=2) * rest / unit
    drift = spike * Q.derivative(m)
    means = -spike * jnp.stack(Q.terms(m))
    variances = Q.coefficients

    base = 0.5 * jnp.log(curvature / slope) + 0.5 * jnp.log(rest) - drift**2 * rest / (2 * slope)
    if energies is not None:
        # An interaction that is absent has energy zero, and costs nothing.
        there = variances > 0
        safe = jnp.where(there, variances, 1.0)
        miss = jnp.where(there, (energies - means) ** 2 / (2 * safe), 0.0)
        base = base - jnp.sum(miss)
        t = -jnp.sum(degrees * energies) / unit
        return _at(base, t, theta, energies, unit, kind, index)

    # The law of mu = -sum p e_p: Gaussian with this mean and variance, given the energy's sum or not.
    mean, variance = -jnp.sum(degrees * means), slope + curvature
    if energy is not None:
        level = jnp.sum(variances)
        miss = energy - jnp.sum(means)
        base = base - miss**2 / (2 * level)
        mean = mean - slope / level * miss
        # Of one interaction alone the energy determines mu.
        left = jnp.sum(degrees**2 * variances) - slope**2 / level
        variance = jnp.where(left > 1e-2 * jnp.finfo(dtype).eps ** 0.5 * variance, left, 0.0)
    free = variance > 0
    safe = jnp.where(free, variance, 1.0)
    r, s = curvature / safe, unit * mean / safe
    t = _most_numerous(kind, r, s, theta, index)
    t = jnp.where(free, t, mean / unit)
    shift = t * unit - mean
    base = base - jnp.where(free, shift**2 / (2 * safe), 0.0)
    # The energies follow mu (and their sum) by linear regression.
    if energy is None:
        gain = -degrees * variances * shift / (slope + curvature)
    else:
        level = jnp.sum(variances)
        along = variances * (energy - jnp.sum(means)) / level
        across = variances * (degrees - slope / level)
        gain = along - across * jnp.where(free, shift / safe, 0.0)
    return _at(base, t, theta, means + gain, unit, kind, index)


def _most_numerous(kind: str, r: Scalar, s: Scalar, theta: Scalar, index) -> Scalar:
    r"""The $t$ that maximises $s t - \frac r2 t^2 + \Phi(t) - L$ under the conditions of a kind."""
    if kind == "index":
        return bulk_place(index)
    if kind == "all":
        size = jnp.abs(s)
        b = r - 0.5
        inside = size <= 2 * b
        within = size / jnp.where(inside & (b > 0), b, 1.0)
        outside = _edge_or_beyond(jnp.where(inside, 2 * b + 1, size), b, 0.5)
        return jnp.where(s < 0, -1.0, 1.0) * jnp.where(inside, within, outside)
    free = _edge_or_beyond(s, r - 0.5, 0.5)
    pinned = _edge_or_beyond(s + 0.5 * theta, r - 0.25, 0.75)
    safe = jnp.maximum(theta, 1.0)
    return jnp.where((theta > 1) & (pinned < safe + 1 / safe), pinned, free)


def _edge_or_beyond(a: Scalar, b: Scalar, c: float) -> Scalar:
    r"""The root of $a - b t = c \sqrt{t^2 - 4}$, or 2 where the left side is negative there."""
    beyond = a > 2 * b
    safe = jnp.where(beyond, a, 2 * b + 1)
    # Beyond the edge the radicand is at least 4 c^2, and nothing cancels.
    root = jnp.sqrt(safe**2 + 4 * (c * c - b * b))
    return jnp.where(beyond, (safe**2 + 4 * c * c) / (safe * b + c * root), 2.0)


def _at(base, t, theta, energies, unit, kind, index) -> CriticalPoints:
    value = base + log_potential(t)
    if kind == "minima":
        # At the edge itself, up to rounding, the bulk is still positive.
        edge = 2 - 16 * jnp.finfo(t.dtype).eps
        value = jnp.where(t >= edge, value - _spike_cost(theta, t), -jnp.inf)
    elif kind == "index":
        # With the energies given t is too, and has to be that of the index.
        off = jnp.abs(t - bulk_place(index)) > 1e-6
        value = jnp.where(off, -jnp.inf, value)
    pulled = theta > 1
    safe = jnp.where(pulled, theta, 1.0)
    return CriticalPoints(
        complexity=value,
        t=t,
        theta=theta,
        energies=energies,
        multiplier=t * unit,
        bulk_edge=(t - 2) * unit,
        outlier=(t - safe - 1 / safe) * unit,
    )


def _spike_cost(theta: Scalar, t: Scalar) -> Scalar:
    r"""$L(\theta, t)$ for $t \ge 2$, in variables in which it does not cancel at the edge."""
    pulled = theta > 1
    v = jnp.log(jnp.where(pulled, theta, 1.0))
    costs = pulled & (t < 2 * jnp.cosh(v))
    t = jnp.where(costs, t, 2.0)
    half = 0.25 * jnp.maximum(t - 2, 0.0)
    cost = 0.5 * (spike_excess(v) + 4 * half * (half - jnp.expm1(v)) + edge_cost(rapidity(t)))
    return jnp.where(costs, cost, 0.0)


def bulk_place(index: ScalarLike) -> Scalar:
    r"""The $t$ in $(-2, 2)$ at which a fraction `index` of the bulk $[t-2, t+2]$ is negative.

    With $t = 2\cos\phi$: $\phi - \frac12\sin 2\phi = \pi\,$`index`.

    Args:
        index: the fraction, in (0, 1).

    Example:
        >>> from jaxsp import spiked
        >>> abs(float(spiked.bulk_place(0.5))) < 1e-6
        True
    """
    check_number("index", index, minimum=0.0, maximum=1.0, strict=True)
    index = jnp.asarray(index, real_dtype(index))

    def excess(angle):
        return angle - 0.5 * jnp.sin(2 * angle) - math.pi * index

    return 2 * jnp.cos(bracketed_root(excess, 0.0, math.pi).value)


def hessian_spectrum(model: MatrixTensor, overlap: ScalarLike, multiplier: ScalarLike) -> Spectrum:
    r"""Bulk and outlier of the Hessian on the sphere at a point of given overlap and $\mu$.

    $\sqrt{Q''(1)}\,{\rm GOE} - Q''(m)(1-m^2)\, v v^T + \mu I$, where $v$ is the direction to the signal: an
    eigenvalue leaves the bulk at $\theta = 1$ (Baik, Ben Arous and Peche 2005).

    Args:
        model: the model; its prior must be `spherical`.
        overlap: $m$ in $[-1, 1]$.
        multiplier: $\mu = -x \cdot \nabla H / N$ at the point.

    Example:
        >>> from jaxsp import spiked
        >>> spectrum = spiked.hessian_spectrum(spiked.MatrixTensor(3, 0.3, 4.0), 0.0, 5.0)
        >>> bool(spectrum.outlier < spectrum.lower)
        True
    """
    check_spherical(model)
    check_number("overlap", overlap, minimum=-1.0, maximum=1.0)
    Q = prepared(model).covariance
    m = jnp.asarray(overlap, Q.coefficients.dtype)
    unit = jnp.sqrt(Q.derivative(jnp.ones_like(m), order=2))
    theta = Q.derivative(m, order=2) * (1 - m) * (1 + m) / unit
    pulled = theta > 1
    safe = jnp.where(pulled, theta, 1.0)
    return Spectrum(
        lower=multiplier - 2 * unit,
        upper=multiplier + 2 * unit,
        outlier=multiplier - unit * (safe + 1 / safe),
        alignment=(1 - 1 / safe) * (1 + 1 / safe),
    )


def glass_constants(p: int) -> GlassConstants:
    r"""Known numbers of the pure spherical $p$-spin glass, $Q(x) = x^p/2$.

    Args:
        p: number of spins that interact, at least 2.

    Example:
        >>> from jaxsp import spiked
        >>> constants = spiked.glass_constants(3)
        >>> round(float(-(2**0.5) * constants.ground_state_energy), 4)
        1.657
        >>> round(float(constants.static_temperature), 4)
        0.5861
    """
    Q = pure_p_spin(p)
    dynamic = static = jnp.asarray(jnp.nan, real_dtype())
    if p > 2:
        tensor = tensor_thresholds(p)
        # Q / T^2 is the tensor of noise 2 T^2 / p.
        dynamic = jnp.sqrt(0.5 * p * tensor.informed_spinodal)
        static = jnp.sqrt(0.5 * p * tensor.information_theoretic)
    values = (
        -math.sqrt(2 * (p - 1) / p), uninformed_energy(Q), 0.5 * math.log(p - 1),
        0.5 * math.log(p - 1) - (p - 2) / p, dynamic, static,
    )  # fmt: skip
    return GlassConstants(*(jnp.asarray(v, real_dtype()) for v in values))
