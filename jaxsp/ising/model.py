"""The Ising model on a square lattice: two couplings and a size."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import is_concrete, numbers_as_arrays, real_dtype


class Ising2D(eqx.Module):
    r"""Ising spins $s = \pm1$ on a square lattice with periodic boundaries, without a field.

    $$ H(s) = -J_h \sum_{i,j} s_{i,j} s_{i,j+1} - J_v \sum_{i,j} s_{i,j} s_{i+1,j} $$

    The Boltzmann weight is $e^{-H/T}$ (temperatures in units of energy, $k_B = 1$). The functions of
    `jaxsp.ising` take the model as their first argument; it is a pytree, so they can be differentiated
    with respect to its couplings.

    Attributes:
        horizontal: $J_h$, the coupling within a row. Negative ones are antiferromagnetic.
        vertical: $J_v$, the coupling between rows; $J_h$ if it is not given.
        size: (rows, columns) of a torus, or None for the infinite lattice. A direction of two sites has
            two bonds between them.

    Raises:
        ValueError: if a size is below one, a coupling is not finite, or a negative coupling runs along
            an odd number of sites (which frustrates them).

    Example:
        >>> from jaxsp import ising
        >>> infinite = ising.Ising2D()
        >>> anisotropic = ising.Ising2D(horizontal=1.0, vertical=0.5, size=(16, 32))
    """

    horizontal: ScalarLike
    vertical: ScalarLike
    size: tuple[int, int] | None = eqx.field(static=True)

    def __init__(
        self,
        horizontal: ScalarLike = 1.0,
        vertical: ScalarLike | None = None,
        size: tuple[int, int] | None = None,
    ):
        self.horizontal = horizontal
        self.vertical = horizontal if vertical is None else vertical
        self.size = size

    def __check_init__(self):
        lengths = (None, None) if self.size is None else self.size
        if self.size is not None and min(self.size) < 1:
            raise ValueError(
                f"Argument `size` must be two lengths of at least 1, but is {self.size}."
            )
        couplings = {"vertical": self.vertical, "horizontal": self.horizontal}
        for (name, coupling), length in zip(couplings.items(), lengths, strict=True):
            check_number(name, coupling)
            frustrated = length is not None and length % 2 == 1
            if frustrated and is_concrete(coupling) and bool(jnp.any(jnp.asarray(coupling) < 0)):
                raise ValueError(
                    f"Argument `{name}` must not be negative along an odd number of sites "
                    f"({length}), but is {coupling}."
                )


class Couplings(NamedTuple):
    """Couplings over the temperature, and what their Boltzmann factors are."""

    within: Scalar
    between: Scalar

    @property
    def factors(self) -> tuple[Scalar, Scalar]:
        r"""$e^{-2K_h}$ and $e^{-2K_v}$: what breaking a bond costs."""
        return jnp.exp(-2 * self.within), jnp.exp(-2 * self.between)


def prepare(
    model: Ising2D, value: ScalarLike | Num[Array, "..."]
) -> tuple[Ising2D, Float[Array, "..."]]:
    """Model and numbers as arrays of one floating-point type: that of the arrays among them."""
    dtype = real_dtype(model.horizontal, model.vertical, value)
    return numbers_as_arrays(model, dtype), jnp.asarray(value, dtype)


def strengths(model: Ising2D, inverse_temperature: Scalar) -> Couplings:
    r"""$|K_h|$ and $|K_v|$: flipping one sublattice takes the signs away where nothing is frustrated.

    With a selection rather than `abs`, whose second derivative at zero is wrong for functions that are
    smooth and even there. A traced negative coupling along an odd length becomes NaN.
    """

    def strength(coupling, length):
        negative = -coupling
        if length is not None and length % 2 == 1:
            negative = jnp.full_like(coupling, jnp.nan)
        return inverse_temperature * jnp.where(coupling < 0, negative, coupling)

    rows, columns = (None, None) if model.size is None else model.size
    return Couplings(strength(model.horizontal, columns), strength(model.vertical, rows))
