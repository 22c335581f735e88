r"""The closed equations for structured inputs: overlaps resolved by the eigenmodes of a covariance.

For Gaussian inputs of covariance $\Omega = U \mathrm{diag}(\rho) U^T$, with $\omega_k = u \cdot w_k$ and
$f_m = \sqrt N u \cdot \mathbb E x \nu_m$ in each mode, $s_{kl} = \omega_k \omega_l$ and
$r_{km} = \omega_k f_m$ obey

$$ \dot s_{kl} = -\eta \Big[v_k \Big(\rho \sum_j \bar A_{kj} s_{jl} - \sum_n \bar B_{kn} r_{ln}\Big)
   + (k \leftrightarrow l)\Big] + \eta^2 v_k v_l\, \rho X_{kl}, $$
$$ \dot r_{km} = -\eta v_k \Big(\rho \sum_j \bar A_{kj} r_{jm} - \sum_n \bar B_{kn} f_n f_m\Big), $$

with $\bar A_{kj} = a_k \delta_{kj} + v_j J_2(k, j)$ and $\bar B_{kn} = A_n J_2(k, n)$, while $Q$ and $R$ are
the means of $\rho s$ and $r$ over the modes. (The product $f_n f_m$ belongs to its mode: its average is
wrong at finite latent dimension.) Hidden manifolds need one mode for each latent dimension, and the
second moment $W = w w^T / N$ of the weights as a whole (arXiv 1909.11500).
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Scalar
from ..inputs import (
    GaussianInputs,
    HiddenManifoldInputs,
    HiddenManifoldLimit,
    Inputs,
    fold_moments,
    marchenko_pastur,
)
from ..numerics import is_concrete
from .dynamics import gradient_noise, gradients, second_layer_rate
from .model import Overlaps, TeacherStudent
from .networks import Networks, network_overlaps


class ModeState(NamedTuple):
    """What evolves: overlaps of each mode, the weights' second moment, the second layer."""

    s: Float[Array, "p K K"]
    r: Float[Array, "p K M"]
    W: Float[Array, "K K"]
    v: Float[Array, " K"]


class ModeSystem(eqx.Module):
    """Coefficients of the equations, one of each for a mode.

    Attributes:
        drift: multiplies the student's own pull.
        force: multiplies the teacher's.
        diffusion: multiplies the gradients' noise.
        target: products of the teacher's components in the mode, `(p, M, M)`.
        q_weights: $Q$ is the sum of the modes' $s$ with these, plus `bulk` times $W$.
        r_weights: $R$ is the sum of the modes' $r$ with these.
        bulk: variance of an input that is no linear function of the latent vector.
        bulk_diffusion: variance of an input.
        T: the teacher's covariance.
        A: its second layer.
    """

    drift: Float[Array, " p"]
    force: Float[Array, " p"]
    diffusion: Float[Array, " p"]
    target: Float[Array, "p M M"]
    q_weights: Float[Array, " p"]
    r_weights: Float[Array, " p"]
    bulk: Scalar
    bulk_diffusion: Scalar
    T: Float[Array, "M M"]
    A: Float[Array, " M"]

    def overlaps(self, state: ModeState) -> Overlaps:
        """The overlaps that the modes add up to."""
        Q = jnp.tensordot(self.q_weights, state.s, 1) + self.bulk * state.W
        R = jnp.tensordot(self.r_weights, state.r, 1)
        return Overlaps(Q, R, self.T, state.v, self.A)

    def rates(self, net: TeacherStudent, state: ModeState, t: Scalar) -> ModeState:
        """Time derivatives of all that evolves."""
        overlaps = self.overlaps(state)
        return self.flow(net, state, overlaps, mean_field(net, overlaps, t), t)

    def flow(
        self,
        net: TeacherStudent,
        state: ModeState,
        overlaps: Overlaps,
        field: "MeanField",
        t: Scalar,
    ) -> ModeState:
        """Time derivatives, given what the overlaps say to all modes alike."""
        eta, _, kappa, _ = net.rates(t)
        own, teacher, noise, v_rate = field
        drift, force = self.drift[:, None, None], self.force[:, None, None]
        pull = drift * (own @ state.s) - force * (teacher @ jnp.swapaxes(state.r, 1, 2))
        pull = eta * (pull + jnp.swapaxes(pull, 1, 2))
        s = -pull + self.diffusion[:, None, None] * noise - 2 * kappa * state.s
        r = -eta * (drift * (own @ state.r) - force * (teacher @ self.target)) - kappa * state.r
        whole = eta * (own @ overlaps.Q - teacher @ overlaps.R.T)
        W = -whole - whole.T + self.bulk_diffusion * noise - 2 * kappa * state.W
        return ModeState(s, r, W, v_rate)


class MeanField(NamedTuple):
    r"""What the overlaps say to all modes: $v_k \bar A_{kj}$, $v_k \bar B_{kn}$, the noise, $\dot v$."""

    own: Float[Array, "K K"]
    teacher: Float[Array, "K M"]
    noise: Float[Array, "K K"]
    v_rate: Float[Array, " K"]


def mean_field(net: TeacherStudent, overlaps: Overlaps, t: Scalar) -> MeanField:
    """The coefficients of the modes' equations at the overlaps that they add up to."""
    K, v = net.student_units, overlaps.v
    eta, *_ = net.rates(t)
    curvature, slopes = gradients(net, overlaps)
    return MeanField(
        own=v[:, None] * (jnp.diag(curvature) + slopes[:, :K]),
        # u = (v, -A): the teacher's part carries its sign.
        teacher=-v[:, None] * slopes[:, K:],
        noise=eta**2 * jnp.outer(v, v) * gradient_noise(net, overlaps),
        v_rate=second_layer_rate(net, overlaps, t),
    )


def mode_system(inputs: Inputs, networks: Networks) -> tuple[ModeSystem, ModeState]:
    """The equations of given networks on given inputs, and their start.

    Args:
        inputs: the inputs' law.
        networks: the weights at the start.
    """
    if isinstance(inputs, HiddenManifoldInputs) and not inputs.teacher_on_inputs:
        return _hidden_manifold(inputs, networks)
    if isinstance(inputs, GaussianInputs):
        return _iid(network_overlaps(inputs, networks))
    w, B = networks.w, networks.B / inputs.latent_dimension**0.5
    N = w.shape[1]
    rho, U = jnp.linalg.eigh(inputs.covariance)
    omega = (w @ U).T
    f = N**0.5 * (B @ inputs.cross_covariance @ U).T
    start = _start(omega, f, w @ w.T / N, networks.v)
    mean, sizes = _equal_modes(rho)
    rho, s, r, target = (
        jnp.tensordot(mean, x, 1) for x in (rho, start.s, start.r, f[:, :, None] * f[:, None, :])
    )
    system = ModeSystem(
        drift=rho,
        force=jnp.ones_like(rho),
        diffusion=rho,
        target=target,
        q_weights=sizes * rho / N,
        r_weights=sizes / N,
        bulk=jnp.zeros((), w.dtype),
        bulk_diffusion=jnp.sum(sizes * rho) / N,
        T=B @ inputs.latent_covariance @ B.T,
        A=networks.A,
    )
    return system, ModeState(s, r, start.W, start.v)


def _equal_modes(rho: Float[Array, " N"]) -> tuple[Float[Array, "p N"], Float[Array, " p"]]:
    """Means over modes of the same eigenvalue, and how many each stands for.

    The equations are linear in the modes: those of one eigenvalue obey the equations of their mean.
    """
    if not is_concrete(rho):
        return jnp.eye(rho.size, dtype=rho.dtype), jnp.ones_like(rho)
    values = np.asarray(rho)
    new = np.diff(values) > 1e3 * np.finfo(values.dtype).eps * np.max(np.abs(values))
    group = np.append(0, np.cumsum(new))
    member = np.arange(group[-1] + 1)[:, None] == group
    sizes = member.sum(axis=1)
    return jnp.asarray(member / sizes[:, None], rho.dtype), jnp.asarray(sizes, rho.dtype)


def _iid(overlaps: Overlaps) -> tuple[ModeSystem, ModeState]:
    """All directions are alike: the equations are linear in the modes, and one mode is their mean."""
    Q, R, T = overlaps.Q, overlaps.R, overlaps.T
    ones, zero = jnp.ones(1, Q.dtype), jnp.zeros((), Q.dtype)
    system = ModeSystem(
        drift=ones,
        force=ones,
        diffusion=ones,
        target=T[None],
        q_weights=ones,
        r_weights=ones,
        bulk=zero,
        bulk_diffusion=jnp.ones_like(zero),
        T=T,
        A=overlaps.A,
    )
    return system, ModeState(Q[None], R[None], Q, overlaps.v)


def _start(student, teacher, W, v) -> ModeState:
    s = student[:, :, None] * student[:, None, :]
    return ModeState(s, student[:, :, None] * teacher[:, None, :], W, v)


def _hidden_manifold_system(rho, weights, delta, b, c, target, T, A) -> ModeSystem:
    return ModeSystem(
        drift=((c - b**2) * delta + b**2 * rho) / delta,
        force=b * rho / delta,
        diffusion=(c - b**2) * rho + b**2 * rho**2 / delta,
        target=target,
        q_weights=b**2 * weights,
        r_weights=b * weights,
        bulk=c - b**2,
        bulk_diffusion=c,
        T=T,
        A=A,
    )


def _hidden_manifold(
    inputs: HiddenManifoldInputs, networks: Networks
) -> tuple[ModeSystem, ModeState]:
    F, (N, D) = inputs.features, inputs.features.shape
    _, b, c = inputs.moments
    rho, psi = jnp.linalg.eigh(F.T @ F / N)
    gamma = (networks.w @ F @ psi / N**0.5).T
    teacher = (networks.B @ psi).T
    target = teacher[:, :, None] * teacher[:, None, :]
    T = networks.B @ networks.B.T / D
    weights = jnp.full_like(rho, 1 / D)
    system = _hidden_manifold_system(rho, weights, D / N, b, c, target, T, networks.A)
    return system, _start(gamma, teacher, networks.w @ networks.w.T / N, networks.v)


def limit_system(inputs: HiddenManifoldLimit, start: Overlaps) -> tuple[ModeSystem, ModeState]:
    r"""The equations of a hidden manifold of infinite dimension.

    The start is that of random weights: $w_k$ iid but for a component along $F B^T$, so that in a mode
    of eigenvalue $\rho$ $s = \rho\, Q(0) / c$ and $r = \rho\, R(0) / b$ (to first order in $R(0)$).

    Args:
        inputs: the manifold.
        start: the overlaps at the start.
    """
    dtype = start.Q.dtype
    delta = jnp.asarray(inputs.ratio, dtype)
    law = marchenko_pastur(delta, inputs.modes)
    _, b, c = fold_moments(inputs.fold, dtype)
    rho, weights = law.eigenvalues, law.weights
    target = jnp.broadcast_to(start.T, (rho.size, *start.T.shape))
    system = _hidden_manifold_system(rho, weights, delta, b, c, target, start.T, start.A)
    W = start.Q / c
    s = rho[:, None, None] * W
    r = rho[:, None, None] * start.R / b
    return system, ModeState(s, r, W, start.v)
