r"""Convex losses, and how Gaussian averages over their proximal operators are taken.

The proximal operator is $z(\omega) = \mathrm{argmin}_z [\ell(y, z) + (z - \omega)^2 / 2V]$. A smooth loss
needs none: with $z$ itself as the variable of integration, $\omega = z + V \ell'(y, z)$ and
$d\omega = (1 + V \ell'') dz$, everything is as smooth as the loss. (At weak regularisation $V$ is large,
and $z(\omega)$ has a kink that no rule in $\omega$ resolves.)
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import frozen, graded_panels

_BISECTIONS = 60


class Points(NamedTuple):
    r"""Where an average is summed: $\omega$, the prox there and its slope, weights of $d\omega$."""

    omega: Float[Array, " n"]
    z: Float[Array, " n"]
    slope: Float[Array, " n"]
    weights: Float[Array, " n"]


class Loss(eqx.Module):
    r"""A convex loss $\ell(y, z)$ of an output $y$ and a field $z$. A smooth one writes `__call__` alone."""

    @abc.abstractmethod
    def __call__(self, y: Scalar, z: Scalar) -> Scalar:
        """The loss of one sample."""

    def features(self, y: Scalar) -> tuple[Float[Array, " j"], Float[Array, " j"]]:
        """The fields at which the loss bends, and over what width: zero and one, if nothing else is said."""
        return jnp.zeros_like(y)[None], jnp.ones_like(y)[None]

    def points(
        self,
        y: Scalar,
        V: Scalar,
        centres: Float[Array, " k"],
        widths: Float[Array, " k"],
        lower: Scalar,
        upper: Scalar,
        order: int,
    ) -> Points:
        r"""A rule over $\omega \in$ [lower, upper] with features of given widths at given centres."""
        first = jax.grad(self.__call__, 1)
        second = jax.grad(first, 1)

        def field(z):
            return z + V * first(y, z)

        def proximal(omega):
            # V times the slope at omega bounds the way to go: the slope grows with z.
            reach = V * first(y, omega)
            ends = jnp.minimum(omega, omega - reach), jnp.maximum(omega, omega - reach)

            def halve(_, ends):
                low, high = ends
                middle = 0.5 * (low + high)
                above = field(middle) > omega
                return jnp.where(above, low, middle), jnp.where(above, middle, high)

            low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, ends)
            return 0.5 * (low + high)

        # The rule's points stay where they are under differentiation: only what is summed moves.
        y_, V_, centres, widths, lower, upper = frozen((y, V, centres, widths, lower, upper))
        k = centres.size
        ends = jnp.stack([lower, upper])
        places = jnp.concatenate([centres, centres - widths, centres + widths, ends])
        z: Array = jax.lax.stop_gradient(jax.vmap(proximal)(places))
        # A layer's width in z, at its centre or where the slope is larger nearby.
        slope = 1 / (1 + V_ * jax.vmap(lambda z: second(y_, z))(z[:k]))
        narrow = jnp.minimum(widths * slope, 0.5 * (z[2 * k : 3 * k] - z[k : 2 * k]))
        places, extents = frozen(self.features(y))
        # What is wrong or right changes at zero.
        landmarks = jnp.concatenate([z[:k], places, jnp.zeros(1, z.dtype)])
        sizes = jnp.concatenate([jnp.maximum(narrow, 1e-12), extents, jnp.ones(1, z.dtype)])
        rule = graded_panels(landmarks, sizes, z[-2], z[-1], order)
        nodes = jax.lax.stop_gradient(rule.nodes)
        stretch = 1 + V * jax.vmap(lambda z: second(y, z))(nodes)
        return Points(
            jax.vmap(field)(nodes),
            nodes,
            1 / stretch,
            stretch * jax.lax.stop_gradient(rule.weights),
        )


class Square(Loss):
    r"""$\ell = (y - z)^2 / 2$: ridge regression."""

    def __call__(self, y: Scalar, z: Scalar) -> Scalar:
        """Half the squared distance."""
        return 0.5 * (y - z) ** 2


class Logistic(Loss):
    r"""$\ell = \log(1 + e^{-y z})$: logistic regression.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import erm
        >>> round(float(erm.Logistic()(jnp.asarray(1.0), jnp.asarray(0.0))), 6)    # log 2
        0.693147
    """

    def __call__(self, y: Scalar, z: Scalar) -> Scalar:
        """The negative log-likelihood of the label."""
        return jax.nn.softplus(-y * z)


class Convex(Loss):
    """Any smooth convex loss.

    Attributes:
        function: of an output and a field, differentiable twice by JAX.
        bends: the fields at which it bends and over what widths, two arrays, from an output (None: at
            zero, over a width of one).
    """

    function: Callable[[Scalar, Scalar], Scalar]
    bends: Callable | None = None

    def features(self, y: Scalar) -> tuple[Float[Array, " j"], Float[Array, " j"]]:
        """The fields at which the loss bends, and over what widths."""
        return super().features(y) if self.bends is None else self.bends(y)

    def __call__(self, y: Scalar, z: Scalar) -> Scalar:
        """The function."""
        return self.function(y, z)


class FromProximal(Loss):
    r"""A convex loss with kinks, given with its proximal operator.

    Attributes:
        function: the loss of an output and a field.
        proximal: $z(\omega)$ from `(y, omega, V)`, differentiable by JAX almost everywhere.
        kinks: the fields at which its slope jumps, from `(y, V)`, as an array.
    """

    function: Callable[[Scalar, Scalar], Scalar]
    proximal: Callable[[Scalar, Scalar, Scalar], Scalar]
    kinks: Callable[[Scalar, Scalar], Float[Array, " j"]]

    def __call__(self, y: Scalar, z: Scalar) -> Scalar:
        """The function."""
        return self.function(y, z)

    def points(
        self,
        y: Scalar,
        V: Scalar,
        centres: Float[Array, " k"],
        widths: Float[Array, " k"],
        lower: Scalar,
        upper: Scalar,
        order: int,
    ) -> Points:
        r"""A rule over $\omega$ that is cut at the kinks."""
        kinks = self.kinks(y, V)
        landmarks = jnp.concatenate([centres, kinks])
        sizes = jnp.concatenate([widths, jnp.full_like(kinks, 0.1) * (upper - lower)])
        rule = graded_panels(landmarks, sizes, lower, upper, order)
        prox = jax.vmap(jax.value_and_grad(lambda omega: self.proximal(y, omega, V)))
        z, slope = prox(rule.nodes)
        return Points(rule.nodes, z, slope, rule.weights)


class Hinge(FromProximal):
    r"""$\ell = \max(0, 1 - y z)$: the support vector machine.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import erm
        >>> float(erm.Hinge()(jnp.asarray(-1.0), jnp.asarray(0.5)))
        1.5
    """

    def __init__(self):
        """Takes nothing."""
        self.function = _hinge
        self.proximal = _hinge_proximal
        self.kinks = _hinge_kinks


def _hinge(y, z):
    return jnp.maximum(0.0, 1 - y * z)


def _hinge_proximal(y, omega, V):
    margin = y * omega
    return y * jnp.where(margin > 1, margin, jnp.where(margin < 1 - V, margin + V, 1.0))


def _hinge_kinks(y, V):
    return jnp.stack([y, y * (1 - V), -y * V])
