"""One-to-one matching of detections to ground-truth ROIs.  Pure numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.core.boxes import ON_IGNORED, Boxes, Detections, as_boxes, iou_matrix, share_matrix
from hipdet.core.classes import RoiCounts

UNMATCHED = -1
BLOCK = 1024  # ROIs that are compared with all detections at a time
HIT = 0.5  # least IoU of a hit
Labelled = tuple[Boxes, NDArray[np.int64]]  # boxes [G, 4] and their class indices [G]


@dataclass(frozen=True)
class RoiResult:
    """The match of one ground-truth ROI; an unmatched ROI has IoU 0, score 0 and no detection."""

    iou: float
    score: float
    detection: int  # index into the top detections, or UNMATCHED
    oracle_iou: float
    oracle_score: float
    best_iou: float  # with any of the top detections of its class, even if another ROI is matched with it
    label: int  # its class index


@dataclass(frozen=True)
class FilmResult:
    """The ROIs of one film in the order of the ground truth, and the top detections that they were matched with.

    `ignored` holds the indices of top detections that are neither a hit nor extra, because they lie on an ignored box;
    `absence_known` says whether the film has no other ROIs than the labelled ones.
    """

    rois: tuple[RoiResult, ...]
    top: Detections
    ignored: frozenset[int] = frozenset()
    absence_known: bool = True

    @property
    def extra(self) -> int:
        """Number of top detections that hit no ROI at IoU 0.5, without those on an ignored box."""
        return len(self.top.scores) - len(self.ignored) - sum(roi.iou >= HIT for roi in self.rois)

    def false_rois(self, least_score: ArrayLike = 0.0) -> int:
        """Number of top detections that are neither a hit nor on an ignored box, and score enough to be taken for an ROI.

        `least_score` is one for all classes, or one for each ``[C]``.
        """
        others = self.top.reaching(least_score)
        others[[roi.detection for roi in self.rois if roi.iou >= HIT]] = False
        others[list(self.ignored)] = False
        return int(others.sum())

    @property
    def missed(self) -> int:
        """Number of ROIs that no top detection hits at IoU 0.5."""
        return sum(roi.iou < HIT for roi in self.rois)


def match(iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Match rows to columns one to one with the largest total IoU.

    Args:
        iou: ``[G, D]``.

    Returns:
        ``[G]``: the column of each row, or -1 for a row that is left without an overlapping column.
    """
    partner = np.full(iou.shape[0], UNMATCHED, dtype=np.int64)
    from scipy.optimize import linear_sum_assignment  # imported here: pictures without labels don't need SciPy

    rows, columns = linear_sum_assignment(iou, maximize=True)
    overlapping = iou[rows, columns] > 0
    partner[rows[overlapping]] = columns[overlapping]
    return partner


def evaluate_film(
    truth: Boxes,
    labels: NDArray[np.int64],
    detections: Detections,
    rois_per_image: int | RoiCounts,
    ignored: Labelled | None = None,
) -> FilmResult:
    """Match the top `rois_per_image` detections of a film, which are chosen without the ground truth.

    The result also has the oracle: for every ROI the best of *all* detections of its class, even if several ROIs share it.

    A top detection that hits no ROI is neither a hit nor extra if at least half of it lies on an ignored box of its class
    (an IoU of 0.5 implies that), as in pycocotools.  It remains one of the top detections: the second stage doesn't know
    the labels and would get it instead of the next one.

    Args:
        truth: Ground-truth boxes ``[G, 4]``.
        labels: Their class indices ``[G]``; a detection of another class overlaps nothing.
        detections: All detections of the film.
        rois_per_image: How many detections the second stage would get at most, in total or per class.
        ignored: Boxes that are neither ROI nor background, and their class indices.
    """
    every = detections.top(len(detections.scores))
    if isinstance(rois_per_image, RoiCounts):
        top = every.best(rois_per_image, -np.inf)
    else:
        top = every.at(np.arange(len(every.scores)) < rois_per_image)
    iou = class_iou(truth, labels, top)
    rois = []
    for g, (d, best) in enumerate(zip(match(iou), _closest(truth, labels, every))):
        rois.append(
            RoiResult(
                iou=float(iou[g, d]) if d != UNMATCHED else 0.0,
                score=float(top.scores[d]) if d != UNMATCHED else 0.0,
                detection=int(d),
                oracle_iou=best[0],
                oracle_score=float(every.scores[best[1]]) if best[1] != UNMATCHED else 0.0,
                best_iou=float(iou[g].max(initial=0.0)),
                label=int(labels[g]),
            )
        )
    hits = {roi.detection for roi in rois if roi.iou >= HIT}
    return FilmResult(tuple(rois), top, _on_ignored(top, ignored) - hits)


def _closest(truth: Boxes, labels: NDArray[np.int64], every: Detections) -> Iterator[tuple[float, int]]:
    """The largest IoU of each ROI with a detection of its class, and that detection; 0 and -1 if it overlaps none."""
    if not len(every.scores):
        yield from [(0.0, UNMATCHED)] * len(truth)
        return
    for start in range(0, len(truth), BLOCK):  # blocks limit the memory: a forged file has a million ROIs on a film
        iou = class_iou(truth[start : start + BLOCK], labels[start : start + BLOCK], every)
        best = iou.argmax(axis=1)
        for place, value in zip(best, iou[np.arange(len(iou)), best]):
            yield float(value), int(place) if value > 0 else UNMATCHED


def _on_ignored(found: Detections, ignored: Labelled | None) -> frozenset[int]:
    """The indices of the detections that lie on an ignored box of their class."""
    boxes, labels = ignored or (as_boxes([]), np.zeros(0, dtype=np.int64))
    share = share_matrix(found.boxes, boxes) * (found.labels[:, None] == labels[None, :])
    return frozenset(np.flatnonzero((share >= ON_IGNORED).any(axis=1)).tolist())


def class_iou(truth: Boxes, labels: NDArray[np.int64], detections: Detections) -> NDArray[np.float64]:
    """IoU ``[G, D]``; it is 0 between different classes."""
    return iou_matrix(truth, detections.boxes) * (labels[:, None] == detections.labels[None, :])
