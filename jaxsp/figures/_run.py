"""Making figures: pictures, data and the report."""

import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax

from .._checks import check_choice
from .._provenance import provenance
from ._registry import FIGURES, Context, Entry
from ._report import Row, write_report
from ._workers import relayed, workers


@dataclass(frozen=True)
class Outcome:
    """How the making of one figure ended."""

    name: str
    rows: Sequence[Row]
    error: BaseException | None

    @property
    def succeeded(self) -> bool:
        """Whether it was made and all of its numbers agree."""
        return self.error is None and all(row.agrees for row in self.rows)


def reproduce(
    names: Sequence[str],
    out: Path,
    context: Context,
    *,
    figures: dict[str, Entry] | None = None,
    on_done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Make figures into a folder: a PNG, a NetCDF file and rows of `report.json` for each.

    A figure that fails does not stop the others, and each is on disk as soon as it is made, its rows as
    soon as those before it are. On CPU, several are made at once by processes; they start like those
    of `multiprocessing`, so a script must call this under `if __name__ == "__main__"`.

    Args:
        names: which figures; all of them if empty.
        out: the folder; made if it does not exist.
        context: what the figures are told.
        figures: the table of figures (for tests).
        on_done: called after each, in their order.

    Raises:
        ValueError: if a name is unknown.
        OSError: if the folder cannot be written to.
    """
    figures = FIGURES if figures is None else figures
    for name in names:
        check_choice("name", name, figures)
    out.mkdir(parents=True, exist_ok=True)
    probe = out / ".write-test"
    probe.touch()
    probe.unlink()
    outcomes = []
    with _made(names or list(figures), out, context, figures) as making:
        for name, rows_of in making.items():
            try:
                rows = rows_of()
                write_report(out / "report.json", name, rows)
                outcome = Outcome(name, rows, None)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                outcome = Outcome(name, [], error)
            outcomes.append(outcome)
            on_done(outcome)
    return outcomes


# A process needs some gigabytes for what it compiles.
_AT_ONCE = 4


@contextmanager
def _made(
    names: Sequence[str], out: Path, context: Context, figures: dict[str, Entry]
) -> Generator[dict[str, Callable[[], Sequence[Row]]]]:
    """For each name a function that waits for the figure's rows."""
    # An accelerator is one process's.
    cores = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    count = min(len(names), cores, _AT_ONCE)
    if count == 1:
        yield {name: partial(_make, name, figures[name], out, context) for name in names}
        return
    with workers(count, context.progress) as pool:
        there = replace(context, progress=relayed)
        yield {name: pool.submit(_make, name, figures[name], out, there).result for name in names}


def _make(name: str, entry: Entry, out: Path, context: Context) -> Sequence[Row]:
    """Make a figure and write it, but for its rows: the report is one file for all."""
    with _compiling(fast=context.quick and not entry.simulates):
        figure = entry.make(context)
    figure.picture.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
    data = figure.data.assign_attrs(provenance())
    data.to_netcdf(out / f"{name}.nc", engine="h5netcdf")
    return figure.rows


@contextmanager
def _compiling(*, fast: bool) -> Generator[None]:
    """Compile twice as fast to slower code, or as the user's settings say."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, fast or before)
    try:
        yield
    finally:
        jax.config.update(name, before)
