"""Phase diagram of the spiked matrix-tensor model on a 300 x 300 grid, in float64, as one compiled call.

At each point the Bayes optimum and maximum likelihood with all their branches, and the complexity of
minima without overlap; for each noise of the tensor every line of the diagram. A sample of the points
is checked against numpy's polynomial roots, and timed beside them.

    python benchmarks/spiked.py
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp
import numpy as np

from jaxsp import spiked

jax.config.update("jax_enable_x64", True)

SIDE, SAMPLE = 300, 200


def point(deltap, delta2):
    model = spiked.MatrixTensor(3, delta2, deltap)
    bayes = spiked.bayes_optimal(model, throw=False)
    likely = spiked.maximum_likelihood(model, throw=False)
    return bayes, likely, spiked.complexity(model, 0.0)


@jax.jit
def diagram(deltaps, delta2s):
    lines = jax.vmap(lambda d: spiked.thresholds(3, d))(deltaps)
    # One row after the other: its lanes share a cache.
    grid = jax.lax.map(lambda d: jax.vmap(lambda x: point(d, x))(delta2s), deltaps)
    return lines, grid


@jax.jit
def only_lines(deltaps):
    return jax.vmap(lambda d: spiked.thresholds(3, d))(deltaps)


def polynomial_overlap(delta2, deltap):
    """The Bayes-optimal overlap from all roots of 1 + Q'(m) - Q'(m) / m."""
    roots = np.roots([1 / deltap, 1 / delta2 - 1 / deltap, 1 - 1 / delta2])
    real = roots[np.abs(roots.imag) < 1e-9].real
    m = np.append(real[(real > 0) & (real < 1)], 0.0)
    f = 0.5 * (np.log1p(-m) + m + m**2 / (2 * delta2) + m**3 / (3 * deltap))
    return m[np.argmax(f)]


def main():
    deltaps = jnp.geomspace(0.25, 10.0, SIDE)
    delta2s = 1 / jnp.linspace(0.4, 4.0, SIDE)
    start = time.perf_counter()
    compiled = diagram.lower(deltaps, delta2s).compile()
    compile_time = time.perf_counter() - start
    times = _measure.alternate(
        5, grid=lambda: compiled(deltaps, delta2s), lines=lambda: only_lines(deltaps)
    )
    _, (bayes, _, _) = compiled(deltaps, delta2s)
    overlaps, a, b = (np.asarray(v) for v in (bayes.overlap, delta2s, deltaps))
    generator = np.random.default_rng(0)
    difference, seconds = 0.0, 0.0
    for i, j in generator.integers(0, SIDE, (SAMPLE, 2)):
        start = time.perf_counter()
        exact = polynomial_overlap(a[j], b[i])
        seconds += time.perf_counter() - start
        difference = max(difference, abs(overlaps[i, j] - exact))
    _measure.record(
        "spiked",
        {
            "points": SIDE**2,
            "compile seconds": compile_time,
            "seconds": _measure.summary(times["grid"]),
            "seconds for the lines alone": _measure.summary(times["lines"]),
            "numpy seconds for the Bayes overlaps alone": seconds / SAMPLE * SIDE**2,
            "largest difference from numpy": difference,
        },
    )


if __name__ == "__main__":
    main()
