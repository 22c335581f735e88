r"""Gaussian averages of steps and ramps: what ReLU units need, for fields of unit variance.

With $\theta_x$ a step and $r_x = h_x \theta_x$ a ramp in a field $h_x$, all follow from Stein's lemma and
orthant probabilities. Those of up to three fields are closed forms; four fields take one integral
(Plackett 1954) along a path of correlations.
"""

import math

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from ..numerics import arcsin

_PI = np.pi
# Gauss-Legendre points for the one integral: its integrand is smooth once the path is an angle.
_POINTS = 40


def _floored(x: Array) -> Array:
    """A conditional variance to divide by, above the rounding that is left of it for equal fields.

    What it divides vanishes with it, and the sums over corners are the right ones for equal fields as
    long as the rounding of the numerators is not amplified.
    """
    return jnp.maximum(x, 64 * jnp.finfo(x.dtype).eps)


def arcsine(r: Array) -> Array:
    """The arcsine of a correlation, with finite derivatives where rounding has put it at its ends."""
    limit = 1 - jnp.finfo(r.dtype).eps
    return arcsin(jnp.clip(r, -limit, limit))


def rest(r: Array) -> Array:
    r"""$\sqrt{1 - r^2}$, without cancellation and with finite derivatives."""
    return jnp.sqrt(jnp.maximum((1 - r) * (1 + r), jnp.finfo(r.dtype).eps ** 2))


def step_step(r: Array) -> Array:
    r"""$\mathbb E \theta_x \theta_y$ at correlation r."""
    return 0.25 + arcsine(r) / (2 * _PI)


def ramp_ramp(r: Array) -> Array:
    r"""$\mathbb E r_x r_y$ at correlation r."""
    return rest(r) / (2 * _PI) + r * step_step(r)


def step_square(r: Array) -> Array:
    r"""$\mathbb E \theta_x r_y^2$ at correlation r."""
    return step_step(r) + r * rest(r) / (2 * _PI)


def _partial(r_xy: Array, r_zx: Array, r_zy: Array) -> Array:
    """Correlation of x and y given z."""
    left = _floored((1 - r_zx) * (1 + r_zx)) * _floored((1 - r_zy) * (1 + r_zy))
    return (r_xy - r_zx * r_zy) / jnp.sqrt(left)


def _three_steps(r_xy: Array, r_xz: Array, r_yz: Array) -> Array:
    r"""$\mathbb E \theta_x \theta_y \theta_z$ for three fields that differ."""
    return 0.125 + (arcsine(r_xy) + arcsine(r_xz) + arcsine(r_yz)) / (4 * _PI)


def _edge(r_xz: Array, r_yz: Array, r_xy: Array) -> Array:
    r"""$\mathbb E \delta_x \theta_y r_z$ for three fields that differ."""
    return rest(r_xz) * (1 + _partial(r_yz, r_xy, r_xz)) / (4 * _PI)


def step_ramp_ramp(r_ia: Array, r_ib: Array, r_ab: Array) -> Array:
    r"""$\mathbb E \theta_i r_a r_b$ for three fields that differ."""
    three = _three_steps(r_ia, r_ib, r_ab)
    return r_ia * _edge(r_ib, r_ab, r_ia) + _edge(r_ab, r_ib, r_ia) + r_ab * three


def step_step_square(r_ik: Array, r_ia: Array, r_ka: Array) -> Array:
    r"""$\mathbb E \theta_i \theta_k r_a^2$ for three fields that differ."""
    three = _three_steps(r_ik, r_ia, r_ka)
    return three + r_ia * _edge(r_ia, r_ka, r_ik) + r_ka * _edge(r_ka, r_ia, r_ik)


def _given(R: Float[Array, "4 4 *s"], x: int, others: tuple[int, ...]) -> dict:
    """Covariances of the other fields given that x vanishes."""
    return {(y, z): R[y, z] - R[x, y] * R[x, z] for y in others for z in others}


def _pair_given(S: dict, x: int, y: int, z: int) -> Array:
    """Correlation of y and z given x too, from covariances given something else already."""
    variance = _floored(S[x, x])
    rest_y = _floored(S[y, y] - S[x, y] ** 2 / variance)
    rest_z = _floored(S[z, z] - S[x, z] ** 2 / variance)
    return (S[y, z] - S[x, y] * S[x, z] / variance) / jnp.sqrt(rest_y * rest_z)


def _corner(R: Float[Array, "4 4 *s"], x: int, y: int, z: int, w: int) -> Array:
    r"""$\mathbb E \delta_x \theta_y \theta_z r_w$."""
    S = _given(R, x, (y, z, w))

    def edge(p, q, s):
        # E delta_p theta_q theta_s
        orthant = step_step(_pair_given(S, p, q, s))
        return orthant / jnp.sqrt(2 * _PI * _floored(S[p, p]))

    total = S[w, y] * edge(y, z, w) + S[w, z] * edge(z, y, w) + S[w, w] * edge(w, y, z)
    return total / math.sqrt(2 * _PI)


def four_steps(R: Float[Array, "4 4 *s"]) -> Array:
    r"""$\mathbb E \theta_0 \theta_1 \theta_2 \theta_3$ by Plackett's identity.

    The correlations between $\{0, 1\}$ and $\{2, 3\}$ grow as $t = \sin \phi$ from zero, where the
    probability is a product; its derivative with respect to one of them is an orthant probability of
    the two other fields given that these two vanish.
    """
    nodes, weights = scipy.special.roots_legendre(_POINTS)
    # Crowded at the end, where fields that nearly coincide make a layer.
    left = 0.5 * (1 - nodes)
    angles = 0.5 * _PI * (1 - left**2)
    t = jnp.asarray(np.sin(angles), R.dtype)
    speed = jnp.asarray(0.5 * _PI * left * weights * np.cos(angles), R.dtype)
    r = R[..., None]
    path = {(x, y): t * r[x, y] for x in (0, 1) for y in (2, 3)}
    path |= {(0, 1): r[0, 1] + 0 * t, (2, 3): r[2, 3] + 0 * t}
    path |= {(y, x): value for (x, y), value in path.items()}
    path |= {(x, x): jnp.ones_like(path[0, 1]) for x in range(4)}
    slope = jnp.zeros_like(path[0, 1])
    for x in (0, 1):
        for y in (2, 3):
            z, w = 1 - x, 5 - y
            S = {(p, q): path[p, q] - path[x, p] * path[x, q] for p in (y, z, w) for q in (y, z, w)}
            density = 1 / (2 * _PI * rest(path[x, y]))
            slope = slope + r[x, y] * density * step_step(_pair_given(S, y, z, w))
    start = step_step(R[0, 1]) * step_step(R[2, 3])
    return start + jnp.sum(slope * speed, axis=-1)


def step_step_ramp_ramp(R: Float[Array, "4 4 *s"]) -> Array:
    r"""$\mathbb E \theta_0 \theta_1 r_2 r_3$ for four fields that differ.

    By Stein's lemma for the ramp of field 2: a corner for each step that it touches, and the
    probability of all four steps.
    """
    return (
        R[2, 0] * _corner(R, 0, 1, 2, 3)
        + R[2, 1] * _corner(R, 1, 0, 2, 3)
        + _corner(R, 2, 0, 1, 3)
        + R[2, 3] * four_steps(R)
    )
