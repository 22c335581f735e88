# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A phase diagram with a hard phase
#
# The binary perceptron with noisy labels, $y = \mathrm{sign}(z + \sqrt\Delta\,\xi)$. At low noise learning
# becomes possible before it becomes easy; the two lines meet in a critical point, beyond which there is
# no transition at all.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from jaxsp import channels, glm, plotting, priors
from jaxsp.sweeps import Grid, run

jax.config.update("jax_enable_x64", True)


def model(noise_variance):
    return glm.GLM(priors.Rademacher(), channels.Sign(noise_variance))


# %% [markdown]
# ## Both branches
#
# At a noise of 0.005 the curve of fixed points is an S. The stable branches are the phases, the unstable
# one between them is the barrier.

# %%
alphas = jnp.linspace(1.1, 1.6, 61)
found = jax.jit(jax.vmap(lambda a: glm.branches(model(0.005), a, throw=False)))(alphas)
thresholds_at = jax.jit(lambda noise: glm.thresholds(model(noise), throw=False))
thresholds = thresholds_at(0.005)
print(thresholds)

ax = plotting.thresholds(thresholds)
exists = np.asarray(found.exists)
errors = np.asarray(found.solution.classification_error)
stable = np.asarray(found.stable)
there, _ = np.broadcast_arrays(np.asarray(alphas)[:, None], errors)
for chosen, marker, label in (
    (exists & stable, ".", "stable"),
    (exists & ~stable, "x", "unstable"),
):
    ax.plot(there[chosen], errors[chosen], marker, markersize=3, color=plotting.COLORS["blue"],
            label=label)  # fmt: skip
ax.set(xlabel=r"samples per weight $\alpha$", ylabel="probability of a wrong label")
ax.legend(frameon=False)

# %% [markdown]
# ## Where the lines end
#
# The critical point is a solution of two equations, found as such:

# %%
end = glm.critical_point(model, 0.001, 0.1)
print(f"noise variance {end.parameter:.6f}, alpha {end.alpha:.6f}")

# %% [markdown]
# ## The diagram

# %%
noises = jnp.linspace(0.0005, float(end.parameter) * 0.999, 16)
lines = jax.tree.map(lambda *found: jnp.stack(found), *[thresholds_at(noise) for noise in noises])
ax = plotting.phase_diagram(
    noises, lines.information_theoretic, lines.algorithmic,
    informative_spinodal=lines.informative_spinodal, limits=(1.1, 1.75),
)  # fmt: skip
ax.plot(end.parameter, end.alpha, "o", color="black", markersize=4, label="critical point")
ax.set(xlabel=r"noise variance $\Delta$", ylabel=r"samples per weight $\alpha$", xlim=(0, 0.019))
ax.legend(frameon=False, loc="lower right", fontsize=8)

# %% [markdown]
# ## What AMP reaches, everywhere
#
# A sweep evaluates a function over a grid, in chunks and on all devices, to a labelled dataset.

# %%
data = run(
    lambda alpha, noise_variance: {
        "error": glm.state_evolution(model(noise_variance), alpha, throw=False).classification_error
    },
    Grid({"alpha": np.linspace(1.1, 1.7, 25), "noise_variance": np.linspace(0.0005, 0.02, 14)}),
)
print("failed points:", int((data.status != 0).sum()))
assert not (data.status != 0).any()

ax = plotting.contour_map(data.noise_variance, data.alpha, data.error, levels=[0.02, 0.05, 0.1, 0.15],
                          label="probability of a wrong label, AMP")  # fmt: skip
ax.plot(noises, lines.algorithmic, "--", color=plotting.COLORS["red"], label="algorithmic")
ax.plot(noises, lines.information_theoretic, color=plotting.COLORS["green"],
        label="information-theoretic")  # fmt: skip
ax.set(xlabel=r"noise variance $\Delta$", ylabel=r"samples per weight $\alpha$")
ax.legend(loc="upper right")
