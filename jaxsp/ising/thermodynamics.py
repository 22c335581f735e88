r"""Free energy, energy, entropy and heat capacity: one function and its derivatives.

Of the infinite lattice if the model has no size, of the finite torus if it has one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._checks import check_number
from .._types import Scalar, ScalarLike
from .exact import gap, infinite_log_partition
from .model import Ising2D, prepare, strengths
from .torus import torus_log_partition


def log_partition(model: Ising2D, inverse_temperature: ScalarLike) -> Scalar:
    r"""$\log Z / N$ per spin at the inverse temperature $\beta$, from which all else is derived.

    Onsager's on the infinite lattice, Kaufman's on a torus. It is smooth in $\beta$ and the couplings
    (on the infinite lattice away from the critical point), absolute error a few roundings.

    Args:
        model: the model.
        inverse_temperature: $\beta \ge 0$.

    Raises:
        ValueError: if the inverse temperature is negative.

    Example:
        >>> from jaxsp import ising
        >>> round(float(ising.log_partition(ising.Ising2D(), 0.0)), 6)  # ln 2
        0.693147
    """
    check_number("inverse_temperature", inverse_temperature, minimum=0.0)
    return _log_partition(*prepare(model, inverse_temperature))


@jax.jit
def _log_partition(model: Ising2D, inverse_temperature: Scalar) -> Scalar:
    couplings = strengths(model, inverse_temperature)
    if model.size is None:
        return infinite_log_partition(couplings)
    return torus_log_partition(couplings, *model.size)


def _slope(f: Callable[[Scalar], Scalar], x: Scalar) -> Scalar:
    return jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


def _energy(model: Ising2D, beta: Scalar) -> Scalar:
    return -_slope(lambda b: _log_partition(model, b), beta)


def free_energy(model: Ising2D, temperature: ScalarLike) -> Scalar:
    r"""$f = -T \log Z / N$ per spin.

    Args:
        model: the model; without a size the infinite lattice (Onsager 1944), with one the torus (Kaufman
            1949).
        temperature: $T > 0$.

    Returns:
        The free energy, differentiable in temperature and couplings.

    Raises:
        ValueError: if the temperature is not positive.

    Example:
        >>> from jaxsp import ising
        >>> round(float(ising.free_energy(ising.Ising2D(), 2.0)), 5)
        -2.05159
    """
    model, temperature = _at(model, temperature)
    return -temperature * _log_partition(model, 1 / temperature)


def energy(model: Ising2D, temperature: ScalarLike) -> Scalar:
    r"""$u = -\partial_\beta \log Z / N$ per spin; arguments and errors as of `free_energy`.

    Example:
        >>> from jaxsp import ising
        >>> model = ising.Ising2D()
        >>> round(float(ising.energy(model, ising.critical_temperature(model))), 5)  # -sqrt(2)
        -1.41421
    """
    model, temperature = _at(model, temperature)
    return _jitted_energy(model, 1 / temperature)


def entropy(model: Ising2D, temperature: ScalarLike) -> Scalar:
    r"""$s = \log Z / N + \beta u$ per spin; arguments and errors as of `free_energy`.

    Example:
        >>> from jaxsp import ising
        >>> round(float(ising.entropy(ising.Ising2D(), 1e6)), 6)  # ln 2
        0.693147
    """
    model, temperature = _at(model, temperature)
    beta = 1 / temperature
    return _log_partition(model, beta) + beta * _jitted_energy(model, beta)


def heat_capacity(model: Ising2D, temperature: ScalarLike) -> Scalar:
    r"""$C = \partial u/\partial T = \beta^2 \partial_\beta^2 \log Z / N$ per spin, by autodiff.

    On the infinite lattice it diverges like $-\ln|T - T_c|$ and is infinite at the critical point;
    arguments and errors as of `free_energy`.

    Example:
        >>> from jaxsp import ising
        >>> float(ising.heat_capacity(ising.Ising2D(size=(32, 32)), 2.3)) > 1
        True
    """
    model, temperature = _at(model, temperature)
    return _heat_capacity(model, 1 / temperature)


_jitted_energy = jax.jit(_energy)


@jax.jit
def _heat_capacity(model: Ising2D, beta: Scalar) -> Scalar:
    value = -(beta**2) * _slope(lambda b: _energy(model, b), beta)
    if model.size is not None:
        return value
    # The quadrature is cut far below the smallest gap that rounding leaves, but not at none at all.
    # A chain's gap vanishes with its temperature, by underflow, and means nothing.
    couplings = strengths(model, beta)
    critical = (gap(couplings) == 0) & (couplings.within > 0) & (couplings.between > 0)
    return jnp.where(critical, jnp.inf, value)


def _at(model: Ising2D, temperature: ScalarLike) -> tuple[Ising2D, Scalar]:
    check_number("temperature", temperature, minimum=0.0, strict=True)
    return prepare(model, temperature)
