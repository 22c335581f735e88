"""Dynamical mean-field theory: Langevin dynamics and gradient flow at infinite dimension."""

from ._solve import solve as solve
from .problem import SphericalDynamics as SphericalDynamics
from .simulate import (
    Simulation as Simulation,
    landscape as landscape,
    simulate as simulate,
    trajectory as trajectory,
)
from .solution import Solution as Solution, Table as Table
from .uniform import UniformGrid as UniformGrid
