"""At which sizes of ROI is IoU low?"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hipdet.visualization.colours import BARS, QUIET_LINE, RANGE
from hipdet.visualization.evaluated_rois import EvaluatedRois
from hipdet.visualization.figure_frame import panels, write_figure

BANDS = 8
Floats = NDArray[np.float64]


def write_iou_by_ratio(path: str | os.PathLike[str], series: Mapping[str, EvaluatedRois]) -> None:
    """Write IoU over ratio_ROI/image as PNG, a panel for each name: every ROI, and the mean of bands of equal number.

    Args:
        path: PNG to write.
        series: ROIs by name, with their ratios; at least one of each.
    """
    figure, axes = panels(len(series), share=True)
    for axis, (name, rois) in zip(axes, series.items()):
        axis.plot(rois.ratio, rois.iou, ".", color=BARS, markersize=4, alpha=0.5, label=f"{len(rois.iou)} ROIs")
        bands = band_means(rois.ratio, rois.iou)
        axis.plot(bands[:, 0], bands[:, 1], "o-", color=RANGE, markersize=4, label="mean of a band")
        axis.axhline(0.5, color=QUIET_LINE, linewidth=0.8, linestyle="--")
        axis.set(title=name, xlabel="ratio_ROI/image", ylabel="IoU", ylim=(-0.02, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    write_figure(path, figure)


def band_means(ratio: Floats, iou: Floats, bands: int = BANDS) -> Floats:
    """Mean ratio and mean IoU ``[B, 2]`` of at most `bands` bands of equal number by rising ratio."""
    order = np.argsort(ratio, kind="stable")
    parts = np.array_split(order, min(bands, len(order)))
    return np.array([[ratio[part].mean(), iou[part].mean()] for part in parts])
