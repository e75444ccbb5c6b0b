"""Plots: anchors over a data set, IoU by ROI size, the distribution of IoU, IoU by score, and learning curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import nearest_cells
from hipdet.anchors.rois import Floats, Rois
from hipdet.core.errors import DatasetError
from hipdet.core.files import replacing
from hipdet.evaluation.matching import HIT
from hipdet.evaluation.metrics import roi_metrics
from hipdet.visualization.plot_data import EvaluatedRois, TrainingLog
from hipdet.visualization.tiles import BARS, DETECTION, GRID, LABEL, QUIET_LINE, RANGE

PANEL = 5.0  # inches


def panels(count: int, width: float = PANEL, share: bool = False, height: float = PANEL) -> tuple[Figure, list[Any]]:
    """A figure of `count` panels, four in a row, each `width` x `height` inches; with `share` they have common axes."""
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write `figure` as PNG, or as SVG if `path` ends in ``.svg``, wholly or not at all; equal figures give equal bytes."""
    with replacing(path) as temporary:
        if temporary.suffix == ".svg":
            with rc_context({"svg.hashsalt": "hipdet"}):  # else the names in it are random
                FigureCanvasSVG(figure).print_svg(str(temporary), metadata={"Date": None})
        else:
            FigureCanvasAgg(figure).print_png(str(temporary), metadata={"Software": None})


MOST_DRAWN = 40  # anchors of a cell; more can't be told apart


def write_anchor_figure(
    path: str | os.PathLike[str],
    data_sets: Mapping[str, Rois],
    anchors: AnchorSet,
    film: NDArray[np.uint8] | None = None,
    boxes: Floats | None = None,
) -> None:
    """Write the paper's Figure 4 for any data set.

    (A) long sides of films, (B) ratio_ROI/image with the range of the anchors, (C) the anchors of one cell.

    Args:
        path: PNG to write.
        data_sets: ROIs by the name of their data set.
        anchors: Anchors to draw.
        film: Grey film ``[H, W]`` to draw them on; None for a black background.
        boxes: ROIs of the film ``[N, 4]``, xyxy / long side.
    """
    figure, (sizes, ratios, cells) = panels(3)
    _histogram(sizes, {name: rois.long_sides for name, rois in data_sets.items()})
    sizes.set(title="A  size of films", xlabel="long side, pixels", ylabel="share of films")
    _histogram(ratios, {name: rois.sizes for name, rois in data_sets.items()})
    low, high = anchors.ratio_range
    ratios.axvspan(low, high, color=RANGE, alpha=0.12, label=f"anchors, {low:.1%} to {high:.1%}")
    for side in sorted({scale / grid for grid in anchors.grids for scale in anchors.scales}):
        ratios.axvline(side, color=RANGE, linewidth=0.6)
    ratios.legend()
    ratios.set(
        title="B  size of ROIs", xlabel="ratio_ROI/image (of the square of the same area)", ylabel="share of ROIs"
    )
    _draw_cells(cells, anchors, film, boxes)
    write_figure(path, figure)


def _histogram(axes, values: Mapping[str, Floats]) -> None:  # type: ignore[no-untyped-def]
    everything = np.concatenate(list(values.values()))
    # outliers go into the first and last bin
    low, high = np.quantile(everything, (0.001, 0.999))
    pad = 0.05 * (high - low) or 0.05 * high
    bins = np.linspace(max(low - pad, 0), high + pad, 41)
    for name, each in values.items():
        weights = np.full(len(each), 1 / len(each))
        kind = "stepfilled" if len(values) == 1 else "step"
        axes.hist(np.clip(each, bins[0], bins[-1]), bins, weights=weights, histtype=kind, label=name, alpha=0.8)
    axes.legend()


def _draw_cells(axes, anchors: AnchorSet, film: NDArray[np.uint8] | None, boxes: Floats | None) -> None:  # type: ignore[no-untyped-def]
    """The anchors of the cell at the middle of the first ROI, or at the middle of the film if there is none."""
    axes.set_facecolor("black")
    if film is not None:
        height, width = np.array(film.shape) / max(film.shape)
        axes.imshow(film, cmap="gray", extent=(0, width, height, 0), vmin=0, vmax=255, interpolation="antialiased")
    middle = np.array([0.5, 0.5]) if boxes is None or not len(boxes) else (boxes[0, :2] + boxes[0, 2:]) / 2
    for grid in anchors.grids:
        for line in np.arange(grid + 1) / grid:
            axes.plot([line, line], [0, 1], color=GRID, linewidth=0.4)
            axes.plot([0, 1], [line, line], color=GRID, linewidth=0.4)
        shapes = [(width, height) for own, width, height in anchors.shapes() if own == grid]
        x, y = (nearest_cells(middle, grid) + 0.5) / grid
        for width, height in shapes[:: -(-len(shapes) // MOST_DRAWN)]:
            axes.add_patch(_rectangle(x - width / 2, y - height / 2, width, height, DETECTION))
        axes.plot(x, y, ".", color=DETECTION, markersize=3)
    for x0, y0, x1, y1 in () if boxes is None else boxes:
        axes.add_patch(_rectangle(x0, y0, x1 - x0, y1 - y0, LABEL))
    axes.set(title=f"C  {anchors}", xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], aspect="equal")
    axes.title.set_fontsize(8)


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> Rectangle:
    return Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.2)


def write_iou_by_ratio(path: str | os.PathLike[str], series: Mapping[str, EvaluatedRois]) -> None:
    """Write IoU over ratio_ROI/image as PNG, one panel per name: every ROI, and the means of bands of equal size.

    Args:
        path: PNG to write.
        series: ROIs by name, with their ratios; at least one ROI per name.
    """
    figure, axes = panels(len(series), share=True)
    for axis, (name, rois) in zip(axes, series.items()):
        axis.plot(rois.ratio, rois.iou, ".", color=BARS, markersize=4, alpha=0.5, label=f"{len(rois.iou)} ROIs")
        bands = band_means(rois.ratio, rois.iou)
        axis.plot(bands[:, 0], bands[:, 1], "o-", color=RANGE, markersize=4, label="mean of a band")
        axis.axhline(HIT, color=QUIET_LINE, linewidth=0.8, linestyle="--")
        axis.set(title=name, xlabel="ratio_ROI/image", ylabel="IoU", ylim=(-0.02, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    write_figure(path, figure)


def band_means(ratio: Floats, iou: Floats, bands: int = 8) -> Floats:
    """Mean ratio and mean IoU ``[B, 2]`` of at most `bands` bands of equal size, by rising ratio."""
    order = np.argsort(ratio, kind="stable")
    parts = np.array_split(order, min(bands, len(order)))
    return np.array([[ratio[part].mean(), iou[part].mean()] for part in parts])


def write_iou_histogram(path: str | os.PathLike[str], series: Mapping[str, EvaluatedRois]) -> None:
    """Write a histogram of IoU as PNG, one panel per name, with the share of ROIs and the paper's metrics.

    Args:
        path: PNG to write.
        series: ROIs by name; at least one ROI per name.
    """
    figure, axes = panels(len(series), share=True)
    for axis, (name, rois) in zip(axes, series.items()):
        share = np.full(len(rois.iou), 1 / len(rois.iou))
        axis.hist(rois.iou, np.linspace(0, 1, 41), weights=share, color=BARS)
        axis.axvline(HIT, color=QUIET_LINE, linewidth=0.8, linestyle="--")
        axis.axvline(rois.iou.mean(), color=RANGE, linewidth=1.2)
        metrics = roi_metrics(rois.iou, rois.score)
        text = (
            f"{metrics['num_rois']:.0f} ROIs\nmean {metrics['avg_iou']:.3f}\nminimum {metrics['min_iou']:.3f}\n"
            f"{metrics['acc50']:.1%} at 0.5 or more\n{metrics['acc75']:.1%} at 0.75 or more"
        )
        axis.text(0.03, 0.97, text, transform=axis.transAxes, verticalalignment="top")
        axis.set(title=name, xlabel="IoU", ylabel="share of ROIs", xlim=(0, 1))
        axis.grid(alpha=0.3)
    write_figure(path, figure)


def write_calibration(
    path: str | os.PathLike[str],
    bands: Mapping[str, Sequence[Mapping[str, float]]],
    limits: Mapping[str, float] | None = None,
) -> None:
    """Write mean IoU over mean score as PNG, one line per name.

    Args:
        path: PNG to write.
        bands: ``avg_confidence`` and ``avg_iou`` of bands of ROIs by rising score, by name.
        limits: Scores from which a detection is an ROI, by class.
    """
    figure, (axes,) = panels(1, width=6)
    axes.axline((1, 1), slope=1, color=QUIET_LINE, linewidth=0.8, linestyle="--", label="score = IoU")
    for name, points in bands.items():
        x, y = ([point[key] for point in points] for key in ("avg_confidence", "avg_iou"))
        axes.plot(x, y, marker="o", label=name)
    for number, (name, limit) in enumerate((limits or {}).items(), len(bands)):
        axes.axvline(
            limit, color=f"C{number % 10}", linewidth=1, linestyle=":", label=f"an ROI of {name} from {limit:g}"
        )
    lowest = min(point["avg_iou"] for points in bands.values() for point in points)
    axes.set(title="IoU by score", xlabel="mean score of a band", ylabel="mean IoU of its ROIs")
    axes.set(xlim=(0, 1.02), ylim=(max(0.0, lowest - 0.05), 1.0))
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(path, figure)


def write_usual_ranges(path: Path, values: Mapping[str, Floats], usual: Mapping[str, Sequence[float | None]]) -> None:
    """Write a histogram of `values`, at least one per name, and the usual range, where one is known, as PNG or SVG."""
    figure, axes = panels(len(values), width=3, height=2.2)
    for axis, (name, each) in zip(axes, values.items()):
        axis.hist(each, 24, color=BARS)
        axis.set(title=f"{name}  (n = {len(each)})", yticks=[])
        if name in usual:
            low, high = (edge if end is None else end for end, edge in zip(usual[name], axis.get_xlim()))
            axis.axvspan(low, high, color=RANGE, alpha=0.15, zorder=0)
    write_figure(path, figure)


METRICS = {"roi/avg_iou": "o-", "roi/acc50": "s--", "coco/bbox_mAP": "^:"}  # validation metrics and their line styles


def write_learning_curves(path: str | os.PathLike[str], runs: Mapping[str, TrainingLog]) -> None:
    """Write loss, learning rate and, if there was validation, its metrics by epoch as PNG; one colour per run.

    Args:
        path: PNG to write.
        runs: Training logs by name of the run.

    Raises:
        DatasetError: no run has logged anything yet.
    """
    if not any(log.training for log in runs.values()):
        raise DatasetError(f"{', '.join(runs)}: nothing was logged yet: wait for the first epoch")
    validated = [name for name in METRICS if any(name in log.validation for log in runs.values())]
    figure, axes = panels(3 if validated else 2)
    axes[0].set(title="loss", yscale="log")
    axes[1].set(title="learning rate")
    for number, (run, log) in enumerate(runs.items()):
        for axis, name in zip(axes, ("loss", "lr")):
            values = log.training.get(name, {})
            axis.plot(list(values), list(values.values()), color=f"C{number % 10}", label=run)
        for name in validated:
            values, style = log.validation.get(name, {}), f"C{number % 10}{METRICS[name]}"
            axes[2].plot(list(values), list(values.values()), style, markersize=4)
    if validated:
        axes[2].set(title="validation", ylim=(None, 1.02))
        for name in validated:
            axes[2].plot([], [], METRICS[name], markersize=4, color=QUIET_LINE, label=name)
        axes[2].legend()
    last = max(epoch for log in runs.values() for values in log.training.values() for epoch in values)
    for axis in axes:
        axis.set(xlabel="epoch", xlim=(0, 1.03 * last + 1))
        axis.grid(alpha=0.3)
    axes[0].legend()
    write_figure(path, figure)
