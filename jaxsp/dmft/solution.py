r"""What a solver of the two-time equations returns: functions of one or two times, read from tables."""

import abc
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, is_concrete

Times: TypeAlias = float | int | Num[Array | np.ndarray, "..."]


class Table(eqx.Module):
    r"""Values at a grid's times, and how they are read in between.

    Attributes:
        correlation, response, integrated_response: two-time functions at $t \ge t'$; the first index is
            $t$, the second is the grid's for $t'$.
        overlap, multiplier, energies: of one time, the energies of each interaction apart.
    """

    correlation: eqx.AbstractVar[Float[Array, "n k"]]
    response: eqx.AbstractVar[Float[Array, "n k"]]
    integrated_response: eqx.AbstractVar[Float[Array, "n k"]]
    overlap: eqx.AbstractVar[Float[Array, " n"]]
    multiplier: eqx.AbstractVar[Float[Array, " n"]]
    energies: eqx.AbstractVar[Float[Array, "n terms"]]

    @property
    @abc.abstractmethod
    def times(self) -> Float[Array, " n"]:
        """The times of the first index."""

    @abc.abstractmethod
    def at(self, values: Float[Array, " n"], t: Array) -> Array:
        """A function of one time, at the scheme's order."""

    @abc.abstractmethod
    def between(
        self, values: Float[Array, "n k"], later: Array, earlier: Array, diagonal: float
    ) -> Array:
        """A function of two times, given what it is on the diagonal."""


class Solution(eqx.Module):
    r"""Dynamics up to `t_max`: functions of one or two times, and how far they are to be trusted.

    All functions take scalars or arrays of times within $[0, t_{\max}]$, and are differentiable in them
    and in the problem's parameters.

    Attributes:
        t_max: the last time.
        table: values at `times`, as the solver's grid has them.
        error_estimate: largest difference of the functions from those of a coarser solution; the solver
            (`UniformGrid`, `RatioGrid`) says which one.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
        stats: what the solver counted and checked on its way.
    """

    t_max: Scalar
    table: Table
    error_estimate: Scalar
    result: RESULTS
    stats: dict[str, Array]

    @property
    def times(self) -> Float[Array, " n"]:
        """The times of the table."""
        return self.table.times

    def overlap(self, t: Times) -> Float[Array, "..."]:
        r"""$\bar C(t)$, the overlap with the signal."""
        return self._one_time(self.table.overlap, t)

    def multiplier(self, t: Times) -> Float[Array, "..."]:
        r"""$\mu(t)$, the force that keeps $x$ on the sphere."""
        return self._one_time(self.table.multiplier, t)

    def energies(self, t: Times) -> Float[Array, "... terms"]:
        """The energy per spin of each interaction, in the order of the mixture's degrees."""
        parts = [self._one_time(part, t) for part in self.table.energies.T]
        return jnp.stack(parts, axis=-1)

    def energy(self, t: Times) -> Float[Array, "..."]:
        r"""$\langle H \rangle / N$."""
        return self._one_time(jnp.sum(self.table.energies, axis=-1), t)

    def correlation(self, t: Times, s: Times) -> Float[Array, "..."]:
        r"""$C(t, s) = x(t) \cdot x(s) / N$."""
        return self._two_times(self.table.correlation, t, s, diagonal=1.0, causal=False)

    def response(self, t: Times, s: Times) -> Float[Array, "..."]:
        r"""$R(t, s)$, the response of $x(t)$ to a field at $s$; zero for $t < s$, one at $t \to s^+$."""
        return self._two_times(self.table.response, t, s, diagonal=1.0)

    def integrated_response(self, t: Times, s: Times) -> Float[Array, "..."]:
        r"""$\chi(t, s) = \int_s^t R(t, u)\, du$; zero for $t < s$."""
        return self._two_times(self.table.integrated_response, t, s, diagonal=0.0)

    def fluctuation_dissipation_ratio(
        self, temperature: ScalarLike, t: ScalarLike, s: ScalarLike
    ) -> Scalar:
        r"""$X(t, s) = T R(t, s) / \partial_s C(t, s)$ for two times $t > s$; one in equilibrium."""
        slope = jax.grad(lambda s: self.correlation(t, s))(jnp.asarray(s, self.t_max.dtype))
        return temperature * self.response(t, s) / slope

    def _checked(self, name: str, t: Times) -> Array:
        if is_concrete((self.t_max, t)):
            check_number(name, t, minimum=0.0, maximum=float(jnp.max(self.t_max)) * (1 + 1e-12))
        return jnp.asarray(t, self.t_max.dtype)

    def _one_time(self, values: Float[Array, " n"], t: Times) -> Float[Array, "..."]:
        return _at(self.table, values, self._checked("t", t))

    def _two_times(
        self, values: Float[Array, "n k"], t: Times, s: Times, diagonal: float, causal: bool = True
    ) -> Float[Array, "..."]:
        t, s = jnp.broadcast_arrays(self._checked("t", t), self._checked("s", s))
        return _between(self.table, values, t, s, diagonal, causal)


@eqx.filter_jit
def _at(table: Table, values: Array, t: Array) -> Array:
    return table.at(values, t)


@eqx.filter_jit
def _between(table: Table, values: Array, t: Array, s: Array, diagonal: float, causal: bool):
    value = table.between(values, jnp.maximum(t, s), jnp.minimum(t, s), diagonal)
    return jnp.where(t >= s, value, 0.0) if causal else value
