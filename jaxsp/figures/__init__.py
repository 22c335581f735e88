"""The talk's figures, one small module each; they are also the best examples of the API.

A figure module has one function `make(context) -> Figure`. It is entered in `FIGURES` by name; nothing
of it is imported before it is asked for.
"""

from ._registry import FIGURES as FIGURES, Context as Context, Entry as Entry, Figure as Figure
from ._report import Row as Row
from ._run import reproduce as reproduce
