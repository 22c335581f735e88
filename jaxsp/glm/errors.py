"""The error of the Bayes-optimal classifier, which needs its decision boundaries."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import frozen, gaussian_panels, integrate, search_bracket
from .model import GLM
from .potentials import field_scale


def classification_error(model: GLM, m: Scalar, V: Scalar, order: int) -> Scalar:
    r"""Probability that the Bayes-optimal prediction of a label is wrong.

    $1 - \mathbb E_v \max_y Z_{\rm out}(y)$; for the noiseless sign it is
    $\arccos(\sqrt{m/\rho})/\pi$. The integral is cut where the most probable label changes. Moving a
    cut changes nothing, as the two labels are equally probable there, so the cuts carry no derivative.
    """
    fixed, fixed_m, fixed_V = frozen((model, m, V))
    scale = jnp.sqrt(jnp.maximum(fixed_m, jnp.finfo(m.dtype).tiny))
    cuts = fixed.channel.decision_boundaries(fixed_V)
    cuts = (
        _search_boundaries(fixed, fixed_m, fixed_V, scale, order) if cuts is None else cuts / scale
    )
    _, widths = fixed.channel.landmarks(fixed_V)
    layers = jnp.full_like(cuts, 1.0) * jnp.minimum(jnp.min(widths) / scale, 1.0)
    rule = gaussian_panels(cuts, layers, order, subdivisions=3, even=fixed.channel.even)

    def wrong(v):
        log_p = _log_probabilities(model, field_scale(m) * v, V)
        winner = jnp.argmax(log_p)
        return jnp.sum(jnp.where(jnp.arange(log_p.size) == winner, 0.0, jnp.exp(log_p)))

    return integrate(wrong, frozen(rule)).value


# A channel with more decision boundaries than this loses accuracy, not correctness.
_MAX_BOUNDARIES = 4


def _search_boundaries(
    model: GLM, m: Scalar, V: Scalar, scale: Scalar, order: int
) -> Float[Array, " k"]:
    """Where the most probable label changes between points of the field's rule, in units of v.

    Of an even channel the origin, and the boundaries beyond it.
    """
    fields = jnp.sort(model.channel.field_rule(m, V, order).nodes)
    origin = jnp.zeros(1, fields.dtype)
    if model.channel.even:
        fields = jnp.concatenate([origin, fields])

    def log_probabilities(v):
        return _log_probabilities(model, scale * v, V)

    best = jax.vmap(lambda v: jnp.argmax(log_probabilities(v)))(fields)
    changes = jnp.nonzero(best[1:] != best[:-1], size=_MAX_BOUNDARIES, fill_value=0)[0]

    def boundary(index):
        before, after = best[index], best[index + 1]

        def margin(v):
            log_p = log_probabilities(v)
            return log_p[after] - log_p[before]

        ends = jnp.stack([fields[index], fields[index + 1]])
        xtol = 4 * jnp.finfo(fields.dtype).eps * jnp.max(jnp.abs(ends))
        root = search_bracket(margin, *ends, *jax.lax.map(margin, ends), xtol=xtol).value
        return jnp.where(before == after, fields[0], root)

    cuts = jax.vmap(boundary)(changes)
    return jnp.concatenate([origin, cuts]) if model.channel.even else cuts


def _log_probabilities(model: GLM, omega: Scalar, V: Scalar) -> Float[Array, " labels"]:
    labels = model.channel.labels
    assert labels is not None
    labels = labels.astype(omega.dtype)
    return jax.vmap(lambda y: model.channel.log_partition(y, omega, V))(labels)
