r"""First-order lines of the Bayes-optimal free entropy: spinodals, transitions, and where they end.

For the spherical signal with one tensor. Written with $\lambda = 1/\Delta_2$, stationarity is the
explicit curve $\lambda(m) = \frac{1}{1-m} - \frac{m^{p-2}}{\Delta_p}$, which carries all of them.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from .._types import Flag, Scalar, ScalarLike
from ..numerics import real_dtype
from ._arguments import check_order, line_arguments
from ._masked import masked_root


class Spinodals(eqx.Module):
    r"""Ends of the two branches of the Bayes-optimal free entropy that coexist.

    Attributes:
        uninformed: $\Delta_2$ below which the branch of small overlap is gone: AMP jumps here (for
            $p = 3$ this is $\Delta_2 = 1$, where $m = 0$ turns unstable).
        informed: $\Delta_2$ above which the branch of large overlap is gone; infinite if it is there
            without any matrix. NaN where no branches coexist, as is `uninformed`.
        exists: whether branches coexist at this $\Delta_p$.
    """

    uninformed: Scalar
    informed: Scalar
    exists: Flag


class CriticalPoint(eqx.Module):
    r"""Where the first-order line ends.

    Attributes:
        deltap: there; for larger ones no branches coexist.
        delta2: there.
        overlap: of the branches that merge.
    """

    deltap: Scalar
    delta2: Scalar
    overlap: Scalar


class TensorThresholds(eqx.Module):
    r"""Thresholds of the tensor without a matrix, in $\Delta_p$.

    Attributes:
        informed_spinodal: below it a branch with the signal exists.
        information_theoretic: below it that branch is optimal.
    """

    informed_spinodal: Scalar
    information_theoretic: Scalar


def spinodals(p: int, deltap: ScalarLike) -> Spinodals:
    r"""Between which $\Delta_2$ two Bayes-optimal branches coexist.

    Extrema of $\lambda(m)$: $(p-2)\, m^{p-3} (1-m)^2 = \Delta_p$. For $p = 3$ the informed spinodal is at
    $m = 1 - \sqrt{\Delta_3}$, $1/\Delta_2 = (2\sqrt{\Delta_3} - 1)/\Delta_3$.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> round(float(spiked.spinodals(3, 0.64).informed), 6)
        1.066667
    """
    (deltap,) = line_arguments(p, deltap)
    low, high, exists = _extrema(p, deltap)
    one = jnp.ones_like(deltap)
    uninformed = one if p == 3 else _delta2(p, deltap, low)
    nan = jnp.full_like(deltap, jnp.nan)
    return Spinodals(
        jnp.where(exists, uninformed, nan),
        jnp.where(exists, _delta2(p, deltap, high), nan),
        exists,
    )


def critical_point(p: int) -> CriticalPoint:
    r"""The end of the first-order line: the tricritical point for $p = 3$.

    For $p = 3$ it lies on the line $\Delta_2 = 1$, at $\Delta_3 = 1$; for larger $p$ inside of the phase with
    overlap, at $m = \frac{p-3}{p-1}$ and $\Delta_p = (p-2)\, m^{p-3}(1-m)^2$ ($8/27$ for $p = 4$).

    Args:
        p: order of the tensor, at least 3.

    Example:
        >>> from jaxsp import spiked
        >>> point = spiked.critical_point(4)
        >>> round(float(27 * point.deltap), 5), round(float(point.overlap), 5)
        (8.0, 0.33333)
    """
    check_order(p)
    m = (p - 3) / (p - 1)
    deltap = (p - 2) * m ** (p - 3) * (1 - m) ** 2
    snr = 1 / (1 - m) - m ** (p - 2) / deltap
    return CriticalPoint(*(jnp.asarray(v, real_dtype()) for v in (deltap, 1 / snr, m)))


def information_theoretic_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Below it the Bayes-optimal estimate has an overlap with the signal (arXiv 1812.09066).

    $\Delta_2 = 1$, or the first-order transition from $m = 0$ where that comes at a larger $\Delta_2$:
    $\log(1-m) + m + \frac{m^2}{2(1-m)} = \frac{p-2}{2p}\frac{m^p}{\Delta_p}$ on the curve $\lambda(m)$.
    Infinite where the tensor alone is enough.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> float(spiked.information_theoretic_threshold(p=3, deltap=2.0))
        1.0
        >>> round(float(spiked.information_theoretic_threshold(p=3, deltap=0.5)), 4)
        1.1749
    """
    (deltap,) = line_arguments(p, deltap)
    x, exists = _equal_to_nothing(p, deltap)
    snr = _snr(p, deltap, x)
    first_order = exists & (snr < 1)
    return jnp.where(first_order, _inverse(jnp.where(first_order, snr, 1.0)), 1.0)


def first_order_threshold(p: int, deltap: ScalarLike) -> tuple[Scalar, Flag]:
    r"""Where the two coexisting branches of the Bayes-optimal free entropy are equal.

    It is `information_theoretic_threshold` where the lower branch is $m = 0$; for $p \ge 4$ and close to
    the critical point both have an overlap, and $\Delta_2 < 1$.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Returns:
        $\Delta_2$ (NaN where no branches coexist), and whether they do.

    Example:
        >>> from jaxsp import spiked
        >>> delta2, exists = spiked.first_order_threshold(4, 0.28)
        >>> bool(exists), bool(delta2 < 1)
        (True, True)
    """
    (deltap,) = line_arguments(p, deltap)
    low, high, exists = _extrema(p, deltap)
    x, equal = _equal_to_nothing(p, deltap)
    from_nothing = equal & (_snr(p, deltap, x) <= 1)
    simple = _delta2(p, deltap, jnp.where(from_nothing, x, 0.0))
    nan = jnp.full_like(deltap, jnp.nan)
    if p == 3:
        return jnp.where(exists, simple, nan), exists

    between = exists & ~from_nothing
    reach = _reach(deltap.dtype)

    def difference(snr):
        def gap(x):
            return _snr(p, deltap, x) - snr

        lower = masked_root(gap, -reach, low, between & (snr > 1))
        upper = masked_root(gap, high, reach, between)
        f_low = jnp.where(snr > 1, _potential(p, deltap, snr, lower), 0.0)
        return _potential(p, deltap, snr, upper) - f_low

    least = jnp.where(between, _snr(p, deltap, high), 1.0)
    most = jnp.where(between, _snr(p, deltap, low), 1.0)
    snr = masked_root(difference, least, most, between)
    value = jnp.where(from_nothing, simple, 1 / snr)
    return jnp.where(exists, value, nan), exists


def tensor_thresholds(p: int) -> TensorThresholds:
    r"""Thresholds of the pure spiked tensor; no algorithm here finds the signal at finite $\Delta_p$.

    The branch exists below $\max_m m^{p-2}(1-m) = \frac{(p-2)^{p-2}}{(p-1)^{p-1}}$. With
    $\Delta_p = 2 T^2/p$ they are the dynamic and static temperatures of the pure $p$-spin glass
    $Q = x^p/2$.

    Args:
        p: order of the tensor, at least 3.

    Example:
        >>> from jaxsp import spiked
        >>> found = spiked.tensor_thresholds(3)
        >>> round(float((1.5 * found.informed_spinodal)**0.5), 4)     # sqrt(3/8)
        0.6124
        >>> round(float((1.5 * found.information_theoretic)**0.5), 4)
        0.5861
    """
    check_order(p)

    # log(1-m) + m + m^2/(1-m) / p = 0 in w = -log(1-m), on the branch of large m.
    def equal(w):
        return -w - math.expm1(-w) + math.expm1(-w) ** 2 * math.exp(w) / p

    spinodal = -math.log1p(-(p - 2) / (p - 1))
    m = -math.expm1(-float(optimize.brentq(equal, spinodal, 60.0, xtol=1e-15)))  # pyright: ignore
    values = (p - 2) ** (p - 2) / (p - 1) ** (p - 1), m ** (p - 2) * (1 - m)
    return TensorThresholds(*(jnp.asarray(v, real_dtype()) for v in values))


def _reach(dtype: jnp.dtype) -> Scalar:
    """Log-odds of an overlap that is as good as one."""
    return jnp.asarray(36.0 if dtype == jnp.float64 else 16.0, dtype)


def _snr(p: int, deltap: Scalar, x: Scalar) -> Scalar:
    r"""$\lambda(m) = 1/(1-m) - m^{p-2}/\Delta_p$ at log-odds x of the overlap."""
    return 1 / jax.nn.sigmoid(-x) - jax.nn.sigmoid(x) ** (p - 2) / deltap


def _delta2(p: int, deltap: Scalar, x: Scalar) -> Scalar:
    return _inverse(_snr(p, deltap, x))


def _inverse(snr: Scalar) -> Scalar:
    """1 / snr, infinite where no snr is needed at all."""
    needed = snr > 0
    return jnp.where(needed, 1 / jnp.where(needed, snr, 1.0), jnp.inf)


def _potential(p: int, deltap: Scalar, snr: Scalar, x: Scalar) -> Scalar:
    """Twice the free entropy at log-odds x."""
    m = jax.nn.sigmoid(x)
    return m - jax.nn.softplus(x) + 0.5 * snr * m**2 + m**p / (p * deltap)


def _extrema(p: int, deltap: Scalar) -> tuple[Scalar, Scalar, Flag]:
    r"""Log-odds of the overlaps at the extrema of $\lambda(m)$, and whether there are any."""
    peak = (p - 3) / (p - 1)
    reach = _reach(deltap.dtype)
    exists = deltap < (p - 2) * peak ** (p - 3) * (1 - peak) ** 2

    def slope(x):
        return (
            math.log(p - 2) - jnp.log(deltap)
            - (p - 3) * jax.nn.softplus(-x) - 2 * jax.nn.softplus(x)
        )  # fmt: skip

    if p == 3:
        # 1 - sqrt(deltap) over sqrt(deltap); the lower extremum is the end m = 0 of the curve.
        root = jnp.sqrt(jnp.where(exists, deltap, 0.25))
        return -reach, jnp.log((1 - root) / root), exists
    middle = jnp.asarray(math.log(peak / (1 - peak)), deltap.dtype)
    return (
        masked_root(slope, -reach, middle, exists),
        masked_root(slope, middle, reach, exists),
        exists,
    )


def _equal_to_nothing(p: int, deltap: Scalar) -> tuple[Scalar, Flag]:
    """Log-odds of the informed overlap whose free entropy on the curve is that of m = 0."""
    reach = _reach(deltap.dtype)

    def gap(x):
        return (
            math.log(3 * (p - 2) / p) - jnp.log(deltap)
            - (p - 3) * jax.nn.softplus(-x) - _log_entropy_loss(x)
        )  # fmt: skip

    if p == 3:
        start = -reach
        exists = deltap < 1
    else:
        start = jnp.asarray(_steepest(p), deltap.dtype)
        exists = gap(start) > 0
    return masked_root(gap, start, reach, exists), exists


def _log_entropy_loss(x: Scalar) -> Scalar:
    r"""$\log \frac{6}{m^3} [\log(1-m) + m + \frac{m^2}{2(1-m)}]$, zero at $m \to 0$."""
    m, V = jax.nn.sigmoid(x), jax.nn.sigmoid(-x)
    small = m < 0.25
    near = jnp.where(small, m, 0.0)
    series = jnp.zeros_like(m)
    for k in range(32, 2, -1):
        series = 6 * (0.5 - 1 / k) + near * series
    far_m, far_V = jnp.where(small, 0.5, m), jnp.where(small, 0.5, V)
    direct = 6 * (jnp.log(far_V) + far_m + far_m**2 / (2 * far_V)) / far_m**3
    return jnp.log(jnp.where(small, series, direct))


def _steepest(p: int) -> float:
    """Log-odds at which the largest deltap with equal free entropies is met, p of at least 4."""

    def ratio(x):
        m, V = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
        return -(p - 3) * np.log(m) + np.log((np.log(V) + m + m**2 / (2 * V)) / m**3)

    found = optimize.minimize_scalar(ratio, bounds=(-3.0, 12.0), method="bounded")
    return float(found.x)
