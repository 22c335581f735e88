"""Dynamical mean-field theory: Langevin dynamics and gradient flow at infinite dimension."""

from ._solve import solve as solve
from .escape import (
    EscapeTime as EscapeTime,
    LinearResponse as LinearResponse,
    asymptotic_growth_rate as asymptotic_growth_rate,
    escape_time as escape_time,
    extrapolated_transition as extrapolated_transition,
    linear_response as linear_response,
)
from .problem import SphericalDynamics as SphericalDynamics
from .ratio import RatioGrid as RatioGrid
from .simulate import (
    Simulation as Simulation,
    landscape as landscape,
    simulate as simulate,
    trajectory as trajectory,
)
from .solution import Solution as Solution, Table as Table
from .uniform import UniformGrid as UniformGrid
