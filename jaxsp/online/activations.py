r"""Activations of hidden units, and the Gaussian averages that the dynamics of their overlaps need.

For fields $h$ with covariance $C$, the first $K$ of them the student's: $I_2 = \mathbb E g_a g_b$,
$J_2 = \mathbb E g_i' g_b'$, $H = \mathbb E g_i'' g_b$, and $X = \mathbb E g_i' g_k' \Delta^2$ with the error
$\Delta = \sum_a u_a g_a$.
"""

import abc
import functools
import itertools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jaxtyping import Array, Float

from ..numerics import arcsin
from . import _orthants as orthants
from ._averages import (
    Units,
    averaged_curvatures,
    averaged_error_slopes,
    averaged_products,
    averaged_slopes,
)


class Activation(eqx.Module):
    """A hidden unit's output as a function of its field. Subclasses write `__call__` for a scalar.

    The Gaussian averages are then quadratures, for a smooth function to about 1e-10 in pairs of
    fields; subclasses that know them in closed form write them too.
    """

    @abc.abstractmethod
    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The output $g(x)$."""

    def derivative(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """$g'(x)$."""
        return jax.grad(self.__call__)(x)

    def _units(self, size: int) -> Units:
        return Units((self,), (size,))

    def products(self, C: Float[Array, "n n"]) -> Float[Array, "n n"]:
        r"""$I_2(a, b) = \mathbb E g(h_a) g(h_b)$."""
        return averaged_products(self._units(C.shape[0]), C)

    def slopes(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$J_2(i, b) = \mathbb E g'(h_i) g'(h_b)$."""
        return averaged_slopes(self._units(C.shape[0]), C, students)

    def curvatures(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$H(i, b) = \mathbb E g''(h_i) g(h_b)$."""
        return averaged_curvatures(self._units(C.shape[0]), C, students)

    def error_slopes(
        self, C: Float[Array, "n n"], u: Float[Array, " n"], students: int
    ) -> Float[Array, "K K"]:
        r"""$X_{ik} = \sum_{ab} u_a u_b I_4(i, k, a, b)$ with $I_4 = \mathbb E g_i' g_k' g_a g_b$."""
        return averaged_error_slopes(self._units(C.shape[0]), C, u, students)


class Erf(Activation):
    r"""$g(x) = \mathrm{erf}(x / \sqrt 2)$, with every average in closed form (Saad and Solla 1995).

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> round(float(online.Erf().products(jnp.eye(2))[0, 0]), 6)    # (2 / pi) asin(1 / 2)
        0.333333
    """

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The output."""
        return jsp.erf(x / math.sqrt(2))

    def derivative(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The slope, a Gaussian."""
        return math.sqrt(2 / np.pi) * jnp.exp(-0.5 * x**2)

    def products(self, C: Float[Array, "n n"]) -> Float[Array, "n n"]:
        r"""$(2/\pi) \arcsin[c_{ab} / \sqrt{(1 + c_{aa})(1 + c_{bb})}]$."""
        d = 1 + jnp.diagonal(C)
        return (2 / np.pi) * arcsin(C / jnp.sqrt(d[:, None] * d))

    def _determinants(self, C: Array, students: int) -> Array:
        d = 1 + jnp.diagonal(C)
        return d[:students, None] * d - C[:students] ** 2

    def slopes(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$(2/\pi) / \sqrt{d_i d_b - c_{ib}^2}$ with $d = 1 + c$."""
        return (2 / np.pi) / jnp.sqrt(self._determinants(C, students))

    def curvatures(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$-(2/\pi)\, c_{ib} / (d_i \sqrt{d_i d_b - c_{ib}^2})$."""
        d = 1 + jnp.diagonal(C)[:students]
        return -C[:students] / d[:, None] * self.slopes(C, students)

    def error_slopes(
        self, C: Float[Array, "n n"], u: Float[Array, " n"], students: int
    ) -> Float[Array, "K K"]:
        r"""From $I_4 = (4/\pi^2) \arcsin(L_0 / \sqrt{L_1 L_2}) / \sqrt{L_4}$ (Saad and Solla 1995).

        The $L$ are those of $1 + C$ given the two slopes' fields: $L_0 / L_4$ is the covariance of the
        other two given those, $L_1 / L_4$ and $L_2 / L_4$ their variances plus one.
        """
        # Both pairs, of slopes i and k and of units a and b, are symmetric: each is taken once.
        (i, k), (a, b) = np.triu_indices(students), np.triu_indices(C.shape[0])
        d, c = 1 + jnp.diagonal(C), C[:students]
        ci, ck, cik, di, dk = c[i], c[k], C[i, k][:, None], d[i][:, None], d[k][:, None]
        determinant = di * dk - cik**2
        # What i explains of a unit, and what k adds to it: of covariances, p p + r r is explained.
        p = ci * jax.lax.rsqrt(di)
        r = (di * ck - cik * ci) * jax.lax.rsqrt(determinant * di)
        scale = jax.lax.rsqrt(d - p**2 - r**2)
        left = C[a, b] - p[:, a] * p[:, b] - r[:, a] * r[:, b]
        angles = arcsin(left * scale[:, a] * scale[:, b])
        weights = jnp.where(a == b, 1.0, 2.0) * u[a] * u[b]
        pairs = (4 / np.pi**2) * (angles @ weights) * jax.lax.rsqrt(determinant[:, 0])
        # Which of the pairs each entry is: a gather, since scattering them is slow in a batch.
        place = np.zeros((students, students), int)
        place[i, k] = place[k, i] = np.arange(len(i))
        return pairs[place]


class Linear(Activation):
    r"""$g(x) = x$."""

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The output."""
        return x

    def products(self, C: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """The covariance itself."""
        return C

    def slopes(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        """One."""
        return jnp.ones_like(C[:students])

    def curvatures(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        """Zero."""
        return jnp.zeros_like(C[:students])

    def error_slopes(
        self, C: Float[Array, "n n"], u: Float[Array, " n"], students: int
    ) -> Float[Array, "K K"]:
        """The mean squared error, for every pair."""
        return jnp.full((students, students), u @ C @ u)


class ReLU(Activation):
    r"""$g(x) = \max(x, 0)$; averages by Stein's lemma from orthant probabilities.

    All are closed forms but the probability that four different fields are positive, one smooth
    integral.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> round(float(online.ReLU().products(jnp.eye(2))[0, 1]), 6)    # 1 / (2 pi)
        0.159155
    """

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The output."""
        return jnp.maximum(x, 0)

    def derivative(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The step."""
        return jnp.where(x > 0, 1.0, 0.0).astype(x.dtype)

    def products(self, C: Float[Array, "n n"]) -> Float[Array, "n n"]:
        r"""$\sqrt{c_{aa} c_{bb}}\,[\sqrt{1 - r^2} + r (\pi/2 + \arcsin r)] / (2\pi)$."""
        s, R = _correlations(C)
        off = s[:, None] * s * orthants.ramp_ramp(_off_diagonal(R))
        return _with_diagonal(off, 0.5 * jnp.diagonal(C))

    def slopes(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$1/4 + \arcsin(r) / (2\pi)$."""
        _, R = _correlations(C)
        off = orthants.step_step(_off_diagonal(R))
        return _with_diagonal(off, 0.5)[:students]

    def curvatures(self, C: Float[Array, "n n"], students: int) -> Float[Array, "K n"]:
        r"""$\sqrt{c_{aa} c_{bb} - c_{ab}^2} / (2\pi c_{aa})$: the ramp on the other field's line."""
        s, R = _correlations(C)
        off = s / s[:, None] * orthants.rest(_off_diagonal(R)) / (2 * np.pi)
        return _with_diagonal(off, 0.0)[:students]

    def error_slopes(
        self, C: Float[Array, "n n"], u: Float[Array, " n"], students: int
    ) -> Float[Array, "K K"]:
        r"""$\sum_{ab} u_a u_b \mathbb E \theta_i \theta_k r_a r_b$; equal indices are handled apart."""
        s, R = _correlations(C)
        w = u * s
        X = jnp.zeros((students, students), C.dtype)
        for average, (arguments, target, pair, copies) in _cases(C.shape[0], students):
            value = average(R, *arguments.T)
            weights = copies.astype(C.dtype) * w[pair[:, 0]] * w[pair[:, 1]]
            X = X.at[target[:, 0], target[:, 1]].add(weights * value)
        return X + X.T - jnp.diag(jnp.diagonal(X))


def _correlations(C: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Standard deviations, away from zero, and correlations."""
    s = jnp.sqrt(jnp.maximum(jnp.diagonal(C), jnp.finfo(C.dtype).tiny ** 0.25))
    return s, C / (s[:, None] * s)


def _off_diagonal(R: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The correlations with zeros for the ones: derivatives at those are infinite."""
    return jnp.where(np.eye(R.shape[0], dtype=bool), 0.0, R)


def _with_diagonal(matrix: Array, diagonal: Array | float) -> Array:
    size = matrix.shape[0]
    return jnp.where(np.eye(size, dtype=bool), jnp.broadcast_to(diagonal, (size,)), matrix)


def _distinct(R, i, k, a, b):
    index = np.stack([i, k, a, b])
    return orthants.step_step_ramp_ramp(R[index[:, None], index[None, :]])


_AVERAGES: dict[str, Callable] = {
    "distinct": _distinct,
    "two steps, square": lambda R, i, k, a: orthants.step_step_square(R[i, k], R[i, a], R[k, a]),
    "step, two ramps": lambda R, i, a, b: orthants.step_ramp_ramp(R[i, a], R[i, b], R[a, b]),
    "step, square": lambda R, i, a: orthants.step_square(R[i, a]),
    "two ramps": lambda R, a, b: orthants.ramp_ramp(R[a, b]),
    "square": lambda R, a: jnp.full(len(a), 0.5, R.dtype),
}


def _three(i: int, a: int, b: int) -> tuple[str, tuple[int, ...]]:
    """Which average a step and two ramps are; a step on a ramp's field changes nothing."""
    if a == b:
        return ("square", (a,)) if a == i else ("step, square", (i, a))
    return ("two ramps", (a, b)) if i in (a, b) else ("step, two ramps", (i, a, b))


@functools.lru_cache(maxsize=32)
def _cases(size: int, students: int) -> list[tuple[Callable, tuple[np.ndarray, ...]]]:
    """Averages by kind: indices of their fields, where they are added, weights' indices, copies."""
    found: dict[str, list] = {kind: [] for kind in _AVERAGES}
    for i, k in itertools.combinations_with_replacement(range(students), 2):
        for a, b in itertools.combinations_with_replacement(range(size), 2):
            if i == k or k in (a, b):
                kind, fields = _three(i, a, b)
            elif i in (a, b):
                kind, fields = _three(k, a, b)
            elif a == b:
                kind, fields = "two steps, square", (i, k, a)
            else:
                kind, fields = "distinct", (i, k, a, b)
            found[kind].append((fields, (i, k), (a, b), 1.0 if a == b else 2.0))
    return [
        (_AVERAGES[kind], tuple(np.array(column) for column in zip(*rows, strict=True)))
        for kind, rows in found.items()
        if rows
    ]


class Custom(Activation):
    r"""Any function of the field, by quadrature.

    Pairs of fields take a product rule (1e-10 for analytic functions; a kink costs about eight digits),
    $X$ a rule over all fields at once: a product rule for up to four of them, a fixed scrambled Sobol
    sequence for more (about 1e-3). Averages are smooth functions of the overlaps in either case.

    Attributes:
        function: the output for a scalar field, differentiable once by JAX almost everywhere.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> unit = online.Custom(jnp.tanh)
        >>> unit.products(jnp.eye(2)).shape
        (2, 2)
    """

    function: Callable[[Float[Array, ""]], Float[Array, ""]]

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The output."""
        return self.function(x)


class Layered(Activation):
    """A student and a teacher of different activations; all averages by quadrature.

    Attributes:
        student: activation of the first fields.
        teacher: activation of the others.
        students: how many fields are the student's.
    """

    student: Activation
    teacher: Activation
    students: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """The student's output."""
        return self.student(x)

    def _units(self, size: int) -> Units:
        return Units((self.student, self.teacher), (self.students, size - self.students))
