"""The asymptotic errors of convex fits: three overlaps that solve a fixed-point problem."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..numerics import (
    RESULTS,
    first_failure,
    fixed_point,
    gaussian_panels,
    integrate,
    log_normal_density,
    newton_root,
    numbers_as_arrays,
    raise_unless_successful,
    trapezoid,
)
from .losses import Loss
from .model import TeacherModes

# In standard deviations, where Gaussian averages end.
_TAIL = 9.0


class FitOverlaps(NamedTuple):
    r"""$V$: response of a sample's own field; $q = w^T \Omega w / d$; $m = \mathbb E \lambda \nu$."""

    V: Scalar
    q: Scalar
    m: Scalar


class Fit(eqx.Module):
    r"""A convex fit at high dimension.

    Attributes:
        overlaps: $V, q, m$.
        conjugates: $\hat V, \hat q, \hat m$.
        test_error: probability of a wrong label, or the mean squared error of regression.
        train_error: the same on the training set.
        train_loss: mean loss of a training sample, without the penalty.
        residual: the largest relative defect of the equations.
        mass_error: by how much the quadrature misses the total probability.
        result: `RESULTS.successful`, or why the numbers are not to be trusted.
    """

    overlaps: FitOverlaps
    conjugates: FitOverlaps
    test_error: Scalar
    train_error: Scalar
    train_loss: Scalar
    residual: Scalar
    mass_error: Scalar
    result: RESULTS


class _Averages(NamedTuple):
    slope: Scalar
    square: Scalar
    cross: Scalar
    loss: Scalar
    error: Scalar
    mass: Scalar


def asymptotics(
    model: TeacherModes,
    loss: Loss,
    regularization: ScalarLike,
    alpha: ScalarLike,
    *,
    order: int = 24,
    throw: bool = True,
) -> Fit:
    r"""Errors of the least $\sum_\mu \ell(y_\mu, w \cdot x_\mu / \sqrt d) + \frac\lambda2 |w|^2$.

    With $n = \alpha d$ samples, $d \to \infty$ (arXiv 2102.08127, theorem 1; means are over the modes):

    $$ V = \Big\langle \frac{\rho}{\lambda + \hat V \rho} \Big\rangle, \quad
       m = \hat m \Big\langle \frac{f^2}{\lambda + \hat V \rho} \Big\rangle, \quad
       q = \Big\langle \rho\, \frac{\hat q \rho + \hat m^2 f^2}{(\lambda + \hat V \rho)^2} \Big\rangle, $$
    $$ \hat V = -\alpha\, \mathbb E \partial_\omega g, \quad \hat q = \alpha\, \mathbb E g^2, \quad
       \hat m = \alpha\, \mathbb E g\, g_0, $$

    $g = (z(\omega) - \omega) / V$ with the proximal operator $z$, and $g_0$ the channel's own denoiser given
    $\omega$. Differentiable by the implicit function theorem.

    Args:
        model: covariances, teacher and outputs.
        loss: the loss.
        regularization: $\lambda > 0$.
        alpha: samples per dimension of the student.
        order: points on each piece of the quadrature.
        throw: raise a `SolverError` if the numbers are not to be trusted; `result` says it too.

    Returns:
        A `Fit`.

    Raises:
        ValueError: if `regularization` or `alpha` is not positive.
        SolverError: if the equations are not solved, or the quadrature is not precise.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxsp import erm
        >>> eye = jnp.eye(3)
        >>> model = erm.GaussianCovariates(Psi=eye, Phi=eye, Omega=eye, teacher=jnp.ones(3))
        >>> fit = erm.asymptotics(model, erm.Logistic(), regularization=1.0, alpha=2.0)
        >>> bool(fit.train_error < fit.test_error < 0.3)
        True
    """
    check_number("regularization", regularization, minimum=0.0, strict=True)
    check_number("alpha", alpha, minimum=0.0, strict=True)
    dtype = model.eigenvalues.dtype
    lam, ratio = (jnp.asarray(x, dtype) for x in (regularization, alpha))
    fit = _solve(numbers_as_arrays(model, dtype), loss, lam, ratio, order)
    raise_unless_successful(fit.result, "erm.asymptotics", throw)
    return fit


@eqx.filter_jit
def _solve(model: TeacherModes, loss: Loss, lam: Scalar, alpha: Scalar, order: int) -> Fit:
    rho, f2, weights = model.eigenvalues, model.squared_teacher, model.weights
    dtype = rho.dtype
    teacher = model.teacher_variance

    def mean(x):
        return jnp.sum(weights * x)

    def conjugates(overlaps: FitOverlaps) -> tuple[FitOverlaps, _Averages]:
        found = _averages(model, loss, overlaps, order)
        return FitOverlaps(alpha * found.slope, alpha * found.square, alpha * found.cross), found

    def overlaps_from(hats: FitOverlaps) -> FitOverlaps:
        below = lam + hats.V * rho
        return FitOverlaps(
            mean(rho / below),
            mean(rho * (hats.q * rho + hats.m**2 * f2) / below**2),
            hats.m * mean(f2 / below),
        )

    # Logarithms: the overlaps are positive and, at weak regularisation, of very different sizes. The
    # third is a squared correlation, so that no step leaves what is possible.
    def encode(x: FitOverlaps):
        r2 = jnp.clip(x.m**2 / (teacher * x.q), 1e-12, 1 - 1e-12)
        return jnp.stack([jnp.log(x.V), jnp.log(x.q), jnp.log(r2) - jnp.log1p(-r2)])

    def decode(x) -> FitOverlaps:
        V, q = jnp.exp(x[0]), jnp.exp(x[1])
        return FitOverlaps(V, q, jnp.sqrt(teacher * q * jax.nn.sigmoid(x[2])))

    def image(x):
        return encode(overlaps_from(conjugates(decode(x))[0]))

    first = mean(rho / (lam + alpha * rho))
    start = encode(FitOverlaps(first, mean(f2) * 0.5 + 1e-3 * teacher, 0.3 * mean(f2)))
    double = dtype == jnp.float64
    # The plain iteration contracts, if slowly at weak regularisation; Newton's method does the rest.
    near = fixed_point(image, start, rtol=1e-3, atol=1e-3, max_steps=200)
    found = newton_root(lambda x: image(x) - x, near.value, rtol=1e-11 if double else 1e-5)
    overlaps = decode(found.value)
    hats, averages = conjugates(overlaps)
    accurate = jnp.abs(averages.mass - 1) <= (1e-9 if double else 1e-4)
    small = found.residual <= (1e-9 if double else 1e-3)
    solved = RESULTS.where(small, RESULTS.successful, found.result)
    result = first_failure(solved, RESULTS.where(accurate, RESULTS.successful, RESULTS.inaccurate))
    return Fit(
        overlaps,
        hats,
        _test_error(model, overlaps, order),
        averages.error,
        averages.loss,
        found.residual,
        jnp.abs(averages.mass - 1),
        result,
    )


def _averages(model: TeacherModes, loss: Loss, x: FitOverlaps, order: int) -> _Averages:
    """Averages over the output and the field that the sample's own weight has been taken out of."""
    channel, rho = model.channel, model.teacher_variance
    V, q, m = x
    left = jnp.maximum(rho - m**2 / q, jnp.finfo(q.dtype).eps * rho)
    root = jnp.sqrt(q)
    ratio = m / q

    def given(y, centres, widths, middle, spread, total):
        """Sum over fields for one output."""
        lower, upper = middle - _TAIL * spread, middle + _TAIL * spread
        points = loss.points(y, V, centres, widths, lower, upper, order)

        def log_weight(omega):
            log_z = channel.log_partition(y, ratio * omega, left)
            return log_normal_density(omega, q) + log_z

        g0 = jax.vmap(jax.grad(lambda mu: channel.log_partition(y, mu, left)))(ratio * points.omega)
        mass = points.weights * jnp.exp(jax.vmap(log_weight)(points.omega)) * total
        g = (points.z - points.omega) / V
        wrong = y * points.z < 0 if channel.labels is not None else (y - points.z) ** 2
        values = (
            (1 - points.slope) / V,
            g**2,
            g * g0,
            jax.vmap(lambda z: loss(y, z))(points.z),
            jnp.where(wrong, 1.0, 0.0) if channel.labels is not None else wrong,
            jnp.ones_like(g),
        )
        return _Averages(*(jnp.sum(mass * value) for value in values))

    if channel.labels is not None:
        centres, widths = channel.landmarks(left)
        scale = 1 / jnp.maximum(ratio, 1e-6)
        limit = _TAIL * root
        centres = jnp.append(jnp.clip(centres * scale, -limit, limit), 0.0)
        widths = jnp.append(jnp.clip(widths * scale, 1e-9 * root, root), root)
        parts = jax.vmap(
            lambda y: given(y, centres, widths, jnp.zeros_like(q), root, jnp.ones_like(q))
        )(channel.labels.astype(q.dtype))
        return jax.tree.map(jnp.sum, parts)

    # Regression: outputs are Gaussian, and the field is Gaussian given one.
    variance = rho + jnp.asarray(channel.noise_variance, q.dtype)  # pyright: ignore[reportAttributeAccessIssue]
    rule = trapezoid(2 * order + 1, dtype=q.dtype)
    spread = jnp.sqrt(q - m**2 / variance)

    def at(z, weight):
        y = jnp.sqrt(variance) * z
        middle = m / variance * y
        total = weight / jnp.exp(log_normal_density(y, variance))
        return given(y, middle[None], spread[None], middle, spread, total)

    parts = jax.vmap(at)(rule.nodes, rule.weights)
    return jax.tree.map(jnp.sum, parts)


def _test_error(model: TeacherModes, x: FitOverlaps, order: int) -> Scalar:
    channel, rho = model.channel, model.teacher_variance
    if channel.labels is None:
        noise = jnp.asarray(channel.noise_variance, x.q.dtype)  # pyright: ignore[reportAttributeAccessIssue]
        return rho + noise + x.q - 2 * x.m
    # The label of the sign of the field; by the field's own scale, its covariance m / sqrt(q).
    m = x.m / jnp.sqrt(x.q)
    left = jnp.maximum(rho - m**2, jnp.finfo(m.dtype).eps * rho)
    centres, widths = channel.landmarks(left)
    scale = jnp.maximum(m, 1e-6)
    rule = gaussian_panels(
        jnp.append(jnp.clip(centres / scale, -_TAIL, _TAIL), 0.0),
        jnp.append(jnp.clip(widths / scale, 1e-9, 1.0), 1.0),
        order,
    )
    one = jnp.ones_like(m)

    def wrong(v):
        return jnp.exp(channel.log_partition(-jnp.sign(v) * one, m * v, left))

    return integrate(wrong, rule).value
