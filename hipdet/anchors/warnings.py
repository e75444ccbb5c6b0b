"""What one map with a few scales can't do for a data set, and what to use then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hipdet.anchors.figures import AnchorFigures
from hipdet.anchors.rois import Rois
from hipdet.anchors.spread import RoiSpread
from hipdet.boxes import paired_iou

FEW = 30  # ROIs; fewer say little about a distribution
SPAN = 6.0  # largest / smallest ROI that one map can serve: beyond, some have no positive anchor or dozens
OUTLYING = 3.0  # times the median, or less than a third of it
CONTESTED = 0.005  # share of ROIs that is worth a word
MISTAKES = 0.01  # share of ROIs that may be labelled twice
NMS = 0.3  # IoU above which hipdet's configs take two detections for one
NEIGHBOURS = 64  # ROIs of a class further to the right on a film that overlap is looked for with
SMALLEST = 8  # pixels of the padded square: a cell of the finest map


def warnings_of(
    rois: Rois, chosen: AnchorFigures, finest_contested: float, data_sets: Sequence[RoiSpread]
) -> Iterator[str]:
    """Sentences, each with what was found and what to do.

    Args:
        rois: Of all data sets.
        chosen: Figures of the recommended anchors.
        finest_contested: Smallest share of contested ROIs on any grid.
        data_sets: The spread of each.
    """
    if len(rois) < FEW:
        yield f"only {len(rois)} ROIs: other films will have other sizes; label {FEW} or more and design anew"
    yield from _of_sizes(rois)
    if chosen.contested > CONTESTED:
        yield (
            f"{chosen.contested:.1%} of the ROIs have the same best anchor as another ROI of their film, as several share a "
            f"cell ({finest_contested:.1%} on the best grid for that): one of them goes without; take a finer grid "
            f"(--grids), or for crowds a detector with a feature pyramid, such as mmdet's RetinaNet"
        )
    if chosen.reachable_iou < 0.95:
        yield f"regression reaches a mean IoU of {chosen.reachable_iou:.2f} only: sizes lie too far from any anchor"
    overlap = usual_overlap(rois)
    if overlap > NMS:
        yield (
            f"ROIs of one class overlap by IoU up to {overlap:.2f}: non-maximum suppression at {NMS} would drop one of two; "
            f"the written config allows {nms_threshold(overlap):.2f}"
        )
    yield from _of_data_sets(data_sets)


def _of_sizes(rois: Rois) -> Iterator[str]:
    sizes = rois.sizes
    median = float(np.median(sizes))
    outlying = int(((sizes > OUTLYING * median) | (sizes < median / OUTLYING)).sum())
    if outlying:
        yield (
            f"{outlying} ROIs ({outlying / len(sizes):.1%}) are over {OUTLYING:g} times as large as the median, or under a "
            f"third of it: are they labelled right? tools/validate.py names them (ratio-unlikely)"
        )
    low, high = (float(value) for value in np.quantile(sizes, (0.005, 0.995)))
    if high > SPAN * low:
        yield (
            f"sizes span a factor of {high / low:.1f} ({low:.1%} to {high:.1%} of the film), more than about {SPAN:g}: one "
            f"map serves either small or large ROIs well; try two maps (--grids 14,7 or 28,14), or a detector with a "
            f"feature pyramid, such as mmdet's RetinaNet"
        )


def pixel_warnings(rois: Rois, side: int, receptive_field: int) -> Iterator[str]:
    """What is too small or large for a network that sees squares of `side` px, of which a cell sees `receptive_field` px."""
    low, high = (float(value) * side for value in np.quantile(rois.ratios, (0.005, 0.995)))
    if low < SMALLEST:
        yield (
            f"the smallest ROIs are {low:.0f} px of the {side} px that the network sees: crop the films, or take a base "
            f"config with a larger image_size (--base)"
        )
    if high > receptive_field:
        yield (
            f"the largest ROIs are {high:.0f} px, and a cell sees {receptive_field} px: take a coarser grid (--grids) or a "
            f"deeper backbone"
        )


def _of_data_sets(data_sets: Sequence[RoiSpread]) -> Iterator[str]:
    whole: Mapping[str, RoiSpread] = {spread.name: spread for spread in data_sets if not spread.label}
    medians = {name: spread.ratio[2] for name, spread in whole.items()}
    small, large = min(medians, key=lambda name: medians[name]), max(medians, key=lambda name: medians[name])
    if medians[large] > 1.25 * medians[small]:
        yield (
            f"ROIs of {large} are {medians[large] / medians[small]:.2f} times as large as those of {small} (medians "
            f"{medians[large]:.1%} and {medians[small]:.1%}): what is trained on one alone will be tested at other sizes"
        )


def usual_overlap(rois: Rois) -> float:
    """IoU with another ROI of its class and film that 99% of the ROIs stay below: single mistakes don't count."""
    order = np.lexsort((rois.boxes[:, 0], rois.labels, rois.films))
    boxes, key = rois.boxes[order], rois.films[order] * len(rois.classes) + rois.labels[order]
    largest = np.zeros(len(key))
    for apart in range(1, min(NEIGHBOURS, len(key))):
        pairs = np.flatnonzero(key[apart:] == key[:-apart])
        if not pairs.size:
            break
        iou = paired_iou(boxes[pairs], boxes[pairs + apart])
        np.maximum.at(largest, pairs, iou)
        np.maximum.at(largest, pairs + apart, iou)
    return float(np.quantile(largest, 1 - MISTAKES))


def nms_threshold(overlap: float) -> float:
    """IoU for non-maximum suppression that keeps both of two ROIs that overlap by `overlap`."""
    return NMS if overlap <= NMS else round(min(overlap + 0.1, 0.95), 2)
