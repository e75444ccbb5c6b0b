"""The colours of all pictures: the paper's yellow labels and red detections."""

from __future__ import annotations

LABEL, DETECTION = "#ffd400", "#ff2020"
TEXT, QUIET, OUTLINE, BACKGROUND = "#ffffff", "#a0a0a0", "#000000", "#181818"
GRID, RANGE = "#40c0ff", "#d02020"
BARS, QUIET_LINE = "#1f77b4", "#808080"
