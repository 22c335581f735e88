"""One AMP iteration against the two bare matrix-vector products that it contains, in float32.

python benchmarks/amp.py [weights samples]
"""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp

from jaxsp import channels, glm, priors

STEPS = 20


def main():
    weights, samples = map(int, sys.argv[1:]) if len(sys.argv) > 1 else (8000, 12000)
    model = glm.GLM(priors.Rademacher(), channels.Sign())
    data = glm.sample_instance(
        model, weights=weights, samples=samples, key=jax.random.key(0), dtype=jnp.float32
    )
    X, y = data.X, data.y

    @jax.jit
    def products(X, y):
        # Each step's input depends on the last one's output, as in AMP.
        def step(_, pair):
            w, g = pair
            g = X @ w
            # Not `X.T @ g`: on CPU that writes out the transposed matrix, at many times the cost.
            return (g @ X) / weights, g

        return jax.lax.fori_loop(0, STEPS, step, (jnp.ones(weights, X.dtype), y))

    def run():
        # A tolerance that no step meets, so that all of them are taken.
        return glm.amp(model, X, y, max_steps=STEPS, tolerance=1e-30, throw=False).iterations

    assert int(run()) == STEPS
    times = _measure.alternate(7, amp=run, products=lambda: products(X, y))
    _measure.record(
        f"amp_{weights}_{samples}",
        {
            "weights": weights,
            "samples": samples,
            "milliseconds per iteration": 1e3 * _measure.summary(times["amp"])["median"] / STEPS,
            "milliseconds of two products": 1e3
            * _measure.summary(times["products"])["median"]
            / STEPS,
            "ratio": _measure.ratio(times["amp"], times["products"]),
        },
    )


if __name__ == "__main__":
    main()
