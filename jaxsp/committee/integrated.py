"""Outputs that are given by their likelihood, integrated over the fields."""

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import Rule, frozen
from ._points import nested_panels, standard_normal
from .outputs import Output

# A likelihood below this is an impossible outcome; its logarithm stays finite.
FLOOR = {jnp.dtype("float64"): -600.0, jnp.dtype("float32"): -75.0}


class IntegratedOutput(Output):
    r"""An output law given by $\log P_{\rm out}(y|h)$, integrated over the K fields.

    $$ Z_{\rm out}(y; \omega, V) = \mathbb E_{z \sim \mathcal N(0, I)} P_{\rm out}(y\,|\,\omega + L z),
       \qquad V = L L^T. $$

    By the trapezoid rule in each direction up to three units, whose error falls exponentially for smooth
    likelihoods, or by Gauss-Legendre panels between `field_breakpoints`, one field after the other; beyond
    three units by quasi-random points. Without breakpoints derivatives are those of the likelihood; with
    them those of the Gaussian, since the likelihood may have none.
    """

    integrated: ClassVar[bool] = True

    points: eqx.AbstractVar[int]
    """Points of the quadrature over the field of a single unit; each of several gets fewer."""

    @abc.abstractmethod
    def log_likelihood(self, y: Scalar, fields: Float[Array, " K"]) -> Scalar:
        r"""$\log P_{\rm out}(y|h)$ of one output."""

    def noise_dimensions(self, hidden_units: int) -> int:
        """As many as there are units."""
        return hidden_units

    def noise_rule(self, omega: Float[Array, " K"], root: Float[Array, "K K"], order: int) -> Rule:
        r"""Standard normal points z for the fields $\omega + L z$."""
        K = omega.shape[0]
        share = {1: 1.0, 2: 0.3, 3: 0.15}.get(K, 1.0)
        points = max(math.ceil(share * self.points * order / 12), 8)
        if self.field_breakpoints and K <= 3:
            share = {1: 0.3, 2: 0.2, 3: 0.06}[K]
            points = max(math.ceil(share * self.points * order / 12), 5)
            return nested_panels(
                omega, root, self.field_breakpoints, points, self.last_boundaries()
            )
        return standard_normal(K, points, 8 * points, omega.dtype)

    def last_boundaries(self) -> Callable | None:
        """What finds steps of the likelihood along the last field, given the others."""
        return None

    def outcome_log_partitions(
        self,
        y: Float[Array, " outputs"],
        omega: Float[Array, " K"],
        V: Float[Array, "K K"],
        order: int,
        noise: Rule | None,
    ) -> Float[Array, " outputs"]:
        """The logarithms of the integrals, all over the same points."""
        fixed, fixed_omega, fixed_V = frozen((self, omega, V))
        fixed_root = jnp.linalg.cholesky(fixed_V)
        if noise is None:
            noise = jax.lax.stop_gradient(fixed.noise_rule(fixed_omega, fixed_root, order))
        z, root = noise.nodes, jnp.linalg.cholesky(V)
        if self.field_breakpoints:
            fields = fixed_omega + z @ fixed_root.T
            moved = jax.scipy.linalg.solve_triangular(root, (fields - omega).T, lower=True)
            stretch = jnp.log(jnp.diagonal(fixed_root) / jnp.diagonal(root))
            log_measure = 0.5 * jnp.sum(z**2 - moved.T**2, axis=1) + jnp.sum(stretch)
        else:
            fields = omega + z @ root.T
            log_measure = jnp.zeros_like(noise.weights)

        def at(y):
            log_p = jax.vmap(lambda h: self.log_likelihood(y, h))(fields)
            log_p = jnp.maximum(log_p, FLOOR[jnp.dtype(V.dtype)])
            return jax.scipy.special.logsumexp(log_p + log_measure, b=noise.weights)

        return jax.vmap(at)(y)

    def log_partition(self, y: Scalar, omega: Float[Array, " K"], V: Float[Array, "K K"]) -> Scalar:
        """The logarithm of the integral."""
        return self.outcome_log_partitions(y[None], omega, V, 12, None)[0]


def check_breakpoints(breakpoints: tuple[float | int, ...]) -> None:
    """Raise a `ValueError` unless all are finite."""
    if not all(math.isfinite(point) for point in breakpoints):
        raise ValueError(f"Argument `breakpoints` must be finite, but is {breakpoints}.")


def check_points(name: str, points: int) -> None:
    """Raise a `ValueError` if there are too few for any quadrature."""
    if points < 16:
        raise ValueError(f"Argument `{name}` must be at least 16, but is {points}.")
