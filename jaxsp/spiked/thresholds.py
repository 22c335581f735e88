r"""Lines of the phase diagram: at which $\Delta_2$ each of them lies, for a given $\Delta_p$.

Below its line (less noise in the matrix) an algorithm finds the signal. All of them are for the
spherical signal with one tensor, differentiable, and made for `jax.vmap` over $\Delta_p$. The
information-theoretic line is a first-order one: see `jaxsp.spiked.first_order`.
"""

import math

import equinox as eqx
import jax.numpy as jnp

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import bracketed_root
from ._arguments import line_arguments
from ._masked import masked_root
from ._semicircle import atanh_excess, edge_cost, spike_excess
from .first_order import information_theoretic_threshold


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
    (deltap,) = line_arguments(p, deltap)
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
    (deltap,) = line_arguments(p, deltap)
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
    (deltap,) = line_arguments(p, deltap)
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
    deltap, T = line_arguments(p, deltap, temperature)
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
    return jnp.where(exists, root, highest)


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
    (deltap,) = line_arguments(p, deltap)

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
