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
from .replica import MAX_STABLE, find_candidates
from .solution import solution_at


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
    found = find_candidates(model, alpha, curve, order, MAX_STABLE, stable_only=True)

    nowhere = jnp.full_like(alpha, jnp.nan)
    labels = model.channel.labels is not None
    absent = (
        Phase(
            overlap=nowhere,
            mean_squared_error=nowhere,
            free_entropy=nowhere,
            generalization_error=nowhere,
            classification_error=nowhere if labels else None,
        ),
        RESULTS.no_fixed_point,
    )

    def evaluate_stable(candidate):
        kind, x, stable = candidate

        def evaluate(x, alpha):
            solution = solution_at(model, alpha, curve, kind, x, stable, order)
            numbers = [getattr(solution, name) for name in Phase.__dataclass_fields__]
            return Phase(*numbers), solution.result

        return evaluated_if(stable, evaluate, absent, x, alpha)

    # One after the other: a batch over alpha then skips what none of its lanes has.
    each = jax.lax.map(evaluate_stable, (found.kind, found.x, found.stable))
    f = each[0].free_entropy
    best = jnp.argmax(jnp.where(found.stable & ~jnp.isnan(f), f, -jnp.inf))
    lowest = jnp.argmax(found.stable)
    highest = found.stable.size - 1 - jnp.argmax(found.stable[::-1])

    def chosen(index):
        return jax.tree.map(lambda leaf: leaf[index], each)

    (optimal, a), (uninformed, b), (informed, c) = map(chosen, (best, lowest, highest))
    return Phases(optimal, uninformed, informed, first_failure(a, b, c))
