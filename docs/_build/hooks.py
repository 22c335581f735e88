"""What `mkdocs build` does beyond Markdown: run the code, draw formulas, list the reference.

Every block of a page that is fenced as `python` is run, in order and in one process for each page;
what it prints and draws stands below it, and an exception fails the build. Notebooks become pages.
Formulas become MathML, which browsers draw without scripts or a network. Set `JAXSP_DOCS_RUN=0` to build
without running anything, while writing.
"""

import logging
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import execution
import mathml
import reference
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

_FENCE = re.compile(r"^```python\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
log = logging.getLogger("mkdocs.hooks")
_runs: dict[str, Future] = {}


def on_config(config):
    """Put the generated reference into the navigation."""
    config.nav.append({"Reference": [{name: uri} for name, uri in reference.pages()]})
    return config


def on_files(files, config):
    """Add notebooks and reference as pages, and start to run the pages' code."""
    for notebook in sorted(Path(config.config_file_path).parent.glob("notebooks/*.py")):
        content = execution.notebook_as_markdown(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=content))
    for name, uri in reference.pages():
        files.append(File.generated(config, uri, content=reference.markdown(name)))
    if os.environ.get("JAXSP_DOCS_RUN", "1") == "0":
        return files
    # Compiling takes most of the time, and one core for each page.
    with ThreadPoolExecutor(max_workers=2) as pool:
        # The notebooks, which come last, take longest: first.
        for file in reversed(files.documentation_pages()):
            blocks = _FENCE.findall(file.content_string)
            if blocks:
                _runs[file.src_uri] = pool.submit(execution.run, blocks)
    return files


def on_page_markdown(markdown, page, config, files):
    """Put what the code printed and drew below it."""
    run = _runs.pop(page.file.src_uri, None)
    if run is None:
        return markdown
    try:
        result = run.result()
    except execution.BlockError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
    log.info("%s: ran for %.0f s", page.file.src_uri, result.seconds)
    outputs = iter(result.outputs)

    def with_output(match):
        output = next(outputs)
        parts = [match[0].rstrip("\n")]
        if output.text:
            parts.append(f"```text\n{output.text.rstrip()}\n```")
        for alt, png in output.pictures:
            uri = f"pictures/{page.file.src_uri.removesuffix('.md')}-{len(pictures)}.png"
            files.append(File.generated(config, uri, content=png))
            up = "../" * page.file.src_uri.count("/")
            pictures.append(uri)
            parts.append(f"![{alt}]({up}{uri})")
        return "\n\n".join(parts) + "\n\n"

    pictures: list[str] = []
    return _FENCE.sub(with_output, markdown)


def on_page_content(html, page, config, files):
    """Draw the formulas."""
    return mathml.replace_formulas(html)
