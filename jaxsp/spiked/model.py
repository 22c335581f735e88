"""The spiked matrix-tensor model: what is hidden, and what is seen of it."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import ScalarLike
from ..mixtures import Mixture
from ..numerics import numbers_as_arrays, real_dtype
from ..priors import Prior


class Spherical(eqx.Module):
    r"""A signal that is uniform on the sphere $|x^*|^2 = N$."""


spherical = Spherical()
"""The uniform law on the sphere."""


class MatrixTensor(eqx.Module):
    r"""A signal seen through a noisy matrix and noisy tensors (arXiv 1812.09066).

    For $x^* \in \mathbb R^N$ with $|x^*|^2 = N$,

    $$ Y_{ij} = \frac{x^*_i x^*_j}{\sqrt N} + \xi_{ij}, \qquad
       T_{i_1 \dots i_p} = \frac{\sqrt{(p-1)!}}{N^{(p-1)/2}}\, x^*_{i_1} \cdots x^*_{i_p}
       + \xi_{i_1 \dots i_p}, $$

    over $i < j$ and $i_1 < \dots < i_p$, with Gaussian noise of variances $\Delta_2$ and $\Delta_p$. The
    negative log-likelihood $H(x)$ has mean $-N Q(x \cdot x^* / N)$ and covariance $N Q(x \cdot y / N)$ with
    $Q(x) = \frac{x^2}{2 \Delta_2} + \frac{x^p}{p \Delta_p}$ (`covariance`), from which all theory follows.

    Attributes:
        p: the order of the tensor, an integer of at least 3, or a tuple of different ones: several
            tensors; `()` for none (a spiked matrix).
        delta2: noise variance of the matrix; infinity for no matrix.
        deltap: noise variance of the tensor (infinity for none), one for each order if `p` is a tuple.
        prior: `spherical`, or a `jaxsp.priors.Prior` for iid entries of the signal.

    Example:
        >>> from jaxsp import spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.7, deltap=4.0)
        >>> model.covariance.degrees
        (2, 3)
    """

    p: int | tuple[int, ...] = eqx.field(static=True)
    delta2: ScalarLike
    deltap: ScalarLike | Sequence[ScalarLike] | Float[Array, " tensors"]
    prior: Spherical | Prior = spherical

    def __check_init__(self):
        orders = self.orders
        whole = all(isinstance(p, int) and not isinstance(p, bool) and p >= 3 for p in orders)
        is_order = isinstance(self.p, int | tuple)
        if not (is_order and whole) or len(set(orders)) != len(orders):
            raise ValueError(
                "Argument `p` must be an integer of at least 3 or a tuple of different ones (the matrix "
                f"is `delta2`), but is {self.p!r}."
            )
        check_number("delta2", self.delta2, minimum=0.0, strict=True, finite=False)
        noises = self.tensor_noises
        if len(noises) != len(orders):
            raise ValueError(
                f"Argument `deltap` must hold one variance for each of the {len(orders)} orders in "
                f"`p`, but holds {len(noises)}."
            )
        for noise in noises:
            check_number("deltap", noise, minimum=0.0, strict=True, finite=False)

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders of the tensors as a tuple."""
        return (self.p,) if isinstance(self.p, int) else tuple(self.p)

    @property
    def tensor_noises(self) -> tuple[ScalarLike, ...]:
        """The noise variances of the tensors as a tuple."""
        if isinstance(self.p, int):
            return (self.deltap,)  # pyright: ignore[reportReturnType]
        return tuple(self.deltap)  # pyright: ignore[reportArgumentType]

    @property
    def covariance(self) -> Mixture:
        r"""$Q(x) = \frac{x^2}{2\Delta_2} + \sum_p \frac{x^p}{p\Delta_p}$, of signal and noise alike."""
        noises = (self.delta2, *self.tensor_noises)
        dtype = real_dtype(*jax.tree.leaves(self))
        degrees = (2, *self.orders)
        coefficients = [
            1 / (p * jnp.asarray(noise, dtype)) for p, noise in zip(degrees, noises, strict=True)
        ]
        return Mixture(degrees, jnp.stack(coefficients))


def spiked_wigner(delta: ScalarLike, prior: Spherical | Prior = spherical) -> MatrixTensor:
    r"""The matrix alone: $Y = x^* x^{*T}/\sqrt N$ + noise of variance $\Delta$.

    Args:
        delta: noise variance.
        prior: law of the signal.

    Example:
        >>> from jaxsp import spiked
        >>> spiked.spiked_wigner(0.5).covariance.degrees
        (2,)
    """
    return MatrixTensor(p=(), delta2=delta, deltap=(), prior=prior)


def pure_p_spin(p: int) -> Mixture:
    r"""The spherical $p$-spin glass without a signal: $Q(x) = x^p / 2$.

    Args:
        p: number of spins that interact, at least 2.

    Raises:
        ValueError: if `p` is below 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import spiked
        >>> float(spiked.pure_p_spin(3)(jnp.asarray(1.0)))
        0.5
    """
    if not isinstance(p, int) or isinstance(p, bool) or p < 2:
        raise ValueError(f"Argument `p` must be an integer of at least 2, but is {p!r}.")
    return Mixture((p,), jnp.full(1, 0.5))


def prepared(model: MatrixTensor) -> MatrixTensor:
    """The model with arrays of one floating-point type, so that other numbers are not compiled again."""
    return numbers_as_arrays(model, real_dtype(*jax.tree.leaves(model)))
