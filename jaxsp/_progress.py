"""How far a long computation is: a bar in a terminal, nothing elsewhere, or what a caller makes of it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a sweep, or a run over decades of time, is.

    Attributes:
        done: points (or decades) that are finished, those of earlier runs included.
        total: of the whole.
        points_per_second: speed of this run.
        seconds_left: until the end, at this speed.
    """

    done: float | int
    total: float | int
    points_per_second: float
    seconds_left: float


@contextmanager
def reporting(
    wanted: bool | Callable[[Progress], None] | None,
    done: float | int,
    total: float | int,
    unit: str = "points",
    digits: int = 0,
) -> Iterator[Callable[[float | int], None]]:
    """Give a function to be told of every number of points that is finished."""
    start, now = time.perf_counter(), done

    def report(tell: Callable[[Progress], None], points: float | int) -> None:
        nonlocal now
        now += points
        speed = (now - done) / max(time.perf_counter() - start, 1e-9)
        left = (total - now) / speed if speed > 0 else float("inf")
        tell(Progress(now, total, speed, left))

    if callable(wanted):
        tell = wanted
        yield lambda points: report(tell, points)
    elif wanted or (wanted is None and sys.stderr.isatty()):
        with _bar(done, total, unit, digits) as draw:
            yield lambda points: report(draw, points)
    else:
        yield lambda points: None


@contextmanager
def _bar(
    done: float | int, total: float | int, unit: str, digits: int
) -> Iterator[Callable[[Progress], None]]:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress as Display, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:
        yield lambda progress: print(
            f"\r{progress.done:.{digits}f}/{progress.total:.{digits}f} {unit}, "
            f"{progress.points_per_second:.3g}/s, {progress.seconds_left:.0f} s left ",
            end="\n" if progress.done == progress.total else "",
            file=sys.stderr,
            flush=True,
        )
        return
    columns = (
        BarColumn(),
        TextColumn(f"{{task.completed:.{digits}f}}/{{task.total:.{digits}f}} {unit}"),
        TextColumn("{task.fields[speed]:.3g}/s"),
        TimeRemainingColumn(),
    )
    with Display(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("", total=total, completed=done, speed=0.0)  # pyright: ignore[reportArgumentType]

        def draw(progress: Progress) -> None:
            display.update(task, completed=progress.done, speed=progress.points_per_second)

        yield draw
