"""Figures that cost nothing, for tests of the machinery."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Picture

from jaxsp.figures import Figure, Row


def _figure(rows):
    picture = Picture()
    picture.subplots().plot([0, 1], [0, 1])
    return Figure(picture, xr.Dataset({"x": ("n", np.arange(3.0))}), rows)


def make(context):
    return _figure([Row("good/one", 1.0, 0.1, 1.05, 0.0, "arithmetic")])


class Wrong:
    @staticmethod
    def make(context):
        return _figure([Row("wrong/two", 2.0, 0.1, 3.0, 0.1, "arithmetic")])


class Broken:
    @staticmethod
    def make(context):
        raise ZeroDivisionError("on purpose")
