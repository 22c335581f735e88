r"""What the equations along rays read of a problem at one time: its terms, noise, and their protocols."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..mixtures import Mixture
from ._ratio_mesh import Mesh
from .problem import SphericalDynamics, scaled


class Strengths(eqx.Module):
    r"""Factors of the terms, along the last axis, where the strengths are functions of time.

    Pairs are the products of two times: the current one (first), or $\theta_j t$ (second), and the time
    $\phi t$ of an integral's point, in the places that the mesh names.

    Attributes:
        now, nodes: of the current time, and of the times of the nodes.
        row: the product of the two.
        lower, upper, middle, upper_partial, middle_partial: pairs of the integrals below and above the ray.
    """

    now: Float[Array, " terms"]
    nodes: Float[Array, "n terms"]
    row: Float[Array, "n terms"]
    lower: tuple[Array, Array]
    upper: tuple[Array, Array]
    middle: tuple[Array, Array]
    upper_partial: tuple[Array, Array]
    middle_partial: tuple[Array, Array]


class Landscape(eqx.Module):
    """What the equations read of a problem at one time; no strengths if they are constant."""

    covariance: Mixture
    signal: Mixture
    temperature: Scalar
    earlier_temperature: Float[Array, " n"]
    strengths: Strengths | None

    def factors(self, place: str) -> Array | None:
        """The strengths' factors there; None if all are one."""
        return None if self.strengths is None else getattr(self.strengths, place)

    def pair(self, place: str) -> tuple[Array | None, Array | None]:
        """The factors of the current time and of the node's with the times of an integral."""
        return (None, None) if self.strengths is None else getattr(self.strengths, place)


def derivative(Q: Mixture, x: Array, order: int, factors: Array | None) -> Array:
    """A derivative of Q, whose terms have the factors along the last axis; none: all of them one."""
    if factors is None:
        return Q.derivative(x, order)

    def at(x, factors):
        return scaled(Q, factors).derivative(x, order)

    return jnp.vectorize(at, signature="(),(k)->()")(x, factors)


def increment(
    Q: Mixture,
    x: Array,
    change: Array,
    order: int,
    factors: tuple[Array | None, Array | None],
) -> Array:
    """By how much a derivative grows from x to x + change, to the change's digits.

    With factors before and after, the terms' growth is part of it.
    """
    before, after = factors
    if before is None or after is None:
        return Q.increment(x, change, order)

    def at(x, change, factors):
        return scaled(Q, factors).increment(x, change, order)

    grown = jnp.vectorize(at, signature="(),(),(k)->()")(x, change, after)
    return grown + derivative(Q, x, order, after - before)


def landscape(problem: SphericalDynamics, mesh: Mesh, t: Scalar) -> Landscape:
    """What the rates at one time read of the problem."""
    return Landscape(
        covariance=problem.covariance,
        signal=problem.signal,
        temperature=problem.temperature_at(t),
        earlier_temperature=jax.vmap(problem.temperature_at)(jnp.asarray(mesh.theta) * t),
        strengths=None if problem.strengths is None else _strengths(problem, mesh, t),
    )


def _strengths(problem: SphericalDynamics, mesh: Mesh, t: Scalar) -> Strengths:
    theta, partial = jnp.asarray(mesh.theta), jnp.asarray(mesh.partial_ratio)
    at = jnp.vectorize(problem.strengths_at, signature="()->(k)")
    now, nodes = at(t), at(theta * t)

    def pair(ratios: Array) -> tuple[Array, Array]:
        there = at(ratios * t)
        return now * there, nodes[:, None] * there

    own = theta[:, None]
    return Strengths(
        now=now,
        nodes=nodes,
        row=now * nodes,
        lower=pair(own * theta),
        upper=pair(theta[None]),
        # Only quotients below one are read.
        middle=pair(jnp.minimum(own / theta, 1.0)),
        upper_partial=pair(partial),
        middle_partial=pair(own / partial),
    )
