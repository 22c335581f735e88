# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A first learning curve
#
# Linear regression and the perceptron, from the same functions: the best possible error against the
# number of samples, and what an algorithm measures on instances.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from jaxsp import channels, glm, plotting, priors

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## A check that needs no library
#
# For Gaussian weights seen through a linear channel of noise $\Delta$ the error $V$ solves a quadratic
# equation, $1/V = 1 + \alpha/(V + \Delta)$. The library knows nothing of it.

# %%
noise = 0.3
ridge = glm.GLM(priors.Gaussian(), channels.Linear(noise_variance=noise))
alphas = jnp.linspace(0.05, 4.0, 80)
curve = jax.jit(jax.vmap(lambda alpha: glm.bayes_optimal(ridge, alpha, throw=False)))(alphas)

b = np.asarray(alphas) + noise - 1
closed_form = (np.sqrt(b**2 + 4 * noise) - b) / 2
print(f"largest difference: {np.abs(curve.mean_squared_error - closed_form).max():.0e}")
assert np.allclose(curve.mean_squared_error, closed_form, rtol=1e-10)

# %% [markdown]
# ## Sparse weights
#
# With another prior the same two lines give compressed sensing: most weights are zero, and knowing that
# is worth samples.

# %%
sparse = glm.GLM(priors.GaussBernoulli(sparsity=0.2), channels.Linear(noise_variance=0.01))
dense = glm.GLM(priors.Gaussian(variance=0.2), channels.Linear(noise_variance=0.01))
errors = {
    name: jax.jit(
        jax.vmap(lambda a, m=m: glm.state_evolution(m, a, throw=False).mean_squared_error)
    )(alphas)
    for name, m in {"sparse weights": sparse, "Gaussian weights": dense}.items()
}

# %% [markdown]
# AMP on instances of 1000 weights, six for each point:

# %%
measured_at = [0.6, 1.0, 2.0]
keys = jax.random.split(jax.random.key(0), 6)


def squared_error(key, samples):
    data = glm.sample_instance(sparse, weights=1000, samples=samples, key=key)
    found = glm.amp(sparse, data.X, data.y, throw=False)
    return jnp.mean((found.mean - data.weights) ** 2)


measured = np.stack(
    [jax.lax.map(lambda key, n=int(a * 1000): squared_error(key, n), keys) for a in measured_at],
    axis=1,
)

# %%
ax = plotting.instances(measured_at, measured, label="AMP, p = 1000")
ax.plot(alphas, errors["sparse weights"], label="sparse weights")
ax.plot(alphas, errors["Gaussian weights"], "--", color=plotting.COLORS["grey"],
        label="Gaussian weights of the same variance")  # fmt: skip
ax.set(xlabel=r"samples per weight $\alpha$", ylabel="squared error of a weight", yscale="log")
ax.legend(frameon=False)

# %%
theory = np.interp(measured_at, alphas, errors["sparse weights"])
error = measured.std(axis=0, ddof=1) / np.sqrt(len(keys))
for alpha, mean, spread, expected in zip(measured_at, measured.mean(0), error, theory, strict=True):
    print(f"alpha = {alpha}: AMP {mean:.4f} ± {spread:.4f}, theory {expected:.4f}")
