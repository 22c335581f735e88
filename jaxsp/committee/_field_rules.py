"""Where the fields of a committee are looked at: quadrature rules for their means."""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Flag, Scalar
from ..numerics import Rule, gaussian_panels, graded_panels
from ..numerics._quadrature import TAIL
from ._points import (
    PRODUCT_UNITS,
    ordered_layers,
    product_normal,
    replicated,
    three_exchangeable,
    three_layered,
    three_layered_full,
    uniform_normal,
)
from .model import CommitteeMachine
from .outputs import LabelOfSigns, symmetric

# What a layer counts as the width of, in deviations of a field: points are then even within it.
_LAYER = 3.0


def line_rule(model: CommitteeMachine, q: Scalar, V: Scalar, order: int) -> Rule:
    """Standard normal points for fields of a common mean, of which the sum has the overlap q."""
    output, K = model.output, model.hidden_units
    if output.field_breakpoints:
        scale = jnp.sqrt(jnp.maximum(q, jnp.finfo(q.dtype).tiny ** 0.5))
        width = jnp.clip(jnp.sqrt(V) / scale, 1e-12, 1e3)[None]
        if K == 1 or not output.integrated:
            return gaussian_panels(jnp.zeros_like(width), width, 2 * order, subdivisions=3)
        return gaussian_panels(jnp.zeros_like(width), width, order)
    points = {1: 8, 2: 4}.get(K, 2) * order
    return uniform_normal(points, 8.5 if K == 1 else 7.0, q.dtype, half=output.mirrored)


def symmetric_rule(
    model: CommitteeMachine, q: Float[Array, " 2"], V: Float[Array, " 2"], order: int
) -> Rule:
    """Standard normal points, the first coordinates for the sum of the units and for their difference.

    Of the plane of two units a quadrant, the rest being its mirror images.
    """
    K, output = model.hidden_units, model.output
    if model.averaged:
        return replicated(K, 16 * order, order, q.dtype)
    order = _field_order(model, order)
    if K == PRODUCT_UNITS and not in_order(model):
        return _three_units(model, q, V, order)
    if K == PRODUCT_UNITS:
        # Of the two square roots of q one suits the points, the other one derivatives: they differ by a
        # rotation, which they still have in the limit without specialisation.
        q = jnp.maximum(q, 1e-9 * jnp.max(q))
        width = _LAYER * jnp.sqrt(symmetric(V, K)[0, 0])
        fields, weights = ordered_layers(
            symmetric(q, K), width, _changes(model), order, half=output.mirrored, symmetric=True
        )
        return Rule(fields @ symmetric(1 / jnp.sqrt(q), K), weights, jnp.zeros_like(weights))
    if K == 1:
        return line_rule(model, q[1], V[1], order)
    if not output.field_breakpoints:
        return product_normal(2, 5 * order // 2, q.dtype, (True, True))
    tiny = jnp.finfo(q.dtype).tiny ** 0.5
    scale, widths = jnp.sqrt(jnp.maximum(q, tiny)), jnp.sqrt(V)
    field = jnp.sqrt(jnp.sum(V) / jnp.sum(q))
    narrow = jnp.stack([widths[0] / scale[0], field, widths[1] / scale[1]])
    # The angle is measured from the axis of the sum.
    right = jnp.asarray(0.5 * jnp.pi, q.dtype)
    angles = jnp.stack([jnp.zeros_like(right), jnp.arctan2(scale[1], scale[0]), right])
    rule = _polar_rule(angles, narrow, right, order)
    return Rule(rule.nodes, 4 * rule.weights, 4 * rule.coarse_weights)


def _three_units(
    model: CommitteeMachine, q: Float[Array, " 2"], V: Float[Array, " 2"], order: int
) -> Rule:
    """Points even in the Gaussian, or ones that crowd where a field vanishes: whichever are closer."""
    even = three_exchangeable(order, q.dtype, half=model.output.mirrored)
    if not _has_layers(model):
        return even
    width = jnp.sqrt(symmetric(V, 3)[0, 0])
    layered, step = three_layered(q, width, order)
    # Of the former the sum is the coarsest: 14 deviations in 2 order points.
    return _one_of(step < 7 / order * jnp.sqrt(q[1] / 3) / width, layered, even)


def _has_layers(model: CommitteeMachine) -> bool:
    """Whether an output in closed form has kinks in the fields, which matter where these are known well."""
    return bool(model.output.field_breakpoints) and not model.output.integrated


def _one_of(first: Flag, rule: Rule, other: Rule) -> Rule:
    """Of as many points: the fewer are followed by ones that weigh nothing."""
    size = max(rule.weights.size, other.weights.size)

    def filled(values: Array) -> Array:
        return jnp.pad(values, [(0, size - values.shape[0])] + (values.ndim - 1) * [(0, 0)])

    return jax.tree.map(lambda a, b: jnp.where(first, filled(a), filled(b)), rule, other)


def in_order(model: CommitteeMachine) -> bool:
    """Whether three fields are gone through in each of their orders, with layers where one changes its sign.

    A kink or step in the law of the output is smooth on the scale of the fields' deviation, which noise in
    the output keeps from vanishing: panels in layers are worth their cost without noise alone.
    """
    output = model.output
    sharp = output.noiseless and bool(output.field_breakpoints)
    return sharp and model.hidden_units == PRODUCT_UNITS


def _field_order(model: CommitteeMachine, order: int) -> int:
    """Less for outputs that are averages themselves: it is their own points that are many."""
    if not model.output.integrated or model.hidden_units == 1:
        return order
    if in_order(model) or (model.output.field_breakpoints and model.hidden_units == 2):
        return max(order // 2, 4)
    return order if model.hidden_units == 2 else max(2 * order // 3, 4)


def full_rule(
    model: CommitteeMachine, root: Float[Array, "K K"], V: Float[Array, "K K"], order: int
) -> Rule:
    """Standard normal points for fields `root @ point`."""
    K = model.hidden_units
    if model.averaged:
        return replicated(K, 16 * order, order, V.dtype)
    order = _field_order(model, order)
    if K == 1:
        return line_rule(model, root[0, 0] ** 2, V[0, 0], order)
    deviation = jnp.sqrt(jnp.diagonal(V))
    if in_order(model):
        return _all_orders(model, root, deviation, order)
    if K == PRODUCT_UNITS or not model.output.field_breakpoints:
        even = product_normal(K, 2 * order, V.dtype)
        if K < PRODUCT_UNITS or not _has_layers(model):
            return even
        layered, steps = three_layered_full(root, deviation, order)
        # Of the former all are as coarse: 11 deviations in 2 order points.
        coarse = 5.5 / order * jnp.max(jnp.linalg.norm(root, axis=1) / deviation)
        return _one_of(jnp.max(steps) < coarse, layered, even)
    standard = root / deviation[:, None]
    a, b = standard
    correlation = V[0, 1] / (deviation[0] * deviation[1])
    # Lines on which a label's probability changes over: a = 0, b = 0, a = -b, a = b.
    forms = jnp.stack([a, b, a + b, a - b])
    depths = jnp.stack(
        [
            jnp.ones_like(correlation),
            jnp.ones_like(correlation),
            jnp.sqrt(1 + correlation),
            jnp.sqrt(1 - correlation),
        ]
    )
    size = jnp.maximum(jnp.linalg.norm(forms, axis=1), jnp.finfo(V.dtype).tiny ** 0.5)
    turn = jnp.asarray(2 * jnp.pi, V.dtype)
    angles = jnp.arctan2(forms[:, 1], forms[:, 0]) + 0.25 * turn
    # Measured from the first line, so that the circle is cut where points crowd on both sides.
    relative = jnp.mod(angles - angles[0], 0.5 * turn).at[0].set(0.0)
    relative = jnp.concatenate([relative, relative + 0.5 * turn, turn[None]])
    widths = jnp.concatenate([jnp.tile(depths / size, 2), (depths / size)[:1]])
    rule = _polar_rule(relative, widths, turn, order)
    cosine, sine = jnp.cos(angles[0]), jnp.sin(angles[0])
    turned = rule.nodes @ jnp.stack([jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])])
    return Rule(turned, rule.weights, rule.coarse_weights)


def _all_orders(
    model: CommitteeMachine, root: Float[Array, "3 3"], deviation: Float[Array, " 3"], order: int
) -> Rule:
    """Three fields in each of the orders that they may have."""
    orders = jnp.asarray(list(itertools.permutations(range(3))))
    # Next to singular overlaps have no distances in between; a little noise does not show.
    q = root @ root.T
    q = q + 1e-9 * jnp.max(jnp.diagonal(q)) * jnp.eye(3, dtype=q.dtype)

    def one(places):
        fields, weights = ordered_layers(
            q[places][:, places], _LAYER * jnp.min(deviation), _changes(model), order,
            half=model.output.mirrored, symmetric=False,
        )  # fmt: skip
        return fields[:, jnp.argsort(places)], weights

    fields, weights = jax.vmap(one)(orders)
    fields, weights = fields.reshape(-1, 3), weights.ravel()
    points = jax.scipy.linalg.solve_triangular(root, fields.T, lower=True).T
    return Rule(points, weights, jnp.zeros_like(weights))


def _changes(model: CommitteeMachine) -> tuple[bool, bool, bool]:
    """Whether the law of the output changes with the sign of the first, second, third of ordered fields."""
    output = model.output
    if not isinstance(output, LabelOfSigns):
        return True, True, True
    labels = [output.label(positive, 3) for positive in range(4)]
    first, second, third = (a != b for a, b in itertools.pairwise(labels))
    return first, second, third


def _polar_rule(
    angles: Float[Array, " k"], widths: Float[Array, " k"], end: Scalar, order: int
) -> Rule:
    """The standard normal measure in polar coordinates, with panels around lines of given widths.

    The angles run from the first of them, zero, to the last.
    """
    dtype = widths.dtype
    widths = jnp.clip(widths, 1e-12, 1e3)
    smallest = jnp.minimum(jnp.min(widths), 1.0)
    tail = jnp.asarray(TAIL[jnp.dtype(dtype)], dtype)
    zero = jnp.zeros_like(tail)
    radial = _inner(graded_panels(zero[None], smallest[None], zero, tail, 2 * order + 8), 1)

    def around(radius):
        # Beyond a turn of it a feature is no feature; its width then no longer matters.
        rule = graded_panels(angles, jnp.minimum(widths / radius, 1e3), zero, end, order)
        return _inner(rule, angles.size)

    angular = jax.vmap(around)(radial.nodes)
    nodes = radial.nodes[:, None, None] * jnp.stack(
        [jnp.cos(angular.nodes), jnp.sin(angular.nodes)], axis=-1
    )
    density = radial.nodes * jnp.exp(-0.5 * radial.nodes**2) / (2 * jnp.pi)
    fine = (density * radial.weights)[:, None] * angular.weights
    return Rule(nodes.reshape(-1, 2), fine.ravel(), jnp.zeros_like(fine).ravel())


def _inner(rule: Rule, landmarks: int) -> Rule:
    """Without the empty pieces of a rule whose first and last landmarks are its ends.

    The pieces above all landmarks come first, then those below; a lone landmark is the lower end.
    """
    points = rule.nodes.size // (2 * landmarks)
    above = slice(0, max(landmarks - 1, 1) * points)
    below = slice((landmarks + 1) * points, 2 * landmarks * points)
    return jax.tree.map(lambda x: jnp.concatenate([x[above], x[below]]), rule)
