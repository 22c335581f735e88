r"""Covariance functions of Gaussian energy landscapes: mixtures of p-spin interactions.

A landscape $H$ on the sphere $|x|^2 = N$ with $\mathrm{Cov}[H(x), H(y)] = N Q(x \cdot y / N)$ is given by
the one function $Q$; state evolution, two-time kernels, energies, complexities and thresholds follow
from it and its derivatives.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._checks import check_number, check_shape


class Mixture(eqx.Module):
    r"""$Q(x) = \sum_p c_p x^p$: independent $p$-spin interactions, each of strength $c_p$.

    A tensor of Gaussian noise of variance $\Delta_p$ has $c_p = 1/(p \Delta_p)$ (arXiv 1812.09066); the
    pure spherical $p$-spin model has $c_p = 1/2$.

    Attributes:
        degrees: the $p$, different integers of at least 2.
        coefficients: the $c_p \ge 0$.

    Example:
        >>> import jax.numpy as jnp
        >>> Q = Mixture(degrees=(2, 3), coefficients=jnp.array([0.5, 0.25]))
        >>> float(Q(jnp.asarray(2.0))), float(Q.derivative(jnp.asarray(2.0), order=2))
        (4.0, 4.0)
    """

    degrees: tuple[int, ...] = eqx.field(static=True)
    coefficients: Float[Array, " terms"]

    def __check_init__(self):
        whole = all(isinstance(p, int) and p >= 2 for p in self.degrees)
        if not (whole and self.degrees and len(set(self.degrees)) == len(self.degrees)):
            raise ValueError(
                "Argument `degrees` must hold different integers of at least 2, "
                f"but is {self.degrees}."
            )
        count = len(self.degrees)
        check_shape("coefficients", self.coefficients, (count,), f"({count},), one a degree")
        check_number("coefficients", self.coefficients, minimum=0.0)

    def terms(self, x: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        r"""The interactions' parts $c_p x^p$, in the order of `degrees`."""
        return tuple(c * x**p for c, p in zip(self.coefficients, self.degrees, strict=True))

    def __call__(self, x: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """$Q(x)$, elementwise."""
        return sum(self.terms(x), start=jnp.zeros_like(x))

    def derivative(self, x: Float[Array, "*s"], order: int = 1) -> Float[Array, "*s"]:
        """$Q^{(k)}(x)$ with $k$ = `order`, elementwise."""
        function = self.__call__
        for _ in range(order):
            function = _slope(function)
        return function(x)

    def increment(
        self, x: Float[Array, "*#s"], change: Float[Array, "*#s"], order: int = 1
    ) -> Float[Array, "*#s"]:
        r"""$Q^{(k)}(x + \delta) - Q^{(k)}(x)$ with $\delta$ = `change`, to the digits that it has.

        Example:
            >>> import jax.numpy as jnp
            >>> Q = Mixture(degrees=(3,), coefficients=jnp.array([0.5]))
            >>> bool(Q.increment(jnp.asarray(1.0), jnp.asarray(1e-20)) > 0)
            True
        """
        total = jnp.zeros_like(x + change)
        for c, p in zip(self.coefficients, self.degrees, strict=True):
            power = p - order
            # a^k - b^k by the sum that is its quotient by a - b; nothing is left of lower powers.
            powers = [(x + change) ** i * x ** (power - 1 - i) for i in range(power)]
            if powers:
                total = total + c * math.perm(p, order) * change * sum(powers)
        return total


def _slope(function: Callable) -> Callable:
    return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]
