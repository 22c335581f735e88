"""Online learning in two-layer networks: the dynamics of overlaps, in theory and at finite size."""

from ._solve import solve as solve
from .activations import (
    Activation as Activation,
    Custom as Custom,
    Erf as Erf,
    Linear as Linear,
    ReLU as ReLU,
)
from .dynamics import overlap_rates as overlap_rates
from .model import (
    Overlaps as Overlaps,
    PiecewiseLinear as PiecewiseLinear,
    TeacherStudent as TeacherStudent,
    generalization_error as generalization_error,
)
from .solution import Trajectory as Trajectory
