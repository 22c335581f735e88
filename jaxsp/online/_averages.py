"""Gaussian averages over hidden units' fields by quadrature, for activations without closed forms."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float
from scipy.stats import qmc

from ..numerics import product, trapezoid

# Points of the product rule for pairs, in one direction.
_PAIR_POINTS = 41
# Points of the rule over all fields at once: of a product rule in one direction by their number, or
# the logarithm to base two of a Sobol sequence.
_PRODUCT_POINTS = {1: 128, 2: 64, 3: 32, 4: 18}
_SOBOL_LOG2 = 13


class Units(eqx.Module):
    """Hidden units in a row: some with one activation, then some with another."""

    activations: tuple[Callable, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def values(self, rows: Float[Array, "n *p"]) -> Float[Array, "n *p"]:
        """The units' outputs for a row of fields each."""
        return self._apply([a.__call__ for a in self.activations], rows)

    def slopes(self, rows: Float[Array, "n *p"]) -> Float[Array, "n *p"]:
        """The derivatives of the outputs."""
        return self._apply([a.derivative for a in self.activations], rows)

    def _apply(self, functions, rows):
        parts = jnp.split(rows, np.cumsum(self.sizes)[:-1])
        done = [
            jax.vmap(f)(part.ravel()).reshape(part.shape)
            for f, part in zip(functions, parts, strict=True)
        ]
        return jnp.concatenate(done)


def _pairs(C: Float[Array, "n n"]):
    """For each ordered pair of fields, points of both: the first's own, and the second given it."""
    rule = trapezoid(_PAIR_POINTS, dtype=C.dtype)
    plane = product(rule, rule)
    first, second = plane.nodes.T
    variance = jnp.maximum(jnp.diagonal(C), jnp.finfo(C.dtype).eps)
    s = jnp.sqrt(variance)
    slope = C / s[:, None]
    # Of a field given itself nothing is left; where-safe, for derivatives.
    left = variance - slope**2
    apart = left > 4 * jnp.finfo(C.dtype).eps * variance
    width = jnp.where(apart, jnp.sqrt(jnp.where(apart, left, 1.0)), 0.0)
    return (
        first,
        s[:, None] * first,
        slope[..., None] * first + width[..., None] * second,
        plane.weights,
        s,
    )


def _second_values(function: Callable, rows: Float[Array, "m n p"]) -> Float[Array, "m n p"]:
    return jnp.moveaxis(function(jnp.moveaxis(rows, 1, 0)), 0, 1)


def averaged_products(units: Units, C: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Averages of g g."""
    _, one, other, weights, _ = _pairs(C)
    found = jnp.einsum(
        "ap,abp,p->ab", units.values(one), _second_values(units.values, other), weights
    )
    return 0.5 * (found + found.T)


def averaged_slopes(units: Units, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
    """Averages of g' g'."""
    _, one, other, weights, _ = _pairs(C)
    first = units.slopes(one)[:students]
    second = _second_values(units.slopes, other)[:students]
    return jnp.einsum("ap,abp,p->ab", first, second, weights)


def averaged_curvatures(units: Units, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
    r"""Averages of g'' g without g'': by Stein's lemma $\mathbb E h_i g_i' g_b = c_{ii} H + c_{ib} J_2$."""
    z, one, other, weights, s = _pairs(C)
    first = units.slopes(one)[:students]
    values = _second_values(units.values, other)[:students]
    slopes = _second_values(units.slopes, other)[:students]
    moved = jnp.einsum("ap,abp,p->ab", first * z, values, weights)
    pulled = jnp.einsum("ap,abp,p->ab", first, slopes, weights)
    scale = s[:students, None]
    return (moved - C[:students] / scale * pulled) / scale


@functools.lru_cache(maxsize=16)
def _cloud(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points `(n, size)` and weights of the standard normal measure in some dimension."""
    if size in _PRODUCT_POINTS:
        nodes, weights = scipy.special.roots_hermitenorm(_PRODUCT_POINTS[size])
        grids = np.meshgrid(*[nodes] * size, indexing="ij")
        mass = functools.reduce(np.multiply.outer, [weights / weights.sum()] * size)
        points, mass = np.stack([g.ravel() for g in grids], axis=1), mass.ravel()
        kept = mass > 1e-18
        return points[kept], mass[kept] / mass[kept].sum()
    sobol = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(0)).random_base2(_SOBOL_LOG2)
    points = scipy.special.ndtri(np.clip(sobol, 1e-12, 1 - 1e-12))
    # With its mirror image, and whitened: moments of first and second order are exact.
    points = np.concatenate([points, -points])
    root = np.linalg.cholesky(points.T @ points / len(points))
    points = np.linalg.solve(root, points.T).T
    return points, np.full(len(points), 1 / len(points))


def factor(C: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """A Cholesky factor for covariances that may be singular: pivots at rounding level are left out."""
    size = C.shape[0]
    columns: list[Array] = []
    for j in range(size):
        column = C[:, j] - sum((c * c[j] for c in columns), start=jnp.zeros_like(C[:, j]))
        pivot = column[j]
        usable = pivot > 16 * jnp.finfo(C.dtype).eps * C[j, j]
        scale = jnp.where(usable, 1 / jnp.sqrt(jnp.where(usable, pivot, 1.0)), 0.0)
        columns.append(jnp.where(np.arange(size) >= j, column * scale, 0.0))
    return jnp.stack(columns, axis=1)


def averaged_error_slopes(
    units: Units, C: Float[Array, "n n"], u: Float[Array, " n"], students: int
) -> Float[Array, "K K"]:
    r"""Averages of $g_i' g_k' \Delta^2$, by one rule over all fields."""
    points, weights = (jnp.asarray(x, C.dtype) for x in _cloud(C.shape[0]))
    fields = factor(C) @ points.T
    error = u @ units.values(fields)
    slopes = units.slopes(fields)[:students]
    return jnp.einsum("ip,kp,p->ik", slopes, slopes, weights * error**2)
