"""Pictures of learning curves and phase diagrams, over plain arrays or jaxsp's solutions.

Every function draws on the axes `ax` (on new ones if it is None), returns them, and changes no
global setting of matplotlib. Colours are those of Okabe and Ito, which the colour-blind tell apart,
and what colour says is said by line style, hatching or marker as well, so that print keeps it.
"""

from ._curves import (
    branches as branches,
    hard_phase as hard_phase,
    threshold as threshold,
    thresholds as thresholds,
)
from ._diagrams import contour_map as contour_map, phase_diagram as phase_diagram
from ._points import instances as instances, measurements as measurements
from ._style import COLORS as COLORS, new_axes as new_axes
