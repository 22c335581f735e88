"""The 300 x 300 (alpha, noise) diagram of the binary perceptron: overlap, errors, free entropy of all
branches, and the thresholds as curves. Stopped, it goes on from where it was.

    python benchmarks/diagram.py [FOLDER]

The same from the command line, with a picture of two maps:

    jaxsp sweep --prior rademacher --channel sign --alpha 0.5:2:300 --noise-variance 0:0.03:300 \
        --out diagram.zarr
"""

import os
import pathlib
import sys

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from jaxsp import channels, glm, plotting, priors, sweeps

SIDE = 300


def main():
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    alphas = jnp.linspace(0.5, 2.0, SIDE)

    def row(noise_variance):
        """One noise, all alphas: they share the scan of the model's curve."""
        model = glm.GLM(priors.Rademacher(), channels.Sign(noise_variance=noise_variance))
        found = jax.vmap(lambda alpha: glm.phases(model, alpha, throw=False))(alphas)
        return {"phases": found, "thresholds": glm.thresholds(model, throw=False)}

    data = sweeps.run(
        row, sweeps.Grid({"noise_variance": jnp.linspace(0.0, 0.03, SIDE)}),
        coordinates={"alpha": alphas}, store=folder / "binary-diagram.zarr", chunk_size=16,
        batch_size=1,
    )  # fmt: skip

    figure = Figure(figsize=(7, 5), layout="constrained")
    ax = plotting.new_axes(
        "Binary perceptron", "samples per weight", "variance of the noise", figure=figure
    )
    plotting.contour_map(
        data.alpha, data.noise_variance, data.phases_uninformed_overlap,
        levels=[0.2, 0.4, 0.6, 0.8, 0.95], label="overlap that AMP reaches", ax=ax,
    )  # fmt: skip
    for name, style in (("algorithmic", "--"), ("information_theoretic", "-")):
        line = data[f"thresholds_{name}"]
        shown = line.where(line < data.alpha.max())
        ax.plot(shown, data.noise_variance, "w", linestyle=style, label=name.replace("_", "-"))
    ax.legend(loc="upper left", facecolor="grey", labelcolor="white")
    figure.savefig(folder / "binary-diagram.png", dpi=150)


if __name__ == "__main__":
    main()
