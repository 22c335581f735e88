"""What a solver of the two-time equations returns: tables, read in between at the scheme's order."""

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
    r"""Values on a uniform grid of times; two-time functions at $t \ge t'$, the first index being $t$."""

    correlation: Float[Array, "n n"]
    response: Float[Array, "n n"]
    integrated_response: Float[Array, "n n"]
    overlap: Float[Array, " n"]
    multiplier: Float[Array, " n"]
    energies: Float[Array, "n terms"]


class Solution(eqx.Module):
    r"""Dynamics up to `t_max`: functions of one or two times, and how far they are to be trusted.

    All functions take scalars or arrays of times within $[0, t_{\max}]$, and are differentiable in them
    and in the problem's parameters.

    Attributes:
        t_max: the last time.
        table: values at `times`.
        error_estimate: largest difference, over all tables, from what one grid less gives: of the next
            lower order, so that the error of the tables themselves is far smaller. Reading in between
            adds the interpolation's own, which it does not see: of the order of the scheme too, and
            largest where the first transients are barely resolved (1e-7 at twelve steps a unit of
            time, for rates of order one).
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
        stats: numbers of steps, most iterations of a row on each grid, largest defect of a row.
    """

    t_max: Scalar
    table: Table
    error_estimate: Scalar
    result: RESULTS
    stats: dict[str, Array]
    steps: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    @property
    def times(self) -> Float[Array, " n"]:
        """The times of the table."""
        return self.t_max * jnp.arange(self.steps + 1, dtype=self.t_max.dtype) / self.steps

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
        return self._two_times(self.table.correlation, t, s, symmetric=True)

    def response(self, t: Times, s: Times) -> Float[Array, "..."]:
        r"""$R(t, s)$, the response of $x(t)$ to a field at $s$; zero for $t < s$, one at $t \to s^+$."""
        return self._two_times(self.table.response, t, s)

    def integrated_response(self, t: Times, s: Times) -> Float[Array, "..."]:
        r"""$\chi(t, s) = \int_s^t R(t, u)\, du$; zero for $t < s$."""
        return self._two_times(self.table.integrated_response, t, s)

    def fluctuation_dissipation_ratio(
        self, temperature: ScalarLike, t: ScalarLike, s: ScalarLike
    ) -> Scalar:
        r"""$X(t, s) = T R(t, s) / \partial_s C(t, s)$ for two times $t > s$; one in equilibrium."""
        slope = jax.grad(lambda s: self.correlation(t, s))(jnp.asarray(s, self.t_max.dtype))
        return temperature * self.response(t, s) / slope

    def _position(self, name: str, t) -> Float[Array, "..."]:
        if is_concrete((self.t_max, t)):
            check_number(name, t, minimum=0.0, maximum=float(jnp.max(self.t_max)) * (1 + 1e-12))
        return jnp.asarray(t, self.t_max.dtype) * (self.steps / self.t_max)

    def _one_time(self, values: Float[Array, " n"], t) -> Float[Array, "..."]:
        x = self._position("t", t)
        k = self.degree
        first = _window(x, k, self.steps)
        gathered = values[first[..., None] + np.arange(k + 1)]
        # The one-dimensional case of the basis on a triangle.
        x = x - first
        basis = _binomials(x, k) * _binomials(k - x, k)[..., ::-1]
        return jnp.sum(basis * gathered, axis=-1)

    def _two_times(self, values: Float[Array, "n n"], t, s, symmetric: bool = False):
        t, s = jnp.broadcast_arrays(self._position("t", t), self._position("s", s))
        later, earlier = jnp.maximum(t, s), jnp.minimum(t, s)
        value = self._in_triangle(values, later - earlier, earlier)
        return value if symmetric else jnp.where(t >= s, value, 0.0)

    def _in_triangle(self, values: Float[Array, "n n"], lag, since) -> Float[Array, "..."]:
        r"""Polynomial in the lag $t - s$ and $s$ through the points of a small triangle of the table.

        The smooth region $t \ge s \ge 0$, $t \le t_{\max}$ is a triangle in the two, so that one of the
        same shape with $k + 1$ points on a side fits everywhere. On it Lagrange's polynomials are
        $\binom{x}{a} \binom{y}{b} \binom{z}{c}$ with $a + b + c = k = x + y + z$.
        """
        k = self.degree
        i = jnp.clip(jnp.round(jax.lax.stop_gradient(lag) - k / 3).astype(int), 0, self.steps - k)
        j = jnp.round(jax.lax.stop_gradient(since) - k / 3).astype(int)
        j = jnp.clip(j, 0, self.steps - k - i)
        a, b = np.array([(a, b) for a in range(k + 1) for b in range(k + 1 - a)]).T
        row = (i + j)[..., None] + (a + b)
        gathered = values[row, j[..., None] + b]
        x, y = lag - i, since - j
        basis = _binomials(x, k)[..., a] * _binomials(y, k)[..., b]
        basis = basis * _binomials(k - x - y, k)[..., k - a - b]
        return jnp.sum(basis * gathered, axis=-1)


def _window(x: Array, degree: int, steps: int) -> Array:
    first = jnp.round(jax.lax.stop_gradient(x) - degree / 2).astype(int)
    return jnp.clip(first, 0, steps - degree)


def _binomials(x: Array, degree: int) -> Array:
    r"""$\binom{x}{a}$ for $a = 0, \dots, k$ along a new last axis."""
    values = [jnp.ones_like(x)]
    for a in range(degree):
        values.append(values[-1] * (x - a) / (a + 1))
    return jnp.stack(values, axis=-1)
