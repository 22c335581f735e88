"""A diagram split over devices gives the numbers of one device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxsp import spiked


def point(delta2, deltap):
    model = spiked.MatrixTensor(3, delta2, deltap)
    bayes = spiked.bayes_optimal(model, throw=False)
    likely = spiked.maximum_likelihood(model, throw=False)
    lines = jnp.stack(jax.tree.leaves(spiked.thresholds(3, deltap, 0.7)))
    return bayes.overlap, likely.overlap, spiked.complexity(model, 0.1), lines


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_shard_map(kind):
    deltas = jnp.array([0.3, 0.7, 1.1, 1.5, 0.4, 0.6, 0.9, 2.0])
    batch = jax.vmap(lambda d: point(d, 0.8))
    mesh = Mesh(np.array(jax.devices()), ("points",), axis_types=(kind,))
    spec = PartitionSpec("points")
    split = functools.partial(jax.shard_map, mesh=mesh, in_specs=spec, out_specs=spec)
    placed = jax.device_put(deltas, NamedSharding(mesh, spec))
    for ours, exact in zip(jax.jit(split(batch))(placed), jax.jit(batch)(deltas), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-13)
