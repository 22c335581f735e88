"""The committee machine: specialisation of hidden units, its thresholds, and AMP."""

from .amp import AMPResult as AMPResult, AMPState as AMPState, amp as amp, amp_step as amp_step
from .integrated import IntegratedOutput as IntegratedOutput
from .label_maps import FromLogLikelihood as FromLogLikelihood, LabelMap as LabelMap
from .large_k import LargeKThresholds as LargeKThresholds, large_k_thresholds as large_k_thresholds
from .model import CommitteeMachine as CommitteeMachine
from .outputs import (
    LabelOfSigns as LabelOfSigns,
    MajorityVote as MajorityVote,
    Output as Output,
    Parity as Parity,
)
from .real_outputs import (
    LinearOutput as LinearOutput,
    NoisyFunction as NoisyFunction,
    SoftCommittee as SoftCommittee,
)
from .relu import ReLUCommittee as ReLUCommittee
from .replica import (
    Branches as Branches,
    bayes_optimal as bayes_optimal,
    branches as branches,
    free_entropy as free_entropy,
)
from .simulate import Instance as Instance, sample_instance as sample_instance
from .solution import Solution as Solution
from .state_evolution import StateEvolution as StateEvolution, state_evolution as state_evolution
from .thresholds import (
    Thresholds as Thresholds,
    specialization_threshold as specialization_threshold,
    thresholds as thresholds,
)
