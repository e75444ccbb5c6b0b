"""Boxes and detections in numpy.

One convention throughout hipdet: boxes are ``[x0, y0, x1, y1]`` in float, continuous 0-based pixel edges of the upright
radiograph, ``x0 <= x < x1``.  COCO's ``[x, y, w, h]`` exists only in files.

Left and right: films are shown as if the patient faced the reader, so the picture's left is the patient's right.

The half of the picture doesn't tell the side of an ROI: a film of one hip shows it in the middle or at either edge.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.core.classes import OTHER_SIDE, RoiCounts

Boxes = NDArray[np.float64]
D = TypeVar("D", bound="Detections")

ON_IGNORED = 0.5  # the share of a box inside an ignored one from which it is ignored, too; an IoU of 0.5 implies it


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Return `boxes` as float64 ``[N, 4]``; an empty sequence becomes ``[0, 4]``."""
    array = np.asarray(boxes, dtype=np.float64)
    return array.reshape(-1, 4)


def xywh_to_xyxy(boxes: ArrayLike) -> Boxes:
    """COCO ``[x, y, w, h]`` ``[N, 4]`` to ``[x0, y0, x1, y1]`` ``[N, 4]``."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: ArrayLike) -> Boxes:
    """``[x0, y0, x1, y1]`` ``[N, 4]`` to COCO ``[x, y, w, h]`` ``[N, 4]``."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


Edges = tuple[float, float, float, float]


def clipped(box: Edges, width: float, height: float) -> Edges:
    """The part of `box` ``(x0, y0, x1, y1)`` that is on a film of this size."""
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def near(one: Edges, other: Edges, tolerance: float = 1.0) -> bool:
    """Whether no edge of the one box is more than `tolerance` px from that of the other."""
    return all(abs(a - b) <= tolerance for a, b in zip(one, other))


def area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Areas ``[N]`` in square pixels; a box with a negative side has area 0."""
    boxes = as_boxes(boxes)
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def iou_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` ``[N, 4]`` with every box of `b` ``[M, 4]``, as ``[N, M]``.

    Two boxes whose union is empty have IoU 0.
    """
    a, b = as_boxes(a), as_boxes(b)
    common = _common_area(a[:, None], b[None])
    return _share(common, area(a)[:, None] + area(b)[None, :] - common)


def share_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The share of every box of `a` ``[N, 4]`` inside each box of `b` ``[M, 4]``, as ``[N, M]``; 0 for a box without area."""
    a, b = as_boxes(a), as_boxes(b)
    return _share(_common_area(a[:, None], b[None]), area(a)[:, None])


def paired_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU ``[N]`` of each box of `a` ``[N, 4]`` with the box of `b` ``[N, 4]`` in the same row; 0 if the union is empty."""
    a, b = as_boxes(a), as_boxes(b)
    common = _common_area(a, b)
    return _share(common, area(a) + area(b) - common)


def _common_area(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Areas of the intersections of boxes ``[..., 4]``, which are broadcast against each other."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.prod(np.clip(sides, 0, None), axis=-1)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """`part` / `whole`; 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def turn_boxes(boxes: ArrayLike, quarters: int, width: float, height: float) -> Boxes:
    """Rotate `boxes` ``[N, 4]`` with a film of `width` x `height` px, `quarters` times by 90 degrees counter-clockwise."""
    boxes = as_boxes(boxes)
    for _ in range(quarters % 4):  # (x, y) goes to (y, width - x)
        boxes = np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], axis=1)
        width, height = height, width
    return boxes


def get_patient_side(picture_side: str | None) -> str | None:
    """The patient's side, ``left`` or ``right``, for a side of an upright AP film; None where that isn't known."""
    return OTHER_SIDE.get(picture_side or "")


def get_picture_side(patient: str | None) -> str | None:
    """The inverse: the side of an upright AP film that shows the patient's `patient` side; None where that isn't known."""
    return OTHER_SIDE.get(patient or "")


def sides_of_pairs(boxes: ArrayLike, labels: Sequence[Hashable]) -> list[str]:
    """``left`` or ``right`` in the picture for two boxes of a class that are side by side; empty for any others.

    Two boxes are side by side if the line through their centres is no steeper than 45 degrees, and they are more than
    half of the wider box apart in x: closer ones are one ROI, detected or drawn twice.

    Args:
        boxes: ``[N, 4]`` xyxy on the upright film, in pixels.
        labels: The class of each box.
    """
    boxes = as_boxes(boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = [""] * len(boxes)
    for label in dict.fromkeys(labels):
        same = [number for number, each in enumerate(labels) if each == label]
        if len(same) != 2:
            continue
        left, right = sorted(same, key=lambda number: float(centres[number, 0]))
        across, down = np.abs(centres[right] - centres[left])
        widest = (boxes[same, 2] - boxes[same, 0]).max()
        if across >= down and across > widest / 2:
            sides[left], sides[right] = "left", "right"
    return sides


@dataclass(frozen=True)
class Detections:
    """What a network detected on a film.

    Attributes:
        boxes: ``[N, 4]`` xyxy in pixels of the film.
        scores: ``[N]``.
        labels: ``[N]``, class indices.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def at(self: D, chosen: NDArray[Any]) -> D:
        """The detections that `chosen` selects by indices or as a mask."""
        return replace(self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen])

    def top(self: D, count: int) -> D:
        """The `count` highest scores, best first; equal scores are sorted by their boxes, regardless of the input order."""
        return self.at(np.lexsort((*self.boxes.T[::-1], self.labels, -self.scores))[:count])

    def best(self: D, counts: RoiCounts, least_score: ArrayLike = 0.0) -> D:
        """The best detections, best first and at most as many as `counts` allows; of them those that `reaching` selects."""
        best = self.at(counts.best(self.scores, self.labels))
        return best.at(best.reaching(least_score))

    def reaching(self, least_score: ArrayLike) -> NDArray[np.bool_]:
        """Which detections ``[N]`` score `least_score` or more: one for all classes, or one for each ``[C]``."""
        least = np.asarray(least_score, dtype=np.float64)
        reached: NDArray[np.bool_] = self.scores >= (least[self.labels] if least.ndim else least)
        return reached
