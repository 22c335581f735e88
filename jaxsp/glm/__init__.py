"""Generalised linear models: teacher-student theory at the Bayes optimum, and AMP."""

from .model import GLM as GLM
from .replica import Branches as Branches
from .replica import bayes_optimal as bayes_optimal
from .replica import branches as branches
from .replica import free_entropy as free_entropy
from .solution import Solution as Solution
from .state_evolution import StateEvolution as StateEvolution
from .state_evolution import state_evolution as state_evolution
from .thresholds import CriticalPoint as CriticalPoint
from .thresholds import Thresholds as Thresholds
from .thresholds import critical_point as critical_point
from .thresholds import thresholds as thresholds
