"""The Ising figure: its numbers agree, and would not if one of them were wrong."""

import dataclasses

import numpy as np
import pytest

from jaxsp.figures import Context, ising_2d


@pytest.mark.slow
def test_quick_figure():
    made = ising_2d.make(Context(quick=True))
    assert len(made.rows) == 13
    for row in made.rows:
        assert row.agrees, row
        # A fifth more or less would be seen in every one of them.
        wrong = dataclasses.replace(row, value=1.2 * row.value)
        assert not wrong.agrees, row
    assert set(made.data.dims) == {"size", "temperature", "temperature_measured"}
    assert all(np.isfinite(made.data[name]).all() for name in made.data)
    # The peak of a torus is lower than the larger one's, and both are below the divergence.
    peaks = made.data["torus_heat_capacity"].max("temperature").to_numpy()
    assert peaks[0] < peaks[1] < float(made.data["heat_capacity"].max())
