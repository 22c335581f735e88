r"""Functions of the semicircle law in hyperbolic variables, in which nothing cancels at the edge.

$t = 2 \cosh u$ is the place of the Hessian's bulk (its edge is at $u = 0$), $\theta = e^v$ the size of the
spike in it.
"""

import math

import jax.numpy as jnp

from .._types import Flag, Scalar


def _power_series(x: Scalar, coefficients: list[float]) -> Scalar:
    total = jnp.zeros_like(x)
    for c in reversed(coefficients):
        total = c + x * total
    return total


def _small_and_safe(x: Scalar, limit: float, other: float) -> tuple[Flag, Scalar, Scalar]:
    small = jnp.abs(x) < limit
    return small, jnp.where(small, x, 0.0), jnp.where(small, other, x)


def edge_cost(u: Scalar) -> Scalar:
    r"""$g(u) = \tfrac12 (\sinh 2u - 2u)$: $\Phi(2 \cosh u) = \cosh^2 u - g(u)$."""
    small, near, far = _small_and_safe(u, 0.5, 1.0)
    series = near**3 * _power_series(
        near * near, [0.5 * 2.0 ** (2 * k + 3) / math.factorial(2 * k + 3) for k in range(10)]
    )
    return jnp.where(small, series, 0.5 * (jnp.sinh(2 * far) - 2 * far))


def spike_excess(v: Scalar) -> Scalar:
    r"""$\ell(v) = \tfrac12 e^{2v} - 2 e^v + \tfrac32 + v = v^3/3 + \dots$, twice $L$ at the edge."""
    small, near, far = _small_and_safe(v, 0.5, 1.0)
    series = near**3 * _power_series(
        near, [(2.0 ** (k + 2) - 2) / math.factorial(k + 3) for k in range(18)]
    )
    direct = 0.5 * jnp.exp(2 * far) - 2 * jnp.exp(far) + 1.5 + far
    return jnp.where(small, series, direct)


def atanh_excess(y: Scalar) -> Scalar:
    r"""$\operatorname{artanh}(y) - y$ for $0 \le y < 1$."""
    small, near, far = _small_and_safe(y, 0.25, 0.5)
    series = near**3 * _power_series(near * near, [1 / (2 * k + 3) for k in range(14)])
    return jnp.where(small, series, jnp.arctanh(far) - far)


def log_potential(t: Scalar) -> Scalar:
    r"""$\Phi(t) = \frac12 + \int \frac{\sqrt{4 - \lambda^2}}{2\pi} \log|t - \lambda|\, d\lambda$.

    $\Phi(t) = t^2/4$ for $|t| \le 2$; beyond, $\frac{t^2}{4} - \frac{|t|}{4}\sqrt{t^2-4}
    + \log\frac{|t| + \sqrt{t^2-4}}{2}$ (arXiv 1902.00139).
    """
    return 0.25 * t * t - jnp.where(jnp.abs(t) > 2, edge_cost(rapidity(t)), 0.0)


def rapidity(t: Scalar) -> Scalar:
    r"""$u \ge 0$ with $|t| = 2 \cosh u$; zero within the bulk."""
    excess = jnp.abs(t) - 2
    outside = excess > 0
    # cosh u - 1 = 2 sinh^2(u/2) keeps the digits of a small distance from the edge.
    root = jnp.sqrt(0.25 * jnp.where(outside, excess, 1.0))
    return jnp.where(outside, 2 * jnp.arcsinh(root), 0.0)
