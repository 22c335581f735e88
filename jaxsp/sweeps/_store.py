"""Where results are kept: in memory, or in a zarr store that survives what happens to the process."""

import errno
import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from ._errors import StoreError, StoreMismatchError
from ._grid import Blocks
from ._variables import Output

_IDENTITY, _PROGRESS = "sweep", "progress"

Coordinate = tuple[str, tuple[str, ...], NDArray, Mapping[str, Any]]


class Layout:
    """What a store of a sweep holds.

    Attributes:
        blocks: how the grid is cut.
        dims: the grid's dimensions.
        outputs: the variables.
        coordinates: name, dimensions, values and attributes of each.
        attributes: of the whole.
        identity: what makes two sweeps the same; in it, everything that decides the numbers.
    """

    def __init__(
        self,
        blocks: Blocks,
        dims: tuple[str, ...],
        outputs: Sequence[Output],
        coordinates: Sequence[Coordinate],
        attributes: Mapping[str, Any],
        identity: Mapping[str, Any],
    ):
        self.blocks = blocks
        self.dims = dims
        self.outputs = tuple(outputs)
        self.coordinates = tuple(coordinates)
        self.attributes = dict(attributes)
        self.identity = dict(identity)


class Memory:
    """Results as arrays of this process."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._arrays = {
            out.name: np.full(layout.blocks.shape + out.shape, out.missing, out.dtype)
            for out in layout.outputs
        }

    def missing(self) -> list[int]:
        """The blocks that are still to be evaluated: all of them."""
        return list(self._layout.blocks)

    def write(self, number: int, found: Mapping[str, NDArray]) -> None:
        """Keep one block."""
        region = self._layout.blocks.region(number)
        for name, array in _boxes(region, found):
            self._arrays[name][region] = array

    def dataset(self) -> xr.Dataset:
        """All of them, labelled."""
        layout = self._layout
        variables = {
            out.name: (layout.dims + out.dims, self._arrays[out.name], dict(out.attributes))
            for out in layout.outputs
        }
        coordinates = {
            name: (dims, values, dict(attributes))
            for name, dims, values, attributes in layout.coordinates
        }
        return xr.Dataset(variables, coordinates, layout.attributes)


class Store:
    """Results in a zarr store on disk, one chunk of each array a block.

    Each chunk is written to a file of its own under another name and then renamed. The checksum of
    all chunks of a block, written last, says that it is finished; what it does not fit, as after a
    loss of power, is evaluated again.
    """

    def __init__(self, path: Path, layout: Layout):
        self._path, self._layout = path, layout
        self._group: Any = None

    def create(self) -> None:
        """Make the store, or check that the one there is of the same sweep.

        Raises:
            StoreMismatchError: if something else is there.
            StoreError: if it cannot be written.
        """
        if self._path.exists() and not (self._path.is_dir() and not any(self._path.iterdir())):
            self.open()
            for left in self._path.rglob("*.partial"):
                left.unlink(missing_ok=True)
            return
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # All of it appears at once, under its name, or not at all.
            partial = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.parent))
            try:
                self._fill(partial)
                partial.chmod(0o777 & ~_umask())
                partial.replace(self._path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        self.open()

    def _fill(self, path: Path) -> None:
        layout = self._layout
        # As text, which every format of files can hold.
        attributes: Any = layout.attributes | {_IDENTITY: json.dumps(layout.identity)}
        group = zarr.open_group(str(path), mode="w", attributes=attributes)
        for name, dims, values, attributes in layout.coordinates:
            array = group.create_array(
                name, shape=values.shape, dtype=values.dtype, dimension_names=dims,
                attributes=dict(attributes),
            )  # fmt: skip
            array[...] = values
        for out in layout.outputs:
            group.create_array(
                out.name, shape=layout.blocks.shape + out.shape, dtype=out.dtype,
                chunks=layout.blocks.block + tuple(max(n, 1) for n in out.shape),
                dimension_names=layout.dims + out.dims, fill_value=out.missing,
                attributes=dict(out.attributes),
            )  # fmt: skip
        progress = group.create_group(_PROGRESS)
        # One file for each block, of eight bytes: nothing is shared between processes.
        progress.create_array(
            "checksum", shape=(len(layout.blocks),), chunks=(1,), dtype="int64", fill_value=-1,
            compressors=None,
        )  # fmt: skip

    def open(self) -> None:
        """Open the store that is there.

        Raises:
            StoreMismatchError: if it is none, or one of another sweep.
        """
        try:
            group = zarr.open_group(str(self._path), mode="r+", use_consolidated=False)
            identity = json.loads(str(group.attrs.asdict().get(_IDENTITY)))
        except (OSError, ValueError):
            identity = None
        if not isinstance(identity, dict):
            raise StoreMismatchError(
                f"Argument `store` must be a new folder or the store of this sweep, but "
                f"{self._path} is something else. Give another name, or remove it."
            )
        difference = _difference(identity, self._layout.identity)
        if difference:
            raise StoreMismatchError(
                f"{self._path} is the store of another sweep: {difference}. Give another name, or "
                "remove it."
            )
        self._group = group

    def missing(self) -> list[int]:
        """The blocks that are not there, or not as they were written."""
        checksums = self._group[_PROGRESS]["checksum"]
        finished = {
            int(name)
            for name in _files(self._path / _PROGRESS / "checksum" / "c")
            if name.isdigit()
        }
        return [
            number
            for number in self._layout.blocks
            if number not in finished or not self._intact(number, checksums)
        ]

    def _intact(self, number: int, checksums: Any) -> bool:
        region = self._layout.blocks.region(number)
        try:
            kept = {out.name: self._group[out.name][region] for out in self._layout.outputs}
            return int(checksums[number]) == _checksum(kept)
        # A torn file is whatever the codec makes of it.
        except Exception:
            return False

    def write(self, number: int, found: Mapping[str, NDArray]) -> None:
        """Keep one block.

        Raises:
            StoreError: if it cannot be written; finished blocks are still there.
        """
        region = self._layout.blocks.region(number)
        boxes = dict(_boxes(region, found))
        with self._writing():
            for name, array in boxes.items():
                self._group[name][region] = array
            self._group[_PROGRESS]["checksum"][number] = _checksum(boxes)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            advice = (
                "Make room and run the sweep again: what is finished is kept."
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                else "Argument `store` must be in a folder that can be written to."
            )
            raise StoreError(f"{self._path} could not be written: {reason}. {advice}") from error

    def finish(self) -> None:
        """Gather the metadata of all arrays in one file, as `xarray.open_zarr` likes it."""
        with self._writing(), warnings.catch_warnings():
            # It warns that other programs than zarr's may not read this yet: they need not.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(self._path))

    def dataset(self) -> xr.Dataset:
        """All of them, labelled; arrays are read when they are looked at."""
        return read_store(self._path)


def read_store(path: Path) -> xr.Dataset:
    """The dataset in a store, finished or not; its arrays are read when they are looked at."""
    return xr.open_zarr(str(path), consolidated=False, chunks=None)


def _files(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _boxes(
    region: tuple[slice, ...], found: Mapping[str, NDArray]
) -> Iterator[tuple[str, NDArray]]:
    sides = tuple(cut.stop - cut.start for cut in region)
    for name, flat in found.items():
        yield name, np.ascontiguousarray(flat).reshape(sides + flat.shape[1:])


def _checksum(boxes: Mapping[str, NDArray]) -> int:
    total = 0
    for name in sorted(boxes):
        total = zlib.crc32(np.ascontiguousarray(boxes[name]).tobytes(), total)
    return total


def _difference(kept: Mapping[str, Any], wanted: Mapping[str, Any], where: str = "") -> str:
    """The first differences between two identities, in words."""
    words = []
    for name in [*kept, *(name for name in wanted if name not in kept)]:
        before, now = kept.get(name, "absent"), wanted.get(name, "absent")
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            words.append(_difference(before, now, f"{where}{name} "))
        else:
            words.append(f"its {where}{name} is {before}, not {now}")
    return "; ".join(words[:4])
