"""AMP and logistic regression on random instances, for the figures that show them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .. import glm
from ._registry import Context


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
    keys = jax.random.split(jax.random.key(context.seed), (len(alphas), repeats))
    shape = (repeats, len(alphas))
    found = {name: np.zeros(shape) for name in ("overlap", "norm", "teacher", "error")}
    for column in context.progress(range(len(alphas)), "AMP on instances"):
        samples = max(1, round(alphas[column] * weights))
        for row in range(repeats):
            key, start = jax.random.split(keys[column, row])
            data = glm.sample_instance(model, weights=weights, samples=samples, key=key)
            run = glm.amp(
                model, data.X, data.y, key=start if random_start else None, damping=damping,
                max_steps=400, throw=False,
            )  # fmt: skip
            overlap = float(jnp.mean(run.mean * data.weights))
            norm, teacher = float(jnp.mean(run.mean**2)), float(jnp.mean(data.weights**2))
            found["overlap"][row, column] = abs(overlap)
            found["norm"][row, column], found["teacher"][row, column] = norm, teacher
            found["error"][row, column] = norm + teacher - 2 * abs(overlap)
    return found


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
