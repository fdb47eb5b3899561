"""The style that all figures share: colours, sizes, line widths."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY_BLUE, VERMILLION, YELLOW)
"""Colours that people with any kind of colour blindness tell apart (Okabe and Ito, 2008), less the black."""

PALETTE_RGB = np.array([to_rgb(colour) for colour in PALETTE])
"""The palette as numbers, float64, ``(7, 3)``, in ``[0, 1]``."""

COLUMN_WIDTH = 3.3
"""Inches: one column of a two-column paper."""

PAGE_WIDTH = 7.0
"""Inches: both columns."""

TITLE_SIZE = 8.0
"""Points, at printed size: titles and labels."""

TICK_SIZE = 7.0
"""Points: numbers on axes, legends."""
