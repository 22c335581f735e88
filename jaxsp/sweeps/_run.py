"""A sweep from its function and grid to its dataset."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils
from numpy.typing import ArrayLike

import jaxsp

from .._progress import Progress, reporting
from .._provenance import provenance
from ._errors import StoreMismatchError
from ._evaluate import Evaluator
from ._grid import AbstractGrid, Blocks, check_parameters
from ._store import Coordinate, Layout, Memory, Store
from ._variables import Output, Variable, outputs


def run(
    function: Callable[..., Any],
    grid: AbstractGrid,
    *,
    store: str | Path | None = None,
    chunk_size: int = 1024,
    batch_size: int | None = None,
    seed: int = 0,
    devices: Sequence[jax.Device] | None = None,
    variables: Mapping[str, Variable] | None = None,
    coordinates: Mapping[str, ArrayLike] | None = None,
    attributes: Mapping[str, Any] | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Evaluate a function of named scalars over a grid: on all devices, and never lost.

    The grid is evaluated in chunks. Within one, the points are dealt out to the devices of the
    process and taken there in batches, one after the other, so that slow points hold up their batch
    alone. In a job of several processes (`jax.distributed.initialize`) each
    takes every n-th chunk. The numbers are the same to the last bit on any number of devices and
    processes.

    With a `store`, each chunk is on disk as soon as it is finished. After whatever has stopped the
    program, the same call evaluates what is missing and nothing else, with the same numbers as a run
    that was not stopped.

    Args:
        function: a pure function of scalars, taken by name, to a pytree of arrays of fixed shapes.
            If it takes a `key`, it gets one made of `seed` and the point's place in the grid. Solvers
            in it should be called with `throw=False`: their result codes are kept.
        grid: a `Grid` or `Points`.
        store: folder of a zarr store; in memory if None. Required, on a file system that all share,
            in a job of several processes.
        chunk_size: points in a chunk, at most. About a second's work, and at least `batch_size` times
            the number of devices, is good.
        batch_size: points evaluated at once on a device; 32 or a sixteenth of a chunk if None.
        seed: of the random numbers.
        devices: of this process; all of them if None.
        variables: descriptions, units and dimensions of parameters and results, by name.
        coordinates: values along the dimensions of results that are arrays, by name. An axis that is
            as long as one of them alone is taken to be its.
        attributes: of the dataset, besides those that say how it was made.
        progress: whether to show a bar, or a function to be given a `Progress` after each chunk; a
            bar if a terminal is there if None.

    Returns:
        A dataset over the grid's dimensions with a variable for each leaf of what the function
        returns, named by the path to it, and a `status`: the first failure among the result codes
        that the function returns or, if there are none, whether a number is NaN (the codes are those
        of `jaxsp.RESULTS`, in its order; -1 is a point that was not evaluated). Arrays of a store are
        read when they are looked at; `dataset.load()` reads all.

    Raises:
        ValueError: if an argument is not allowed, or parameters are not those of the function.
        SweepError: if the function cannot be traced, or what it returns changes.
        StoreMismatchError: if the store is of another sweep.
        StoreError: if the store cannot be written; finished chunks are kept.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from jaxsp.sweeps import Grid, Variable, run
        >>> def mean_field(beta, field):
        ...     m = jnp.tanh(beta * field)
        ...     return {"magnetisation": m, "energy": -field * m}
        >>> grid = Grid({"beta": np.linspace(0.1, 2.0, 5), "field": [0.0, 0.5, 1.0]})
        >>> data = run(mean_field, grid, variables={"beta": Variable("inverse temperature")})
        >>> dict(data.sizes), sorted(data)
        ({'beta': 5, 'field': 3}, ['energy', 'magnetisation', 'status'])
    """
    for name, value in (("chunk_size", chunk_size), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")
    if grid.size >= 2**32:
        raise ValueError(f"Argument `grid` must have fewer than 2^32 points, but has {grid.size}.")
    if store is None and jax.process_count() > 1:
        raise ValueError("Argument `store` must be given in a job of several processes.")
    keyed = check_parameters(function, grid.names)
    blocks = Blocks(grid.shape, chunk_size)
    batch_size = min(blocks.size, batch_size or min(32, -(-blocks.size // 16)))
    devices = jax.local_devices() if devices is None else list(devices)
    dtype = jnp.result_type(float)
    evaluator = Evaluator(
        function, grid.names, size=blocks.size, batch_size=batch_size, dtype=dtype,
        devices=devices, seed=seed if keyed else None,
    )  # fmt: skip
    assert evaluator.shapes is not None
    variables = {} if variables is None else variables
    lengths = {name: np.size(values) for name, values in (coordinates or {}).items()}
    found = outputs(evaluator.shapes, evaluator.codes, variables, lengths)
    named = {name for name in grid.parameters} | {out.name for out in found}
    described = _coordinates(grid, coordinates or {}, variables)
    _check_names(grid, found, described, set(variables) - named)
    made = provenance() | {
        "devices": ", ".join(device.device_kind for device in devices),
        "processes": jax.process_count(),
        "seed": seed,
    }
    layout = Layout(
        blocks, grid.dims, found, described, made | dict(attributes or {}),
        _identity(function, grid, blocks, batch_size, dtype, seed if keyed else None, evaluator),
    )  # fmt: skip
    if store is None:
        kept: Memory | Store = Memory(layout)
        _evaluate(evaluator, grid, blocks, kept, kept.missing(), progress)
        return kept.dataset()

    kept = Store(Path(store), layout)
    missing = _prepared(kept)
    _evaluate(evaluator, grid, blocks, kept, missing, progress)
    _wait_for_all("jaxsp.sweeps: evaluated")
    if jax.process_index() == 0:
        kept.finish()
    _wait_for_all("jaxsp.sweeps: finished")
    return kept.dataset()


def _evaluate(
    evaluator: Evaluator,
    grid: AbstractGrid,
    blocks: Blocks,
    kept: Memory | Store,
    missing: list[int],
    progress: bool | Callable[[Progress], None] | None,
) -> None:
    """Evaluate this process's share of the blocks, each while the one before it is written."""
    own = missing[jax.process_index() :: jax.process_count()]
    done = grid.size - sum(blocks.index(number).size for number in missing)
    if jax.process_index() > 0:
        progress = False
    with reporting(progress, done, grid.size) as tell:
        running: tuple[int, Callable] | None = None
        for number in [*own, None]:
            started = None
            if number is not None:
                index = blocks.index(number)
                started = number, evaluator(grid.at(index), index)
            if running is not None:
                finished, wait = running
                kept.write(finished, wait())
                tell(blocks.index(finished).size * jax.process_count())
            running = started


def _prepared(kept: Store) -> list[int]:
    """The missing blocks of a store that the first process makes, alike for all processes."""
    error: Exception | None = None
    if jax.process_index() == 0:
        try:
            kept.create()
        except (OSError, StoreMismatchError) as raised:
            error = raised
    _wait_for_all("jaxsp.sweeps: created")
    if error is not None:
        raise error
    if jax.process_index() > 0:
        kept.open()
    missing = kept.missing()
    # Before anyone writes, everyone has looked.
    _wait_for_all("jaxsp.sweeps: looked")
    return missing


def _wait_for_all(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _coordinates(
    grid: AbstractGrid, given: Mapping[str, ArrayLike], variables: Mapping[str, Variable]
) -> list[Coordinate]:
    found: list[Coordinate] = []
    for name, values in grid.parameters.items():
        dims = (name,) if name in grid.dims else grid.dims
        found.append((name, dims, values, variables.get(name, Variable()).attributes(name)))
    for name, values in given.items():
        array = np.asarray(values)
        found.append((name, (name,), array, variables.get(name, Variable()).attributes(name)))
    return found


def _check_names(
    grid: AbstractGrid,
    found: Sequence[Output],
    coordinates: Sequence[Coordinate],
    strange: set[str],
) -> None:
    """Raise if names clash, or belong to nothing."""
    lengths = dict(zip(grid.dims, grid.shape, strict=True))
    names = {name for name, *_ in coordinates}
    for out in found:
        if out.name in names:
            raise ValueError(
                f"The function must not return {out.name!r}, which is the name of a coordinate."
            )
        for dim, length in zip(out.dims, out.shape, strict=True):
            if lengths.setdefault(dim, length) != length or dim in grid.dims:
                raise ValueError(
                    f"Variable `{out.name}` has length {length} along {dim!r}, another dimension has "
                    f"this name and length {lengths[dim]}."
                )
    for name, dims, values, _ in coordinates:
        if name not in grid.parameters and (dims != (name,) or lengths.get(name) != values.size):
            raise ValueError(
                f"Argument `coordinates` has {values.size} values for {name!r}, but that is "
                + (f"a dimension of {lengths[name]}." if name in lengths else "no dimension.")
            )
    strange -= {*names, *lengths}
    if strange:
        raise ValueError(
            f"Argument `variables` must be of {', '.join(sorted({*names} | {o.name for o in found}))}"
            f", but names {', '.join(sorted(strange))}."
        )


def _identity(
    function: Callable,
    grid: AbstractGrid,
    blocks: Blocks,
    batch_size: int,
    dtype: Any,
    seed: int | None,
    evaluator: Evaluator,
) -> dict[str, Any]:
    """Everything that decides the numbers, in words that say what differs."""
    assert evaluator.shapes is not None
    return {
        "function": getattr(function, "__qualname__", type(function).__name__),
        "parameters": {
            name: f"{values.size} values from {values.min():g} to {values.max():g} "
            f"({hashlib.sha256(values.tobytes()).hexdigest()[:8]})"
            for name, values in grid.parameters.items()
        },
        "dimensions": list(grid.dims),
        "chunk": list(blocks.block),
        "batch size": batch_size,
        "precision": str(np.dtype(dtype)),
        "seed": "none" if seed is None else seed,
        "variables": {
            name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in evaluator.shapes.items()
        },
        "versions": f"jax {jax.__version__}, jaxsp {jaxsp.__version__}",
        "compiled function": evaluator.program,
    }
