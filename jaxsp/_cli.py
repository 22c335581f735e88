"""The commands, thin over `jaxsp.figures` and `jaxsp.sweeps`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import typer
from numpy.typing import NDArray
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

_FOR_SWEEPS = ("matplotlib", "xarray", "zarr", "h5netcdf", "h5py")
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
    images: Annotated[
        Path | None,
        typer.Option(help="Images instead of digits: npz, or idx as of MNIST, gzipped or not."),
    ] = None,
    image_labels: Annotated[
        Path | None, typer.Option(help="Labels of the images, if they are idx files.")
    ] = None,
) -> None:
    """Draw the talk's figures and check their numbers, in double precision.

    Writes NAME.png, NAME.nc and report.json to the folder. The exit status is 1 if a number
    disagrees with its reference or a figure fails, 2 if the arguments are wrong.
    """
    import jax

    _require(_NEEDED)
    from .inputs import load_images

    # A program may choose its precision; the library never does at import.
    jax.config.update("jax_enable_x64", True)
    try:
        with _bars() as progress:
            if image_labels is not None and images is None:
                raise ValueError("Argument `--image-labels` needs `--images`, which is not given.")
            if images is not None:
                load_images(images, image_labels)
            context = Context(quick, seed, images, image_labels, progress)
            outcomes = make_figures(names or [], out, context, on_done=_tell)
    except ValueError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"Argument `--out` must be a folder that can be written to: {error}")
    console.print(f"Wrote {escape(str(out / 'report.json'))}")
    if not all(outcome.succeeded for outcome in outcomes):
        raise typer.Exit(1)


_RANGE = "START:STOP:POINTS or one value"


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sweep(
    context: typer.Context,
    prior: Annotated[str, typer.Option(help="Law of the weights, as rademacher or gaussian.")],
    channel: Annotated[str, typer.Option(help="Law of the outputs, as sign or linear.")],
    alpha: Annotated[str, typer.Option(help=f"Samples per weight: {_RANGE}.", metavar="RANGE")],
    out: Annotated[Path, typer.Option(help="Folder of the data, NAME.zarr; run again to resume.")],
    quantity: Annotated[str | None, typer.Option(help="What the picture shows.")] = None,
    float32: Annotated[bool, typer.Option("--float32", help="In single precision.")] = False,
) -> None:
    """Compute a diagram of a model over alpha and its parameters, on all devices.

    Every parameter of the prior and the channel is an option too: --noise-variance 0.001:0.1:50,
    --sparsity 0.2. Writes NAME.zarr, which a stopped sweep goes on from if the same command is run
    again, and the picture NAME.png.
    """
    import jax

    _require(_FOR_SWEEPS)
    from . import sweeps
    from ._diagram import diagram

    jax.config.update("jax_enable_x64", not float32)
    try:
        if out.suffix != ".zarr":
            raise ValueError(f"Argument `--out` must end in .zarr, but is {str(out)!r}.")
        ranges = {"alpha": _values("--alpha", alpha)} | _extra_ranges(context.args)
        data = diagram(prior, channel, ranges, store=out, progress=console.is_terminal)
    except (ValueError, sweeps.SweepError, sweeps.StoreError) as error:
        _refuse(str(error))
    console.print(f"Wrote {escape(str(out))}")
    failed = int((data["status"] != 0).sum())
    if failed:
        console.print(f"[yellow]{failed} points are not to be trusted: see `status`.[/yellow]")
    ranged = [name for name, values in ranges.items() if values.size > 1]
    if len(ranged) in (1, 2):
        _draw(out, quantity, out.with_suffix(".png"))
    else:
        console.print(f"No picture: it would have {len(ranged)} dimensions, not one or two.")


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(help="Data of a sweep: NAME.zarr or NAME.nc.")],
    quantity: Annotated[str | None, typer.Option(help="What the picture shows.")] = None,
    out: Annotated[Path | None, typer.Option(help="The picture; NAME.png if not given.")] = None,
) -> None:
    """Draw the data of a sweep: a curve over one parameter, maps and thresholds over two."""
    _require(_FOR_SWEEPS)
    _draw(file, quantity, file.with_suffix(".png") if out is None else out)


def _draw(file: Path, quantity: str | None, out: Path) -> None:
    from . import sweeps
    from ._diagram_picture import picture

    try:
        picture(sweeps.load(file), quantity).savefig(out, dpi=150)
    except (ValueError, OSError) as error:
        _refuse(str(error))
    console.print(f"Wrote {escape(str(out))}")


def _extra_ranges(words: list[str]) -> dict[str, NDArray]:
    """Options that are parameters of the model: `--noise-variance 0:1:5` or `--noise-variance=0`."""
    found: dict[str, NDArray] = {}
    words = list(words)
    while words:
        option, equals, text = words.pop(0).partition("=")
        if not option.startswith("--") or not (equals or words):
            raise ValueError(f"There must be an option and its value, but there is {option!r}.")
        name = option.removeprefix("--").replace("-", "_")
        found[name] = _values(option, text if equals else words.pop(0))
    return found


def _values(option: str, text: str) -> NDArray:
    """The values of `START:STOP:POINTS`, or a single one."""
    parts = text.split(":")
    try:
        start, stop, points = parts if len(parts) > 1 else (text, text, "1")
        values = np.linspace(float(start), float(stop), int(points))
    except ValueError as error:
        raise ValueError(f"Argument `{option}` must be {_RANGE}, but is {text!r}.") from error
    if values.size == 0 or not np.all(np.isfinite(values)):
        raise ValueError(
            f"Argument `{option}` must be finite and have at least one point, but is {text!r}."
        )
    return values


def _require(packages: Iterable[str]) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        _refuse(f'{", ".join(missing)} not installed: python -m pip install "jaxsp[figures]"')


def _refuse(message: str) -> NoReturn:
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
