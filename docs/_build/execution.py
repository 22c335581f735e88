"""Running the Python of a page, and what it prints and draws."""

import json
import os
import subprocess
import sys
import tempfile
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import jupytext


class BlockError(Exception):
    """A block of code raised."""


@dataclass(frozen=True)
class Output:
    """What one block printed, and its pictures with a text in their place."""

    text: str
    pictures: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Page:
    """What the blocks of a page gave, and the processor's time that they took."""

    outputs: list[Output]
    seconds: float


def run(blocks: list[str]) -> Page:
    """Run blocks of code one after the other in a new process, in an empty folder.

    Raises:
        BlockError: if one of them raises.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MPLBACKEND": "agg"}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("run_blocks.py"))],
            input=json.dumps(blocks), capture_output=True, text=True, cwd=folder, env=environment,
            check=False,
        )  # fmt: skip
        result = Path(folder) / "outputs.json"
        if done.returncode != 0 or not result.exists():
            raise BlockError(f"the page's code failed:\n{done.stderr}")
        found = json.loads(result.read_text())
    outputs = [
        Output(output["text"], [(alt, b64decode(png)) for alt, png in output["pictures"]])
        for output in found["outputs"]
    ]
    return Page(outputs, found["seconds"])


def notebook_as_markdown(path: Path) -> str:
    """A notebook in jupytext's percent format as a page."""
    parts = []
    for cell in jupytext.read(path).cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
    return "\n\n".join(parts) + "\n"
