"""Random instances of a GLM, with dense and with sparse designs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..numerics import real_dtype
from .model import GLM


class Instance(eqx.Module):
    """One draw of a teacher-student problem.

    Attributes:
        X: the design, an array `(n, p)` or an operator of that shape.
        y: the outputs `(n,)`.
        weights: the teacher's weights `(p,)`.
    """

    X: Float[Array, "n p"] | lx.AbstractLinearOperator
    y: Float[Array, " n"]
    weights: Float[Array, " p"]


class SparseDesign(lx.AbstractLinearOperator):
    r"""A random design of a million weights and more: `k` entries $\pm 1/\sqrt k$ in each row.

    The entries of a row stand in random columns with random signs, so each entry of the matrix has
    mean zero and variance $1/p$ and, as the number of entries per row grows, fields and messages have
    the law that they have for a dense iid design (corrections of order $1/k$). It costs `n k` integers
    of memory, and a product `n k` additions.

    Attributes:
        columns: `(n, k)`, in which columns the entries of each row stand.
        signs: `(n, k)`, their signs.
        size: number of columns.
    """

    columns: Int[Array, "n k"]
    signs: Int[Array, "n k"]
    size: int = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)
    transposed: bool = eqx.field(static=True, default=False)

    def mv(self, vector: Float[Array, " m"]) -> Float[Array, " l"]:
        """The product with a vector."""
        scale = self.columns.shape[1] ** -0.5
        signs = self.signs.astype(vector.dtype) * scale
        if self.transposed:
            terms = (signs * vector[:, None]).ravel()
            return jax.ops.segment_sum(terms, self.columns.ravel(), num_segments=self.size)
        return jnp.sum(signs * vector[self.columns], axis=1)

    def as_matrix(self) -> Float[Array, "l m"]:
        """The dense matrix, for small sizes."""
        n, k = self.columns.shape
        rows = jnp.broadcast_to(jnp.arange(n)[:, None], (n, k))
        entries = self.signs.astype(self.dtype) * k**-0.5
        matrix = jnp.zeros((n, self.size), self.dtype).at[rows, self.columns].add(entries)
        return matrix.T if self.transposed else matrix

    def transpose(self) -> "SparseDesign":
        """The transposed operator."""
        return SparseDesign(self.columns, self.signs, self.size, self.dtype, not self.transposed)

    def in_structure(self) -> jax.ShapeDtypeStruct:
        """Shape and type of the vectors that it takes."""
        length = self.columns.shape[0] if self.transposed else self.size
        return jax.ShapeDtypeStruct((length,), self.dtype)

    def out_structure(self) -> jax.ShapeDtypeStruct:
        """Shape and type of the vectors that it returns."""
        length = self.size if self.transposed else self.columns.shape[0]
        return jax.ShapeDtypeStruct((length,), self.dtype)


@lx.linearise.register(SparseDesign)
def _(operator):
    return operator


@lx.materialise.register(SparseDesign)
def _(operator):
    return lx.MatrixLinearOperator(operator.as_matrix())


for _property in (
    lx.is_symmetric, lx.is_diagonal, lx.is_lower_triangular, lx.is_upper_triangular,
    lx.is_positive_semidefinite, lx.is_negative_semidefinite, lx.is_tridiagonal, lx.has_unit_diagonal,
):  # fmt: skip

    @_property.register(SparseDesign)
    def _(operator):
        return False


def sparse_design(
    weights: int, samples: int, *, entries: int = 64, key: PRNGKeyArray, dtype=None
) -> SparseDesign:
    """A `SparseDesign` with independent random columns and signs.

    Args:
        weights: number of columns.
        samples: number of rows.
        entries: how many entries each row has.
        key: of the random numbers.
        dtype: of the vectors that it acts on; JAX's default if None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> X = sparse_design(1000, 10, entries=16, key=jax.random.key(0))
        >>> X.mv(jnp.ones(1000)).shape, X.T.mv(jnp.ones(10)).shape
        ((10,), (1000,))
    """
    _check_sizes(weights=weights, samples=samples, entries=entries)
    where, sign = jax.random.split(key)
    columns = jax.random.randint(where, (samples, entries), 0, weights, jnp.int32)
    signs = jax.random.rademacher(sign, (samples, entries), jnp.int8)
    return SparseDesign(
        columns, signs, weights, jnp.dtype(real_dtype() if dtype is None else dtype)
    )


def sample_instance(
    model: GLM,
    *,
    weights: int,
    samples: int,
    key: PRNGKeyArray,
    design: lx.AbstractLinearOperator | None = None,
    dtype=None,
) -> Instance:
    r"""Draw teacher weights, a design with iid $\mathcal N(0, 1/p)$ entries, and outputs.

    Args:
        model: the GLM.
        weights: number of weights $p$.
        samples: number of samples $n$.
        key: of the random numbers.
        design: use this operator `(samples, weights)` instead of a dense Gaussian matrix, for instance
            a `sparse_design`.
        dtype: of the arrays; JAX's default if None.

    Example:
        >>> import jax
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Rademacher(), channels.Sign())
        >>> data = glm.sample_instance(model, weights=30, samples=45, key=jax.random.key(0))
        >>> data.X.shape, data.y.shape, data.weights.shape
        ((45, 30), (45,), (30,))
    """
    _check_sizes(weights=weights, samples=samples)
    dtype = real_dtype() if dtype is None else dtype
    teacher_key, design_key, output_key = jax.random.split(key, 3)
    teacher = model.prior.sample(teacher_key, (weights,)).astype(dtype)
    if design is None:
        X = jax.random.normal(design_key, (samples, weights), dtype) * weights**-0.5
        fields = X @ teacher
    else:
        X = design
        fields = X.mv(teacher)
        if fields.shape != (samples,):
            raise ValueError(
                f"Argument `design` must have {samples} rows, but has {fields.shape[0]}."
            )
    return Instance(X, model.channel.sample(output_key, fields), teacher)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {size}.")
