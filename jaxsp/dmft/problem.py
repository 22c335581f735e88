"""What evolves: a Gaussian landscape on the sphere, its signal, the noise, and the start."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_number
from .._types import Scalar, ScalarLike
from ..mixtures import Mixture
from ..numerics import numbers_as_arrays, real_dtype


@runtime_checkable
class Planted(Protocol):
    """A system with a signal, such as `jaxsp.spiked.MatrixTensor`."""

    @property
    def covariance(self) -> Mixture:
        """The covariance function of its landscape, of signal and noise alike."""
        ...


class SphericalDynamics(eqx.Module):
    r"""Langevin dynamics or gradient flow on the sphere $|x|^2 = N$, at $N \to \infty$.

    $$ \dot x = -\mu(t)\, x - \nabla H(x) + \eta, \qquad
       \langle \eta_i(t) \eta_j(t') \rangle = 2 T \delta_{ij} \delta(t - t'), $$

    with $\mathrm{Cov}[H(x), H(y)] = N Q(x \cdot y / N)$, $\langle H \rangle = -N Q(x \cdot x^* / N)$ if there
    is a signal $x^*$, and $\mu$ keeping $x$ on the sphere (arXiv 1812.09066, 1902.00139; without a
    signal, Cugliandolo and Kurchan 1993).

    Without a signal the start may also be drawn from equilibrium at a temperature $T_0$ (above the
    static transition). It is then itself a signal of strength $Q / T_0$, on which the dynamics starts.

    Attributes:
        model: a system with a signal (`jaxsp.spiked.MatrixTensor`), or a `jaxsp.mixtures.Mixture`
            for a landscape without (`jaxsp.spiked.pure_p_spin`).
        temperature: $T \ge 0$, or a function of time; 0 is gradient flow, 1 samples the posterior.
        initial_overlap: $\bar C(0) = x(0) \cdot x^* / N$ of the random start, in $[-1, 1]$. Without a
            signal, with any direction.
        initial_temperature: $T_0$ of a start from equilibrium; None: from infinite temperature.
        strengths: for annealing of the noise levels, a function of time to one factor for each term
            of the mixture (`covariance.degrees`), by which its part of $H$ is multiplied: a tensor
            taken for one of noise $\Delta_p(t)$ has $\Delta_p / \Delta_p(t)$. None: all of them 1.

    Example:
        >>> from jaxsp import dmft, spiked
        >>> model = spiked.MatrixTensor(p=3, delta2=0.5, deltap=4.0)
        >>> problem = dmft.SphericalDynamics(model, temperature=0.0, initial_overlap=1e-2)
        >>> problem.covariance.degrees
        (2, 3)
    """

    model: Planted | Mixture
    temperature: ScalarLike | Callable[[Scalar], Scalar] = 0.0
    initial_overlap: ScalarLike = 0.0
    initial_temperature: ScalarLike | None = None
    strengths: Callable[[Scalar], Float[Array, " terms"]] | None = None

    def __check_init__(self):
        if not isinstance(self.model, Mixture) and not hasattr(self.model, "covariance"):
            raise ValueError(
                "Argument `model` must be a `Mixture` or have a `covariance` that is one, but is a "
                f"{type(self.model).__name__}."
            )
        if not callable(self.temperature):
            check_number("temperature", self.temperature, minimum=0.0)
        check_number("initial_overlap", self.initial_overlap, minimum=-1.0, maximum=1.0)
        if self.initial_temperature is None:
            return
        check_number("initial_temperature", self.initial_temperature, minimum=0.0, strict=True)
        if self.planted:
            raise ValueError(
                "Argument `initial_temperature` must be None for a model with a signal: a start from "
                f"equilibrium is for landscapes without one, but it is {self.initial_temperature}."
            )

    @property
    def planted(self) -> bool:
        """Whether the landscape has a signal."""
        return not isinstance(self.model, Mixture)

    @property
    def covariance(self) -> Mixture:
        """$Q$."""
        return self.model if isinstance(self.model, Mixture) else self.model.covariance

    @property
    def signal(self) -> Mixture:
        r"""What the landscape falls off by towards the direction that $\bar C$ is the overlap with."""
        Q = self.covariance
        if self.planted:
            return Q
        inverse = 0.0 if self.initial_temperature is None else 1 / self.initial_temperature
        return Mixture(Q.degrees, Q.coefficients * inverse)

    @property
    def start(self) -> ScalarLike:
        r"""$\bar C(0)$."""
        return self.initial_overlap if self.initial_temperature is None else 1.0

    def temperature_at(self, t: Scalar) -> Scalar:
        """$T(t)$."""
        value = self.temperature(t) if callable(self.temperature) else self.temperature
        return jnp.asarray(value, t.dtype)

    def strengths_at(self, t: Scalar) -> Float[Array, " terms"]:
        """The factors of the terms of the mixture at one time."""
        ones = jnp.ones(len(self.covariance.degrees), t.dtype)
        return ones if self.strengths is None else ones * self.strengths(t)


def scaled(Q: Mixture, factors: Float[Array, " terms"]) -> Mixture:
    """The mixture with each of its terms multiplied by a factor."""
    return Mixture(Q.degrees, Q.coefficients * factors)


def protocol_times(t_max: Scalar) -> Float[Array, " times"]:
    """Times at which protocols are looked at where they are to be known as a whole."""
    return jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-2, 1.0, 63)]).astype(t_max.dtype) * t_max


def prepared(problem: SphericalDynamics) -> tuple[SphericalDynamics, jnp.dtype]:
    """The problem with arrays of one floating-point type, and that type."""
    dtype = real_dtype(*jax.tree.leaves(problem))
    return numbers_as_arrays(problem, dtype), dtype
