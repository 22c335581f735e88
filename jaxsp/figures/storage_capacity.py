"""How many random labels a perceptron can store at a margin: spherical and binary weights."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from .. import glm, priors
from . import _draw, _reference
from ._registry import Context, Figure
from ._report import Row

NAME = "storage-capacity"


def make(context: Context) -> Figure:
    """Capacities against the margin."""
    margins = jnp.linspace(0.0, 2.0, 41 if context.quick else 161)
    spherical = jax.vmap(lambda k: glm.storage_capacity(priors.Gaussian(), k).capacity)(margins)
    binary = jax.vmap(lambda k: glm.storage_capacity(priors.Rademacher(), k).capacity)(margins)
    alphas = jnp.linspace(0.0, 1.0, 41 if context.quick else 161)
    entropy = jax.vmap(lambda a: glm.storage_entropy(priors.Rademacher(), a).entropy)(alphas)

    figure, ax = _draw.axes(
        "Storage capacity of the perceptron", r"margin $\kappa$", r"capacity $\alpha_c$"
    )
    ax.plot(margins, spherical, color=_draw.BLUE, label="spherical weights")
    ax.plot(margins, binary, color=_draw.RED, label="binary weights")
    ax.set(xlim=(0, 2), ylim=(0, 2.05))
    ax.legend(frameon=False, loc="lower left")
    inset = ax.inset_axes((0.55, 0.48, 0.42, 0.42))
    inset.plot(alphas, entropy, color=_draw.RED)
    inset.axhline(0, color=_draw.GREY, linewidth=0.8)
    inset.set(
        xlabel=r"$\alpha$", ylabel="entropy", title=r"binary, $\kappa = 0$", ylim=(-0.2, 0.72)
    )

    data = _draw.dataset(
        {
            "margin": ("margin", margins, "margin of the stored labels"),
            "alpha": ("alpha", alphas, "labels per weight"),
        },
        {
            "spherical_capacity": ("margin", spherical, "capacity of spherical weights"),
            "binary_capacity": ("margin", binary, "capacity of binary weights"),
            "binary_entropy": ("alpha", entropy, "entropy of binary weights at margin zero"),
        },
    )
    rows = [
        Row(f"{NAME}/spherical, margin 0", float(spherical[0]), 1e-12, 2.0, 0.0,
            "Gardner 1988"),
        Row(f"{NAME}/binary, margin 0", float(binary[0]), 1e-9, 0.833, 5e-4,
            "Krauth and Mezard 1989"),
    ]  # fmt: skip
    for index in (10, 20) if context.quick else (40, 80):
        margin = float(margins[index])
        expected = 1 / integrate.quad(
            lambda t, k=margin: (t + k) ** 2 * np.exp(-t * t / 2) / np.sqrt(2 * np.pi), -margin, 12
        )[0]  # fmt: skip
        rows.append(Row(f"{NAME}/spherical, margin {margin:g}", float(spherical[index]), 1e-10,
                        float(expected), 1e-8, "Gardner 1988, scipy quadrature"))  # fmt: skip
        left = _reference.binary_storage_entropy(float(binary[index]), margin)
        rows.append(Row(f"{NAME}/entropy at the binary capacity, margin {margin:g}", left, 1e-8,
                        0.0, 0.0, "scipy: zero at the capacity (Krauth and Mezard 1989)"))  # fmt: skip
    return Figure(figure, data, rows)
