"""Figures that cost nothing, for tests of the machinery."""

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture

from jaxsp.figures import Entry, Figure, Row


def _figure(rows):
    picture = Picture()
    picture.subplots().plot([0, 1], [0, 1])
    return Figure(picture, xr.Dataset({"x": ("n", np.arange(3.0))}), rows)


class Good:
    @staticmethod
    def make(context):
        list(context.progress(range(2), "nothing"))
        return _figure([Row("good/one", 1.0, 0.1, 1.05, 0.0, "arithmetic")])


class Wrong:
    @staticmethod
    def make(context):
        return _figure([Row("wrong/two", 2.0, 0.1, 3.0, 0.1, "arithmetic")])


class Broken:
    @staticmethod
    def make(context):
        raise ZeroDivisionError("on purpose")


class Compiled:
    @staticmethod
    def make(context):
        optimised = not jax.config.read("jax_disable_most_optimizations")
        return _figure([Row("compiled/optimised", float(optimised), 0.0, 1.0, 0.0, "the flag")])


class Fake(Entry):
    """An entry whose `module` is a class here; it can be sent to another process."""

    def make(self, context):
        return globals()[self.module].make(context)


TABLE: dict[str, Entry] = {name.lower(): Fake("fake", name) for name in ("Good", "Wrong", "Broken")}
