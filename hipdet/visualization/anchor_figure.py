"""The paper's Figure 4 for any data set: sizes of films, sizes of ROIs, and the anchors over a film."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.overlap import nearest_cells
from hipdet.anchors.rois import Floats, Rois
from hipdet.visualization.colours import DETECTION, GRID, LABEL, RANGE
from hipdet.visualization.figure_frame import panels, write_figure

MOST_DRAWN = 40  # anchors of a cell that can be told apart


def write_anchor_figure(
    path: str | os.PathLike[str],
    data_sets: Mapping[str, Rois],
    anchors: AnchorSet,
    film: NDArray[np.uint8] | None = None,
    boxes: Floats | None = None,
) -> None:
    """Write (A) long sides of films, (B) ratio_ROI/image with the range of the anchors, (C) the anchors of one cell.

    Args:
        path: PNG to write.
        data_sets: ROIs by the name of their data set.
        anchors: To draw.
        film: ``[H, W]`` grey to draw them on; black without.
        boxes: Its ROIs ``[N, 4]`` xyxy / long side.
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
    axes.set_facecolor("black")
    if film is not None:
        height, width = np.array(film.shape) / max(film.shape)
        axes.imshow(film, cmap="gray", extent=(0, width, height, 0), vmin=0, vmax=255, interpolation="antialiased")
    for grid in anchors.grids:
        for line in np.arange(grid + 1) / grid:
            axes.plot([line, line], [0, 1], color=GRID, linewidth=0.4)
            axes.plot([0, 1], [line, line], color=GRID, linewidth=0.4)
        shapes = [(width, height) for of, width, height in anchors.shapes() if of == grid]
        x, y = (nearest_cells(_middle(boxes), grid) + 0.5) / grid
        for width, height in shapes[:: -(-len(shapes) // MOST_DRAWN)]:
            axes.add_patch(_rectangle(x - width / 2, y - height / 2, width, height, DETECTION))
        axes.plot(x, y, ".", color=DETECTION, markersize=3)
    for x0, y0, x1, y1 in () if boxes is None else boxes:
        axes.add_patch(_rectangle(x0, y0, x1 - x0, y1 - y0, LABEL))
    axes.set(title=f"C  {anchors}", xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], aspect="equal")
    axes.title.set_fontsize(8)


def _middle(boxes: Floats | None) -> Floats:
    """Of the first ROI, whose cell's anchors are shown; of the film without."""
    return np.array([0.5, 0.5]) if boxes is None or not len(boxes) else (boxes[0, :2] + boxes[0, 2:]) / 2


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> Rectangle:
    return Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.2)
