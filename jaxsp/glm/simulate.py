"""Random instances of a GLM, with a dense or a matrix-free design."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
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
            a `structured_design`.
        dtype: of the arrays (default: the design's, or else JAX's default).

    Raises:
        ValueError: if a size is below 1, or the design has another shape.

    Example:
        >>> import jax
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(priors.Rademacher(), channels.Sign())
        >>> data = glm.sample_instance(model, weights=30, samples=45, key=jax.random.key(0))
        >>> data.X.shape, data.y.shape, data.weights.shape
        ((45, 30), (45,), (30,))
    """
    _check_sizes(weights=weights, samples=samples)
    if design is not None:
        shape = (design.out_size(), design.in_size())
        if shape != (samples, weights):
            raise ValueError(
                f"Argument `design` must have shape ({samples}, {weights}), but has shape {shape}."
            )
    if dtype is None:
        dtype = real_dtype() if design is None else design.out_structure().dtype
    teacher_key, design_key, output_key = jax.random.split(key, 3)
    teacher = model.prior.sample(teacher_key, (weights,)).astype(dtype)
    if design is None:
        X = jax.random.normal(design_key, (samples, weights), dtype) * weights**-0.5
        fields = X @ teacher
    else:
        X, fields = design, design.mv(teacher)
    return Instance(X, model.channel.sample(output_key, fields).astype(dtype), teacher)


class StructuredDesign(lx.AbstractLinearOperator):
    r"""A random design for millions of weights: $n + p$ numbers of memory, $O(p \log p)$ a product.

    An iid Gaussian matrix is $U S V^T$ with Haar-distributed $U$ and $V$ and the singular values of
    the Marchenko-Pastur law. Here

    $$ X = U S V^T, \qquad U = D_1 H D_2 H \Pi, \quad V^T = H D_4 H D_3, $$

    has the quantiles of that law as singular values, and generic singular vectors: $H$ is the Hartley
    transform (orthogonal, its own inverse, one real FFT), the $D$ are diagonal with random signs, and
    $\Pi$ puts the singular values at random places. Approximate message passing does not tell such a
    matrix from a rotationally invariant one of the same spectrum, here the Gaussian (universality;
    arXiv 2204.04281, 2208.02753, and 2206.13037 for signed Hadamard and Fourier designs), so the
    iid Onsager terms and `state_evolution` hold as they are.

    One signed transform instead of two would not do on the side of the outputs: for the perceptron at
    $\alpha = 1$ the overlaps of its first iterations are off by 0.004 at every size.

    Attributes:
        input_signs: `(2, p)`, the diagonals of $D_3$ and $D_4$.
        output_signs: `(2, n)`, the diagonals of $D_1$ and $D_2$.
        singular_values: `(min(n, p),)`.
        places: which frequencies of the longer side they belong to.
        scatter: whether the longer side is that of the outputs.
    """

    input_signs: Float[Array, "2 p"]
    output_signs: Float[Array, "2 n"]
    singular_values: Float[Array, " r"]
    places: Int[Array, " r"]
    scatter: bool = eqx.field(static=True)

    def mv(self, vector: Float[Array, " p"]) -> Float[Array, " n"]:
        """The product with a vector."""
        first, second = self.input_signs
        spectrum = _hartley(second * _hartley(first * vector))
        if self.scatter:
            zero = jnp.zeros(self.output_signs.shape[1], spectrum.dtype)
            spectrum = zero.at[self.places].set(
                self.singular_values * spectrum, unique_indices=True
            )
        else:
            spectrum = self.singular_values * spectrum[self.places]
        last, before = self.output_signs
        return last * _hartley(before * _hartley(spectrum))

    def as_matrix(self) -> Float[Array, "n p"]:
        """The dense matrix, for small sizes."""
        unit_vectors = jnp.eye(self.in_size(), dtype=self.input_signs.dtype)
        return jax.vmap(self.mv, out_axes=1)(unit_vectors)

    def transpose(self) -> "StructuredDesign":
        """The transposed operator: the same with the sides exchanged, since $H$ is symmetric."""
        return StructuredDesign(
            self.output_signs, self.input_signs, self.singular_values, self.places, not self.scatter
        )

    def in_structure(self) -> jax.ShapeDtypeStruct:
        """Shape and type of the vectors that it takes."""
        return jax.ShapeDtypeStruct(self.input_signs.shape[1:], self.input_signs.dtype)

    def out_structure(self) -> jax.ShapeDtypeStruct:
        """Shape and type of the vectors that it returns."""
        return jax.ShapeDtypeStruct(self.output_signs.shape[1:], self.output_signs.dtype)


def structured_design(
    weights: int, samples: int, *, key: PRNGKeyArray, dtype=None
) -> StructuredDesign:
    """A `StructuredDesign` with independent random signs and places.

    Args:
        weights: number of columns.
        samples: number of rows.
        key: of the random numbers.
        dtype: of the vectors that it acts on; JAX's default if None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> X = structured_design(1000, 1500, key=jax.random.key(0))
        >>> X.mv(jnp.ones(1000)).shape, X.T.mv(jnp.ones(1500)).shape
        ((1500,), (1000,))
    """
    _check_sizes(weights=weights, samples=samples)
    dtype = jnp.dtype(real_dtype() if dtype is None else dtype)
    left, right, where = jax.random.split(key, 3)
    shorter, longer = sorted((weights, samples))
    return StructuredDesign(
        input_signs=jax.random.rademacher(right, (2, weights), dtype),
        output_signs=jax.random.rademacher(left, (2, samples), dtype),
        singular_values=jnp.asarray(_marchenko_pastur_singular_values(weights, samples), dtype),
        places=jax.random.permutation(where, longer)[:shorter],
        scatter=samples > weights,
    )


def _hartley(x: Float[Array, " m"]) -> Float[Array, " m"]:
    r"""$m^{-1/2} \sum_j x_j [\cos(2\pi jk/m) + \sin(2\pi jk/m)]$: orthogonal and symmetric."""
    size = x.shape[0]
    spectrum = jnp.fft.rfft(x, norm="ortho")
    low = spectrum.real - spectrum.imag
    high = (spectrum.real + spectrum.imag)[1 : (size + 1) // 2]
    return jnp.concatenate([low, high[::-1]])


def _marchenko_pastur_singular_values(weights: int, samples: int) -> np.ndarray:
    """Quantiles of the law of the non-zero singular values of a matrix with entries N(0, 1/p)."""
    shorter, longer = sorted((weights, samples))
    low, high = (1 - (shorter / longer) ** 0.5) ** 2, (1 + (shorter / longer) ** 0.5) ** 2
    # lambda = low + (high - low) sin^2(t) takes the square roots out of both edges; lambda / sin^2 is
    # finite at low = 0 too.
    t = np.linspace(0, np.pi / 2, 1 << 14)
    midpoints = 0.5 * (t[1:] + t[:-1])
    square = np.sin(midpoints) ** 2
    eigenvalue = low + (high - low) * square
    mass = square * (1 - square) / eigenvalue
    distribution = np.append(0.0, np.cumsum(mass))
    distribution /= distribution[-1]
    quantiles = np.interp((np.arange(shorter) + 0.5) / shorter, distribution, t)
    eigenvalues = low + (high - low) * np.sin(quantiles) ** 2
    # The mean square of a row is one exactly.
    return np.sqrt(eigenvalues * samples / eigenvalues.sum())


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {size}.")


@lx.linearise.register(StructuredDesign)
def _(operator):
    return operator


@lx.materialise.register(StructuredDesign)
def _(operator):
    return lx.MatrixLinearOperator(operator.as_matrix())


for _property in (
    lx.is_symmetric, lx.is_diagonal, lx.is_lower_triangular, lx.is_upper_triangular,
    lx.is_positive_semidefinite, lx.is_negative_semidefinite, lx.is_tridiagonal, lx.has_unit_diagonal,
):  # fmt: skip

    @_property.register(StructuredDesign)
    def _(operator):
        return False
