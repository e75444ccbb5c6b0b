"""One-to-one matching of detections to ground-truth ROIs.  Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hipdet.boxes import Boxes, iou_matrix

UNMATCHED = -1


@dataclass(frozen=True)
class Detections:
    """Boxes ``[N, 4]`` xyxy in pixels of the film with scores ``[N]`` and class indices ``[N]``."""

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def top(self, count: int) -> Detections:
        """The `count` highest scores, best first; equal scores in the order of their boxes, so that input order is moot."""
        order = np.lexsort((*self.boxes.T[::-1], self.labels, -self.scores))[:count]
        return self.at(order)

    def at(self, chosen: NDArray[Any]) -> Detections:
        """Those that `chosen`, indices or a mask, names."""
        return Detections(self.boxes[chosen], self.scores[chosen], self.labels[chosen])

    def top_of_classes(self, counts: Mapping[int, int]) -> Detections:
        """The highest scores of each class, as many as `counts` has for it, best first."""
        best = [self.at(self.labels == label).top(count) for label, count in counts.items()]
        together = Detections(
            np.concatenate([each.boxes for each in best]),
            np.concatenate([each.scores for each in best]),
            np.concatenate([each.labels for each in best]),
        )
        return together.top(len(together.scores))


@dataclass(frozen=True)
class RoiResult:
    """What became of one ground-truth ROI: an unmatched one has IoU 0, confidence 0 and no detection."""

    iou: float
    confidence: float
    detection: int  # index into the top detections, or UNMATCHED
    oracle_iou: float
    oracle_confidence: float


@dataclass(frozen=True)
class FilmResult:
    """The ROIs of one film in the order of the ground truth, and the top detections they were matched with."""

    rois: tuple[RoiResult, ...]
    top: Detections

    @property
    def extra(self) -> int:
        """Top detections that found no ROI at IoU 0.5."""
        return len(self.top.scores) - sum(roi.iou >= 0.5 for roi in self.rois)

    @property
    def missed(self) -> int:
        """ROIs that no top detection found at IoU 0.5."""
        return sum(roi.iou < 0.5 for roi in self.rois)


def match(iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Match rows to columns one to one with the largest total IoU.

    Args:
        iou: ``[G, D]``.

    Returns:
        ``[G]``: the column of every row, or -1 where it overlaps none of those left to it.
    """
    partner = np.full(iou.shape[0], UNMATCHED, dtype=np.int64)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    overlapping = iou[rows, columns] > 0
    partner[rows[overlapping]] = columns[overlapping]
    return partner


def evaluate_film(
    truth: Boxes, labels: NDArray[np.int64], detections: Detections, rois_per_image: int | Mapping[int, int]
) -> FilmResult:
    """Match the top `rois_per_image` detections of a film, chosen without a look at the ground truth.

    Beside them stands the oracle: for every ROI the best of *all* detections of its class, however often it is used.

    Args:
        truth: Ground-truth boxes ``[G, 4]``.
        labels: Their class indices ``[G]``; a detection of another class overlaps nothing.
        detections: All detections of the film.
        rois_per_image: How many of them the second stage would get, in all or by class index.
    """
    every = detections.top(len(detections.scores))
    top = every.top(rois_per_image) if isinstance(rois_per_image, int) else every.top_of_classes(rois_per_image)
    iou = class_iou(truth, labels, top)
    oracle = class_iou(truth, labels, every)
    rois = []
    for g, d in enumerate(match(iou)):
        best = int(oracle[g].argmax()) if oracle.shape[1] and oracle[g].max() > 0 else UNMATCHED
        rois.append(
            RoiResult(
                iou=float(iou[g, d]) if d != UNMATCHED else 0.0,
                confidence=float(top.scores[d]) if d != UNMATCHED else 0.0,
                detection=int(d),
                oracle_iou=float(oracle[g, best]) if best != UNMATCHED else 0.0,
                oracle_confidence=float(every.scores[best]) if best != UNMATCHED else 0.0,
            )
        )
    return FilmResult(tuple(rois), top)


def class_iou(truth: Boxes, labels: NDArray[np.int64], detections: Detections) -> NDArray[np.float64]:
    """IoU ``[G, D]`` that is 0 between different classes."""
    return iou_matrix(truth, detections.boxes) * (labels[:, None] == detections.labels[None, :])
