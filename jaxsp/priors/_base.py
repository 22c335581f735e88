"""What a prior is: one scalar function, and everything that follows from it."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._types import Scalar, ScalarLike
from ..numerics import Rule, graded_panels, real_dtype
from ..numerics._quadrature import TAIL


class Prior(eqx.Module):
    r"""The law of one weight, given by its log-partition function.

    $$ \log Z_w(A, b) = \log \mathbb E_w \exp\!\big(b w - \tfrac12 A w^2\big), $$

    the cumulant generating function of the posterior of $w$ after Gaussian observations of total
    precision $A$ and field $b$ (arXiv 1708.03395, section "AMP"). Subclasses write `log_partition`,
    for scalar arguments; means, variances, potentials and the state evolution follow by autodiff.
    Write `sample` too if instances are to be drawn, and override `log_evidence` or `observation_rule`
    where the generic forms lose accuracy.

    Example:
        A weight that is uniform on [-1, 1] and known only through its log-partition function:

        >>> import jax.numpy as jnp, jaxsp
        >>> class Uniform(jaxsp.priors.Prior):
        ...     def log_partition(self, A, b):
        ...         w = jnp.linspace(-1, 1, 201)
        ...         return jax.nn.logsumexp(b * w - A * w**2 / 2) - jnp.log(201)
        >>> mean, variance = Uniform().moments()
        >>> bool(abs(variance - 1 / 3) < 0.01)
        True
    """

    @abc.abstractmethod
    def log_partition(self, A: Scalar, b: Scalar) -> Scalar:
        r"""$\log \mathbb E_w \exp(b w - A w^2/2)$ for one precision $A \ge 0$ and one field $b$."""

    def dimension(self) -> ScalarLike:
        r"""Information dimension of a weight: $\lim_{\lambda\to\infty} \lambda\, V(\lambda)$.

        The probability of the continuous part of the law: one (the default) for a density, zero for
        atoms.
        """
        return 1.0

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Float[Array, "..."]:
        """Independent draws of the weight."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no `sample`; write one to draw instances from it."
        )

    def log_evidence(self, snr: Scalar, observation: Scalar) -> Scalar:
        r"""$\log \mathbb E_w \exp(-\tfrac12 (y - \sqrt{\lambda}\, w)^2)$ at snr $\lambda$, observation $y$.

        It is `log_partition(snr, sqrt(snr) y) - y^2 / 2`; override it by a form in which the two do
        not cancel when the signal-to-noise ratio is large.
        """
        return self.log_partition(snr, jnp.sqrt(snr) * observation) - 0.5 * observation**2

    def observation_rule(self, snr: Scalar, order: int) -> Rule:
        r"""Quadrature in the observation $y = \sqrt\lambda w + \text{noise}$, with weights $dy$.

        The default resolves the noise (width one) around the prior's mean and everything wider, out
        to forty standard deviations of the prior.
        """
        mean, variance = self.moments()
        root = jnp.sqrt(snr)
        tail = TAIL[real_dtype(snr)]
        reach = tail + 40 * root * jnp.sqrt(variance)
        centre = root * mean
        return graded_panels(
            centre[None], jnp.ones_like(centre)[None], centre - reach, centre + reach, order,
            subdivisions=3,
        )  # fmt: skip

    def denoise(self, A: ScalarLike, b: ScalarLike) -> tuple[Scalar, Scalar]:
        r"""Posterior mean and variance, $\partial_b \log Z_w$ and $\partial_b^2 \log Z_w$."""
        dtype = real_dtype(A, b, *jax.tree.leaves(self))
        A, b = jnp.asarray(A, dtype), jnp.asarray(b, dtype)
        return jax.jvp(lambda b: jax.grad(self.log_partition, 1)(A, b), (b,), (jnp.ones_like(b),))

    def moments(self) -> tuple[Scalar, Scalar]:
        """Mean and variance of the weight."""
        return self.denoise(0.0, 0.0)

    def second_moment(self) -> Scalar:
        r"""$\rho = \mathbb E w^2$."""
        mean, variance = self.moments()
        return variance + mean**2
