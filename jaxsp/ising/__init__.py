"""The two-dimensional Ising model: exact on the infinite lattice and on a torus, and by Monte Carlo.

The smallest system of the library, and an example of what one is: a model, one function of it that is
derived by theory (its log-partition function), everything else by autodiff, and a simulation of the
same model to compare with.
"""

from .exact import (
    critical_temperature as critical_temperature,
    spontaneous_magnetization as spontaneous_magnetization,
)
from .model import Ising2D as Ising2D
from .simulate import Estimate as Estimate, Measurement as Measurement, simulate as simulate
from .thermodynamics import (
    energy as energy,
    entropy as entropy,
    free_energy as free_energy,
    heat_capacity as heat_capacity,
    log_partition as log_partition,
)
