r"""Replica-symmetric theory of the committee: free entropy, all fixed points, the Bayes optimum.

$$ f = \sup_q \inf_r \Big[ \Phi_w(r) + \alpha \Phi_{\rm out}(q) - \tfrac12 \mathrm{Tr}(r q) \Big] $$

(arXiv 1806.05451, eq. 6).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Num

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, best_entry, first_failure, raise_unless_successful
from .curve import scan
from .fields import full_potential
from .iteration import limit_from, unspecialized_limit
from .model import CommitteeMachine, has_curves, prepare
from .overlaps import check_overlap
from .solution import Solution, find_candidates, solution_at
from .weights import full_weights


class Branches(eqx.Module):
    """All permutation-symmetric fixed points at one alpha, by increasing specialisation.

    Unspecialised ones come first, then specialised ones, and perfect recovery last; where `exists` is false
    the numbers of an entry are NaN and its `result` says so.

    Attributes:
        solution: a `Solution` whose fields have one more axis, over the fixed points.
        exists: whether there is such a fixed point.
        stable: whether it exists and attracts state evolution.
    """

    solution: Solution
    exists: Bool[Array, "*s k"]
    stable: Bool[Array, "*s k"]

    @property
    def optimal(self) -> Solution:
        """Of the stable ones, that of largest free entropy: what `bayes_optimal` gives.

        Its `result` is `inaccurate` if another one's may be larger within the errors of both.
        """
        solution = self.solution
        f, error = solution.free_entropy, solution.free_entropy_error
        f = jnp.where(self.stable & ~jnp.isnan(f), f, -jnp.inf)
        best = best_entry(solution, f)
        others = jnp.arange(f.shape[-1]) != jnp.argmax(f, axis=-1)[..., None]
        highest = jnp.where(others & (f > -jnp.inf), f + error, -jnp.inf).max(axis=-1)
        decided = best.free_entropy - best.free_entropy_error > highest
        result = RESULTS.where(decided, best.result, first_failure(best.result, RESULTS.inaccurate))
        return eqx.tree_at(lambda s: s.result, best, result)


def branches(model: CommitteeMachine, alpha: ScalarLike) -> Branches:
    """All fixed points at one alpha.

    Of three units and more, or of outputs other than labels of signs, the two that state evolution reaches
    with all units alike and from the teacher.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> found = committee.branches(model, 3.0)
        >>> found.exists.tolist(), found.stable.tolist()
        ([True, False, True, False, False, False], [False, False, True, False, False, False])
    """
    check_number("alpha", alpha, minimum=0.0)
    model, (alpha,), order = prepare(model, alpha)
    if has_curves(model):
        return _branches(model, alpha, order)
    return _reached(model, alpha, order)


@eqx.filter_jit
def _branches(model: CommitteeMachine, alpha: Scalar, order: int) -> Branches:
    curves = scan(jax.lax.stop_gradient(model), alpha.dtype, order)
    found = find_candidates(model, alpha, curves)

    def evaluate(candidate):
        kind, x, slopes, exists = candidate
        return solution_at(model, alpha, kind, x, slopes, exists, order)

    solution = jax.lax.map(evaluate, (found.kind, found.x, found.slopes, found.exists))
    return Branches(solution, found.exists, found.stable)


@eqx.filter_jit
def _reached(model: CommitteeMachine, alpha: Scalar, order: int) -> Branches:
    """Without tabulated curves: what all units alike, and the teacher, flow to."""
    plain = unspecialized_limit(model, alpha, order)
    other = limit_from(model, alpha, plain, max(order // 2, 4), specialized=True)
    exists = jnp.stack([jnp.asarray(True), other.kind != plain.kind])
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), plain, other)

    def evaluate(candidate):
        limit, exists = candidate
        return solution_at(model, alpha, limit.kind, limit.x, limit.slopes, exists, order)

    solution = jax.lax.map(evaluate, (both, exists))
    return Branches(solution, exists, exists & both.stable)


def bayes_optimal(model: CommitteeMachine, alpha: ScalarLike, *, throw: bool = True) -> Solution:
    """The fixed point of largest free entropy: what is possible, however long it takes.

    Args:
        model: the committee.
        alpha: number of samples over number of inputs, at least 0.
        throw: raise a `SolverError` if it is not to be trusted, be it that free entropies differ by less than
            they may be off by.

    Example:
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> bool(committee.bayes_optimal(model, 1.0).q_d == 0)
        True
    """
    solution = branches(model, alpha).optimal
    raise_unless_successful(solution.result, "bayes_optimal", throw)
    return solution


def free_entropy(
    model: CommitteeMachine,
    alpha: ScalarLike,
    overlap: Num[ArrayLike, "K K"],
    conjugate_overlap: Num[ArrayLike, "K K"],
) -> Scalar:
    r"""$\Phi_w(r) + \alpha \Phi_{\rm out}(q) - \frac12 \mathrm{Tr}(r q)$ for any matrices q and r.

    Its stationary points are the fixed points of state evolution; differentiable.

    Args:
        model: the committee.
        alpha: number of samples over number of inputs, at least 0.
        overlap: $q$, symmetric with $0 \le q \le \rho$.
        conjugate_overlap: $r$, symmetric and not negative.

    Raises:
        ValueError: if a matrix is outside of its cone.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=2, prior=priors.Gaussian())
        >>> f = committee.free_entropy(model, 1.0, 0.5 * jnp.eye(2), jnp.eye(2))
        >>> bool(f < 0)
        True
    """
    check_number("alpha", alpha, minimum=0.0)
    model, (alpha,), order = prepare(model, alpha)
    q = check_overlap("overlap", overlap, model, alpha.dtype)
    r = jnp.asarray(conjugate_overlap, alpha.dtype)
    check_number("conjugate_overlap", r)
    return _free_entropy(model, alpha, q, r, order)


@eqx.filter_jit
def _free_entropy(model, alpha, q, r, order) -> Scalar:
    V = model.second_moment() - q
    psi = full_weights(model, r, order).negative_information
    return psi + 0.5 * jnp.sum(r * V) + alpha * full_potential(model, q, V, order).potential
