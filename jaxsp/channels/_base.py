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


class Channel(eqx.Module):
    r"""The law of an output $y$ given $z = x \cdot w^*$, through its log-partition function

    $$ \log Z_{\rm out}(y; \omega, V) = \log \mathbb E_{z \sim \mathcal N(\omega, V)} P_{\rm out}(y|z) $$

    (arXiv 1708.03395). Subclasses write `log_partition` for scalar arguments and say where the
    outputs lie (`output_rule`; `LabelChannel` does it for labels); denoisers, potentials, state
    evolution and errors follow. Write `sample` too if instances are to be drawn.
    """

    @abc.abstractmethod
    def log_partition(self, y: Scalar, omega: Scalar, V: Scalar) -> Scalar:
        r"""$\log \mathbb E_{z \sim \mathcal N(\omega, V)} P_{\rm out}(y|z)$ for one output, $V > 0$."""

    @abc.abstractmethod
    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        r"""Quadrature over the outputs: points $y$ with the weights of $dy$ (one for a label).

        It must cover the law of $y$ for $z \sim \mathcal N(\omega, V)$.
        """

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

    reach: eqx.AbstractClassVar[float]
    """How many widths around its landmarks the *uncertainty* of the output extends: finite if the
    output is certain (to rounding) farther away, as for hard labels, and `math.inf` otherwise."""

    even: ClassVar[bool] = False
    """Whether the mirror image of a field has the mirror image's outputs, so that every expectation
    is even in the field; the first landmark must then be the origin, and the others positive."""

    def field_rule(self, m: Scalar, V: Scalar, order: int) -> Rule:
        r"""Quadrature for $\mathbb E_v f(\sqrt m\, v, V)$, $v \sim \mathcal N(0, 1)$, in units of $v$.

        Exact for integrands that vanish where the output is certain; `reach` says where.
        """
        scale = jnp.sqrt(jnp.maximum(m, jnp.finfo(m.dtype).tiny))
        centres, widths = self.landmarks(V)
        limit = 1e3
        centres = jnp.clip(centres / scale, -limit, limit)
        widths = jnp.clip(widths / scale, jnp.finfo(m.dtype).tiny, limit)
        return gaussian_panels(
            centres, widths, order,
            reach=self.reach, subdivisions=1 if math.isfinite(self.reach) else 3, even=self.even,
        )  # fmt: skip

    def denoise(self, y: ScalarLike, omega: ScalarLike, V: ScalarLike) -> tuple[Scalar, Scalar]:
        r"""$g_{\rm out}$ and $\partial_\omega g_{\rm out}$: first and second derivative of the
        log-partition function in $\omega$."""
        dtype = real_dtype(y, omega, V)
        y, omega, V = (jnp.asarray(x, dtype) for x in (y, omega, V))
        slope = jax.grad(self.log_partition, 1)
        return jax.jvp(lambda omega: slope(y, omega, V), (omega,), (jnp.ones_like(omega),))

    def check_outputs(self, y: Float[Array, " n"]) -> None:
        """Raise a `ValueError` if data cannot come from this channel; traced data pass unseen."""
        if is_concrete(y) and not np.all(np.isfinite(np.asarray(y))):
            raise ValueError("Argument `y` must be finite, but has entries that are NaN or infinite.")


class LabelChannel(Channel):
    """A channel with finitely many outputs: labels."""

    @property
    @abc.abstractmethod
    def labels(self) -> Float[Array, " labels"]:
        """The values that the label takes."""

    def output_rule(self, omega: Scalar, V: Scalar, order: int) -> Rule:
        """The labels, with weight one each."""
        labels = self.labels.astype(omega.dtype)
        ones = jnp.ones_like(labels)
        return Rule(labels, ones, ones)

    def check_outputs(self, y: Float[Array, " n"]) -> None:
        """Raise a `ValueError` if there is something else than labels in the data."""
        super().check_outputs(y)
        if not is_concrete(y):
            return
        labels = np.asarray(self.labels)
        strange = ~np.isin(np.asarray(y), labels)
        if np.any(strange):
            raise ValueError(
                f"Argument `y` must hold labels out of {labels.tolist()}, "
                f"but has the value {np.asarray(y)[strange][0]}."
            )
