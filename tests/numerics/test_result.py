"""Result codes, and the errors raised from them."""

import jax
import jax.numpy as jnp
import pytest

from jaxsp import numerics
from jaxsp.numerics import RESULTS


def test_success_is_silent():
    numerics.raise_unless_successful(RESULTS.successful, "here")


def test_failure_says_where_and_why():
    with pytest.raises(numerics.SolverError, match="here: the interval does not bracket a root"):
        numerics.raise_unless_successful(RESULTS.not_bracketed, "here")
    numerics.raise_unless_successful(RESULTS.not_bracketed, "here", throw=False)


def test_batch_counts_its_failures():
    def solve(c):
        return numerics.bracketed_root(lambda x: x**2 - c, 0.0, 2.0).result

    with pytest.raises(numerics.SolverError, match=r"\(2 of 3 lanes failed\)"):
        numerics.raise_unless_successful(jax.vmap(solve)(jnp.array([1.0, 5.0, -1.0])), "batch")


def test_first_failure():
    one, two = RESULTS.nonfinite, RESULTS.inaccurate
    assert numerics.first_failure(RESULTS.successful, one, two) == one
    assert numerics.first_failure(two, one, RESULTS.successful) == two
    assert numerics.first_failure(RESULTS.successful) == RESULTS.successful


def test_silent_while_tracing():
    def f(x):
        result = RESULTS.where(x > 0, RESULTS.successful, RESULTS.nonfinite)
        assert not numerics.is_concrete(result)
        numerics.raise_unless_successful(result, "traced")
        return result

    assert jax.jit(f)(-1.0) == RESULTS.nonfinite
    assert numerics.is_concrete((jnp.ones(2), 1.0, RESULTS.successful))
