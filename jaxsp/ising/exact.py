r"""Onsager's free energy of the infinite lattice, its critical temperature, and Yang's magnetisation.

All formulas are written in the two Boltzmann factors $p = e^{-2|K_h|}$ and $q = e^{-2|K_v|}$ of a broken
bond, in which they are polynomials: they stay finite at zero and at infinite coupling.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import bracketed_root
from .model import Couplings, Ising2D, prepare, strengths


def gap(couplings: Couplings) -> Scalar:
    """$1 - p - q - pq$: positive where the lattice orders, zero at its critical point."""
    p, q = couplings.factors
    return 1 - p - q - p * q


def modes(
    couplings: Couplings, sine_squared: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    r"""The two halves of a fermion's energy at momentum $\omega$, from $\sin^2(\omega/2)$.

    With $a^2 = (1-p-q-pq)^2 + b$, $c^2 = (1+p-q+pq)^2 + b$ and $b = 4q(1-p^2)\sin^2(\omega/2)$, the
    energy $\gamma$ of $\cosh\gamma = (\cosh 2K_h\cosh 2K_v - \sinh 2K_h\cos\omega)/\sinh 2K_v$ is
    $e^{\gamma} = (c+a)/(c-a)$, without cancellation where it vanishes.
    """
    p, q = couplings.factors
    b = 4 * q * (1 - p) * (1 + p) * sine_squared
    # Far below the square of rounding: keeps the derivatives finite where b and the gap are both zero.
    floor = 1e-60 if b.dtype == jnp.float64 else 1e-24
    return jnp.sqrt(gap(couplings) ** 2 + b + floor), jnp.sqrt((1 + p - q + p * q) ** 2 + b)


def infinite_log_partition(couplings: Couplings) -> Scalar:
    r"""$\lim \log Z/N$ of the infinite lattice (Onsager 1944).

    $$ |K_h| + |K_v| - \ln 2 + \frac1\pi\int_0^\pi \ln(a + c)\,d\omega $$

    with $a$, $c$ of `modes`. In $v = \ln\tan(\omega/2)$ the measure is $\mathrm{sech}(v)\,dv$, and all
    branch points of the integrand lie on $|\mathrm{Im}\,v| = \pi/2$ at any distance from the critical
    point, so the trapezoid rule converges exponentially and uniformly, for derivatives as well.
    """
    within, between = couplings
    # The integrand is symmetric in the two only after integration: the smaller one stays regular at 0.
    couplings = Couplings(jnp.minimum(within, between), jnp.maximum(within, between))
    v, weight = _RULES[jnp.dtype(within.dtype)]
    sine_squared = jnp.asarray(1 / (1 + np.exp(-2 * v)), within.dtype)
    a, c = modes(couplings, sine_squared)
    mean = jnp.sum(jnp.asarray(weight, within.dtype) * jnp.log(a + c))
    return within + between - jnp.log(2.0).astype(mean.dtype) + mean


def _rule(step: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Points v and weights of the trapezoid rule for the mean over omega."""
    v = np.arange(low, high + step / 2, step)
    return v, step / (np.pi * np.cosh(v))


# The error exp(-pi^2 / step) is below rounding. Towards small v the integrand's scale is the gap, which
# rounding keeps above eps; the heat capacity needs twelve e-folds more.
_RULES = {
    jnp.dtype(jnp.float64): _rule(0.25, -50.0, 40.0),
    jnp.dtype(jnp.float32): _rule(0.5, -26.0, 20.0),
}


def critical_temperature(model: Ising2D) -> Scalar:
    r"""The temperature at which the infinite lattice orders: $\sinh(2|K_h|)\sinh(2|K_v|) = 1$.

    Kramers and Wannier 1941, Onsager 1944; $2J/\ln(1+\sqrt2)$ for equal couplings, 0 if one of them is
    zero. The model's size does not matter.

    Args:
        model: the model.

    Returns:
        $T_c$, differentiable in the couplings.

    Example:
        >>> from jaxsp import ising
        >>> round(float(ising.critical_temperature(ising.Ising2D())), 4)
        2.2692
    """
    model, one = prepare(model, 1.0)
    return _critical_temperature(model, one)


@jax.jit
def _critical_temperature(model: Ising2D, one: Scalar) -> Scalar:
    unsized = Ising2D(model.horizontal, model.vertical)
    size = strengths(unsized, one)
    small, large = jnp.minimum(*size), jnp.maximum(*size)
    orders = small > 0
    # Equal couplings give the closed form, and weaker ones order at a lower temperature.
    ratio = jnp.where(orders, small / jnp.where(large > 0, large, 1.0), 1.0)
    scale = jnp.where(orders, large, 1.0)

    def at(x):
        beta = jnp.exp(x)
        return gap(Couplings(beta * ratio, beta))

    lowest = jnp.log(jnp.log1p(jnp.sqrt(2 * one)) / 2) - 0.1
    x = bracketed_root(at, lowest, lowest + 0.2 - jnp.log(jax.lax.stop_gradient(ratio))).value
    return jnp.where(orders, scale * jnp.exp(-x), 0.0)


def spontaneous_magnetization(model: Ising2D, temperature: ScalarLike) -> Scalar:
    r"""The magnetisation per spin of the infinite lattice in a vanishing field.

    $$ M = \big[1 - \sinh^{-2}(2K_h)\sinh^{-2}(2K_v)\big]^{1/8} $$

    below the critical temperature, zero above (Yang 1952; Chang 1952 for unequal couplings). Along a
    negative coupling the order alternates, and this is its amplitude. The model's size does not matter.

    Args:
        model: the model.
        temperature: $T > 0$.

    Returns:
        The order parameter, accurate relative to itself up to the critical temperature; its slope is
        infinite there.

    Raises:
        ValueError: if the temperature is not positive.

    Example:
        >>> from jaxsp import ising
        >>> round(float(ising.spontaneous_magnetization(ising.Ising2D(), 2.0)), 4)
        0.9113
    """
    check_number("temperature", temperature, minimum=0.0, strict=True)
    model, temperature = prepare(model, temperature)
    return _spontaneous_magnetization(model, temperature)


@jax.jit
def _spontaneous_magnetization(model: Ising2D, temperature: Scalar) -> Scalar:
    couplings = strengths(Ising2D(model.horizontal, model.vertical), 1 / temperature)
    p, q = couplings.factors
    ordered = gap(couplings) > 0
    # 1 - (sinh sinh)^-2 by its factors, the smallest of which is the gap.
    four, both = 4 * p * q, (1 - p) * (1 + p) * (1 - q) * (1 + q)
    both = jnp.where(ordered, both, 1.0)
    eighth = gap(couplings) * (1 + p + q - p * q) * (both + four) / both**2
    return jnp.where(ordered, jnp.where(ordered, eighth, 1.0) ** 0.125, 0.0)
