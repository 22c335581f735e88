"""Symmetric door and binary weights: the overlap first leaves zero, then jumps to one."""

from dataclasses import replace

import numpy as np

from .. import channels, glm, priors
from . import _reference
from ._recovery import Recovery, amp_row, draw, threshold_row
from ._registry import Context, Figure


def make(context: Context) -> Figure:
    """Recovery of binary weights from the label of a symmetric door."""
    door = channels.SymmetricDoor()
    recovery = Recovery(
        name="symmetric-door",
        title="Symmetric door, binary weights",
        model=glm.GLM(priors.Rademacher(), door),
        alphas=(0.05, 2.2),
        measured_at=(0.5, 1.0, 1.9, 2.1),
        random_start=True,
    )
    figure, found = draw(recovery, context)
    # Linear response at zero overlap: 1 / alpha = sum_y Z (d log Z / d omega^2)^2 = (4 K phi(K))^2.
    wall = float(door.width)
    slope = 4 * wall * np.exp(-wall * wall / 2) / np.sqrt(2 * np.pi)
    rows = [
        threshold_row(
            recovery, "weak-recovery threshold", found.weak_recovery, float(1 / slope**2), 1e-9,
            "linear response at zero overlap, closed form",
        ),
        threshold_row(
            recovery, "information-theoretic threshold", found.information_theoretic, 1.0, 1e-9,
            "counting: one balanced label for each binary weight",
        ),
        threshold_row(
            recovery, "algorithmic threshold", found.algorithmic,
            _reference.symmetric_door_spinodal(wall), 1e-8, "numpy quadrature, scipy minimisation",
        ),
        threshold_row(
            recovery, "algorithmic threshold, literature", found.algorithmic, 1.566, 5e-3,
            "arXiv 1708.03395",
        ),
        amp_row(recovery, figure, 0.5),
        amp_row(recovery, figure, 2.1),
    ]  # fmt: skip
    return replace(figure, rows=rows)
