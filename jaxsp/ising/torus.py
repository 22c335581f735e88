r"""Kaufman's exact partition function of a finite torus, in log space.

$$ Z = \tfrac12 (2\sinh 2K_v)^{MN/2} \Big[ \prod_{r\ {\rm odd}} 2\cosh\tfrac{M\gamma_r}2
     + \prod_{r\ {\rm odd}} 2\sinh\tfrac{M\gamma_r}2 + \prod_{r\ {\rm even}} 2\cosh\tfrac{M\gamma_r}2
     + \prod_{r\ {\rm even}} 2\sinh\tfrac{M\gamma_r}2 \Big] $$

for $M$ rows of $N$ sites and $r = 0 \dots 2N-1$, with the energies $\gamma_r$ at $\omega = \pi r/N$ of
`jaxsp.ising.exact.modes` and $\gamma_0 = 2K_h + \ln\tanh K_v$ with its sign (Kaufman 1949; Ferdinand and
Fisher 1969).
"""

import jax.numpy as jnp
import numpy as np

from .._types import Scalar
from .exact import modes
from .model import Couplings


def torus_log_partition(couplings: Couplings, rows: int, columns: int) -> Scalar:
    r"""$\log Z / (MN)$, smooth in the couplings: the products are divided by the first, a positive one.

    Every factor is regular at vanishing and at infinite coupling.
    """
    within, between = couplings
    dtype = within.dtype
    r = np.arange(1, 2 * columns)
    sine_squared = jnp.asarray(np.sin(np.pi * r / (2 * columns)) ** 2, dtype)
    a, c = modes(couplings, sine_squared)
    # exp(-M gamma), from one minus which the hyperbolic functions follow.
    p, q = couplings.factors
    decayed = (4 * p * (1 - q) * (1 + q) / (a + c) ** 2) ** rows
    odd, even = r % 2 == 1, r % 2 == 0
    cosh = rows * jnp.log(a + c) + jnp.log1p(decayed)
    tanh = jnp.log1p(-decayed) - jnp.log1p(decayed)
    cosh_zero, tanh_zero = _zero_mode(couplings, rows)

    first = jnp.sum(cosh[odd])
    sinh_odd = jnp.exp(jnp.sum(tanh[odd]))
    cosh_even = jnp.exp(jnp.sum(cosh[even]) + cosh_zero - first)
    sinh_even = cosh_even * tanh_zero * jnp.exp(jnp.sum(tanh[even]))
    total = first + jnp.log(1 + sinh_odd + cosh_even + sinh_even)
    log_two = jnp.log(2.0).astype(dtype)
    return within + between - log_two + (total - log_two) / (rows * columns)


def _zero_mode(couplings: Couplings, rows: int) -> tuple[Scalar, Scalar]:
    r"""Its cosh as the other modes have it (a factor $2^M$ more), and its signed tanh.

    $e^{\gamma_0} = (1-q)/(p(1+q))$ is above one in the ordered phase and below it in the other; on
    either side the formula that cannot overflow is taken, and both are one analytic function.
    """
    p, q = couplings.factors
    up, down = 1 - q, p * (1 + q)
    ordered = up > down
    large = jnp.where(ordered, up, down)
    # Both vanish only for an infinite coupling between rows that are themselves uncoupled: not here.
    ratio = jnp.where(ordered, down, up) / large
    power = ratio**rows
    cosh = rows * jnp.log(2 * large) + jnp.log1p(power)
    tanh = jnp.where(ordered, 1.0, -1.0).astype(power.dtype) * (1 - power) / (1 + power)
    return cosh, tanh
