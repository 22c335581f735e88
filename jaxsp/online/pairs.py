r"""Two students of one task: the closed equations of what they have in common.

Students that see independent samples of the same inputs do not act on each other, but their weights
stay correlated through the task: in each eigenmode of the inputs' covariance (see `modes`) the products
$c_{kl} = \omega^1_k \omega^2_l$ follow the mean gradients of both,

$$ \dot c_{kl} = -\eta \Big[ \rho \sum_j v^1_k \bar A^1_{kj} c_{jl}
   - \sum_n v^1_k \bar B^1_{kn} r^2_{ln} \Big] - \eta \Big[ (1, k) \leftrightarrow (2, l) \Big], $$

and so does $w^1 w^2 / N$. Gradient noise of independent samples does not correlate them. The students'
mean squared difference follows for the task's inputs and for iid ones.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Count, Scalar, ScalarLike
from ..inputs import Inputs
from ..numerics import RESULTS, numbers_as_arrays, raise_unless_successful
from ._solve import check_times, integrated, stopped
from .model import Overlaps, TeacherStudent
from .modes import MeanField, mean_field, mode_system
from .networks import Networks, check_networks


class PairTrajectory(eqx.Module):
    r"""Two students over time.

    Attributes:
        net: the networks' sizes.
        times: when, `(t,)`.
        overlaps: of the two as one student of $2K$ units, those of the first one before the other's.
        norms: $w_k \cdot w_l / N$ of all these units, their fields' covariance on iid inputs, `(t, 2K, 2K)`.
        end_time: the last time; earlier than what was asked for if the solution diverges.
        steps: how many steps were taken, those that were rejected included.
        result: `RESULTS.successful`, or why the time that was asked for was not reached.
    """

    net: TeacherStudent
    times: Float[Array, " t"]
    overlaps: Overlaps
    norms: Float[Array, "t n n"]
    end_time: Scalar
    steps: Count
    result: RESULTS

    def disagreement(self) -> Float[Array, " t"]:
        r"""$\epsilon_{12} = \frac12 \mathbb E (\phi_1 - \phi_2)^2$ on the task's inputs."""
        return self._difference(self.overlaps.Q)

    def disagreement_on_iid_inputs(self) -> Float[Array, " t"]:
        r"""$\epsilon_{12}$ on inputs of independent standard normal components."""
        return self._difference(self.norms)

    def _difference(self, C: Float[Array, "t n n"]) -> Float[Array, " t"]:
        K, v = self.net.student_units, self.overlaps.v
        u = jnp.concatenate([v[:, :K], -v[:, K:]], axis=-1)
        return 0.5 * jnp.einsum("ta,tab,tb->t", u, jax.vmap(self.net.activation.products)(C), u)


def solve_pair(
    net: TeacherStudent,
    t_max: ScalarLike,
    inputs: Inputs,
    first: Networks,
    second: Networks,
    *,
    times: Float[Array | np.ndarray, " t"],
    rtol: float = 1e-7,
    max_steps: int = 65536,
    throw: bool = True,
) -> PairTrajectory:
    r"""Two students of the same teacher that learn from independent samples, at large dimension.

    Do they become the same function? On the task's inputs, and on iid ones (arXiv 1909.11500, here by
    the closed equations; see the module `pairs`). Differentiable as `solve` is.

    Args:
        net: the networks and how they learn.
        t_max: the last time.
        inputs: the inputs' law, for inputs that are not Gaussian by their covariances.
        first: the teacher, and one student's weights at the start.
        second: another student's; its teacher is not used.
        times: save the state at these increasing times.
        rtol: relative tolerance of a step.
        max_steps: largest number of steps.
        throw: raise a `SolverError` if `t_max` is not reached; `result` says it too.

    Raises:
        ValueError: if shapes do not fit, or a time is out of bounds.
        SolverError: if the solution diverges, or takes more than `max_steps`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsp import inputs, online
        >>> law = inputs.GaussianInputs(100)
        >>> net = online.TeacherStudent(1, 1, online.Erf(), learning_rate=0.5)
        >>> one, other = (online.sample_networks(net, law, key=jax.random.key(k)) for k in (0, 1))
        >>> pair = online.solve_pair(net, 50.0, law, one, other, times=jnp.array([0.0, 50.0]))
        >>> before, after = pair.disagreement()
        >>> bool(after < 1e-3 * before)
        True
    """
    check_number("t_max", t_max, minimum=0.0, strict=True)
    check_times(times, t_max)
    for networks in (first, second):
        check_networks(net, inputs, networks)
    dtype = first.w.dtype
    # A student of twice as many units holds both, and what they have in common.
    both = Networks(
        jnp.concatenate([first.w, second.w]),
        jnp.concatenate([first.v, second.v]),
        first.B,
        first.A,
    )
    system, state = mode_system(inputs, both)
    times, end, tolerance = (jnp.asarray(x, dtype) for x in (times, t_max, rtol))
    found = _integrate(
        numbers_as_arrays(net, dtype), system, state, times, end, tolerance, max_steps
    )
    raise_unless_successful(found.result, f"online.solve_pair{stopped(found)}", throw)
    return found


@eqx.filter_jit
def _integrate(net, system, state, times, t_max, rtol, max_steps) -> PairTrajectory:
    K = net.student_units

    def halves(both: Overlaps) -> tuple[Overlaps, Overlaps]:
        def half(k: slice) -> Overlaps:
            return Overlaps(both.Q[k, k], both.R[k], both.T, both.v[k], both.A)

        return half(slice(None, K)), half(slice(K, None))

    def rates(t, state, args):
        both = system.overlaps(state)
        fields = [mean_field(net, half, t) for half in halves(both)]
        together = MeanField(
            own=block_diag(*(x.own for x in fields)),
            teacher=jnp.concatenate([x.teacher for x in fields]),
            # Noise of independent samples.
            noise=block_diag(*(x.noise for x in fields)),
            v_rate=jnp.concatenate([x.v_rate for x in fields]),
        )
        return system.flow(net, state, both, together, t)

    def observed(state):
        both = system.overlaps(state)
        return both.Q, both.R, both.v, state.W

    run = integrated(
        rates, state, t_max, times, rtol, 1e-2 * rtol, diffrax.Tsit5(),
        diffrax.RecursiveCheckpointAdjoint(), max_steps, observed,
    )  # fmt: skip
    Q, R, v, W = run.saved
    T, A = (jnp.broadcast_to(x, (times.size, *x.shape)) for x in (system.T, system.A))
    return PairTrajectory(
        net, times, Overlaps(Q, R, T, v, A), W, run.end_time, run.steps, run.result
    )
