"""Laws of the weights. A prior is one scalar function, `log_partition(A, b)`."""

from ._base import Prior as Prior
from ._half_line import (
    Exponential as Exponential,
    Laplace as Laplace,
    TruncatedGaussian as TruncatedGaussian,
)
from ._log_density import FromLogDensity as FromLogDensity
from ._mixture import (
    Discrete as Discrete,
    GaussBernoulli as GaussBernoulli,
    Gaussian as Gaussian,
    GaussianMixture as GaussianMixture,
    Rademacher as Rademacher,
)
from ._potential import (
    WeightPotential as WeightPotential,
    observation_potential as observation_potential,
)
