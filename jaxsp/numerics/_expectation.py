"""Integrals over a rule, and Gaussian expectations, with an error estimate."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PyTree

from .._types import ScalarLike
from ._quadrature import Rule, product, real_dtype, trapezoid
from ._result import RESULTS, first_failure, raise_unless_successful


class Expectation(eqx.Module):
    r"""The value of an integral, and how far it can be trusted.

    Attributes:
        value: $\sum_i w_i f(x_i)$.
        error: the difference from the embedded coarser rule. It is the coarse rule's error, so for a
            smooth integrand it is far above that of the value (about its square root).
        result: `RESULTS.successful`, or `inaccurate` if an entry's error is above the tolerance that
            was asked for, or `nonfinite`.
    """

    value: PyTree[Inexact[Array, "..."]]
    error: PyTree[Float[Array, "..."]]
    result: RESULTS


def integrate(
    f: Callable, rule: Rule, *, rtol: ScalarLike | None = None, atol: ScalarLike = 0.0
) -> Expectation:
    r"""$\sum_i w_i f(x_i)$ with an error estimate; `f` takes one point and may return a pytree.

    Args:
        f: the integrand.
        rule: where it is evaluated.
        rtol: accepted error of an entry, relative to it. By default any is accepted.
        atol: accepted absolute error beside it.

    Example:
        >>> from jaxsp.numerics import gauss_hermite
        >>> rule = gauss_hermite(20)
        >>> abs(float(integrate(lambda z: z**4, rule).value) - 3.0) < 1e-4
        True
    """

    def inexact(v):
        return v if jnp.issubdtype(v.dtype, jnp.inexact) else v.astype(rule.weights.dtype)

    values = jax.tree.map(inexact, jax.vmap(f)(rule.nodes))

    def total(weights):
        return jax.tree.map(lambda v: jnp.tensordot(weights.astype(v.dtype), v, axes=1), values)

    value = total(rule.weights)
    coarse = total(rule.coarse_weights)
    plain, coarse = jax.lax.stop_gradient((value, coarse))
    error = jax.tree.map(lambda a, b: jnp.abs(a - b), plain, coarse)
    finite = jnp.asarray([jnp.all(jnp.isfinite(v)) for v in jax.tree.leaves(plain)])
    result = RESULTS.where(jnp.all(finite), RESULTS.successful, RESULTS.nonfinite)
    if rtol is not None:
        accepted = jax.tree.map(lambda v, e: jnp.all(e <= atol + rtol * jnp.abs(v)), plain, error)
        accurate = jnp.all(jnp.asarray(jax.tree.leaves(accepted)))
        result = first_failure(
            result, RESULTS.where(accurate, RESULTS.successful, RESULTS.inaccurate)
        )
    return Expectation(value, error, result)


def gaussian_expectation(
    f: Callable,
    mean: ScalarLike | Float[Array, " d"] = 0.0,
    covariance: ScalarLike | Float[Array, "d d"] = 1.0,
    rule: Rule | None = None,
    *,
    rtol: ScalarLike | None = None,
    atol: ScalarLike = 0.0,
    throw: bool = True,
) -> Expectation:
    r"""$\mathbb E f(x)$ for $x \sim \mathcal N(\text{mean}, \text{covariance})$ in one or more dimensions.

    Args:
        f: takes one point (a scalar, or a vector `(d,)`) and returns an array or a pytree.
        mean: a number, or a vector `(d,)`.
        covariance: the variance, or the covariance matrix `(d, d)`, positive definite.
        rule: a rule for the standard normal measure of the same dimension; the point is
            $\text{mean} + L z$ with the Cholesky factor $L$. By default the trapezoid rule with 97
            points (the product of such rules with 49 in more than two dimensions), which converges
            exponentially for functions that are analytic near the real axis and grow no faster than
            $e^{|z|}$. Give `gaussian_panels` for kinks and steps, `tanh_sinh` for singularities. Where
            their place in one direction depends on the others, nest expectations over one variable
            each.
        rtol: accepted error of an entry, relative to it. By default any is accepted.
        atol: accepted absolute error beside it.
        throw: raise a `SolverError` if the estimated error is above what is accepted, or a value is
            not finite; while tracing, `result` says so.

    Example:
        >>> import jax.numpy as jnp
        >>> out = gaussian_expectation(lambda x: jnp.cos(x), 0.0, 4.0, rtol=1e-4)
        >>> bool(jnp.abs(out.value - jnp.exp(-2.0)) < 1e-5)
        True
        >>> gaussian_expectation(jnp.abs, rtol=1e-4)
        Traceback (most recent call last):
        ...
        jaxsp.numerics._result.SolverError: gaussian_expectation: the estimated quadrature error ...
    """
    mean = jnp.asarray(mean, real_dtype(mean, covariance))
    covariance = jnp.asarray(covariance, mean.dtype)
    dimensions = mean.size
    if rule is None:
        rule = trapezoid(97 if dimensions <= 2 else 49, dtype=mean.dtype)
        rule = rule if mean.ndim == 0 else product(*[rule] * dimensions)
    if mean.ndim == 0:
        factor = jnp.sqrt(covariance)
        out = integrate(lambda z: f(mean + factor * z), rule, rtol=rtol, atol=atol)
    else:
        factor = jnp.linalg.cholesky(covariance)
        out = integrate(lambda z: f(mean + factor @ z), rule, rtol=rtol, atol=atol)
    raise_unless_successful(out.result, "gaussian_expectation", throw)
    return out
