"""Checks of the arguments of public functions: eager, and silent while tracing."""

import difflib
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .numerics._result import is_concrete


def check_number(
    name: str,
    value,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    strict: bool = False,
    finite: bool = True,
) -> None:
    """Raise a `ValueError` unless all values lie in the interval; traced values pass unseen.

    Args:
        name: the argument's name, for the message.
        value: a number or an array.
        minimum: lower end, or None.
        maximum: upper end, or None.
        strict: whether the ends are excluded.
        finite: whether infinite values are refused (NaN always is).
    """
    if not is_concrete(value):
        return
    array = np.asarray(value)
    low, high = ("(", ")") if strict else ("[", "]")
    if minimum is not None and maximum is not None:
        wanted = f"in {low}{minimum}, {maximum}{high}"
    elif minimum is not None:
        wanted = f"{'greater than' if strict else 'at least'} {minimum}"
    elif maximum is not None:
        wanted = f"{'less than' if strict else 'at most'} {maximum}"
    else:
        wanted = "finite"
    bad = np.isnan(array)
    if finite:
        bad |= ~np.isfinite(array)
    if minimum is not None:
        bad |= (array <= minimum) if strict else (array < minimum)
    if maximum is not None:
        bad |= (array >= maximum) if strict else (array > maximum)
    if np.any(bad):
        first = array if array.ndim == 0 else array[bad][0]
        raise ValueError(f"Argument `{name}` must be {wanted}, but is {first}.")


def check_shape(name: str, array: Array, shape: tuple[int | None, ...], meaning: str) -> None:
    """Raise a `ValueError` unless an array has the given shape; `None` stands for any length."""
    actual = jnp.shape(array)
    fits = len(actual) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, actual, strict=True)
    )
    if not fits:
        raise ValueError(f"Argument `{name}` must have shape {meaning}, but has shape {actual}.")


def check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise a `ValueError` unless a name is one of the allowed ones; says which one is closest."""
    allowed = list(allowed)
    if value in allowed:
        return
    close = difflib.get_close_matches(value, allowed, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"Argument `{name}` must be one of {', '.join(map(repr, allowed))}, but is {value!r}.{hint}"
    )
