"""The long-time solver's rows as tables, and how to begin them from a uniform grid's solution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Count, Scalar
from ..numerics import is_concrete
from ._ratio_march import NO_BLOCKS, Rows, window
from ._ratio_mesh import Mesh, Panels
from .problem import SphericalDynamics, protocol_times, scaled
from .solution import Solution, Table


class RatioTable(Table):
    r"""Values at the steps' times; two-time functions on nodes of the ratio $t'/t$.

    Between times read by polynomials in $\log(1 + t)$ at a fixed ratio (of blocks, by their own), between
    ratios by those of the panels.
    """

    correlation: Float[Array, "n k"]
    response: Float[Array, "n k"]
    integrated_response: Float[Array, "n k"]
    overlap: Float[Array, " n"]
    multiplier: Float[Array, " n"]
    energies: Float[Array, "n terms"]
    clock: Float[Array, " n"]
    count: Count
    blocks: Count
    ratios: Float[Array, " k"]
    halvings: int = eqx.field(static=True)
    nodes: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    @property
    def times(self) -> Float[Array, " n"]:
        """The times of the steps; while traced, with infinity for room that is not needed."""
        clock = self.clock[: int(self.count)] if is_concrete(self.count) else self.clock
        return jnp.expm1(clock)

    def at(self, values: Float[Array, " n"], t: Array) -> Array:
        """Polynomial through the nearest times."""
        index, weights = self._window(t)
        return jnp.sum(values[index] * weights, -1)

    def between(
        self, values: Float[Array, "n k"], later: Array, earlier: Array, diagonal: float
    ) -> Array:
        """Polynomials in the time at a fixed ratio, and in the ratio."""
        index, weights = self._window(later)
        begun = later > 0
        # At time zero all ratios are alike.
        age = jnp.where(begun, later, 1.0)
        ratio = jnp.where(begun, earlier / age, 0.5)
        lag = jnp.where(begun, (later - earlier) / age, 0.5)
        stencil = Panels(self.halvings, self.nodes).stencil(ratio, lag, xp=jnp)
        panels = values.reshape(values.shape[0], -1, self.nodes)
        read = panels[index, stencil.panel[..., None]]
        rows = jnp.sum(read * stencil.weights[..., None, :], -1)
        rows = rows + diagonal * stencil.end[..., None]
        return jnp.sum(rows * weights, -1)

    def _window(self, t: Array) -> tuple[Array, Array]:
        return window(self.clock, self.count, self.blocks, jnp.log1p(t), self.degree + 1)


def table_of(rows: Rows, mesh: Mesh, halvings: int, degree: int) -> RatioTable:
    """All rows, with the integrated response by the panels' own polynomials."""
    panels = Panels(halvings, mesh.nodes)
    widths, weights = (jnp.asarray(x, rows.clock.dtype) for x in (panels.widths, panels.w))
    matrix = jnp.asarray(panels.antiderivative(), rows.clock.dtype)
    response = rows.response.reshape(rows.response.shape[0], -1, mesh.nodes)
    whole = response @ weights * widths
    after = jnp.cumsum(whole[:, ::-1], axis=1)[:, ::-1] - whole
    inner = jnp.einsum("npb,ab->npa", response, matrix) * widths[:, None]
    known = jnp.arange(rows.clock.size) < rows.count
    age = jnp.where(known, jnp.expm1(jnp.where(known, rows.clock, 0.0)), 0.0)
    integrated = age[:, None] * (inner + after[..., None]).reshape(rows.response.shape)
    return RatioTable(
        correlation=rows.correlation,
        response=rows.response,
        integrated_response=integrated,
        overlap=rows.overlap,
        multiplier=rows.multiplier,
        energies=rows.energies,
        clock=rows.clock,
        count=rows.count,
        blocks=rows.blocks,
        ratios=jnp.asarray(mesh.theta),
        halvings=halvings,
        nodes=mesh.nodes,
        degree=degree,
    )


def first_rows(start: Solution, mesh: Mesh, room: int) -> Rows:
    """The rows of a uniform grid's solution, on the nodes of the mesh, with room for more."""
    times = start.times
    theta = jnp.asarray(mesh.theta)
    later, earlier = jnp.broadcast_arrays(times[:, None], times[:, None] * theta)
    correlation = start.table.between(start.table.correlation, later, earlier, 1.0)
    response = start.table.between(start.table.response, later, earlier, 1.0)
    n = times.size

    def padded(values: Array, fill: float = 0.0) -> Array:
        filled = jnp.full((room, *values.shape[1:]), fill, values.dtype)
        return filled.at[:n].set(values)

    return Rows(
        clock=padded(jnp.log1p(times), jnp.inf),
        correlation=padded(correlation),
        response=padded(response),
        overlap=padded(start.table.overlap),
        multiplier=padded(start.table.multiplier),
        energies=padded(start.table.energies),
        count=jnp.asarray(n, int),
        blocks=jnp.asarray(NO_BLOCKS, int),
    )


def disagreement(fine: RatioTable, coarse: RatioTable, last: Scalar) -> Scalar:
    """The largest difference of all functions at the coarse one's times and at some ratios."""
    known = jnp.arange(coarse.clock.size) < coarse.count
    t = jnp.where(known, jnp.expm1(jnp.where(known, coarse.clock, 0.0)), last)
    ratios = jnp.asarray(np.array([0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.998]), last.dtype)
    later, earlier = jnp.broadcast_arrays(t[:, None], t[:, None] * ratios)

    def gap(read, measure: Array | float = 1.0):
        return jnp.max(jnp.abs(read(fine) - read(coarse)) * measure)

    gaps = [
        gap(lambda table: table.at(table.overlap, t)),
        gap(lambda table: table.at(table.multiplier, t)),
    ]
    gaps += [
        gap(lambda table, i=i: table.at(table.energies[:, i], t))
        for i in range(fine.energies.shape[-1])
    ]
    gaps.append(gap(lambda x: x.between(x.correlation, later, earlier, 1.0)))
    measure = 1 + jnp.minimum(earlier, later - earlier)
    gaps.append(gap(lambda x: x.between(x.response, later, earlier, 1.0), measure))
    return jnp.max(jnp.stack(gaps))


def rate_of(problem: SphericalDynamics, t: Scalar) -> Scalar:
    r"""How fast the dynamics is: $\sqrt{Q''(1)} + T(0)$ and the signal's force; of protocols the largest."""
    one = jnp.ones_like(t)
    factors = jnp.abs(jax.vmap(problem.strengths_at)(protocol_times(t))).max(0)
    Q, signal = scaled(problem.covariance, factors**2), scaled(problem.signal, factors)
    force = signal.derivative(one) * jnp.abs(jnp.asarray(problem.start, t.dtype))
    rate = jnp.sqrt(Q.derivative(one, 2)) + problem.temperature_at(0.0 * t) + force
    return jax.lax.stop_gradient(rate)
