"""Drawings of inspections and comparisons, with Matplotlib where it is installed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from initkit.drawing.kinds import draw
from initkit.drawing.panels import panels_of
from initkit.drawing.style import FAINT, PANEL, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from initkit.inspection import Inspection

__all__ = ["figure_of"]


def figure_of(inspection: Inspection) -> Figure:
    """Draw every table that has a plot, after and, muted, before in the same axes.

    Returns:
        A figure of its own, known to no window; ``figure.savefig(path)`` writes it.

    Raises:
        InitError: Matplotlib is not installed; says how to install it.
    """
    found = inspection.to_dict()
    panels = panels_of(found["tables"], found.get("before", {}).get("tables"))
    width, height = PANEL
    across = min(2, max(1, len(panels)))
    down = max(1, math.ceil(len(panels) / across))
    with styled():
        figure = new_figure(width * across, height * down)
        if not panels:
            figure.text(0.5, 0.5, "nothing to draw", ha="center", va="center", color=FAINT)
        for i, panel in enumerate(panels):
            draw(panel, figure.add_subplot(down, across, i + 1))
    return figure
