"""Does confidence predict IoU?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from hipdet.visualization.colours import QUIET_LINE
from hipdet.visualization.figure_frame import panels, write_figure


def write_calibration(path: str | os.PathLike[str], bands: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Write mean IoU over mean confidence as PNG, a line for each name.

    Args:
        path: PNG to write.
        bands: ``avg_confidence`` and ``avg_iou`` of bands of rising confidence, by name.
    """
    figure, (axes,) = panels(1, width=6)
    axes.axline((1, 1), slope=1, color=QUIET_LINE, linewidth=0.8, linestyle="--", label="confidence = IoU")
    for name, points in bands.items():
        x, y = ([point[key] for point in points] for key in ("avg_confidence", "avg_iou"))
        axes.plot(x, y, marker="o", label=name)
    axes.set(
        title="IoU by confidence", xlabel="mean confidence of a band", ylabel="mean IoU of its ROIs", xlim=(0, 1.02)
    )
    lowest = min(point["avg_iou"] for points in bands.values() for point in points)
    axes.set_ylim(max(0.0, lowest - 0.05), 1.0)
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(path, figure)
