"""Sweeps: a function of named parameters over a whole grid, on many devices, never lost.

Needs the extra `sweeps`: python -m pip install "jaxsp[sweeps]".
"""

from .._progress import Progress as Progress
from ._continuation import (
    Branch as Branch,
    Folds as Folds,
    OnBranch as OnBranch,
    folds as folds,
    follow as follow,
    on_branch as on_branch,
)
from ._dataset import load as load, save as save
from ._errors import (
    StoreError as StoreError,
    StoreMismatchError as StoreMismatchError,
    SweepError as SweepError,
)
from ._grid import AbstractGrid as AbstractGrid, Grid as Grid, Points as Points
from ._refine import Boundary as Boundary, boundary as boundary
from ._run import run as run
from ._variables import Variable as Variable
