"""jaxsp: the statistical physics of learning in JAX.

A model is an [Equinox](https://docs.kidger.site/equinox/) module, its theory is a pure function of
it: learning curves, free entropies and thresholds can be jitted, vmapped, sharded and
differentiated.

The systems are `jaxsp.glm` (generalised linear models), `jaxsp.committee` (two-layer networks that
specialise), `jaxsp.spiked` (the spiked matrix-tensor model), `jaxsp.online` (two-layer networks that
learn online), `jaxsp.erm` (convex fits on Gaussian covariates) and `jaxsp.ising` (the two-dimensional
Ising model), with the dynamics of landscapes in `jaxsp.dmft`; the ingredients that they are made of are
`jaxsp.priors`, `jaxsp.channels`, `jaxsp.mixtures` and `jaxsp.inputs`; what they stand on is
`jaxsp.numerics`.
"""

from . import (
    channels as channels,
    committee as committee,
    dmft as dmft,
    erm as erm,
    glm as glm,
    inputs as inputs,
    ising as ising,
    mixtures as mixtures,
    numerics as numerics,
    online as online,
    priors as priors,
    spiked as spiked,
)
from .numerics import RESULTS as RESULTS, SolverError as SolverError

__version__ = "0.1.0"
