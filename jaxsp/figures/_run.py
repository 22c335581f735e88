"""Making figures: pictures, data and the report, one after the other."""

import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .._checks import check_choice
from .._provenance import provenance
from ._registry import FIGURES, Context, Entry, Figure
from ._report import Row, write_report


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

    A figure that fails does not stop the others, and each is on disk as soon as those before it are.

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
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        # Drawn and written here, one by one: matplotlib's text layout does not like company.
        making = {name: threads.submit(figures[name].make, context) for name in names or figures}
        for name, figure in making.items():
            try:
                made = figure.result()
                _write(made, name, out)
                outcome = Outcome(name, made.rows, None)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                outcome = Outcome(name, [], error)
            outcomes.append(outcome)
            on_done(outcome)
    return outcomes


# Compiling takes most of the time of a figure and one core; two fill two, or overlap with computing.
_AT_ONCE = 2


def _write(figure: Figure, name: str, out: Path) -> None:
    figure.picture.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
    data = figure.data.assign_attrs(provenance())
    data.to_netcdf(out / f"{name}.nc", engine="h5netcdf")
    write_report(out / "report.json", name, figure.rows)
