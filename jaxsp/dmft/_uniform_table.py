"""A uniform grid's tables, read by polynomials of the scheme's order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Scalar
from .solution import Table


class UniformTable(Table):
    r"""Values on a uniform grid of times; two-time functions at $t \ge t'$, the first index being $t$."""

    correlation: Float[Array, "n n"]
    response: Float[Array, "n n"]
    integrated_response: Float[Array, "n n"]
    overlap: Float[Array, " n"]
    multiplier: Float[Array, " n"]
    energies: Float[Array, "n terms"]
    t_max: Scalar
    degree: int = eqx.field(static=True)

    @property
    def steps(self) -> int:
        """Number of steps of the grid."""
        return self.overlap.shape[-1] - 1

    @property
    def times(self) -> Float[Array, " n"]:
        """The times of the grid."""
        return self.t_max * jnp.arange(self.steps + 1, dtype=self.t_max.dtype) / self.steps

    def at(self, values: Float[Array, " n"], t: Array) -> Array:
        """Polynomial through the nearest points."""
        x = t * (self.steps / self.t_max)
        k = self.degree
        first = _nearest(x, k / 2, self.steps - k)
        gathered = values[first[..., None] + np.arange(k + 1)]
        # The one-dimensional case of the basis on a triangle.
        x = x - first
        basis = _binomials(x, k) * _binomials(k - x, k)[..., ::-1]
        return jnp.sum(basis * gathered, axis=-1)

    def between(
        self, values: Float[Array, "n n"], later: Array, earlier: Array, diagonal: float
    ) -> Array:
        """Polynomial on a triangle; the diagonal is in the table."""
        scale = self.steps / self.t_max
        return self._in_triangle(values, (later - earlier) * scale, earlier * scale)

    def _in_triangle(self, values: Float[Array, "n n"], lag, since) -> Float[Array, "..."]:
        r"""Polynomial in the lag $t - s$ and $s$ through the points of a small triangle of the table.

        The smooth region $t \ge s \ge 0$, $t \le t_{\max}$ is a triangle in the two, so that one of the
        same shape with $k + 1$ points on a side fits everywhere. On it Lagrange's polynomials are
        $\binom{x}{a} \binom{y}{b} \binom{z}{c}$ with $a + b + c = k = x + y + z$.
        """
        k = self.degree
        i = _nearest(lag, k / 3, self.steps - k)
        j = jnp.minimum(_nearest(since, k / 3, self.steps - k), self.steps - k - i)
        a, b = np.array([(a, b) for a in range(k + 1) for b in range(k + 1 - a)]).T
        row = (i + j)[..., None] + (a + b)
        gathered = values[row, j[..., None] + b]
        x, y = lag - i, since - j
        basis = _binomials(x, k)[..., a] * _binomials(y, k)[..., b]
        basis = basis * _binomials(k - x - y, k)[..., k - a - b]
        return jnp.sum(basis * gathered, axis=-1)


def _nearest(x: Array, offset: float, last: int) -> Array:
    """`x - offset`, rounded to a whole number from 0 to `last`.

    By a search, whose result is stored: of arithmetic alone the compiler may make one copy for the values
    that are read and another, rounded in another way, for their weights, which at a tie do not fit.
    """
    edges = jnp.arange(last, dtype=x.dtype) + (offset + 0.5)
    return jnp.searchsorted(edges, jax.lax.stop_gradient(x), side="right")


def _binomials(x: Array, degree: int) -> Array:
    r"""$\binom{x}{a}$ for $a = 0, \dots, k$ along a new last axis."""
    values = [jnp.ones_like(x)]
    for a in range(degree):
        values.append(values[-1] * (x - a) / (a + 1))
    return jnp.stack(values, axis=-1)
