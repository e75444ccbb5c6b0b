"""What all figures share: their frame, and how they become files."""

from __future__ import annotations

import os
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hipdet.files import replacing

PANEL = 5.0  # inches
MOST_ABREAST = 4


def panels(count: int, width: float = PANEL, share: bool = False) -> tuple[Figure, list[Any]]:
    """A figure of `count` panels side by side, four in a row, each `width` inches wide; `share`: with common axes."""
    columns = min(count, MOST_ABREAST)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, PANEL * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write `figure` as PNG, whole or not at all: the same figure, the same bytes."""
    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary), metadata={"Software": None})
