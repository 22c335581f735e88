"""Output channels. A channel is one scalar function, `log_partition(y, omega, V)`."""

from ._activations import (
    AbsoluteValue as AbsoluteValue,
    LeakyReLU as LeakyReLU,
    Linear as Linear,
    PiecewiseLinear as PiecewiseLinear,
    ReLU as ReLU,
)
from ._base import Channel as Channel
from ._labels import Sign as Sign, SymmetricDoor as SymmetricDoor
from ._likelihood import (
    AbstractLikelihood as AbstractLikelihood,
    Activation as Activation,
    FromLogLikelihood as FromLogLikelihood,
    Logistic as Logistic,
    Poisson as Poisson,
)
from ._piecewise import AbstractPiecewiseLinear as AbstractPiecewiseLinear
