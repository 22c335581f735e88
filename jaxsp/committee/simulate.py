"""Random instances of a committee."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ..numerics import real_dtype
from .model import CommitteeMachine


class Instance(eqx.Module):
    """One draw of a teacher-student problem.

    Attributes:
        X: the design `(n, p)`.
        y: the outputs `(n,)`.
        weights: the teacher's weights `(p, K)`.
    """

    X: Float[Array, "n p"]
    y: Float[Array, " n"]
    weights: Float[Array, "p K"]


def sample_instance(
    model: CommitteeMachine, *, inputs: int, samples: int, key: PRNGKeyArray, dtype=None
) -> Instance:
    r"""Draw teacher weights, a design with iid $\mathcal N(0, 1/p)$ entries, and outputs.

    Args:
        model: the committee.
        inputs: number of inputs $p$.
        samples: number of samples $n$.
        key: of the random numbers.
        dtype: of the arrays (default: JAX's).

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> import jax
        >>> from jaxsp import committee, priors
        >>> model = committee.CommitteeMachine(hidden_units=3, prior=priors.Rademacher())
        >>> data = committee.sample_instance(model, inputs=30, samples=45, key=jax.random.key(0))
        >>> data.X.shape, data.y.shape, data.weights.shape
        ((45, 30), (45,), (30, 3))
    """
    for name, size in (("inputs", inputs), ("samples", samples)):
        if size < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {size}.")
    dtype = real_dtype() if dtype is None else dtype
    teacher_key, design_key, output_key = jax.random.split(key, 3)
    teacher = model.prior.sample(teacher_key, (inputs, model.hidden_units)).astype(dtype)
    X = jax.random.normal(design_key, (samples, inputs), dtype) * inputs**-0.5
    return Instance(X, model.output.sample(output_key, X @ teacher).astype(dtype), teacher)
