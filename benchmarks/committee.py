"""The committee machine of two units: state-evolution steps, a whole curve, AMP against its products.

python benchmarks/committee.py [inputs samples]
"""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import _measure
import jax
import jax.numpy as jnp

from jaxsp import committee, priors

BATCH, STEPS, POINTS = 32, 10, 100


def state_evolution():
    """Steps per second, and a curve of 100 alphas, in float64."""
    alphas = jnp.linspace(0.1, 5.0, POINTS)
    numbers = {}
    for prior in (priors.Gaussian(), priors.Rademacher()):
        model = committee.CommitteeMachine(2, prior)
        name = type(prior).__name__

        def found(alpha, steps, model=model):
            return committee.state_evolution(model, alpha, "broken", steps=steps, throw=False)

        curve = jax.jit(jax.vmap(lambda a, found=found: found(a, 0).generalization_error))
        # Nothing but the trajectory is asked for: the compiler leaves the limit out.
        path = jax.jit(jax.vmap(lambda a, found=found: found(a, STEPS).trajectory))
        times = _measure.alternate(
            3,
            curve=lambda curve=curve: curve(alphas),
            steps=lambda path=path: path(alphas[:BATCH]),
        )
        median = {key: _measure.summary(value)["median"] for key, value in times.items()}
        numbers[f"{name}: seconds for a curve of {POINTS} alphas"] = median["curve"]
        numbers[f"{name}: steps per second"] = BATCH * STEPS / median["steps"]
    _measure.record("committee_state_evolution", numbers)


def amp(inputs: int, samples: int):
    """One iteration against its two matrix products, in float32."""
    model = committee.CommitteeMachine(2, priors.Gaussian())
    data = committee.sample_instance(
        model, inputs=inputs, samples=samples, key=jax.random.key(0), dtype=jnp.float32
    )
    X, y = data.X, data.y

    # Compiled one by one: of the two in one program the compiler makes a transposed copy of X.
    w, g = jnp.ones((inputs, 2), X.dtype), jnp.ones((2, samples), X.dtype)
    forward, backward = jax.jit(lambda X: X @ w), jax.jit(lambda X: g @ X)

    def products():
        return [(forward(X), backward(X)) for _ in range(STEPS)]

    def run():
        return committee.amp(
            model, X, y, max_steps=STEPS, tolerance=1e-30, throw=False
        ).iterations  # fmt: skip

    assert int(run()) == STEPS
    times = _measure.alternate(5, amp=run, products=products)
    _measure.record(
        f"committee_amp_{inputs}_{samples}",
        {
            "milliseconds per iteration": 1e3 * _measure.summary(times["amp"])["median"] / STEPS,
            "milliseconds of two products": 1e3
            * _measure.summary(times["products"])["median"]
            / STEPS,
            "ratio": _measure.ratio(times["amp"], times["products"]),
        },
    )


if __name__ == "__main__":
    inputs, samples = map(int, sys.argv[1:]) if len(sys.argv) > 1 else (8000, 32000)
    amp(inputs, samples)
    jax.config.update("jax_enable_x64", True)
    state_evolution()
