"""How IoU is spread over ROIs."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from hipdet.evaluation.figures import roi_figures
from hipdet.visualization.colours import BARS, QUIET_LINE, RANGE
from hipdet.visualization.evaluated_rois import EvaluatedRois
from hipdet.visualization.figure_frame import panels, write_figure

BINS = np.linspace(0, 1, 41)
HIT = 0.5


def write_iou_histogram(path: str | os.PathLike[str], series: Mapping[str, EvaluatedRois]) -> None:
    """Write a histogram of IoU as PNG, a panel for each name, with the share of ROIs and the paper's figures.

    Args:
        path: PNG to write.
        series: ROIs by name; at least one of each.
    """
    figure, axes = panels(len(series), share=True)
    for axis, (name, rois) in zip(axes, series.items()):
        share = np.full(len(rois.iou), 1 / len(rois.iou))
        axis.hist(rois.iou, BINS, weights=share, color=BARS)
        axis.axvline(HIT, color=QUIET_LINE, linewidth=0.8, linestyle="--")
        axis.axvline(rois.iou.mean(), color=RANGE, linewidth=1.2)
        figures = roi_figures(rois.iou, rois.confidence)
        text = (
            f"{figures['num_rois']:.0f} ROIs\nmean {figures['avg_iou']:.3f}\nminimum {figures['min_iou']:.3f}\n"
            f"{figures['acc50']:.1%} from 0.5 up\n{figures['acc75']:.1%} from 0.75 up"
        )
        axis.text(0.03, 0.97, text, transform=axis.transAxes, verticalalignment="top")
        axis.set(title=name, xlabel="IoU", ylabel="share of ROIs", xlim=(0, 1))
        axis.grid(alpha=0.3)
    write_figure(path, figure)
