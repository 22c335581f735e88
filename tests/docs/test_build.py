"""What the building of the documentation adds to Markdown (needs the extra `docs`)."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("latex2mathml")
pytest.importorskip("jupytext")
sys.path.append(str(ROOT / "docs" / "_build"))

import execution  # noqa: E402
import mathml  # noqa: E402
import reference  # noqa: E402


def test_formulas_become_mathml():
    page = (
        r'<p>the <span class="arithmatex">\(m &lt; \rho\)</span></p>'
        r'<div class="arithmatex">\[ \sup_m \mathbb E\, \mathcal N(x) \]</div>'
    )
    drawn = mathml.replace_formulas(page)
    assert "arithmatex" not in drawn
    inline, block = (
        ElementTree.fromstring("<math" + part.split("</math>")[0] + "</math>")
        for part in drawn.split("<math")[1:]
    )
    space = "{http://www.w3.org/1998/Math/MathML}"
    assert inline.get("display") == "inline"
    assert inline.get("aria-label") == r"m < \rho"
    assert block.find(f".//{space}munder")[0].text == "sup"
    assert {"𝔼", "𝒩"} <= {node.text for node in block.iter(f"{space}mi")}


def test_blocks_share_names_and_show_what_they_print_and_draw():
    draw = (
        "from matplotlib import pyplot\nax = pyplot.subplots()[1]\nax.set(xlabel='$a$', ylabel='b')"
    )
    page = execution.run(["x = 2\nprint(x + 1)", draw + "\nassert x == 2"])
    first, second = page.outputs
    assert page.seconds > 0
    assert first.text == "3\n"
    assert first.pictures == []
    (alt, png), = second.pictures  # fmt: skip
    assert alt == "b against a"
    assert png.startswith(b"\x89PNG")


def test_an_exception_fails_and_says_where():
    with pytest.raises(execution.BlockError, match=r"block 2(.|\n)*ZeroDivisionError"):
        execution.run(["x = 0", "1 / x"])


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda p: p.stem)
def test_notebooks_become_pages(path):
    page = execution.notebook_as_markdown(path)
    assert page.startswith("# ")
    assert page.count("```python") >= 5
    assert "# %%" not in page


def test_every_public_module_has_a_page():
    names = dict(reference.pages())
    assert {"jaxsp.glm", "jaxsp.ising", "jaxsp.priors", "jaxsp.numerics"} <= set(names)
    page = reference.markdown("jaxsp.ising")
    assert "::: jaxsp.ising.heat_capacity" in page
    assert "::: jaxsp.ising.model" not in page
