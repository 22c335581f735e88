"""One point of a phase diagram: what is optimal, and where the two starts of state evolution end."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, evaluated_if, first_failure, raise_unless_successful
from .curve import scan
from .model import GLM
from .potentials import prepare
from .replica import equilibrium, find_candidates
from .solution import solution_at

_MAX_ROOTS = 5


class Phase(eqx.Module):
    """The numbers of one branch, as those of `Solution`.

    Attributes:
        overlap: of the posterior mean with the teacher.
        mean_squared_error: of a weight.
        free_entropy: per weight.
        generalization_error: least mean squared error of a new output.
        classification_error: for labels, the Bayes-optimal 0/1 error; None for other channels.
    """

    overlap: Float[Array, "..."]
    mean_squared_error: Float[Array, "..."]
    free_entropy: Float[Array, "..."]
    generalization_error: Float[Array, "..."]
    classification_error: Float[Array, "..."] | None


class Phases(eqx.Module):
    """The branches at one point of a phase diagram. Where there is one only, all three are equal.

    Attributes:
        optimal: the stable branch of largest free entropy, which `bayes_optimal` gives.
        uninformed: that of least overlap, which AMP reaches.
        informed: that of largest overlap.
        result: `RESULTS.successful`, or why one of them is not to be trusted.
    """

    optimal: Phase
    uninformed: Phase
    informed: Phase
    result: RESULTS


def phases(model: GLM, alpha: ScalarLike, *, throw: bool = True) -> Phases:
    r"""The Bayes optimum and the two extreme stable branches at $\alpha = n/p$, for phase diagrams.

    The same numbers as `branches(model, alpha)` selects, in about a third of its time: what two
    branches share is evaluated once. Under `vmap` over alpha the explicit curve of the model is
    scanned once for all. For derivatives use `branches`.

    Args:
        model: the GLM.
        alpha: number of samples over number of weights, at least 0.
        throw: raise a `SolverError` if a branch is not to be trusted; `result` says it too.

    Raises:
        ValueError: if alpha is negative or not finite.
        SolverError: if no fixed point is found or the quadrature is inaccurate.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Rademacher(), channels.Sign())
        >>> found = glm.phases(model, 1.4)
        >>> print(f"{found.uninformed.overlap:.4f} {found.optimal.overlap:.4f}")
        0.7897 1.0000
    """
    check_number("alpha", alpha, minimum=0.0)
    model, (alpha,), order = prepare(model, alpha)
    found = _phases(model, alpha, order)
    raise_unless_successful(found.result, "phases", throw)
    return found


@eqx.filter_jit
def _phases(model: GLM, alpha: Scalar, order: int) -> Phases:
    curve = scan(model, alpha.dtype, order)
    found = find_candidates(model, alpha, curve, order, _MAX_ROOTS)
    lowest = jnp.argmax(found.stable)
    highest = found.stable.size - 1 - jnp.argmax(found.stable[::-1])
    best = equilibrium(model, alpha, curve, found, order)

    def evaluate(index):
        kind, x, exists = found.kind[index], found.x[index], found.stable[index]
        solution = solution_at(model, alpha, curve, kind, x, exists, order)
        numbers = [getattr(solution, name) for name in Phase.__dataclass_fields__]
        return Phase(*numbers), solution.result

    def at(which):
        index, needed = which
        blank = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(evaluate, index)
        )
        return evaluated_if(needed, lambda: evaluate(index), blank, found.x + alpha)

    indices = jnp.stack([lowest, highest, best])
    needed = jnp.stack([lowest == lowest, highest != lowest, (best != lowest) & (best != highest)])
    each = jax.lax.map(at, (indices, needed))

    def chosen(place):
        return jax.tree.map(lambda leaf: leaf[place], each)

    uninformed, result = chosen(0)
    informed, informed_result = chosen(jnp.where(needed[1], 1, 0))
    place = jnp.where(needed[2], 2, jnp.where(best == lowest, 0, 1))
    optimal, optimal_result = chosen(place)
    result = first_failure(result, informed_result, optimal_result)
    return Phases(optimal, uninformed, informed, result)
