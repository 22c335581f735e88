r"""The closed equations of the overlaps, for inputs that are iid.

$$ \dot R_{im} = -\eta v_i \sum_a u_a I_3(i, m, a) - \kappa R_{im}, \quad
   \dot Q_{ik} = -\eta \Big[v_i \sum_a u_a I_3(i, k, a) + (i \leftrightarrow k)\Big]
   + \frac{\eta^2}{b} v_i v_k \Big[\sum_{ab} u_a u_b I_4(i, k, a, b) + \sigma^2 J_2(i, k)\Big]
   - 2 \kappa Q_{ik}, $$
$$ \dot v_k = -\eta_v \sum_a u_a I_2(k, a) - \kappa_v v_k $$

(Saad and Solla 1995; arXiv 1906.08632). By Stein's lemma
$I_3(i, b, a) = \mathbb E g_i' h_b g_a = H(i, a)\, C_{ib} + J_2(i, a)\, C_{ab}$.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from .model import Overlaps, TeacherStudent


def gradients(
    net: TeacherStudent, overlaps: Overlaps
) -> tuple[Float[Array, " K"], Float[Array, "K n"]]:
    r"""What the mean gradient is made of: $a_k = \sum_b u_b H(k, b)$ and $u_b J_2(k, b)$.

    The mean of $g'(\lambda_k) \Delta x$ is $a_k$ times the direction of $w_k$ plus those of all units,
    weighted by the second: Stein's lemma for any Gaussian input.
    """
    C, u, K = overlaps.covariance, overlaps.readout, net.student_units
    return net.units.curvatures(C, K) @ u, net.units.slopes(C, K) * u


def gradient_noise(net: TeacherStudent, overlaps: Overlaps) -> Float[Array, "K K"]:
    r"""$X_{ik} = \mathbb E g_i' g_k' (\Delta^2 + \sigma^2)$ over the batch size."""
    C, u, K = overlaps.covariance, overlaps.readout, net.student_units
    sigma = jnp.asarray(net.noise, C.dtype)
    X = net.units.error_slopes(C, u, K) + sigma**2 * net.units.slopes(C, K)[:, :K]
    return X / net.batch_size


def second_layer_rate(net: TeacherStudent, overlaps: Overlaps, t: Scalar) -> Float[Array, " K"]:
    r"""$\dot v$; zero if the second layer is fixed."""
    if not net.train_second_layer:
        return jnp.zeros_like(overlaps.v)
    _, eta_v, _, kappa_v = net.rates(t)
    C, u, K = overlaps.covariance, overlaps.readout, net.student_units
    return -eta_v * (net.units.products(C) @ u)[:K] - kappa_v * overlaps.v


def overlap_rates(net: TeacherStudent, overlaps: Overlaps, t: Scalar) -> Overlaps:
    """Time derivatives of all overlaps; those of the teacher are zero.

    Args:
        net: the networks.
        overlaps: their state.
        t: the time, which the learning rates may depend on.
    """
    K, v = net.student_units, overlaps.v
    eta, _, kappa, _ = net.rates(t)
    C = overlaps.covariance
    curvature, slopes = gradients(net, overlaps)
    pull = eta * v[:, None] * (curvature[:, None] * C[:K] + slopes @ C)
    diffusion = eta**2 * jnp.outer(v, v) * gradient_noise(net, overlaps)
    return Overlaps(
        Q=-pull[:, :K] - pull[:, :K].T + diffusion - 2 * kappa * overlaps.Q,
        R=-pull[:, K:] - kappa * overlaps.R,
        T=jnp.zeros_like(overlaps.T),
        v=second_layer_rate(net, overlaps, t),
        A=jnp.zeros_like(overlaps.A),
    )
