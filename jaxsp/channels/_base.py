"""What an output channel is: one scalar function, and everything that follows from it."""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._types import Scalar, ScalarLike
from ..numerics import Rule, gaussian_panels, is_concrete, real_dtype
from ._panels import layers


class Channel(eqx.Module):
    r"""The law of an output $y$ given $z = x \cdot w^*$, through its log-partition function.

    $$ \log Z_{\rm out}(y; \omega, V) = \log \mathbb E_{z \sim \mathcal N(\omega, V)} P_{\rm out}(y|z) $$

    (arXiv 1708.03395). Subclasses write `log_partition` for scalar arguments and say where the
    outputs lie: `labels`, or `output_rule` for continuous outputs. Denoisers, potentials, state
    evolution and errors follow. Write `sample` too if instances are to be drawn. For a channel that
    is known by its likelihood alone, `FromLogLikelihood` does all of this.
    """

    @abc.abstractmethod
    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log \mathbb E_{z \sim \mathcal N(\omega, V)} P_{\rm out}(y|z)$ for one output, $V > 0$."""

    @property
    def labels(self) -> Float[Array, " labels"] | None:
        """The values of the output if they are finitely many; None for other outputs."""
        return None

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        r"""Quadrature over the outputs: points $y$ with the weights of $dy$ (one for a label).

        It must cover the law of $y$ for $z \sim \mathcal N(\omega, V)$.
        """
        if self.labels is None:
            raise NotImplementedError(
                f"{type(self).__name__} must define `labels` or `output_rule`."
            )
        labels = self.labels.astype(omega.dtype)
        return Rule(labels, jnp.ones_like(labels), jnp.ones_like(labels))

    @property
    def dimension(self) -> float:
        r"""Information dimension of an output: $\lim_{V \to 0} V F$.

        Zero for labels and noisy outputs; the probability that an output determines its field (up
        to finitely many values) for continuous outputs without noise.
        """
        return 0.0

    def sample(self, key: Key[Array, ""], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """One output for each entry of `z`."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no `sample`; write one to draw instances from it."
        )

    def landmarks(self, V: Scalar) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        r"""Where in $\omega$ the channel has features (kinks, walls), and their widths at this $V$.

        The default is one feature of width $\sqrt V$ at the origin.
        """
        return jnp.zeros_like(V)[None], jnp.sqrt(V)[None]

    def decision_boundaries(self, V: Scalar) -> Float[Array, " k"] | None:
        r"""Fields $\omega$ at which the most probable label changes, given the field's variance $V$.

        Of an even channel the origin first (a boundary or not), then the positive ones. None, the
        default: they are searched for.
        """
        return None

    reach: ClassVar[float] = math.inf
    """Whether the channel is featureless away from its landmarks: math.inf if it is not, and otherwise
    the number of widths from them beyond which all fields are alike. What is known about the output
    then no longer depends on the field: it is certain, as for hard labels, or the field moves along a
    piece of a piecewise linear activation."""

    even: ClassVar[bool] = False
    """Whether the mirror image of a field has the mirror image's outputs, so that every expectation
    is even in the field; the first landmark must then be the origin, and the others positive."""

    integrated: ClassVar[bool] = False
    """Whether `log_partition` is a quadrature of its own. Fields are then gone through one by one, in
    little memory, instead of all at once."""

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        r"""Quadrature for $\mathbb E_v f(\sqrt m\, v, V)$, $v \sim \mathcal N(0, 1)$, in units of $v$.

        For functions $f$ of what the channel does to the field: information, entropies and errors. If
        `reach` is finite they must be constant where all fields are alike.
        """
        scale = jnp.sqrt(jnp.maximum(m, jnp.finfo(m.dtype).tiny))
        centres, widths = self.landmarks(V)
        limit = 1e3
        centres = jnp.clip(centres / scale, -limit, limit)
        widths = jnp.clip(widths / scale, jnp.finfo(m.dtype).tiny, limit)
        if math.isfinite(self.reach):
            return layers(centres, widths, max(5 * order // 8, 4), even=self.even)
        return gaussian_panels(centres, widths, order, subdivisions=3, even=self.even)

    def denoise(self, y: ScalarLike, omega: ScalarLike, V: ScalarLike) -> tuple[Scalar, Scalar]:
        r"""$g_{\rm out}$ and $\partial_\omega g_{\rm out}$.

        The first and second derivative of the log-partition function in $\omega$.
        """
        dtype = real_dtype(y, omega, V, *jax.tree.leaves(self))
        y, omega, V = (jnp.asarray(x, dtype) for x in (y, omega, V))
        slope = jax.grad(self.log_partition, 1)
        return jax.jvp(lambda omega: slope(y, omega, V), (omega,), (jnp.ones_like(omega),))

    def check_outputs(self, y: Float[Array, "..."]) -> None:
        """Raise a `ValueError` if data cannot come from this channel; traced data pass unseen."""
        if not is_concrete(y):
            return
        data = np.asarray(y)
        if not np.all(np.isfinite(data)):
            raise ValueError(
                "Argument `y` must be finite, but has entries that are NaN or infinite."
            )
        if self.labels is not None:
            labels = np.asarray(self.labels)
            strange = ~np.isin(data, labels)
            if np.any(strange):
                raise ValueError(
                    f"Argument `y` must hold labels out of {labels.tolist()}, "
                    f"but has the value {data[strange][0]}."
                )
