"""Time to the first learning curve in a new process: import, compilation and computation.

python benchmarks/first_result.py
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))

import _measure

CURVE = """
import time
start = time.perf_counter()
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from jaxsp import channels, glm, priors
imported = time.perf_counter()
model = glm.GLM(priors.{prior}, channels.{channel})
curve = jax.jit(jax.vmap(lambda alpha: glm.bayes_optimal(model, alpha).generalization_error))
alphas = jnp.linspace(0.1, 3.0, 100)
curve(alphas).block_until_ready()
first = time.perf_counter()
curve(alphas).block_until_ready()
again = time.perf_counter()
print(imported - start, first - imported, again - first)
"""
MODELS = {
    "binary perceptron": ("Rademacher()", "Sign()"),
    "spherical perceptron": ("Gaussian()", "Sign()"),
    "sparse ReLU": ("GaussBernoulli(0.2)", "ReLU()"),
    "phase retrieval": ("Gaussian()", "AbsoluteValue()"),
    "logistic": ("Rademacher()", "Logistic()"),
}


def main():
    numbers = {}
    for name, (prior, channel) in MODELS.items():
        runs = []
        for _ in range(3):
            script = CURVE.format(prior=prior, channel=channel)
            out = subprocess.run(
                [sys.executable, "-c", script], check=True, capture_output=True, text=True
            ).stdout
            runs.append([float(word) for word in out.split()])
        imports, first, again = zip(*runs, strict=True)
        numbers[name] = {
            "import seconds": _measure.summary(imports),
            "first curve seconds": _measure.summary(first),
            "again seconds": _measure.summary(again),
        }
    _measure.record("first_result", numbers)


if __name__ == "__main__":
    main()
