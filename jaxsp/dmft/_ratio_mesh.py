r"""Nodes in the ratio $\theta = t'/t$: Gauss points in panels that halve towards both ends.

With the integrals over the past as sums over nodes, all that is needed between nodes is the current row
at the products and at the quotients of two nodes, and the rows at earlier times $\theta_k t$ there too:
fixed stencils, computed once. Distances to the diagonal, $\eta = 1 - \theta$, are kept beside $\theta$,
so that a layer of width $1/t$ is resolved to rounding at any time.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._interpolation import lagrange_weights


class Stencil(eqx.Module):
    """Points between nodes: the panel that each lies in, and the weights of its nodes.

    Attributes:
        panel: index of the panel.
        weights: of the panel's nodes, along the last axis.
        end: weight of the known value on the diagonal, which the last panel has as one node more.
    """

    panel: Int[Array | np.ndarray, "..."]
    weights: Float[Array | np.ndarray, "... nodes"]
    end: Float[Array | np.ndarray, "..."]

    def __call__(self, row: Array, end: float = 1.0) -> Array:
        """Values of a row at the points."""
        panels = row.reshape(-1, self.weights.shape[-1])
        return jnp.sum(panels[self.panel] * self.weights, -1) + end * self.end


class Mesh(eqx.Module):
    r"""Panels, nodes, and the points at which integrals over the past are summed.

    With $\phi = s/t$, the integral over $\phi < \theta_j$ is summed over the nodes of the row at
    $\theta_j t$, $\phi = \theta_j \theta_k$ (`product`); above, $\sqrt{\theta_j}$ separates nodes of the
    current row, $\phi = \theta_k$, from those of the rows' ratios $\psi = \theta_j / \phi = \theta_k$, both
    with the ratio of two nodes (`quotient`). The panel of $\sqrt{\theta_j}$ is entered in its middle: there
    are points of its own (`partial`, at `partial_ratio`), again the same for $\phi$ and for $\psi$.

    So the two halves mirror each other point by point. What in the layer of lags of order one is odd under
    exchange of $\phi$ and $\psi$ cancels to rounding whatever the row is, as it must: times the square of
    the age, what is left of it makes small scales grow.
    """

    theta: Float[Array | np.ndarray, " n"]
    eta: Float[Array | np.ndarray, " n"]
    weights: Float[Array | np.ndarray, " n"]
    product: Stencil
    quotient: Stencil
    quotient_in_time: Stencil
    partial: Stencil
    partial_quotient: Stencil
    partial_in_time: Stencil
    partial_quotient_in_time: Stencil
    partial_ratio: Float[Array | np.ndarray, "n nodes"]
    upper_weights: Float[Array | np.ndarray, "n n"]
    middle_weights: Float[Array | np.ndarray, "n n"]
    upper_partial_weights: Float[Array | np.ndarray, "n nodes"]
    middle_partial_weights: Float[Array | np.ndarray, "n nodes"]
    nodes: int = eqx.field(static=True)


class Panels:
    """Where the panels are, in double precision and free of JAX: ratios to panels and places in them."""

    def __init__(self, halvings: int, nodes: int):
        x, w = np.polynomial.legendre.leggauss(nodes)
        self.nodes, self.x, self.w = nodes, (x + 1) / 2, w / 2
        self.low = np.append(0.0, 0.5 ** np.arange(halvings, 0, -1.0))
        self.high = np.append(0.5 ** np.arange(1.0, halvings + 1), 0.0)
        self.theta_edges = np.concatenate([self.low, 1 - self.high[1:]])
        self.eta_edges = np.concatenate([1 - self.low, self.high[1:]])
        self.half, self.count = halvings, 2 * halvings
        theta_low = self.low[:-1, None] + np.diff(self.low)[:, None] * self.x
        eta_high = self.high[:-1, None] + np.diff(self.high)[:, None] * self.x
        self.theta = np.concatenate([theta_low.ravel(), 1 - eta_high.ravel()])
        self.eta = np.concatenate([1 - theta_low.ravel(), eta_high.ravel()])
        self.widths = np.concatenate([np.diff(self.low), -np.diff(self.high)])
        self.weights = (self.widths[:, None] * self.w).ravel()

    def place(self, theta, eta, xp=np):
        """Panel of each ratio, and the place in it between 0 and 1."""
        low, high = xp.asarray(self.low, theta.dtype), xp.asarray(self.high, theta.dtype)
        under = xp.clip(xp.searchsorted(low, theta, side="right") - 1, 0, self.half - 1)
        over = xp.clip(xp.searchsorted(-high, -eta, side="right") - 1, 0, self.half - 1)
        x_under = (theta - low[under]) / (low[under + 1] - low[under])
        x_over = (high[over] - eta) / (high[over] - high[over + 1])
        upper = theta > 0.5
        return xp.where(upper, self.half + over, under), xp.where(upper, x_over, x_under)

    def stencil(self, theta, eta, with_end: bool = True, xp=np) -> Stencil:
        """Interpolation in panels; in the last one through the diagonal too, unless told otherwise."""
        panel, x = self.place(theta, eta, xp)
        nodes = xp.asarray(self.x, theta.dtype)
        weights, end = lagrange_weights(x, nodes, xp), xp.zeros_like(x)
        if with_end:
            ended = lagrange_weights(x, xp.append(nodes, xp.ones_like(nodes[:1])), xp)
            last = panel == self.count - 1
            weights = xp.where(last[..., None], ended[..., :-1], weights)
            end = xp.where(last, ended[..., -1], end)
        return Stencil(panel, weights, end)

    def antiderivative(self) -> np.ndarray:
        r"""From values at a panel's nodes to integrals from each node to the panel's end, width one."""
        x, w = self.x, self.w
        points = x[:, None] + (1 - x)[:, None] * x
        return np.sum(((1 - x)[:, None] * w)[..., None] * lagrange_weights(points, x, np), axis=1)


@functools.lru_cache(maxsize=16)
def ratio_mesh(halvings: int, nodes: int, dtype: str) -> Mesh:
    r"""The mesh whose last panels have the width $2^{-\text{halvings}}$ on either side."""
    panels = Panels(halvings, nodes)
    theta, eta = panels.theta, panels.eta
    product = panels.stencil(theta[:, None] * theta, eta[:, None] + eta - eta[:, None] * eta)
    # Only quotients below one are read; the others get any place.
    below = theta[:, None] < theta
    quotient = np.where(below, theta[:, None] / theta, 0.5)
    quotient_eta = np.where(below, (eta[:, None] - eta) / theta, 0.5)
    # One panel is entered in its middle, at the root.
    first = np.sqrt(theta)
    first_eta = eta / (1 + first)
    entered, _ = panels.place(first, first_eta)
    upper = (entered >= panels.half)[:, None]
    psi = first[:, None] + (panels.theta_edges[entered + 1] - first)[:, None] * panels.x
    psi_eta = first_eta[:, None] + (panels.eta_edges[entered + 1] - first_eta)[:, None] * panels.x
    psi, psi_eta = np.where(upper, 1 - psi_eta, psi), np.where(upper, psi_eta, 1 - psi)
    width = np.where(
        upper[:, 0],
        first_eta - panels.eta_edges[entered + 1],
        panels.theta_edges[entered + 1] - first,
    )
    phi, phi_eta = theta[:, None] / psi, (eta[:, None] - psi_eta) / psi
    panel = np.arange(theta.size) // nodes
    whole = panel > entered[:, None]
    partial_weights = width[:, None] * panels.w
    mesh = Mesh(
        theta=theta,
        eta=eta,
        weights=panels.weights,
        product=product,
        quotient=panels.stencil(quotient, quotient_eta),
        quotient_in_time=panels.stencil(quotient, quotient_eta, with_end=False),
        partial=panels.stencil(psi, psi_eta),
        partial_quotient=panels.stencil(phi, phi_eta),
        partial_in_time=panels.stencil(psi, psi_eta, with_end=False),
        partial_quotient_in_time=panels.stencil(phi, phi_eta, with_end=False),
        partial_ratio=psi,
        upper_weights=np.where(whole, panels.weights, 0.0),
        middle_weights=np.where(whole, panels.weights * theta[:, None] / theta**2, 0.0),
        upper_partial_weights=partial_weights,
        middle_partial_weights=partial_weights * theta[:, None] / psi**2,
        nodes=nodes,
    )

    def convert(leaf):
        kind = np.int32 if np.issubdtype(leaf.dtype, np.integer) else dtype
        return leaf.astype(kind)

    return jax.tree.map(convert, mesh)
