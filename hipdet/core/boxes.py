"""Boxes and detections in numpy.

One convention throughout hipdet: boxes are ``[x0, y0, x1, y1]`` in float, continuous 0-based pixel edges of the upright
radiograph, ``x0 <= x < x1``.  COCO's ``[x, y, w, h]`` exists only in files.

Left and right: films are shown as if the patient faced the reader, so the picture's left is the patient's right.

The half of the picture that an ROI lies in says nothing: a film of one hip shows it in the middle, or at either edge.
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

ON_IGNORED = 0.5  # a box lies on an ignored one if at least this part of it does; with an IoU of a half it does, too


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
    """The part of every box of `a` ``[N, 4]`` that lies in each of `b` ``[M, 4]``, as ``[N, M]``; 0 for one without area."""
    a, b = as_boxes(a), as_boxes(b)
    return _share(_common_area(a[:, None], b[None]), area(a)[:, None])


def paired_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU ``[N]`` of each box of `a` ``[N, 4]`` with the box of `b` ``[N, 4]`` in its place; 0 where the union is empty."""
    a, b = as_boxes(a), as_boxes(b)
    common = _common_area(a, b)
    return _share(common, area(a) + area(b) - common)


def _common_area(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Of boxes ``[..., 4]`` that are broadcast against each other."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.prod(np.clip(sides, 0, None), axis=-1)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """`part` / `whole`, 0 where that is empty."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def turn_boxes(boxes: ArrayLike, quarters: int, width: float, height: float) -> Boxes:
    """`boxes` ``[N, 4]`` on a film of this size, after it is turned by 90 degrees counter-clockwise `quarters` times."""
    boxes = as_boxes(boxes)
    for _ in range(quarters % 4):  # (x, y) goes to (y, width - x)
        boxes = np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], axis=1)
        width, height = height, width
    return boxes


def get_patient_side(picture_side: str | None) -> str | None:
    """``left`` or ``right`` of the patient for the side of an upright AP film; None where that isn't known."""
    return OTHER_SIDE.get(picture_side or "")


def get_picture_side(patient: str | None) -> str | None:
    """The way back: on which side of an upright AP film the patient's ``left`` or ``right`` is; None where it isn't known."""
    return OTHER_SIDE.get(patient or "")


def sides_of_pairs(boxes: ArrayLike, labels: Sequence[Hashable]) -> list[str]:
    """``left`` or ``right`` in the picture for the two of a class that stand side by side; empty where that isn't known.

    Two stand side by side if the line through their centres is no steeper than 45 degrees, and neither reaches over the
    other's centre: those are one ROI, found or drawn twice.

    Args:
        boxes: ``[N, 4]`` xyxy on the upright film, in pixels.
        labels: The class of each.
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
    """What a network found on a film.

    Attributes:
        boxes: ``[N, 4]`` xyxy in pixels of the film.
        scores: ``[N]``.
        labels: ``[N]``, indices of classes.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def at(self: D, chosen: NDArray[Any]) -> D:
        """Those that `chosen`, indices or a mask, names."""
        return replace(self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen])

    def top(self: D, count: int) -> D:
        """The `count` highest scores, best first; equal scores in the order of their boxes, so that input order is moot."""
        return self.at(np.lexsort((*self.boxes.T[::-1], self.labels, -self.scores))[:count])

    def best(self: D, counts: RoiCounts, least_score: float = 0.0) -> D:
        """The ROIs that a film may have, of those that score `least_score` or more."""
        enough = np.flatnonzero(self.scores >= least_score)
        return self.at(enough[counts.best(self.scores[enough], self.labels[enough])])
