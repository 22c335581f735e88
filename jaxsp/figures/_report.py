"""The numbers that a figure checks, and the file they are written to."""

import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One checked number.

    Attributes:
        name: what it is; starts with the figure's name and a slash.
        value: ours.
        uncertainty: of ours.
        reference: what it is compared with: an independent computation, a closed form, the literature.
        reference_uncertainty: of the reference, its rounding if it is printed with few digits.
        source: where the reference comes from.
    """

    name: str
    value: float
    uncertainty: float
    reference: float
    reference_uncertainty: float
    source: str

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than the sum of their uncertainties.

        A sum, not a root of squares: the uncertainties are bounds (rounding, tolerances, several
        standard errors), not standard deviations. What is not finite never agrees.
        """
        allowed = self.uncertainty + self.reference_uncertainty
        # A plain bool, whatever the numbers' type: JSON takes no other.
        return math.isfinite(allowed) and bool(abs(self.value - self.reference) <= allowed)

    def as_json(self) -> dict[str, object]:
        """The row as it is written; numbers that are not finite become null."""

        def number(x: float) -> float | None:
            return float(x) if math.isfinite(x) else None

        return {
            "name": self.name,
            "value": number(self.value),
            "uncertainty": number(self.uncertainty),
            "reference": number(self.reference),
            "reference_uncertainty": number(self.reference_uncertainty),
            "source": self.source,
            "agrees": self.agrees,
        }


def write_report(path: Path, figure: str, rows: Sequence[Row]) -> None:
    """Replace a figure's rows in the report, keep those of other figures; atomic.

    Raises:
        ValueError: if a row is not named after its figure, or the file is not a report.
    """
    for row in rows:
        if not row.name.startswith(f"{figure}/"):
            raise ValueError(f"Row {row.name!r} must be named {figure + '/...'!r}.")
    kept = [old for old in read_report(path) if not str(old["name"]).startswith(f"{figure}/")]
    _write_atomically(path, json.dumps(kept + [row.as_json() for row in rows], indent=2) + "\n")


def read_report(path: Path) -> list[dict[str, object]]:
    """The rows of a report; none if there is no such file.

    Raises:
        ValueError: if the file is not a report.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not a report: {error}. Move it away.") from error
    is_report = isinstance(rows, list) and all(isinstance(r, dict) and "name" in r for r in rows)
    if not is_report:
        raise ValueError(f"{path} is not a report: it must be a list of rows. Move it away.")
    return rows


def _write_atomically(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def disagreements(rows: Iterable[Row]) -> list[Row]:
    """The rows that do not agree."""
    return [row for row in rows if not row.agrees]
