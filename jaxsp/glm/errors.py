"""The error of the Bayes-optimal classifier, which needs its decision boundaries."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..numerics import bracketed_root, frozen, gaussian_panels, integrate
from .model import GLM
from .potentials import field_scale


def classification_error(model: GLM, m: Scalar, V: Scalar, order: int) -> Scalar:
    r"""Probability that the Bayes-optimal prediction of a label is wrong.

    $1 - \mathbb E_v \max_y Z_{\rm out}(y)$; for the noiseless sign it is
    $\arccos(\sqrt{m/\rho})/\pi$. The integral is cut where the most probable label changes.
    """
    fixed, fixed_m, fixed_V = frozen((model, m, V))
    scale = jnp.sqrt(jnp.maximum(fixed_m, jnp.finfo(m.dtype).tiny))
    fields = fixed.channel.field_rule(fixed_m, fixed_V, order).nodes
    # A rule for even integrands has points on one side only.
    fields = jnp.sort(jnp.concatenate([-fields, fields]) if fixed.channel.even else fields)

    def log_probabilities(v):
        return _log_probabilities(fixed, scale * v, fixed_V)

    best = jax.vmap(lambda v: jnp.argmax(log_probabilities(v)))(fields)
    changes = jnp.nonzero(best[1:] != best[:-1], size=_MAX_BOUNDARIES, fill_value=0)[0]

    def boundary(index):
        before, after = best[index], best[index + 1]

        def margin(v):
            log_p = log_probabilities(v)
            return log_p[after] - log_p[before]

        root = bracketed_root(margin, fields[index], fields[index + 1]).value
        return jnp.where(before == after, fields[index], root)

    cuts = jax.vmap(boundary)(changes)
    _, widths = fixed.channel.landmarks(fixed_V)
    layers = jnp.full_like(cuts, 1.0) * jnp.minimum(jnp.min(widths) / scale, 1.0)
    rule = gaussian_panels(cuts, layers, order, subdivisions=3)

    def wrong(v):
        log_p = _log_probabilities(model, field_scale(m) * v, V)
        winner = jnp.argmax(log_p)
        return jnp.sum(jnp.where(jnp.arange(log_p.size) == winner, 0.0, jnp.exp(log_p)))

    return integrate(wrong, frozen(rule)).value


# A channel with more decision boundaries than this loses accuracy, not correctness.
_MAX_BOUNDARIES = 4


def _log_probabilities(model: GLM, omega: Scalar, V: Scalar) -> Float[Array, " labels"]:
    labels = model.channel.labels
    assert labels is not None
    labels = labels.astype(omega.dtype)
    return jax.vmap(lambda y: model.channel.log_partition(y, omega, V))(labels)
