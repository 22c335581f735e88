"""The state of a long run in a file: whole or not at all, and only ever read for the same run."""

import hashlib
import os
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..numerics import RESULTS
from ._ratio_march import March, Rows
from .problem import SphericalDynamics, protocol_times


class Checkpoint:
    """Where the marches of a run are kept; nowhere if there is no path."""

    def __init__(self, path, problem: SphericalDynamics, solver: eqx.Module, t_max) -> None:
        self.path = None if path is None else pathlib.Path(path)
        self.fingerprint = _fingerprint(problem, solver, t_max)

    def read(self) -> list[March]:
        """The marches that were written, none if there is no file.

        Raises:
            ValueError: if the file is no checkpoint, or one of another run.
        """
        if self.path is None or not self.path.exists():
            return []
        try:
            with np.load(self.path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            fingerprint = str(content.pop("fingerprint"))
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise ValueError(
                f"Argument `checkpoint` must be a file that `dmft.solve` wrote, but {str(self.path)!r} "
                "is another one."
            ) from error
        if fingerprint != self.fingerprint:
            raise ValueError(
                "Argument `checkpoint` must be of the same problem, solver and `t_max`, but "
                f"{str(self.path)!r} is of others: give another path, or remove the file."
            )
        count = 1 + max(int(name.split("/")[0]) for name in content)
        return [_unpacked(content, march) for march in range(count)]

    def write(self, marches: list[March]) -> None:
        """Replace the file by one with these marches, in one go."""
        if self.path is None:
            return
        content = {"fingerprint": np.asarray(self.fingerprint)}
        for number, march in enumerate(marches):
            content.update(_packed(march, number))
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with open(beside, "wb") as file:
                np.savez(file, **content)  # pyright: ignore[reportArgumentType]
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        finally:
            beside.unlink(missing_ok=True)


def _packed(march: March, number: int) -> dict[str, np.ndarray]:
    """The march's numbers by name; of the rows those that are there."""
    count = int(march.rows.count)
    packed = {}
    for name in march.rows.__dataclass_fields__:
        value = np.asarray(getattr(march.rows, name))
        packed[f"{number}/rows/{name}"] = value[:count] if value.ndim else value
    packed[f"{number}/room"] = np.asarray(march.rows.clock.size)
    for name in march.__dataclass_fields__:
        if name not in ("rows", "result"):
            packed[f"{number}/{name}"] = np.asarray(getattr(march, name))
    packed[f"{number}/result"] = np.asarray(march.result._value)
    return packed


def _unpacked(content: dict[str, np.ndarray], number: int) -> March:
    room = int(content[f"{number}/room"])
    rows = {}
    for name in Rows.__dataclass_fields__:
        value = content[f"{number}/rows/{name}"]
        if value.ndim:
            fill = np.inf if name == "clock" else 0.0
            whole = np.full((room, *value.shape[1:]), fill, value.dtype)
            whole[: len(value)] = value
            value = whole
        rows[name] = jnp.asarray(value)
    others = {
        name: jnp.asarray(content[f"{number}/{name}"])
        for name in March.__dataclass_fields__
        if name not in ("rows", "result")
    }
    code = eqx.tree_at(
        lambda result: result._value,
        RESULTS.successful,
        jnp.asarray(content[f"{number}/result"]),
    )
    return March(rows=Rows(**rows), result=code, **others)


def _fingerprint(problem: SphericalDynamics, solver: eqx.Module, t_max) -> str:
    """Of all that decides the numbers; a function of time is known by its values."""
    times = protocol_times(t_max)
    temperature, strengths = (
        jax.vmap(f)(times) for f in (problem.temperature_at, problem.strengths_at)
    )
    start = jnp.asarray(problem.start, t_max.dtype)
    numbers = (
        problem.covariance.coefficients,
        problem.signal.coefficients,
        temperature,
        strengths,
        start,
        t_max,
    )
    digest = hashlib.sha256(repr((5, problem.covariance.degrees, solver)).encode())
    for value in numbers:
        array = np.asarray(value)
        digest.update(str(array.dtype).encode() + array.tobytes())
    return digest.hexdigest()
