"""What the theory returns: the overlaps as functions of time, and how far they are to be trusted."""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from .._checks import check_number
from .._types import Count, Scalar
from ..numerics import RESULTS, is_concrete
from .model import Overlaps, TeacherStudent

Times: TypeAlias = float | int | Num[Array | np.ndarray, "..."]


class Trajectory(eqx.Module):
    """The overlaps' dynamics, from the start to `end_time`.

    Attributes:
        net: the networks.
        end_time: the last time; earlier than what was asked for if the solution diverges.
        times: the times at which the state was saved; None if it is known at any time.
        steps: how many steps were taken, those that were rejected included.
        result: `RESULTS.successful`, or why the time that was asked for was not reached.
    """

    net: TeacherStudent
    end_time: Scalar
    times: Float[Array, " t"] | None
    steps: Count
    result: RESULTS
    start: Overlaps
    read: Callable

    def overlaps(self, t: Times | None = None) -> Overlaps:
        """The state at any times between the start and `end_time`, of any shape.

        Args:
            t: the times; None: those that were asked for with `solve(times=...)`.

        Raises:
            ValueError: if a time is outside, or only the saved times are known.
        """
        if self.times is not None:
            if t is not None:
                raise ValueError(
                    "Argument `t` must be None: the state was saved at `.times` only, "
                    "since `solve` was given them."
                )
            Q, R, v = self.read(None)
            shape = (self.times.size,)
        else:
            if t is None:
                raise ValueError("Argument `t` must be given: the state is known at any time.")
            if is_concrete((t, self.end_time)):
                check_number("t", t, minimum=0.0, maximum=float(self.end_time) * (1 + 1e-12))
            t = jnp.asarray(t, self.end_time.dtype)
            shape = t.shape
            at = jnp.clip(t.ravel(), 0.0, self.end_time)
            Q, R, v = (
                x.reshape(*shape, *x.shape[1:]) for x in jax.vmap(lambda t: self.read(t))(at)
            )
        T, A = self.start.T, self.start.A
        T, A = (jnp.broadcast_to(x, (*shape, *x.shape)) for x in (T, A))
        return Overlaps(Q, R, T, v, A)

    def generalization_error(self, t: Times | None = None) -> Float[Array, "..."]:
        r"""$\epsilon_g(t) = \frac12 u^T I_2 u$, without the labels' noise."""
        state = self.overlaps(t)
        C, u = state.covariance, state.readout

        def error(C, u):
            return 0.5 * u @ self.net.units.products(C) @ u

        flat = jax.vmap(error)(C.reshape(-1, *C.shape[-2:]), u.reshape(-1, u.shape[-1]))
        return flat.reshape(u.shape[:-1])
