"""Models by the names of their prior and channel, for command lines and files."""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from types import ModuleType

from .. import channels, priors
from .._checks import check_choice
from .._types import ScalarLike
from ..channels import Channel
from ..priors import Prior
from .model import GLM


def _by_name(module: ModuleType, base: type) -> dict[str, type]:
    """The public classes of a module all of whose fields are numbers, by their names in lower case."""
    found = {}
    for name, item in vars(module).items():
        if not (isinstance(item, type) and issubclass(item, base)) or inspect.isabstract(item):
            continue
        if all(field.type == ScalarLike for field in _fields(item)):
            words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", name).lower()
            found[words] = item
    return found


def _fields(kind: type) -> list[dataclasses.Field]:
    """What the class is made with."""
    return [field for field in dataclasses.fields(kind) if field.init]


PRIORS = _by_name(priors, Prior)
"""Priors by name."""

CHANNELS = _by_name(channels, Channel)
"""Channels by name."""


def parameters(prior: str, channel: str) -> dict[str, bool]:
    """The parameters of a prior and a channel, and whether each must be given.

    Raises:
        ValueError: if there is no such prior or channel.

    Example:
        >>> parameters("gauss-bernoulli", "sign")
        {'sparsity': True, 'mean': False, 'variance': False, 'noise_variance': False}
    """
    check_choice("prior", prior, PRIORS)
    check_choice("channel", channel, CHANNELS)
    fields = [*_fields(PRIORS[prior]), *_fields(CHANNELS[channel])]
    return {field.name: field.default is dataclasses.MISSING for field in fields}


def named_model(prior: str, channel: str, values: Mapping[str, ScalarLike]) -> GLM:
    """The GLM of a prior and a channel given by name, with some of their parameters.

    Args:
        prior: a name of `PRIORS`.
        channel: a name of `CHANNELS`.
        values: parameters of the two by name.

    Raises:
        ValueError: if a name is unknown, or a parameter that has no default is not given.

    Example:
        >>> model = named_model("rademacher", "sign", {"noise_variance": 0.1})
        >>> type(model.prior).__name__, float(model.channel.noise_variance)
        ('Rademacher', 0.1)
    """
    known = parameters(prior, channel)
    for name in values:
        check_choice("values", name, known)
    for name, needed in known.items():
        if needed and name not in values:
            raise ValueError(f"Argument `values` must give {name!r}, which has no default.")

    def made(kind: type) -> Prior | Channel:
        own = {field.name for field in _fields(kind)}
        return kind(**{name: value for name, value in values.items() if name in own})

    return GLM(made(PRIORS[prior]), made(CHANNELS[channel]))  # pyright: ignore[reportArgumentType]
