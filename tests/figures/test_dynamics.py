"""The figures of dynamics: their numbers agree, and would not if one of them were wrong."""

import dataclasses

import numpy as np
import pytest

from jaxsp.figures import Context, gradient_flow, langevin_state_evolution, pspin_aging


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "count"), [(langevin_state_evolution, 5), (gradient_flow, 7), (pspin_aging, 7)]
)
def test_quick_figure(module, count):
    made = module.make(Context(quick=True))
    assert len(made.rows) == count
    for row in made.rows:
        assert row.agrees, row
        # A fifth more or less would be seen in every one of them.
        for factor in (0.8, 1.2):
            assert not dataclasses.replace(row, value=factor * row.value).agrees, row
    assert all(np.isfinite(made.data[name]).all() for name in made.data)
