"""Docstrings say `Example:`; griffe knows doctests under `Examples:`."""

import re

import griffe


class Examples(griffe.Extension):
    """Rename the section as the docstrings are read."""

    def on_instance(self, *, obj, **kwargs):
        """Called for each object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
