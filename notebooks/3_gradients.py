# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Differentiating through theory
#
# A theory curve is a function with gradients, so it can be fitted to a measurement, and a model can be
# designed by it.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsp import channels, glm, plotting, priors

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## How noisy are the labels?
#
# Someone trains a perceptron on noisy labels and measures its errors on noiseless ones. We
# are given five errors and their uncertainties, made here with a noise variance of 0.25 that the fit does
# not know.

# %%
true_noise = 0.25
measured_at = [0.5, 1.0, 1.5, 2.0, 3.0]


def teacher(noise):
    return glm.GLM(priors.Gaussian(), channels.Sign(noise))


def experiment(key, samples):
    model = teacher(true_noise)
    data = glm.sample_instance(model, weights=1000, samples=samples, key=key)
    found = glm.amp(model, data.X, data.y, throw=False).mean
    cosine = jnp.vdot(found, data.weights)
    cosine = cosine / (jnp.linalg.norm(found) * jnp.linalg.norm(data.weights))
    return jnp.arccos(cosine) / jnp.pi


keys = jax.random.split(jax.random.key(0), 8)
errors = np.stack(
    [jax.lax.map(lambda key, n=int(1000 * a): experiment(key, n), keys) for a in measured_at],
    axis=1,
)
mean, spread = errors.mean(0), errors.std(0, ddof=1) / np.sqrt(len(keys))

# %% [markdown]
# The error of the optimal student on noiseless labels is $\arccos(\sqrt{m/\rho})/\pi$. Least squares in
# the logarithm of the noise: the theory gives the slope of each prediction, so Gauss and Newton's steps
# need nothing else.


# %%
alphas = jnp.arange(1, 27) / 8
measured = jnp.searchsorted(alphas, jnp.array(measured_at))


@jax.jit
def predicted_and_slopes(log_noise):
    """On the whole curve."""

    def predicted(log_noise):
        model = teacher(jnp.exp(log_noise))
        found = jax.vmap(lambda alpha: glm.bayes_optimal(model, alpha, throw=False))(alphas)
        return jnp.arccos(jnp.sqrt(found.overlap)) / jnp.pi

    return jax.jvp(predicted, (log_noise,), (1.0,))


log_noise = jnp.log(1.0)
for _ in range(8):
    curve, slopes = predicted_and_slopes(log_noise)
    deviations, slopes = (curve[measured] - mean) / spread, slopes[measured] / spread
    log_noise = log_noise - jnp.sum(deviations * slopes) / jnp.sum(slopes**2)

# %% [markdown]
# The uncertainty of the fit is a derivative too: the slopes of the predictions at the minimum.

# %%
uncertainty = 1 / jnp.sqrt(jnp.sum(slopes**2))
noise = jnp.exp(log_noise)
print(f"noise variance {noise:.3f} ± {noise * uncertainty:.3f}, true {true_noise}")
print(f"chi squared {jnp.sum(deviations**2):.1f} for {len(measured_at) - 1} degrees of freedom")
assert abs(log_noise - np.log(true_noise)) < 3 * uncertainty

# %%
ax = plotting.measurements(measured_at, mean, spread, label="measured")
ax.plot(alphas, curve, label=f"fit, noise variance {noise:.3f}")
ax.plot(
    alphas,
    predicted_and_slopes(0.0)[0],
    ":",
    color=plotting.COLORS["grey"],
    label="start of the fit, 1",
)
ax.set(xlabel=r"samples per weight $\alpha$", ylabel="error on noiseless labels")
ax.legend(frameon=False)

# %% [markdown]
# ## An activation without a hard phase
#
# Phase retrieval, $y = |z|$, determines the weights from one output for each, but AMP needs 1.13: the sign
# of the field is lost. Give the two sides of the activation different slopes, $c - 1$ and $c + 1$. How
# different must they be? The algorithmic threshold has a derivative in $c$, so gradient descent can tell.


# %%
def retrieval(c):
    activation = channels.PiecewiseLinear(jnp.zeros(1), jnp.stack([c - 1, c + 1]))
    return glm.GLM(priors.Gaussian(), activation)


@jax.jit
def hard_phase(c):
    """Its width in alpha, and the slope of that."""

    def width(c):
        found = glm.thresholds(retrieval(c), throw=False)
        return found.algorithmic - found.information_theoretic

    return jax.jvp(width, (c,), (1.0,))


optimizer = optax.sgd(1.0)
c = jnp.asarray(0.1)
state = optimizer.init(c)
history = []
while c < 0.9 and len(history) < 12:
    width, slope = hard_phase(c)
    history.append((float(c), float(width)))
    update, state = optimizer.update(slope, state)
    c = c + update
history = np.array(history)
print(f"width of the hard phase: {history[0, 1]:.4f} at c = {history[0, 0]:.2f}, "
      f"{history[-1, 1]:.4f} at c = {history[-1, 0]:.2f}")  # fmt: skip
assert history[-1, 1] < history[0, 1] / 2

# %% [markdown]
# The slope is that of the threshold itself, as differences confirm:

# %%
h = 1e-4
print(hard_phase(0.3)[1], (hard_phase(0.3 + h)[0] - hard_phase(0.3 - h)[0]) / (2 * h))

# %%
grid = np.linspace(0.02, history[-1, 0], 12)
ax = plotting.branches(grid, [hard_phase(c)[0] for c in grid], color=plotting.COLORS["grey"])
ax.plot(*history.T, "o", color=plotting.COLORS["blue"], label="steps of gradient descent")
ax.set(xlabel="asymmetry $c$ of the activation", ylabel="width of the hard phase in $\\alpha$")
ax.legend(frameon=False)
