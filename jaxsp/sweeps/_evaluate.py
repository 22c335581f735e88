"""Many points at once: batches inside a loop, many loops on every device."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding
from numpy.typing import NDArray

from ._errors import SweepError
from ._variables import labelled

_TRACING_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)

# Units in a full block, at most: enough for as many devices, few enough to cost nothing to start.
_UNITS = 32


class Evaluator:
    """A function of named scalars, compiled for blocks of points on the devices of one process.

    A block is cut into units of a few batches, which are dealt out to the devices. In a unit one batch
    is taken after the other, so that a slow point delays its batch and not the rest.

    Every device runs a program of its own for units of one size, which is the same whatever the number
    of devices, and so are the numbers, to the last bit. One program for all of them, as
    `jax.shard_map` gives, is compiled by another pipeline than that for one device (for XLA on CPUs,
    at least) and rounds differently; it is also more than functions with solvers of lineax or
    optimistix can pass through. Nothing is exchanged between points, so nothing is lost.

    Attributes:
        shapes: shape and type of each variable at one point.
        codes: which variables are result codes.
        program: a hash of the compiled function, equal for equal computations.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        names: Sequence[str],
        *,
        size: int,
        batch_size: int,
        dtype: Any,
        devices: Sequence[jax.Device],
        seed: int | None,
    ):
        self._names = tuple(names)
        self._dtype = dtype
        self.codes: set[str] = set()
        self.shapes: dict[str, jax.ShapeDtypeStruct] | None = None

        def one(values, index):
            arguments: dict[str, Any] = dict(zip(self._names, values, strict=True))
            if seed is not None:
                arguments["key"] = jax.random.fold_in(jax.random.key(seed), index)
            named, codes = labelled(function(**arguments))
            return self._checked(named, codes)

        scalar, index = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), jnp.uint32)
        example = ([scalar] * len(self._names), index)
        try:
            self.shapes = dict(jax.eval_shape(one, *example))
        except _TRACING_ERRORS as error:
            raise SweepError(
                "The function must be a pure JAX function, which is traced and not called with "
                f"numbers; {_first_line(error)}"
            ) from error
        batch = jax.jit(jax.vmap(one))
        one_batch = jax.tree.map(lambda s: jax.ShapeDtypeStruct((batch_size,), s.dtype), example)
        self.program = _hash(batch.lower(*one_batch).as_text())

        batches = -(-size // batch_size)
        turns = -(-batches // _UNITS)
        self._lanes = turns * batch_size

        def unit(values, index):
            if turns == 1:
                return batch(values, index)
            split = jax.tree.map(lambda a: a.reshape(turns, batch_size), (values, index))
            found = jax.lax.map(lambda arguments: batch(*arguments), split)
            return jax.tree.map(lambda a: a.reshape(self._lanes, *a.shape[2:]), found)

        self._unit = jax.jit(unit)
        self._devices = list(devices)[: -(-size // self._lanes)]
        self._programs: list[Any] = []
        # A device works in the thread that calls it, if the computation looks cheap to the compiler
        # (a loop counts as one turn): each is called from a thread of its own.
        self._threads = [ThreadPoolExecutor(1) for _ in self._devices]

    def _checked(self, named: dict[str, jax.Array], codes: set[str]) -> dict[str, jax.Array]:
        """The same, if they are like those of the first time that the function was traced."""
        if self.shapes is None:
            self.codes = codes
            return named
        for name in {*named, *self.shapes}:
            before, now = _described(self.shapes.get(name)), _described(named.get(name))
            if before != now:
                raise SweepError(
                    "The function must return the same structure at every call, but "
                    f"{name!r} was {before} and is {now}."
                )
        return named

    def _compile(self) -> list[Any]:
        """The program of each device, all at once; only now, since a finished sweep needs none."""

        def lowered(device):
            def lanes(dtype):
                sharding = SingleDeviceSharding(device)
                return jax.ShapeDtypeStruct((self._lanes,), dtype, sharding=sharding)

            return self._unit.lower([lanes(self._dtype) for _ in self._names], lanes(jnp.uint32))

        # Traced here, where the caller's settings hold; only the compiler runs in threads.
        programs = [lowered(device) for device in self._devices]
        with ThreadPoolExecutor(len(programs)) as threads:
            return list(threads.map(lambda program: program.compile(), programs))

    def __call__(
        self, parameters: Mapping[str, NDArray], index: NDArray
    ) -> "Callable[[], dict[str, NDArray]]":
        """Start the evaluation of a block; the function returned waits for its numbers."""
        units = -(-index.size // self._lanes)
        spare = units * self._lanes - index.size

        def lanes(array, dtype):
            # The last point again, on lanes that are thrown away.
            return np.pad(np.asarray(array, dtype), (0, spare), mode="edge")

        columns = [lanes(parameters[name], self._dtype) for name in self._names]
        places = lanes(index, np.uint32)

        if not self._programs:
            self._programs = self._compile()

        def start(number):
            cut = slice(number * self._lanes, (number + 1) * self._lanes)
            place = number % len(self._devices)
            pieces = [*(column[cut] for column in columns), places[cut]]
            *values, own = jax.device_put(pieces, self._devices[place])
            return self._threads[place].submit(self._programs[place], values, own)

        running = [start(number) for number in range(units)]

        def wait() -> dict[str, NDArray]:
            found = [unit.result() for unit in running]
            return {
                name: np.concatenate([np.asarray(unit[name]) for unit in found])[: index.size]
                for name in found[0]
            }

        return wait


def _hash(text: str) -> str:
    # Names of objects by their place in memory are another every time.
    return hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", text).encode()).hexdigest()[:16]


def _described(leaf: Any) -> str:
    return "absent" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
