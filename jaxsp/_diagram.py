"""Diagrams of a GLM given by names: the sweep behind `jaxsp sweep`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import xarray as xr
from numpy.typing import ArrayLike

from . import glm, sweeps
from ._checks import check_number
from .glm.named import named_model, parameters

THRESHOLDS = {
    "weak_recovery": "weak-recovery threshold",
    "algorithmic": "algorithmic threshold",
    "information_theoretic": "information-theoretic threshold",
    "informative_spinodal": "end of the informative branch",
}
BRANCHES = {
    "optimal": "the Bayes optimum",
    "uninformed": "the branch that AMP reaches",
    "informed": "the branch of largest overlap",
}
NUMBERS = {
    "overlap": "overlap with the teacher",
    "mean_squared_error": "mean squared error of a weight",
    "free_entropy": "free entropy per weight",
    "generalization_error": "mean squared error of a new output",
    "classification_error": "probability of a wrong label",
}
_PARAMETERS = {
    "alpha": "samples per weight",
    "noise_variance": "variance of the noise",
    "sparsity": "fraction of nonzero weights",
}


def diagram(
    prior: str,
    channel: str,
    ranges: Mapping[str, ArrayLike],
    *,
    store: Path | None = None,
    progress: bool | Callable[[sweeps.Progress], None] | None = None,
) -> xr.Dataset:
    """All branches and thresholds of a GLM over ranges of alpha and of its parameters.

    Alpha is the last dimension: the explicit curve of a model is scanned once for all its alphas.

    Args:
        prior: name of the prior, one of `glm.named.PRIORS`.
        channel: name of the channel, one of `glm.named.CHANNELS`.
        ranges: values `(n,)` of `alpha` and of parameters of the two; a single value makes no
            dimension and is kept among the attributes.
        store: where to keep the sweep; in memory if None.
        progress: as that of `sweeps.run`.

    Raises:
        ValueError: if a name is unknown, or a range is missing, empty or not allowed.
    """
    known = parameters(prior, channel)
    for name in ranges:
        if name != "alpha" and name not in known:
            raise ValueError(
                f"There is no parameter {name!r} of {prior} and {channel}; there are "
                f"{', '.join(map(repr, ['alpha', *known]))}."
            )
    for name in ["alpha", *(name for name, needed in known.items() if needed)]:
        if name not in ranges:
            raise ValueError(f"A value or a range of {name!r} must be given.")
    values = sweeps.Grid(ranges).parameters
    check_number("alpha", values["alpha"], minimum=0.0)
    fixed = {n: float(v[0]) for n, v in values.items() if v.size == 1}
    others = {n: v for n, v in values.items() if v.size > 1 and n != "alpha"}
    constants = {n: v for n, v in fixed.items() if n != "alpha"}
    # The ends are looked at eagerly, so that a value that is not allowed is named now.
    for end in (0, -1):
        model = named_model(
            prior, channel, {n: float(v[end]) for n, v in values.items() if n != "alpha"}
        )
    has_labels = model.channel.labels is not None

    def at(alpha, varied):
        found = glm.phases(named_model(prior, channel, constants | varied), alpha, throw=False)
        return {name: getattr(found, name) for name in BRANCHES} | {"status": found.result}

    def of_model(**varied) -> dict[str, Any]:
        model = named_model(prior, channel, constants | varied)
        found = glm.thresholds(model, throw=False)
        here = {name: getattr(found, name) for name in THRESHOLDS}
        return here | {"thresholds_status": found.result}

    attributes: dict[str, Any] = {"prior": prior, "channel": channel} | fixed
    variables = _variables(values, has_labels, alphas=values["alpha"].size > 1 and bool(others))
    if not others:
        found = of_model()
        attributes |= {n: float(found[n]) for n in THRESHOLDS if jnp.isfinite(found[n])}
        swept = [*ranges, *(n for n in variables if n.split("_")[0] in (*BRANCHES, "status"))]
        return sweeps.run(
            lambda alpha: at(alpha, {}), sweeps.Grid({"alpha": values["alpha"]}), store=store,
            chunk_size=256, attributes=attributes, progress=progress,
            variables={n: variables[n] for n in swept if n in variables and n not in constants},
        )  # fmt: skip

    alphas = jnp.asarray(values["alpha"])

    def row(**varied):
        if alphas.size == 1:
            return at(alphas[0], varied) | of_model(**varied)
        return jax.vmap(lambda alpha: at(alpha, varied))(alphas) | of_model(**varied)

    # A row of many alphas is a batch of its own; a chunk is a few seconds of work of one core.
    batch = max(1, 256 // alphas.size)
    return sweeps.run(
        row, sweeps.Grid(others), store=store, chunk_size=16 * batch, batch_size=batch,
        coordinates={"alpha": values["alpha"]} if alphas.size > 1 else {},
        variables={n: v for n, v in variables.items() if n not in fixed},
        attributes=attributes, progress=progress,
    )  # fmt: skip


def _variables(values: Mapping[str, Any], has_labels: bool, *, alphas: bool) -> dict:
    """Descriptions of everything; what depends on alpha has it as its dimension within a row."""
    dims = ("alpha",) if alphas else ()
    found = {n: sweeps.Variable(_PARAMETERS.get(n, n.replace("_", " "))) for n in values}
    found |= {n: sweeps.Variable(text) for n, text in THRESHOLDS.items()}
    found["status"] = sweeps.Variable("whether the branches are to be trusted", dims=dims)
    found["thresholds_status"] = sweeps.Variable("whether the thresholds are to be trusted")
    for branch, which in BRANCHES.items():
        for number, what in NUMBERS.items():
            if number != "classification_error" or has_labels:
                text = f"{what}, {which}"
                found[f"{branch}_{number}"] = sweeps.Variable(text, dims=dims)
    return found
