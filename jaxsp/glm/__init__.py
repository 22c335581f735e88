"""Generalised linear models: teacher-student theory at the Bayes optimum, and AMP."""

from .amp import AMPResult as AMPResult, AMPState as AMPState, amp as amp, amp_step as amp_step
from .capacity import (
    StorageCapacity as StorageCapacity,
    StorageEntropy as StorageEntropy,
    storage_capacity as storage_capacity,
    storage_entropy as storage_entropy,
)
from .model import GLM as GLM
from .phases import Phase as Phase, Phases as Phases, phases as phases
from .replica import (
    Branches as Branches,
    bayes_optimal as bayes_optimal,
    branches as branches,
    free_entropy as free_entropy,
)
from .simulate import (
    Instance as Instance,
    StructuredDesign as StructuredDesign,
    sample_instance as sample_instance,
    structured_design as structured_design,
)
from .solution import Solution as Solution
from .state_evolution import StateEvolution as StateEvolution, state_evolution as state_evolution
from .thresholds import (
    CriticalPoint as CriticalPoint,
    Thresholds as Thresholds,
    critical_point as critical_point,
    thresholds as thresholds,
)
