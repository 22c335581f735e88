"""Online learning in two-layer networks: the dynamics of overlaps, in theory and at finite size."""

from ..inputs import (
    CovariateInputs as CovariateInputs,
    DataInputs as DataInputs,
    GaussianInputs as GaussianInputs,
    HiddenManifoldInputs as HiddenManifoldInputs,
    HiddenManifoldLimit as HiddenManifoldLimit,
)
from ._simulate import Simulation as Simulation, simulate as simulate
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
from .modes import ModeState as ModeState, ModeSystem as ModeSystem, mode_system as mode_system
from .networks import (
    Networks as Networks,
    disagreement as disagreement,
    label_teacher as label_teacher,
    network_overlaps as network_overlaps,
    sample_networks as sample_networks,
)
from .pairs import PairTrajectory as PairTrajectory, solve_pair as solve_pair
from .solution import Trajectory as Trajectory
from .stationary import (
    StationaryState as StationaryState,
    plateau as plateau,
    stationary_state as stationary_state,
)
