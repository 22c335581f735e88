"""Many points at once: batches inside a loop, the loop on every device."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from ._errors import SweepError
from ._variables import labelled

_TRACING_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


class Evaluator:
    """A function of named scalars, compiled for blocks of points on the devices of one process.

    Points are taken in batches of one size, one batch after the other on each device, so that a slow
    point delays its batch and not the rest. The code of a batch, and which points share one, do not
    depend on the number of devices, and neither do the numbers, to the last bit.

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

        # A loop of one turn would be unrolled, and compiled into other code than a longer one.
        turns = max(2, -(-size // (batch_size * len(devices))))
        self._lanes = turns * batch_size * len(devices)

        def on_device(values, index):
            def body(arguments):
                result = batch(*jax.lax.optimization_barrier(arguments))
                return jax.lax.optimization_barrier(result)

            split = jax.tree.map(lambda a: a.reshape(turns, batch_size), (values, index))
            found = jax.lax.map(body, split)
            return jax.tree.map(lambda a: a.reshape(turns * batch_size, *a.shape[2:]), found)

        mesh = Mesh(np.array(devices), ("points",))
        split = PartitionSpec("points")
        self._sharding = NamedSharding(mesh, split)
        if len(devices) > 1:
            # Only values are wanted of it: no check of how they vary over the devices.
            on_device = jax.shard_map(
                on_device, mesh=mesh, in_specs=split, out_specs=split, check_vma=False
            )
        self._function, self._devices = jax.jit(on_device), len(devices)
        self._compiled: Any = None

    def _checked(self, named: dict[str, jax.Array], codes: set[str]) -> dict[str, jax.Array]:
        """The same, if they are like those of the first time that the function was traced."""
        if self.shapes is None:
            self.codes = codes
            return named
        for name in {*named, *self.shapes}:
            before, now = self.shapes.get(name), named.get(name)
            if (
                before is None
                or now is None
                or (before.shape, before.dtype)
                != (
                    now.shape,
                    now.dtype,
                )
            ):
                raise SweepError(
                    "The function must return the same structure at every call, but "
                    f"{name!r} was {_described(before)} and is {_described(now)}."
                )
        return named

    def _compile(self, *arguments: Any) -> Any:
        """The compiled function; only now, since a finished sweep needs none."""
        try:
            lowered = self._function.lower(*arguments)
        except (TypeError, ValueError) as error:
            if self._devices == 1:
                raise
            raise SweepError(
                f"The function does not pass through jax.shard_map: {_first_line(error)} Solvers of "
                "lineax and optimistix do not: give one device, devices=jax.local_devices()[:1], or "
                "use those of jaxsp.numerics."
            ) from error
        return lowered.compile()

    def __call__(
        self, parameters: Mapping[str, NDArray], index: NDArray
    ) -> "Callable[[], dict[str, NDArray]]":
        """Start the evaluation of a block; the function returned waits for its numbers."""
        spare = self._lanes - index.size

        def lanes(array, dtype):
            # The last point again, on lanes that are thrown away.
            filled = np.pad(np.asarray(array, dtype), (0, spare), mode="edge")
            return jax.device_put(filled, self._sharding)

        values = [lanes(parameters[name], self._dtype) for name in self._names]
        places = lanes(index, np.uint32)
        if self._compiled is None:
            self._compiled = self._compile(values, places)
        found = self._compiled(values, places)

        def wait() -> dict[str, NDArray]:
            return {name: np.asarray(a)[: index.size] for name, a in found.items()}

        return wait


def _hash(text: str) -> str:
    # Names of objects by their place in memory are another every time.
    return hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", text).encode()).hexdigest()[:16]


def _described(leaf: Any) -> str:
    return "absent" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
