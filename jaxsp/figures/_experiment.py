"""AMP and logistic regression on random instances, for the figures that show them."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .. import glm
from ._registry import Context


def branches(model: glm.GLM, *alphas) -> list[glm.Branches]:
    """All fixed points on several sets of alphas, compiled once."""
    sizes = np.cumsum([np.size(part) for part in alphas])[:-1]
    together = jnp.concatenate([jnp.ravel(jnp.asarray(part, float)) for part in alphas])
    found = jax.vmap(lambda alpha: glm.branches(model, alpha))(together)
    leaves, structure = jax.tree.flatten(found)
    parts = zip(*(jnp.split(leaf, sizes) for leaf in leaves), strict=True)
    return [jax.tree.unflatten(structure, part) for part in parts]


def amp_overlaps(
    model: glm.GLM,
    alphas: Sequence[float],
    weights: int,
    repeats: int,
    context: Context,
    *,
    random_start: bool = False,
    damping: float = 0.0,
) -> dict[str, np.ndarray]:
    """Overlap, squared norm and error of AMP's estimate: arrays `(repeats, alphas)`.

    The overlap's sign is not determined by channels that are even; its size is what is returned.
    """

    @partial(jax.jit, static_argnums=1)
    def measure(keys, samples):
        def one(key):
            key, start = jax.random.split(key)
            data = glm.sample_instance(model, weights=weights, samples=samples, key=key)
            run = glm.amp(
                model, data.X, data.y, key=start if random_start else None, damping=damping,
                max_steps=400, throw=False,
            )  # fmt: skip
            overlap = jnp.abs(jnp.mean(run.mean * data.weights))
            norm, teacher = jnp.mean(run.mean**2), jnp.mean(data.weights**2)
            return {
                "overlap": overlap,
                "norm": norm,
                "teacher": teacher,
                "error": norm + teacher - 2 * overlap,
            }

        # One instance after the other: memory holds one design at a time.
        return jax.lax.map(one, keys)

    keys = jax.random.split(jax.random.key(context.seed), (len(alphas), repeats))
    columns = [
        measure(keys[column], max(1, round(alphas[column] * weights)))
        for column in context.progress(range(len(alphas)), "AMP on instances")
    ]
    return {name: np.stack([column[name] for column in columns], axis=1) for name in columns[0]}


def classification_errors(found: dict[str, np.ndarray]) -> np.ndarray:
    """0/1 error of the sign of the estimated field on new Gaussian inputs: arccos of the correlation."""
    size = np.sqrt(found["norm"] * found["teacher"])
    cosine = np.where(size > 0, found["overlap"] / np.where(size > 0, size, 1.0), 0.0)
    return np.arccos(np.clip(cosine, -1, 1)) / np.pi


def logistic_errors(
    model: glm.GLM, alphas: Sequence[float], weights: int, repeats: int, context: Context
) -> np.ndarray:
    """0/1 error of scikit-learn's logistic regression on the same instances: `(repeats, alphas)`."""
    from sklearn.linear_model import LogisticRegression

    keys = jax.random.split(jax.random.key(context.seed), (len(alphas), repeats))
    errors = np.zeros((repeats, len(alphas)))
    for column in context.progress(range(len(alphas)), "logistic regression"):
        samples = max(1, round(alphas[column] * weights))
        for row in range(repeats):
            key, _ = jax.random.split(keys[column, row])
            data = glm.sample_instance(model, weights=weights, samples=samples, key=key)
            fit = LogisticRegression(fit_intercept=False, C=1.0, max_iter=1000)
            w = fit.fit(np.asarray(data.X), np.asarray(data.y)).coef_[0]
            teacher = np.asarray(data.weights)
            cosine = w @ teacher / np.sqrt(w @ w * (teacher @ teacher))
            errors[row, column] = np.arccos(np.clip(cosine, -1, 1)) / np.pi
    return errors


def standard_error(values: np.ndarray) -> float:
    """Standard error of a mean over instances."""
    return float(values.std(ddof=1) / np.sqrt(values.size))
