"""What a solver says about itself: a result code, and the error raised from it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


class RESULTS(eqx.Enumeration):
    """How a computation ended. Every value but `successful` carries the reason as its message."""

    successful = ""
    max_steps_reached = (
        "the maximum number of steps was reached before the tolerance was met: raise the number of "
        "steps, or move away from a critical point"
    )
    stalled = (
        "no step along Newton's direction lowers the residual: there is no root near the start, or it "
        "is a multiple one"
    )
    not_bracketed = "the interval does not bracket a root: the function has one sign on both ends"
    nonfinite = "a value that is not finite was met"
    inaccurate = (
        "the estimated quadrature error is larger than what was asked: raise the order of the rule"
    )
    coarse_grid = (
        "the grid is too coarse: raise its number of points (`steps` of a uniform one, `panels` or `nodes` "
        "of one of ratios), or what iterations a row may take"
    )
    step_underflow = "the step became too small: raise the tolerance, or resolve the rest better"
    out_of_bounds = (
        "the solution left the bounds that it must obey: from there on it is not to be trusted"
    )
    no_fixed_point = "there is no such fixed point"
    diverged = "the solution grows beyond all bounds at the time that is given"
    invalid_input = "an argument is outside of what is allowed"


class SolverError(RuntimeError):
    """A solver did not reach its goal; the message says why."""


def is_concrete(tree: Any) -> bool:
    """Whether no leaf of `tree` is being traced, so that its values may be looked at."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def raise_unless_successful(result: RESULTS, where: str, throw: bool = True) -> None:
    """Raise a `SolverError` from a concrete result code; do nothing while tracing.

    Compiled code carries the code along instead: a host callback would make the executable
    impossible to shard and to cache. A batch of codes raises for the first that failed.
    """
    if not throw or not is_concrete(result):
        return
    codes = jnp.ravel(result._value)
    failed = codes[codes != RESULTS.successful._value]
    if failed.size:
        message = RESULTS._index_to_message[int(failed[0])]
        lanes = f" ({failed.size} of {codes.size} lanes failed)" if codes.size > 1 else ""
        raise SolverError(f"{where}: {message}{lanes}.")


def first_failure(*results: RESULTS) -> RESULTS:
    """The first code of several that is not `successful`, elementwise."""
    first = results[0]
    for other in results[1:]:
        first = RESULTS.where(first == RESULTS.successful, other, first)
    return first
