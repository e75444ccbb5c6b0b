"""Box geometry in numpy.

One convention throughout hipdet: boxes are ``[x0, y0, x1, y1]`` in float, continuous 0-based pixel edges of the upright
radiograph, ``x0 <= x < x1``.  COCO's ``[x, y, w, h]`` exists only in files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]

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
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)  # [N, M]
    union = area(a)[:, None] + area(b)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def share_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The part of every box of `a` ``[N, 4]`` that lies in each of `b` ``[M, 4]``, as ``[N, M]``; 0 for one without area."""
    a, b = as_boxes(a), as_boxes(b)
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(corners[1] - corners[0], 0, None), axis=2)  # [N, M]
    whole = np.broadcast_to(area(a)[:, None], shared.shape)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def paired_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU ``[N]`` of each box of `a` ``[N, 4]`` with the box of `b` ``[N, 4]`` in its place; 0 where the union is empty."""
    a, b = as_boxes(a), as_boxes(b)
    common = np.prod(np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None), axis=1)
    union = area(a) + area(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def turn_boxes(boxes: ArrayLike, quarters: int, width: float, height: float) -> Boxes:
    """`boxes` ``[N, 4]`` on a film of this size, after it is turned by 90 degrees counter-clockwise `quarters` times."""
    boxes = as_boxes(boxes)
    for _ in range(quarters % 4):  # (x, y) goes to (y, width - x)
        boxes = np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], axis=1)
        width, height = height, width
    return boxes
