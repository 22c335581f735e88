"""Laws of the weights. A prior is one scalar function, `log_partition(A, b)`."""

from ._base import Prior as Prior
from ._mixture import (
    AbstractMixture as AbstractMixture,
    Gaussian as Gaussian,
    Rademacher as Rademacher,
)
