r"""Formulas as MathML, from what arithmatex leaves of them: `\(...\)` and `\[...\]`."""

import html
import re
import unicodedata
from xml.etree import ElementTree

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL
)
_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_LIMITS = {"sup", "inf", "lim", "max", "min", "argmax", "argmin"}
_ALPHABETS = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}


def replace_formulas(page: str) -> str:
    """A page's HTML with its formulas drawn."""

    def drawn(match: re.Match) -> str:
        latex = html.unescape(match[3]).strip()
        display = "block" if match[2] == "[" else "inline"
        return as_mathml(latex, display)

    return _FORMULA.sub(drawn, page)


def as_mathml(latex: str, display: str = "inline") -> str:
    """One formula; with the source as its label for those who cannot see it."""
    ElementTree.register_namespace("", _NAMESPACE)
    tree = ElementTree.fromstring(convert(latex, display=display))
    for node in tree.iter():
        _limits_below(node, display)
        _letters(node)
    tree.set("aria-label", latex)
    return ElementTree.tostring(tree, encoding="unicode")


def _limits_below(node: ElementTree.Element, display: str) -> None:
    """`sup` and its like take what they run over below them in displayed formulas."""
    if display == "block" and node.tag == f"{{{_NAMESPACE}}}msub" and node[0].text in _LIMITS:
        node.tag = f"{{{_NAMESPACE}}}munder"


def _letters(node: ElementTree.Element) -> None:
    """Browsers draw other alphabets only by their own characters."""
    alphabet = _ALPHABETS.get(node.get("mathvariant", ""))
    if alphabet is None or not node.text or len(node.text) != 1:
        return
    kind = "CAPITAL" if node.text.isupper() else "SMALL"
    for prefix in ("MATHEMATICAL ", ""):
        try:
            node.text = unicodedata.lookup(f"{prefix}{alphabet} {kind} {node.text.upper()}")
        except KeyError:
            continue
        del node.attrib["mathvariant"]
        return
