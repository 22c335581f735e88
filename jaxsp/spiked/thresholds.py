r"""Lines of the phase diagram: at which $\Delta_2$ each of them lies, for a given $\Delta_p$.

Below its line (less noise in the matrix) an algorithm finds the signal. All of them are for the
spherical signal with one tensor, differentiable, and made for `jax.vmap` over $\Delta_p$. Written with
$\lambda = 1/\Delta_2$, stationarity of the Bayes-optimal free entropy is the explicit curve
$\lambda(m) = \frac{1}{1-m} - \frac{m^{p-2}}{\Delta_p}$, which carries the first-order lines.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from .._checks import check_number, check_shape
from .._types import Flag, Scalar, ScalarLike
from ..numerics import bracketed_root, real_dtype
from ._masked import masked_root
from ._semicircle import atanh_excess, edge_cost, spike_excess


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


class Thresholds(eqx.Module):
    r"""All lines at one $\Delta_p$, as values of $\Delta_2$ in decreasing order.

    Attributes:
        information_theoretic: `information_theoretic_threshold`.
        amp: `amp_threshold`.
        ml_amp: `ml_amp_threshold`.
        langevin: `langevin_threshold` at the temperature given (above `ml_amp` or below it).
        gradient_flow: the same at temperature zero.
        trivialization: `trivialization_threshold`.
    """

    information_theoretic: Scalar
    amp: Scalar
    ml_amp: Scalar
    langevin: Scalar
    gradient_flow: Scalar
    trivialization: Scalar


def thresholds(p: int, deltap: ScalarLike, temperature: ScalarLike = 1.0) -> Thresholds:
    r"""All lines of the phase diagram at one $\Delta_p$.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.
        temperature: of the Langevin dynamics; 1 is that of the posterior.

    Example:
        >>> from jaxsp import spiked
        >>> lines = spiked.thresholds(3, 4.0)
        >>> float(lines.amp), round(float(lines.gradient_flow), 4)
        (1.0, 0.7321)
    """
    return Thresholds(
        information_theoretic_threshold(p, deltap),
        amp_threshold(p, deltap),
        ml_amp_threshold(p, deltap),
        langevin_threshold(p, deltap, temperature),
        langevin_threshold(p, deltap, 0.0),
        trivialization_threshold(p, deltap),
    )


def amp_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Bayes-optimal AMP leaves $m = 0$ for $\Delta_2 < 1$, whatever the tensor (arXiv 1812.09066).

    The tensor is of higher than second order in $m$. For $p \ge 4$ the overlap grows continuously here,
    and may jump later, at `spinodals(p, deltap).uninformed`.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> float(spiked.amp_threshold(p=3, deltap=4.0))
        1.0
    """
    (deltap,) = _prepare(p, deltap)
    return jnp.ones_like(deltap)


def ml_amp_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Maximum-likelihood AMP leaves $m = 0$ where $Q''(0)^2 > Q'(1)$ (arXiv 1902.00139).

    $1/\Delta_2^2 = 1/\Delta_2 + 1/\Delta_p$, that is $\Delta_2 = 2 / (1 + \sqrt{1 + 4/\Delta_p})$.

    Args:
        p: order of the tensor, at least 3 (the line does not depend on it).
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> round(float(spiked.ml_amp_threshold(p=3, deltap=4.0)), 4)
        0.8284
    """
    (deltap,) = _prepare(p, deltap)
    return 2 / (1 + jnp.sqrt(1 + 4 / deltap))


def gradient_flow_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Gradient flow from a random start finds the signal (arXiv 1902.00139, 1907.08226).

    The marginal minima that it reaches first, $t = 2$ at $m = 0$, get a negative direction along the
    signal at $\theta = Q''(0)/\sqrt{Q''(1)} = 1$: $1/\Delta_2^2 = 1/\Delta_2 + (p-1)/\Delta_p$, that is
    $\Delta_2 = 2 / (1 + \sqrt{1 + 4(p-1)/\Delta_p})$. It is `langevin_threshold` at temperature zero.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> round(float(spiked.gradient_flow_threshold(p=3, deltap=4.0)), 4)
        0.7321
    """
    (deltap,) = _prepare(p, deltap)
    return 2 / (1 + jnp.sqrt(1 + 4 * (p - 1) / deltap))


def langevin_threshold(p: int, deltap: ScalarLike, temperature: ScalarLike = 1.0) -> Scalar:
    r"""Langevin dynamics from a random start finds the signal (arXiv 1812.09066); at $T = 0$ gradient flow.

    The dynamics age on threshold states, which are marginal: $Q''(q)(1-q)^2 = T^2$ for their
    self-overlap $q$. The signal makes them unstable when $(1-q) Q''(0) = T$. Hence
    $q = 1 - T \Delta_2$ and
    $$ \frac{1}{\Delta_2^2} = \frac{(p-1)(1 - T\Delta_2)^{p-2}}{\Delta_p} + \frac{1}{\Delta_2}, $$
    of which the smallest root with $q \ge 0$ counts. Where there is none below $1/T$ the dynamics do not
    age before the disordered state itself turns unstable, at $\Delta_2 = \min(1, 1/T)$. For $p = 3$ and
    $T = 1$ the line is $\min(1, \sqrt{\Delta_3/2})$.

    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.
        temperature: $T \ge 0$; 1 is that of the posterior.

    Example:
        >>> from jaxsp import spiked
        >>> round(float(spiked.langevin_threshold(p=3, deltap=0.5, temperature=1.0)), 6)
        0.5
    """
    deltap, T = _prepare(p, deltap, temperature)
    check_number("temperature", temperature, minimum=0.0)
    epsilon = jnp.finfo(T.dtype).eps
    highest = jnp.minimum(1.0, 1 / jnp.maximum(T, 0.5))
    last = highest * (1 - 2 * epsilon)

    def excess(log_delta):
        # Logarithm of the tensor's part over the rest, (p-1) D^2 (1-TD)^(p-2) / (Dp (1-D)).
        D = jnp.exp(log_delta)
        tensor = math.log(p - 1) - jnp.log(deltap) + 2 * log_delta
        return tensor + (p - 2) * jnp.log1p(-T * D) - jnp.log1p(-D)

    # It rises, may fall between the roots of (p-1) T D^2 - (1 + pT) D + 2, and rises again.
    discriminant = (1 + p * T) ** 2 - 8 * (p - 1) * T
    turn = 4 / (1 + p * T + jnp.sqrt(jnp.maximum(discriminant, 0.0)))
    turn = jnp.where(discriminant > 0, jnp.minimum(turn, last), last)
    # Cooling shrinks nothing: at T = 0 the tensor counts most.
    start = jnp.log(0.9 * gradient_flow_threshold(p, deltap))
    first = excess(jnp.log(turn)) >= 0
    exists = first | (excess(jnp.log(last)) >= 0)
    low = jnp.where(first, start, jnp.log(turn))
    high = jnp.log(jnp.where(first, turn, last))
    root = jnp.exp(masked_root(excess, jnp.minimum(low, high), high, exists))
    return jnp.where(exists, root, jnp.minimum(1.0, 1 / jnp.maximum(T, 0.5)))


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
    (deltap,) = _prepare(p, deltap)
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
    _check_order(p)
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
    (deltap,) = _prepare(p, deltap)
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
    (deltap,) = _prepare(p, deltap)
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
    _check_order(p)

    # log(1-m) + m + m^2/(1-m) / p = 0 in w = -log(1-m), on the branch of large m.
    def equal(w):
        return -w - math.expm1(-w) + math.expm1(-w) ** 2 * math.exp(w) / p

    spinodal = -math.log1p(-(p - 2) / (p - 1))
    m = -math.expm1(-float(optimize.brentq(equal, spinodal, 60.0, xtol=1e-15)))  # pyright: ignore
    values = (p - 2) ** (p - 2) / (p - 1) ** (p - 1), m ** (p - 2) * (1 - m)
    return TensorThresholds(*(jnp.asarray(v, real_dtype()) for v in values))


def trivialization_threshold(p: int, deltap: ScalarLike) -> Scalar:
    r"""Below it there are no exponentially many spurious minima at $m \ge 0$ (arXiv 1902.00139).

    The annealed complexity of minima at $m = 0$, energies optimised (`complexity`), vanishes.
    With $y = \frac{Q''(1) - Q'(1)}{Q''(1) + Q'(1)}$, $\theta = Q''(0)/\sqrt{Q''(1)} = e^v$ and
    $t = 2\cosh u$ it is

    $$ \Sigma(0) = \max_u \Big[ \operatorname{artanh} y - y - y \sinh^2 u - g(u) - L \Big], \quad
       g(u) = \tfrac12(\sinh 2u - 2u). $$


    Args:
        p: order of the tensor, at least 3.
        deltap: its noise variance.

    Example:
        >>> from jaxsp import spiked
        >>> tr, gf = spiked.trivialization_threshold(3, 4.0), spiked.gradient_flow_threshold(3, 4.0)
        >>> bool(tr < gf)
        True
    """
    (deltap,) = _prepare(p, deltap)

    def complexity(log_delta):
        a, b = jnp.exp(-log_delta), 1 / deltap
        y = (p - 2) * b / (2 * a + p * b)
        # theta^2 - 1 = (a^2 - a - (p-1) b) / (a + (p-1) b), without cancellation in the logarithm.
        curvature = a + (p - 1) * b
        v = 0.5 * jnp.log1p(jnp.maximum((a * a - curvature) / curvature, 0.0))
        excess = jnp.expm1(v)
        # Stationary in u: excess - 2y = (4y + 2) q + 6 sqrt(q (1 + q)) for q = sinh^2(u/2).
        A, B = jnp.maximum(excess - 2 * y, 0.0), 4 * y + 2
        half = 18 + A * B
        q = A * A / (half + jnp.sqrt(half * half + (36 - B * B) * A * A))
        positive = q > 0
        u = 2 * jnp.arcsinh(jnp.where(positive, jnp.sqrt(jnp.where(positive, q, 1.0)), 0.0))
        tilted = -4 * y * q * (1 + q) - 1.5 * edge_cost(u) - 2 * q * q + 2 * q * excess
        return atanh_excess(y) + tilted - 0.5 * spike_excess(v)

    high = jnp.log(gradient_flow_threshold(p, deltap))
    return jnp.exp(bracketed_root(complexity, high - math.log(100.0), high).value)


def _check_order(p: int) -> None:
    if not isinstance(p, int) or isinstance(p, bool) or p < 3:
        raise ValueError(f"Argument `p` must be an integer of at least 3, but is {p!r}.")


def _prepare(p: int, deltap: ScalarLike, *others: ScalarLike) -> tuple[Scalar, ...]:
    _check_order(p)
    meaning = "() (a line is computed for one value: use jax.vmap)"
    check_shape("deltap", jnp.asarray(deltap), (), meaning)
    check_number("deltap", deltap, minimum=0.0, strict=True)
    dtype = real_dtype(deltap, *others)
    return tuple(jnp.asarray(v, dtype) for v in (deltap, *others))


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
