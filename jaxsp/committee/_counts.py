r"""How many of K Gaussian fields are positive, for any means and covariance.

With c the least eigenvalue of V and $V = c I + B B^T$, the fields are independent given K - 1 standard
normal numbers u:

$$ P(k) = \mathbb E_u \sum_{s: k \text{ positive}} \prod_l
   \Phi\Big(s_l \frac{\omega_l + (B u)_l}{\sqrt c}\Big). $$

All terms are positive, and the integrand is entire in u. Derivatives in V are those in $\omega$, since P
solves the heat equation, $\partial_V P = \frac12 \nabla_\omega \nabla_\omega^T P$: the split of V into its
parts is not differentiated.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from ..numerics import Rule


def counts(omega: Float[Array, " K"], V: Float[Array, "K K"], rule: Rule) -> Float[Array, " k"]:
    """Probabilities of 0 to K positive fields; the rule has K - 1 standard normal numbers."""
    return _derivative(0, omega, V, rule.nodes, rule.weights)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _derivative(times: int, omega: Array, V: Array, nodes: Array, weights: Array) -> Array:
    """The tensor of derivatives in the means, of so high an order."""
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(V))
    least = values[0]
    spread = vectors[:, 1:] * jnp.sqrt(jnp.maximum(values[1:] - least, 0.0))
    shift = nodes @ spread.T

    def of_means(omega):
        x = (omega + shift) / jnp.sqrt(2 * least)
        positive, negative = (0.5 * jax.scipy.special.erfc(s * x) for s in (-1, 1))
        found = [jnp.ones_like(positive[:, 0])]
        for unit in range(omega.shape[0]):
            up, down = positive[:, unit], negative[:, unit]
            grown = [down * found[0]]
            grown += [down * b + up * a for a, b in itertools.pairwise(found)]
            found = [*grown, up * found[-1]]
        return jnp.stack([weights @ f for f in found])

    for _ in range(times):
        of_means = jax.jacfwd(of_means)
    return of_means(omega)


def _rule(times, primals, tangents):
    d_omega, d_V, *_ = tangents
    value = _derivative(times, *primals)
    slope = jnp.zeros_like(value)
    if not isinstance(d_omega, SymbolicZero):
        first = _derivative(times + 1, *primals)
        slope = slope + jnp.tensordot(first, d_omega, axes=1)
    if not isinstance(d_V, SymbolicZero):
        second = _derivative(times + 2, *primals)
        slope = slope + 0.5 * jnp.tensordot(second, d_V, axes=2)
    return value, slope


_derivative.defjvp(_rule, symbolic_zeros=True)
