"""The committee machine: a prior on the weights of K hidden units, and a law of the output."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import numbers_as_arrays, real_dtype
from ..priors import Prior
from ..priors._mixture import AbstractMixture
from ._points import PRODUCT_UNITS
from .outputs import LabelOfSigns, MajorityVote, Output

# All components of the K weights of one input are summed over, in terms that are compiled one by one.
_MOST_COMPONENTS = 81


class CommitteeMachine(eqx.Module):
    r"""Two-layer teacher-student model with K hidden units (arXiv 1806.05451).

    Weights $w^*_{il} \sim P_w$ iid for $i = 1 \dots p$ and $l = 1 \dots K$, data
    $X_{\mu i} \sim \mathcal N(0, 1/p)$ iid, fields $h_{\mu l} = \sum_i X_{\mu i} w^*_{il}$, outputs
    $y_\mu \sim P_{\rm out}(\cdot | h_{\mu 1} \dots h_{\mu K})$ for $\mu = 1 \dots n$, and
    $\alpha = n / p$. With `hidden_units=1` it is a generalised linear model.

    Attributes:
        hidden_units: K.
        prior: the law of one weight.
        output: the law of an output given the K fields; by default the sign of the sum of their signs,
            with ties labelled 0 (`MajorityVote`).
        order: Gauss-Legendre points on each panel of the quadratures; None for what gives about ten
            digits of up to two units (five in float32), six of three.
        monte_carlo: whether expectations are averages over quasi-random points, with a statistical error that
            `quadrature_error` reports; None for more than three units, where it must be. More points come
            with a larger `order`, in proportion.
        monte_carlo_tolerance: the statistical error with which a solution by Monte Carlo averages counts as
            successful.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> model.output.labels(2).tolist()
        [1.0, 0.0, -1.0]
    """

    hidden_units: int = eqx.field(static=True)
    prior: Prior
    output: Output = eqx.field(default_factory=MajorityVote)
    order: int | None = eqx.field(static=True, default=None)
    monte_carlo: bool | None = eqx.field(static=True, default=None)
    monte_carlo_tolerance: float = eqx.field(static=True, default=0.01)

    def __check_init__(self):
        if self.hidden_units < 1:
            raise ValueError(
                f"Argument `hidden_units` must be at least 1, but is {self.hidden_units}."
            )
        most = self.output.most_units
        if self.hidden_units > most:
            raise ValueError(
                f"Argument `hidden_units` must be at most {most} for an output of "
                f"{type(self.output).__name__}, but is {self.hidden_units}."
            )
        if self.order is not None and self.order < 4:
            raise ValueError(f"Argument `order` must be at least 4, but is {self.order}.")
        if self.monte_carlo is False and self.hidden_units > PRODUCT_UNITS:
            raise ValueError(
                f"Argument `monte_carlo` must be None or True for {self.hidden_units} hidden units, more "
                f"than {PRODUCT_UNITS}, but is False."
            )

        check_number("monte_carlo_tolerance", self.monte_carlo_tolerance, minimum=0.0, strict=True)

    @property
    def averaged(self) -> bool:
        """Whether expectations are Monte Carlo averages."""
        return self.hidden_units > PRODUCT_UNITS or self.monte_carlo is True

    def second_moment(self) -> Float[Array, "K K"]:
        r"""$\rho = \mathbb E\, w w^T$, the largest overlap."""
        mean, variance = self.prior.moments()
        return variance * jnp.eye(self.hidden_units, dtype=variance.dtype) + mean**2


def has_curves(model: CommitteeMachine) -> bool:
    """Whether all fixed points are crossings of tabulated curves."""
    closed = isinstance(model.output, LabelOfSigns)
    return closed and model.hidden_units <= 2 and not model.averaged


def tolerance(model: CommitteeMachine, dtype) -> float:
    """The quadrature error that a solution may have: of Monte Carlo averages it is a statistical one."""
    exact = float(jnp.finfo(dtype).eps) ** 0.4
    if model.averaged:
        return max(exact, model.monte_carlo_tolerance)
    if model.output.integrated:
        return max(exact, 1e-5)
    return max(exact, 1e-6) if model.hidden_units == PRODUCT_UNITS else exact


def _default_order(model: CommitteeMachine) -> int:
    closed = isinstance(model.output, LabelOfSigns)
    return 16 if closed and model.hidden_units == PRODUCT_UNITS and not model.averaged else 12


def check_feasible(model: CommitteeMachine) -> None:
    """Raise a `ValueError` if the joint law of the weights of one input has too many components."""
    if not isinstance(model.prior, AbstractMixture):
        return
    components = model.prior.components()[0].shape[0]
    if components**model.hidden_units > _MOST_COMPONENTS:
        most = int(math.log(_MOST_COMPONENTS + 0.5, components))
        raise ValueError(
            f"Argument `hidden_units` must be at most {most} for a prior of {components} components, whose "
            f"sums over the weights of one input have {components}**hidden_units terms, but is "
            f"{model.hidden_units}."
        )


def prepare(
    model: CommitteeMachine, *values: ScalarLike
) -> tuple[CommitteeMachine, tuple[Scalar, ...], int]:
    """Model and numbers as arrays of one floating-point type, and the quadrature's order."""
    check_feasible(model)
    dtype = real_dtype(*jax.tree.leaves((model, values)))
    default = _default_order(model) if dtype == jnp.float64 else 8
    order = model.order if model.order is not None else default
    return (
        numbers_as_arrays(model, dtype),
        tuple(jnp.asarray(value, dtype) for value in values),
        order,
    )
