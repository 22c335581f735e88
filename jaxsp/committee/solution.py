"""A fixed point of a committee's theory with everything that is known at it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Scalar
from ..numerics import RESULTS, frozen, refined_order, varying_like, with_implicit_derivative
from .curve import Curves, State, state_at, unspecialized_state
from .model import CommitteeMachine, has_curves, tolerance
from .outputs import symmetric

# The three kinds of fixed points: at vanishing r_d, on the specialised curve, perfect recovery.
UNSPECIALIZED, SPECIALIZED, SATURATED = 0, 1, 2


class Solution(eqx.Module):
    r"""A fixed point of the replica-symmetric theory of a committee, per input.

    The overlap of a permutation-symmetric one is $q = q_d I + \frac{q_a}{K} \mathbf 1 \mathbf 1^T$; it is
    specialised if $q_d \neq 0$.

    Attributes:
        overlap: $q$, the K x K overlap of the posterior mean with the teacher.
        q_d: half the contrast between a unit's overlap with its own teacher and with the others.
        q_a: K times the overlap with the others.
        error: $\rho - q$, the error matrix of the weights.
        conjugate_overlap: $r$, the K x K signal-to-noise ratios (infinite at perfect recovery).
        free_entropy: $f$, the limit of $\log Z / p$.
        mutual_information: $\lim I(w^*; y | X) / p = \alpha\, \mathbb E \log P_{\rm out}(y|h) - f$, in nats.
        generalization_error: the least mean squared error $\mathbb E (y - \hat y)^2$ of a new output. The
            $\epsilon_g$ drawn in arXiv 1806.05451 is half of the mean squared error.
        classification_error: for labels, the probability that the most probable label is wrong: the 0/1 error
            of the Bayes-optimal classifier, to four digits or so (to all of them for one unit); None for
            other outputs.
        gibbs_error: for labels, the probability that the label predicted by one posterior sample is
            wrong; None for other outputs.
        result: `RESULTS.successful`, or why these numbers are not to be trusted.
        residual: relative violation of $r = \alpha F$, when each panel gets half as many points again
            as it was solved with.
        quadrature_error: the same, plus what the probabilities of observations and outputs lack of one,
            and the standard errors of Monte Carlo averages. To be successful it must be below the rounding's
            power 0.4 and, at least, 1e-6 of labels of three signs, 1e-5 of outputs that are integrated
            over the fields; of Monte Carlo averages below the model's `monte_carlo_tolerance`.
        free_entropy_error: `quadrature_error` times the three terms that f is a sum of: what f may be off by.
    """

    overlap: Float[Array, "*s K K"]
    q_d: Float[Array, "..."]
    q_a: Float[Array, "..."]
    error: Float[Array, "*s K K"]
    conjugate_overlap: Float[Array, "*s K K"]
    free_entropy: Float[Array, "..."]
    mutual_information: Float[Array, "..."]
    generalization_error: Float[Array, "..."]
    classification_error: Float[Array, "..."] | None
    gibbs_error: Float[Array, "..."] | None
    result: RESULTS
    residual: Float[Array, "..."]
    quadrature_error: Float[Array, "..."]
    free_entropy_error: Float[Array, "..."]

    def __str__(self) -> str:
        """The numbers of a single solution, one a line."""
        if jnp.ndim(self.q_d) > 0 or isinstance(self.q_d, jax.core.Tracer):
            return repr(self)
        names = [name for name in self.__dataclass_fields__ if name != "result"]
        lines = [
            f"  {name.replace('_', ' ')}: {float(value):.10g}"
            for name in names
            if (value := getattr(self, name)) is not None and jnp.ndim(value) == 0
        ]
        return "\n".join(["fixed point", *lines])


class Candidates(eqx.Module):
    """Fixed points before their evaluation, by increasing specialisation; carries no derivative."""

    kind: Array
    x: Float[Array, "k 2"]
    slopes: Float[Array, "k 2 2"]
    exists: Bool[Array, " k"]
    stable: Bool[Array, " k"]


def find_candidates(model: CommitteeMachine, alpha: Scalar, curves: Curves) -> Candidates:
    """The unspecialised, the specialised and the perfect fixed points, from the tables."""
    model, alpha = frozen((model, alpha))
    target = jnp.log(_positive(alpha))
    first = curves.pairs[0, 0]
    # Below the table the information in an output is that without data.
    table = jnp.concatenate([jnp.full_like(target, -jnp.inf)[None], curves.log_alpha])
    crossing = (table[:-1] < target) != (table[1:] < target)
    absent = crossing.size
    plain = jnp.nonzero(crossing, size=_PLAIN_ROOTS, fill_value=absent)[0]

    def locate_plain(place):
        exists = place < absent
        place = jnp.minimum(place, absent - 1)
        low, high = jnp.maximum(place - 1, 0), place
        rise = curves.log_alpha[high] - curves.log_alpha[low]
        t = (target - curves.log_alpha[low]) / jnp.where(place > 0, rise, 1.0)
        width = jnp.where(place > 0, curves.x[high] - curves.x[low], 1.0)
        rising = exists & (table[place] < target)
        marginal = curves.onset.exists & (target > curves.onset.log_alpha)
        slope = jnp.where(place > 0, rise / width, 1.0)
        slopes = jnp.zeros((2, 2), slope.dtype).at[1, 1].set(slope)
        x = jnp.stack([first, curves.x[low] + t * width])
        return x, slopes, exists, rising & ~marginal

    plain_x, plain_slopes, plain_exists, plain_stable = jax.vmap(locate_plain)(plain)

    heights = jnp.concatenate([curves.onset.log_alpha[None], curves.heights])
    valid = jnp.concatenate([curves.onset.exists[None], curves.valid])
    extremum = jnp.concatenate([jnp.zeros(1, int), curves.extremum]) != 0
    above = heights - target
    crossing = ((above[:-1] < 0) != (above[1:] < 0)) & valid[:-1] & valid[1:]
    absent = crossing.size
    places = jnp.nonzero(crossing, size=_SPECIALIZED_ROOTS, fill_value=absent)[0]

    def locate(place):
        exists = place < absent
        place = jnp.minimum(place, absent - 1)
        t = jnp.clip(above[place] / (above[place] - above[place + 1]), 1e-9, 1.0)
        # Beside an extremum the curve is a parabola.
        t = jnp.where(extremum[place], jnp.sqrt(t), t)
        t = jnp.where(extremum[place + 1], 1 - jnp.sqrt(1 - t), t)
        # Before the first entry r_d grows linearly from zero.
        begin = jnp.where(place == 0, curves.onset.x, curves.pairs[place - 1, 1])
        x_s = begin + t * (curves.pairs[place, 1] - begin)
        before = jnp.maximum(place - 1, 0)
        low = curves.pairs[before, 0]
        x_d = low + jnp.where(place == 0, jnp.log(t), t * (curves.pairs[place, 0] - low))
        slopes = curves.slopes[before] + t * (curves.slopes[place] - curves.slopes[before])
        # Where r_d vanishes the slopes in its logarithm do, in proportion.
        fade = jnp.where(place == 0, jnp.stack([t, jnp.ones_like(t)]), 1.0)
        return jnp.stack([x_d, x_s]), slopes * fade, exists, exists & (above[place] < 0)

    x, slopes, exists, stable = jax.vmap(locate)(places)
    perfect = ((jnp.asarray(model.prior.dimension()) == 0) & (alpha > 0))[None]
    kinds = (_PLAIN_ROOTS * [UNSPECIALIZED]) + _SPECIALIZED_ROOTS * [SPECIALIZED] + [SATURATED]
    return Candidates(
        kind=jnp.asarray(kinds),
        x=jnp.concatenate([plain_x, x, plain_x[:1]]),
        slopes=jnp.concatenate([plain_slopes, slopes, plain_slopes[:1]]),
        exists=jnp.concatenate([plain_exists, exists, perfect]),
        stable=jnp.concatenate([plain_stable, stable, perfect]),
    )


# A perceptron of binary weights has two unspecialised fixed points beside the perfect one.
_PLAIN_ROOTS = 2
# Two extrema of the specialised curve part it into three pieces.
_SPECIALIZED_ROOTS = 3


def _positive(alpha: Scalar) -> Scalar:
    return jnp.maximum(alpha, jnp.finfo(alpha.dtype).tiny ** 0.25)


def _snr(x: Float[Array, " 2"], kind: Array | int) -> Float[Array, " 2"]:
    """The signal-to-noise ratios; that of a difference vanishes without specialisation."""
    return jnp.exp(x) * jnp.stack([jnp.where(kind == UNSPECIALIZED, 0.0, 1.0), jnp.ones_like(x[0])])


def _state(model: CommitteeMachine, r: Float[Array, " 2"], kind: Array | int, order: int) -> State:
    """Where nothing is specialised one dimension is enough, which is worth it if others are dear."""
    if has_curves(model):
        return state_at(model, r, order)
    if not isinstance(kind, jax.Array):
        return unspecialized_state(model, r[1], order)[0]
    return jax.lax.cond(
        kind == UNSPECIALIZED,
        lambda r: unspecialized_state(model, r[1], order)[0],
        lambda r: state_at(model, r, order),
        r,
    )


def _residual(
    model: CommitteeMachine, alpha: Scalar, kind: Array | int, start: Array, order: int, x: Array
) -> Array:
    r"""$\log(r / (\alpha F))$; entries that are no unknowns stay where they are."""
    information = _state(model, _snr(x, kind), kind, order).fields.information
    free = jnp.stack([jnp.asarray(kind == SPECIALIZED), jnp.asarray(kind != SATURATED)])
    height = x - jnp.log(jnp.where(free, information, 1.0))
    return jnp.where(free, height - jnp.log(_positive(alpha)), x - start)


def polish(
    model: CommitteeMachine,
    alpha: Scalar,
    kind: Array | int,
    x: Array,
    slopes: Array,
    exists: Array,
    order: int,
) -> Array:
    """Broyden's method from a candidate, with derivatives by the implicit function theorem."""
    fixed_model, fixed_alpha, start = frozen((model, alpha, x))
    double = x.dtype == jnp.float64
    tolerance = 1e-12 if double else 1e-5
    free = jnp.stack([jnp.asarray(kind == SPECIALIZED), jnp.asarray(kind != SATURATED)])
    matrix = jnp.where(free[:, None], slopes, jnp.eye(2, dtype=x.dtype))

    def unfinished(state):
        _, move, _, _, steps = state
        return exists & (jnp.max(jnp.abs(move)) > tolerance) & (steps < 40)

    def step(state):
        x, move, predicted, matrix, steps = state
        value = _residual(fixed_model, fixed_alpha, kind, start, order, x)
        size = jnp.sum(move**2)
        moved = (steps > 0) & (size > 0)
        update = jnp.outer(value - predicted, move) / jnp.where(moved, size, 1.0)
        matrix = matrix + jnp.where(moved, update, 0.0)
        determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
        new = (
            jnp.stack(
                [
                    matrix[0, 1] * value[1] - matrix[1, 1] * value[0],
                    matrix[1, 0] * value[0] - matrix[0, 0] * value[1],
                ]
            )
            / determinant
        )
        finite = jnp.all(jnp.isfinite(new))
        shrink = jnp.minimum(1.0, 0.7 / jnp.max(jnp.abs(new)))
        new = jnp.where(finite, new * shrink, 0.0)
        return x + new, new, value * (1 - shrink), matrix, steps + 1

    state = (start, jnp.ones_like(start), start, matrix, jnp.asarray(0))
    state = varying_like(state, start + matrix[0])
    root = jax.lax.while_loop(unfinished, step, state)[0]
    return with_implicit_derivative(lambda x: _residual(model, alpha, kind, start, order, x), root)


def solution_at(
    model: CommitteeMachine,
    alpha: Scalar,
    kind: Array | int,
    x: Array,
    slopes: Array,
    exists: Array,
    order: int,
) -> Solution:
    """Everything at one fixed point; NaN where it does not exist."""
    saturated = jnp.asarray(kind == SATURATED)
    x = polish(model, alpha, kind, x, slopes, exists, order)
    # Enough for the prior's entropy to be all that is left, and for the fields to be finite.
    r = jnp.where(saturated, 60.0, _snr(x, kind))
    r = jnp.where(saturated, r, r * alpha / _positive(alpha))
    finer = refined_order(order)
    state = _state(model, r, kind, finer)
    solution = evaluate(model, alpha, state)
    perfect = jnp.where(saturated, 0.0, 1.0)
    rho = model.second_moment()
    error = perfect * solution.error
    # Labels without noise are certain then.
    psi = jnp.where(saturated, state.weights.negative_information, solution.free_entropy)
    solution = eqx.tree_at(
        lambda s: (
            s.overlap, s.q_d, s.q_a, s.error, s.conjugate_overlap, s.free_entropy,
            s.mutual_information, s.generalization_error, s.residual, s.quadrature_error,
            s.free_entropy_error,
        ),
        solution,
        (
            jnp.where(saturated, rho, solution.overlap),
            jnp.where(saturated, rho[0, 0] - _other(rho), solution.q_d),
            jnp.where(saturated, model.hidden_units * _other(rho), solution.q_a),
            error,
            jnp.where(saturated, jnp.inf, solution.conjugate_overlap),
            psi,
            -psi,
            perfect * solution.generalization_error,
            jnp.where(saturated, 0.0, solution.residual),
            jnp.where(saturated, 0.0, solution.quadrature_error),
            jnp.where(saturated, 0.0, solution.free_entropy_error),
        ),
    )  # fmt: skip
    if solution.gibbs_error is not None:
        errors = (solution.classification_error, solution.gibbs_error)
        solution = eqx.tree_at(
            lambda s: (s.classification_error, s.gibbs_error),
            solution,
            tuple(perfect * error for error in errors),
        )
    accurate = solution.quadrature_error < tolerance(model, x.dtype)
    result = RESULTS.where(accurate, RESULTS.successful, RESULTS.inaccurate)
    result = RESULTS.where(
        jnp.isfinite(solution.free_entropy + solution.q_d), result, RESULTS.nonfinite
    )
    result = RESULTS.where(exists, result, RESULTS.no_fixed_point)
    solution = eqx.tree_at(lambda s: s.result, solution, result)
    numbers, codes = eqx.partition(solution, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda a: jnp.where(exists, a, jnp.nan), numbers), codes)


def _other(matrix: Array) -> Array:
    """An entry off the diagonal; zero for a single unit."""
    return matrix[0, 1] if matrix.shape[0] > 1 else jnp.zeros_like(matrix[0, 0])


def evaluate(model: CommitteeMachine, alpha: Scalar, state: State) -> Solution:
    r"""All numbers at a point of state evolution: $f = \Psi + \mathrm{Tr}(V r)/2 + \alpha \Phi_{\rm out}$."""
    K, rho = model.hidden_units, model.second_moment()
    weights, fields, r = state.weights, state.fields, state.snr
    pair = r.ndim == 1
    if pair:
        multiplicity = jnp.asarray([K - 1.0, 1.0], r.dtype)
        trace = jnp.sum(multiplicity * weights.error * r)
        overlap, error, conjugate = (symmetric(v, K) for v in (weights.overlap, weights.error, r))
        q_d = weights.overlap[0] if K > 1 else weights.overlap[1]
        q_a = weights.overlap[1] - q_d
    else:
        trace = jnp.sum(weights.error * r)
        overlap, error, conjugate = weights.overlap, weights.error, r
        off = (jnp.sum(overlap) - jnp.trace(overlap)) / max(K * (K - 1), 1)
        q_d, q_a = jnp.trace(overlap) / K - off, K * off
    f = weights.negative_information + 0.5 * trace + alpha * fields.potential
    implied = alpha * fields.information
    # Relative to the largest entry: that of a difference vanishes without specialisation.
    used = jnp.asarray([K > 1, True]) if pair else jnp.ones_like(r, bool)
    largest = jnp.max(jnp.abs(jnp.where(used, r, 0.0)))
    violation = jnp.max(jnp.where(used, jnp.abs(implied - r), 0.0))
    residual = violation / jnp.maximum(largest, 1e-9)
    missing = jnp.abs(1 - weights.normalisation) + fields.missing_probability
    missing = missing + fields.statistical_error + weights.statistical_error
    terms = jnp.abs(weights.negative_information) + 0.5 * trace + alpha * jnp.abs(fields.potential)
    residual, quadrature, terms = jax.lax.stop_gradient((residual, residual + missing, terms))
    return Solution(
        overlap=overlap,
        q_d=q_d,
        q_a=q_a,
        error=error,
        conjugate_overlap=conjugate,
        free_entropy=f,
        mutual_information=alpha * model.output.expected_log_likelihood(rho, 12) - f,
        generalization_error=fields.squared_error,
        classification_error=fields.mistakes,
        gibbs_error=fields.disagreement,
        result=RESULTS.where(jnp.isfinite(f), RESULTS.successful, RESULTS.nonfinite),
        residual=residual,
        quadrature_error=quadrature,
        free_entropy_error=quadrature * terms,
    )
