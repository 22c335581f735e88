"""The piecewise linear activations that have a name."""

from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from .._checks import check_number, check_shape
from .._types import ScalarLike
from ..numerics import is_concrete
from ._piecewise import AbstractPiecewiseLinear, Pieces


class Linear(AbstractPiecewiseLinear):
    r"""$y = z + \sqrt\Delta\,\xi$: linear regression, compressed sensing.

    $\log Z_{\rm out} = \log\mathcal N(y; \omega, V + \Delta)$: one output holds the information
    $F = 1/(V + \Delta)$ whatever the field, and $\Phi_{\rm out} = -\frac12\log[2\pi e(V + \Delta)]$.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.Linear(noise_variance=1.0).denoise(2.0, 0.0, 1.0)
        >>> float(g), float(dg)
        (1.0, -0.5)
    """

    noise_variance: ScalarLike = 0.0

    even: ClassVar[bool] = True

    def pieces(self) -> Pieces:
        """One piece."""
        return Pieces((), (1.0,), (0.0,))


class AbsoluteValue(AbstractPiecewiseLinear):
    r"""$y = |z| + \sqrt\Delta\,\xi$: real phase retrieval.

    Example:
        Without any knowledge of the field the output tells nothing of its sign:

        >>> import jaxsp
        >>> g, dg = jaxsp.channels.AbsoluteValue().denoise(2.0, 0.0, 1.0)
        >>> round(float(g), 6), round(float(dg), 6)    # 0, y^2 - 1
        (0.0, 3.0)
    """

    noise_variance: ScalarLike = 0.0

    even: ClassVar[bool] = True

    def pieces(self) -> Pieces:
        """Two pieces of opposite slopes."""
        return Pieces((0.0,), (-1.0, 1.0), (0.0, 0.0))

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse negative outputs without noise, and what is not finite."""
        super().check_outputs(y)
        _refuse_negative(self, y)


class ReLU(AbstractPiecewiseLinear):
    r"""$y = \max(z, 0) + \sqrt\Delta\,\xi$.

    Without noise half of the outputs are exactly zero and tell only the sign of the field. At $y = 0$
    `log_partition` is then the logarithm of that probability, $\log\Phi(-\omega/\sqrt V)$.

    Example:
        >>> import jaxsp
        >>> g, dg = jaxsp.channels.ReLU().denoise(0.0, 0.0, 1.0)
        >>> round(float(g), 6), round(float(dg), 6)    # -sqrt(2 / pi), -2 / pi
        (-0.797885, -0.63662)
    """

    noise_variance: ScalarLike = 0.0

    flat: ClassVar[tuple[int, ...]] = (0,)

    @property
    def dimension(self) -> float:
        """Half of the outputs give the field away."""
        return 0.5 * super().dimension

    def pieces(self) -> Pieces:
        """A flat piece and one of slope one."""
        return Pieces((0.0,), (0.0, 1.0), (0.0, 0.0))

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Refuse negative outputs without noise, and what is not finite."""
        super().check_outputs(y)
        _refuse_negative(self, y)


class LeakyReLU(AbstractPiecewiseLinear):
    r"""$y = \max(z, 0) + a \min(z, 0) + \sqrt\Delta\,\xi$ with `slope` $a > 0$ on the negative side.

    Without noise the field is known from the output, whatever the slope: $F = 1/V$.

    Example:
        >>> import jax.numpy as jnp, jaxsp
        >>> leaky = jaxsp.channels.LeakyReLU(slope=0.5)
        >>> float(leaky.activation(jnp.asarray(-2.0)))
        -1.0
    """

    slope: ScalarLike = 0.01
    noise_variance: ScalarLike = 0.0

    def __check_init__(self):
        check_number("slope", self.slope, minimum=0.0, strict=True)

    def pieces(self) -> Pieces:
        """Two pieces of positive slopes."""
        return Pieces((0.0,), (self.slope, 1.0), (0.0, 0.0))


class PiecewiseLinear(AbstractPiecewiseLinear):
    r"""$y = \varphi(z) + \sqrt\Delta\,\xi$ with any continuous piecewise linear $\varphi$.

    Attributes:
        knots: the $k - 1$ points $b_1 < \dots < b_{k-1}$ at which the slope changes.
        slopes: the $k$ slopes. Without noise none of them may be zero.
        offset: $\varphi(b_1)$.
        noise_variance: $\Delta$.

    Example:
        A hard tanh:

        >>> import jax.numpy as jnp, jaxsp
        >>> knots, slopes = jnp.array([-1.0, 1.0]), jnp.array([0.0, 1.0, 0.0])
        >>> tanh = jaxsp.channels.PiecewiseLinear(knots, slopes, offset=-1.0, noise_variance=0.1)
        >>> tanh.activation(jnp.array([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """

    knots: Float[Array, " knots"]
    slopes: Float[Array, " pieces"]
    offset: ScalarLike = 0.0
    noise_variance: ScalarLike = 0.0

    folds: ClassVar[bool] = True

    def __check_init__(self):
        knots, slopes = self.knots, self.slopes
        check_shape("knots", knots, (None,), "(k - 1,) with k > 1")
        check_shape("slopes", slopes, (knots.shape[0] + 1,), f"({knots.shape[0] + 1},)")
        for name in ("knots", "slopes", "offset"):
            check_number(name, getattr(self, name))
        if knots.shape[0] == 0:
            raise ValueError("Argument `knots` must not be empty: use `Linear`.")
        if is_concrete(knots) and np.any(np.diff(np.asarray(knots)) <= 0):
            raise ValueError(f"Argument `knots` must be increasing, but is {np.asarray(knots)}.")
        if self.noiseless and is_concrete(slopes) and np.any(np.asarray(slopes) == 0):
            raise ValueError(
                "Argument `noise_variance` must be positive for a flat piece, but is 0: use `ReLU`, "
                "or a small noise."
            )

    def pieces(self) -> Pieces:
        """The activation, its intercepts chosen such that it is continuous."""
        knots, slopes = tuple(self.knots), tuple(self.slopes)
        intercepts = [self.offset - slopes[0] * knots[0]]
        for knot, before, after in zip(knots, slopes[:-1], slopes[1:], strict=True):
            intercepts.append(intercepts[-1] + (before - after) * knot)
        return Pieces(knots, slopes, tuple(intercepts))


def _refuse_negative(channel: AbstractPiecewiseLinear, y: Float[Array, "..."]) -> None:
    if channel.noiseless:
        check_number("y", y, minimum=0.0)
