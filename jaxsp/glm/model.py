"""The generalised linear model: a prior on the weights and a channel on the output."""

import equinox as eqx

from ..channels import Channel
from ..priors import Prior


class GLM(eqx.Module):
    r"""Teacher-student generalised linear model (arXiv 1708.03395).

    Weights $w^*_i \sim P_w$ iid, data $X_{\mu i} \sim \mathcal N(0, 1/p)$ iid, outputs
    $y_\mu \sim P_{\rm out}(\cdot | x_\mu \cdot w^*)$ for $\mu = 1 \dots n$, and $\alpha = n / p$.
    Theory functions (`bayes_optimal`, `state_evolution`, `thresholds`, ...) and `amp` take it as
    their first argument; it is a pytree, so they can be differentiated with respect to its
    parameters.

    Attributes:
        prior: the law of one weight.
        channel: the law of one output.
        order: Gauss-Legendre points on each panel of the quadratures; None for 32 in float64 and 16
            in float32.

    Example:
        >>> from jaxsp import channels, glm, priors
        >>> model = glm.GLM(prior=priors.Rademacher(), channel=channels.Sign(noise_variance=0.1))
    """

    prior: Prior
    channel: Channel
    order: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.order is not None and self.order < 4:
            raise ValueError(f"Argument `order` must be at least 4, but is {self.order}.")
