"""The commands, thin over `jaxsp.figures`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import jaxsp

from .figures import FIGURES, Context, reproduce as make_figures
from .figures._run import Outcome

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
console = Console()
problems = Console(stderr=True)

_NEEDED = ("matplotlib", "xarray", "h5netcdf", "h5py", "sklearn")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(jaxsp.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The statistical physics of learning in JAX."""


@app.command("list")
def list_figures() -> None:
    """List the figures that `jaxsp reproduce` draws."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, entry in FIGURES.items():
        table.add_row(name, entry.title)
    console.print(table)


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Figures; all if none is named.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures, data and the report.")] = Path(
        "results"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller instances, coarser curves.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the instances.")] = 0,
) -> None:
    """Draw the talk's figures and check their numbers, in double precision.

    Writes NAME.png, NAME.nc and report.json to the folder. The exit status is 1 if a number
    disagrees with its reference or a figure fails, 2 if the arguments are wrong.
    """
    import jax

    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        _refuse(f'{", ".join(missing)} not installed: python -m pip install "jaxsp[figures]"')
    # A program may choose its precision; the library never does at import.
    jax.config.update("jax_enable_x64", True)
    try:
        with _bars() as progress:
            context = Context(quick=quick, seed=seed, progress=progress)
            outcomes = make_figures(names or [], out, context, on_done=_tell)
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"Argument `--out` must be a folder that can be written to: {error}")
    console.print(f"Wrote {escape(str(out / 'report.json'))}")
    if not all(outcome.succeeded for outcome in outcomes):
        raise typer.Exit(1)


def _refuse(message: str) -> None:
    problems.print(escape(message), style="red")
    raise typer.Exit(2)


def _tell(outcome: Outcome) -> None:
    if outcome.error is not None:
        console.print(f"[red]{outcome.name}: failed[/red] {escape(repr(outcome.error))}")
        return
    table = Table(title=outcome.name, title_justify="left", box=None, pad_edge=False)
    for header in ("number", "value", "reference", "agrees", "source"):
        table.add_column(header, overflow="fold")
    for row in outcome.rows:
        verdict = "[green]yes[/green]" if row.agrees else "[red]NO[/red]"
        name = row.name.removeprefix(f"{outcome.name}/")
        value = f"{row.value:.10g} ± {row.uncertainty:.1g}"
        reference = f"{row.reference:.10g} ± {row.reference_uncertainty:.1g}"
        table.add_row(escape(name), value, reference, verdict, escape(row.source))
    console.print(table)


@contextmanager
def _bars() -> Iterator[Callable[[Iterable, str], Iterator]]:
    """Progress bars in a terminal, nothing elsewhere; several at once share one display."""
    if not console.is_terminal:
        yield lambda steps, description: iter(steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:

        def progress(steps: Iterable, description: str) -> Iterator:
            task = display.add_task(description)
            yield from display.track(list(steps), task_id=task)
            display.remove_task(task)

        yield progress
