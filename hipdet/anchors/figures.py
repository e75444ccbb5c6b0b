"""How well a set of anchors serves the ROIs of a data set, in figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.overlap import (
    MATCH,
    best_anchors,
    contested,
    positives,
    reachable_iou,
    sharing_a_cell,
    size_fit,
)
from hipdet.anchors.rois import Rois
from hipdet.errors import DatasetError

FIT = 0.7  # size fit from which on an ROI has an anchor of its size: the worst between the paper's scales 0.7 and 1.0
# two boxes of one centre whose aspects differ by a factor k have at best, at the best size, IoU 1 / (2 sqrt(k) - 1)
ASPECT_FIT = ((1 / FIT + 1) / 2) ** 2
ROUNDING = 1e-9


@dataclass(frozen=True)
class AnchorFigures:
    """Shares are of ROIs, between 0 and 1.

    Attributes:
        anchors: On an image.
        smallest: Side of the smallest anchor / side of the image.
        largest: Of the largest anchor.
        in_range: Share whose size lies between the two: coverage of the ratio range.
        fitted: Share with an anchor of their size, at IoU 0.7 if they had one centre: what a plan must reach.
        matched: Share that an anchor overlaps by IoU 0.4, so that it isn't matched by force.
        best_iou: Mean IoU of ROIs with their best anchor.
        reachable_iou: Mean of the best IoU that regression can reach.
        positives: Median number of positive anchors of an ROI, 1 where it is forced; of a sketch where there are thousands.
        sharing_a_cell: Share whose centre lies in a cell with another ROI's.
        contested: Share whose best anchor is another ROI's too: one of them goes without.
    """

    anchors: int
    smallest: float
    largest: float
    in_range: float
    fitted: float
    matched: float
    best_iou: float
    reachable_iou: float
    positives: float
    sharing_a_cell: float
    contested: float

    @property
    def forced(self) -> float:
        """Share that is matched by force only."""
        return 1 - self.matched


def figures(rois: Rois, anchors: AnchorSet) -> AnchorFigures:
    """The figures of `anchors` on `rois`.

    Raises:
        DatasetError: no ROI.
    """
    if not len(rois):
        raise DatasetError("no ROI to look at: every figure is a share of ROIs")
    smallest, largest = anchors.ratio_range
    sizes = rois.sizes
    best, which = best_anchors(rois, anchors)
    inside = (sizes >= smallest - ROUNDING) & (sizes <= largest + ROUNDING)
    return AnchorFigures(
        anchors=anchors.per_image,
        smallest=smallest,
        largest=largest,
        in_range=float(inside.mean()),
        fitted=fitted_share(rois, anchors),
        matched=float((best >= MATCH).mean()),
        best_iou=float(best.mean()),
        reachable_iou=float(reachable_iou(rois.sides, anchors).mean()),
        positives=float(np.median(np.maximum(positives(rois.sketch, anchors), 1))),
        sharing_a_cell=float(sharing_a_cell(rois, anchors).mean()),
        contested=float(contested(rois, which).mean()),
    )


def fitted_share(rois: Rois, anchors: AnchorSet) -> float:
    """Share of ROIs with an anchor of their size."""
    return float((size_fit(rois.sides, anchors) >= FIT - ROUNDING).mean())


def may_fit(rois: Rois, aspects: tuple[float, ...]) -> float:
    """Share of ROIs that could have an anchor of their size with one of `aspects`, if there were enough scales."""
    apart = np.abs(np.log(rois.aspects[:, None] / np.array(aspects))).min(axis=1)
    return float((apart <= np.log(ASPECT_FIT) + ROUNDING).mean())
