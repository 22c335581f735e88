"""Datasets on disk."""

import shutil
import tempfile
from pathlib import Path

import xarray as xr

from ._store import read_store

_SUFFIXES = (".nc", ".zarr")


def save(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset to a NetCDF file (`.nc`) or a zarr folder (`.zarr`).

    What is at the path is replaced once everything is written.

    Raises:
        ValueError: if the path ends in neither.

    Example:
        >>> import tempfile
        >>> data = xr.Dataset({"overlap": ("alpha", [0.1, 0.2])})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(data, f"{folder}/data.nc")
        ...     print(load(f"{folder}/data.nc").overlap.values)
        [0.1 0.2]
    """
    path = Path(path)
    _check_suffix(path)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        partial = folder / path.name
        if path.suffix == ".nc":
            dataset.to_netcdf(partial, engine="h5netcdf")
        else:
            dataset.to_zarr(partial, consolidated=False)
        if path.is_dir():
            path.replace(folder / "old")
        partial.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load(path: str | Path) -> xr.Dataset:
    """Read a dataset: what `save` wrote, or the store of a sweep, finished or not.

    Raises:
        ValueError: if the path ends in neither `.nc` nor `.zarr`.
        FileNotFoundError: if there is nothing.
    """
    path = Path(path)
    _check_suffix(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}.")
    if path.suffix == ".nc":
        return xr.load_dataset(path, engine="h5netcdf")
    return read_store(path).load()


def _check_suffix(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"Argument `path` must end in {' or '.join(_SUFFIXES)}, but is {str(path)!r}."
        )
