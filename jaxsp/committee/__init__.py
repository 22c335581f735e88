"""The committee machine: specialisation of hidden units, its thresholds, and AMP."""

from .model import CommitteeMachine as CommitteeMachine
from .outputs import (
    LabelOfSigns as LabelOfSigns,
    MajorityVote as MajorityVote,
    Output as Output,
    Parity as Parity,
)
from .replica import (
    Branches as Branches,
    bayes_optimal as bayes_optimal,
    branches as branches,
    free_entropy as free_entropy,
)
from .solution import Solution as Solution
from .state_evolution import StateEvolution as StateEvolution, state_evolution as state_evolution
