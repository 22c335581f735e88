"""Where the overlaps stand still: plateaus, final states, and how fast perturbations grow there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import RESULTS, newton_root, numbers_as_arrays, raise_unless_successful, real_dtype
from .dynamics import overlap_rates
from .model import Overlaps, TeacherStudent, check_overlaps, generalization_error


class StationaryState(eqx.Module):
    """A fixed point of the overlaps' equations and its linear stability.

    Attributes:
        overlaps: the state.
        generalization_error: there, without the labels' noise.
        eigenvalues: of the linearised equations of $Q$ (its upper triangle), $R$ and, if it is trained,
            $v$.
        growth_rate: the largest of their real parts: positive at a plateau, whose escape rate it is.
        residual: largest rate of change that is left.
        result: `RESULTS.successful`, or why there is no such state.
    """

    overlaps: Overlaps
    generalization_error: Scalar
    eigenvalues: Complex[Array, " n"]
    growth_rate: Scalar
    residual: Scalar
    result: RESULTS

    def escape_time(self, asymmetry: ScalarLike) -> Scalar:
        r"""$\log(1 / \text{asymmetry}) / \text{rate}$: how long a perturbation takes to grow to order one.

        Args:
            asymmetry: its size at the start, relative to what it grows to.
        """
        check_number("asymmetry", asymmetry, minimum=0.0, maximum=1.0, strict=True)
        rate = self.growth_rate
        time = -jnp.log(jnp.asarray(asymmetry, rate.dtype)) / jnp.where(rate > 0, rate, 1.0)
        return jnp.where(rate > 0, time, jnp.inf)


def stationary_state(
    net: TeacherStudent, guess: Overlaps, *, throw: bool = True
) -> StationaryState:
    """The fixed point of the overlaps' equations near a guess, at the learning rates of time zero.

    Newton's method on $Q$, $R$ and, if it is trained, $v$; differentiable with respect to the numbers in
    `net` by the implicit function theorem.

    Args:
        net: the networks and how they learn.
        guess: a state near it; its teacher is kept.
        throw: raise a `SolverError` if there is none; `result` says it too.

    Raises:
        ValueError: if the guess does not fit the networks.
        SolverError: if Newton's method finds no fixed point.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import online
        >>> net = online.TeacherStudent(1, 1, online.Erf(), noise=0.1, learning_rate=0.5)
        >>> eye = jnp.eye(1)
        >>> final = online.stationary_state(net, online.Overlaps(eye, 0.98 * eye, eye))
        >>> bool(final.growth_rate < 0), bool(final.generalization_error < 1e-3)
        (True, True)
    """
    check_overlaps(net, guess)
    dtype = real_dtype(*jax.tree.leaves(guess))
    found = _stationary(numbers_as_arrays(net, dtype), guess)
    raise_unless_successful(found.result, "online.stationary_state", throw)
    return found


def plateau(net: TeacherStudent, *, scale: ScalarLike = 1.0, throw: bool = True) -> StationaryState:
    r"""The unspecialised fixed point: each student has the same overlap with all teachers.

    For $T = \text{scale} \cdot I$ and a fixed second layer of ones the subspace $Q_{ik} = Q \delta_{ik} +
    C (1 - \delta_{ik})$, $R_{im} = R$ is invariant, and the plateau is a fixed point in it: found there by
    Newton's method on three numbers, where rounding cannot break the symmetry. For erf units, $K = M$ and
    $\eta \to 0$, $Q = C = 1 / (2K - 1)$ and $R = 1 / \sqrt{K (2K - 1)}$ (Saad and Solla 1995). The growth
    rate is that of specialisation, in the full space.

    Args:
        net: the networks; the second layer must not be trained.
        scale: variance of the teacher's fields.
        throw: raise a `SolverError` if there is none; `result` says it too.

    Raises:
        ValueError: if the second layer is trained.
        SolverError: if there is no plateau, at large learning rates for example.

    Example:
        >>> from jaxsp import online
        >>> net = online.TeacherStudent(2, 2, online.Erf(), learning_rate=1e-6)
        >>> state = online.plateau(net)
        >>> round(float(state.overlaps.Q[0, 0]), 4), bool(state.growth_rate > 0)    # 1 / 3
        (0.3333, True)
    """
    if net.train_second_layer:
        raise ValueError(
            "Argument `net` must have a fixed second layer, but has train_second_layer=True: its units "
            "have no invariant symmetric state of unit second layers."
        )
    check_number("scale", scale, minimum=0.0, strict=True)
    dtype = real_dtype(scale, *jax.tree.leaves(net))
    found = _plateau(numbers_as_arrays(net, dtype), jnp.asarray(scale, dtype))
    raise_unless_successful(found.result, "online.plateau", throw)
    return found


def _embedded(net: TeacherStudent, x: Float[Array, "3"], scale: Scalar) -> Overlaps:
    K, M = net.student_units, net.teacher_units
    own, cross, R = x
    eye = jnp.eye(K, dtype=x.dtype)
    Q = own * eye + cross * (1 - eye)
    return Overlaps(Q, jnp.full((K, M), R), scale * jnp.eye(M, dtype=x.dtype))


@eqx.filter_jit
def _plateau(net: TeacherStudent, scale: Scalar) -> StationaryState:
    K, M = net.student_units, net.teacher_units
    zero = jnp.zeros_like(scale)
    eta = net.rates(zero)[0]

    def residual(x):
        rate = overlap_rates(net, _embedded(net, x, scale), zero)
        # Equal students stay equal, which is a fixed point too, but one that different students leave:
        # what is looked for has a relative rate of separation that vanishes.
        separation = x[0] - x[1]
        apart = (rate.Q[0, 0] - rate.Q[0, 1]) / separation if K > 1 else separation
        return jnp.stack([rate.Q[0, 0], apart, rate.R[0, 0]]) / eta

    # Students aligned with the sum of the teachers, slightly apart from each other.
    length = M * scale / (M * (2.0 * K - 1))
    start = jnp.stack([1.05 * length, length, length * jnp.sqrt((2.0 * K - 1) / M)])
    found = newton_root(residual, start)
    state = _embedded(net, found.value, scale)
    return _described(net, state, found.residual * eta, found.result)


def _packed(net: TeacherStudent, state: Overlaps) -> Float[Array, " n"]:
    upper = np.triu_indices(net.student_units)
    parts = [state.Q[upper], state.R.ravel()]
    return jnp.concatenate(parts + [state.v] * net.train_second_layer)


def _unpacked(net: TeacherStudent, x: Float[Array, " n"], like: Overlaps) -> Overlaps:
    K, M = net.student_units, net.teacher_units
    upper = np.triu_indices(K)
    size = len(upper[0])
    Q = jnp.zeros((K, K), x.dtype).at[upper].set(x[:size])
    Q = Q + Q.T - jnp.diag(jnp.diagonal(Q))
    R = x[size : size + K * M].reshape(K, M)
    v = x[size + K * M :] if net.train_second_layer else like.v
    return Overlaps(Q, R, like.T, v, like.A)


def _flow(net: TeacherStudent, like: Overlaps):
    def flow(x):
        zero = jnp.zeros((), x.dtype)
        return _packed(net, overlap_rates(net, _unpacked(net, x, like), zero))

    return flow


@eqx.filter_jit
def _stationary(net: TeacherStudent, guess: Overlaps) -> StationaryState:
    found = newton_root(_flow(net, guess), _packed(net, guess))
    state = _unpacked(net, found.value, guess)
    return _described(net, state, found.residual, found.result)


def _described(net, state: Overlaps, residual, result) -> StationaryState:
    slope = jax.jacfwd(_flow(net, state))(_packed(net, state))
    finite = jnp.all(jnp.isfinite(slope))
    eigenvalues = jnp.linalg.eigvals(jnp.where(finite, slope, 0.0))
    error = generalization_error(net, state)
    # A root may lie where no covariance is, as beyond the largest learning rate. At small rates the
    # plateau's covariance is next to singular, and known to rounding over the students' separation.
    C = state.covariance
    lowest = jnp.linalg.eigvalsh(jnp.where(finite, C, 0.0))[0]
    possible = lowest >= -(jnp.finfo(C.dtype).eps ** 0.5) * jnp.trace(jnp.abs(C))
    result = RESULTS.where(possible, result, RESULTS.no_fixed_point)
    result = RESULTS.where(finite & jnp.isfinite(error), result, RESULTS.nonfinite)
    return StationaryState(state, error, eigenvalues, jnp.max(eigenvalues.real), residual, result)
