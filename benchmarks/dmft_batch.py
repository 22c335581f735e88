"""A diagram over both noises in one call, beside a loop over the same compiled solver.

The overlap that gradient flow of the spiked model p = 3 has reached at t = 10 from 0.1, at 8 x 8 pairs of
noises, 40 steps on three grids.

    python benchmarks/dmft_batch.py
"""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp
import numpy as np

from jaxsp import dmft, spiked

jax.config.update("jax_enable_x64", True)

T_MAX, GRID = 10.0, dmft.UniformGrid(steps=40, levels=3)


def overlap(delta2, deltap):
    model = spiked.MatrixTensor(3, delta2, deltap)
    problem = dmft.SphericalDynamics(model, initial_overlap=0.1)
    return dmft.solve(problem, T_MAX, solver=GRID, throw=False).table.overlap[-1]


def main():
    pairs = jnp.meshgrid(jnp.linspace(0.4, 1.5, 8), jnp.linspace(1.0, 6.0, 8))
    delta2, deltap = (x.ravel() for x in pairs)
    single, batched = jax.jit(overlap), jax.jit(jax.vmap(overlap))
    in_parts = jax.jit(lambda *pair: jax.lax.map(lambda x: overlap(*x), pair, batch_size=8))
    ways = {
        "loop": lambda: [single(a, b) for a, b in zip(delta2, deltap, strict=True)],
        "vmap": lambda: batched(delta2, deltap),
        "vmap in parts of 8": lambda: in_parts(delta2, deltap),
    }
    times = _measure.alternate(5, **ways)
    expected = np.asarray(ways["loop"]())
    numbers = {
        name: {
            "seconds": _measure.summary(times[name]),
            "loop's time over this one's": _measure.ratio(times["loop"], times[name]),
            "largest difference from the loop": float(np.max(np.abs(way() - expected))),
        }
        for name, way in ways.items()
        if name != "loop"
    }
    numbers["loop"] = {"seconds": _measure.summary(times["loop"])}
    _measure.record("dmft_batch", numbers)


if __name__ == "__main__":
    main()
