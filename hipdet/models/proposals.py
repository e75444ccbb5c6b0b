"""The best anchors of a film, decoded, and of those the distinct ones: traceable, and for a batch under ``torch.vmap``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Proposals(NamedTuple):
    """K candidates of a film.

    Fields: `boxes` ``[K, 4]`` in pixels, `scores` ``[K]``, which are 0 or less for what is none, `labels` ``[K]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def best_anchors(logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int) -> Proposals:
    """The `count` best anchors and classes, decoded as ``DeltaXYWHBBoxCoder`` does and cut off at the film's edge.

    Args:
        logits: ``[A, C]``.
        deltas: ``[A, 4]``.
        anchors: ``[A, 4]`` in pixels.
        extent: Width and height of the film ``[2]``, in pixels.
        count: K, if there are as many.
    """
    classes = logits.shape[1]
    scores, index = logits.flatten().sigmoid().topk(min(count, logits.shape[0] * classes))
    anchor = index // classes
    around, moves = anchors[anchor], deltas[anchor]
    centre, sides = (around[:, :2] + around[:, 2:]) / 2, around[:, 2:] - around[:, :2]
    centre, half = centre + moves[:, :2] * sides, sides * moves[:, 2:].exp() / 2
    boxes = torch.cat([centre - half, centre + half], dim=1)
    boxes = torch.minimum(boxes.clamp(min=0), extent.float().repeat(2))
    inside = (boxes[:, 2:] > boxes[:, :2]).all(1)  # what lies in the padding has no extent left
    return Proposals(boxes, torch.where(inside, scores, torch.full_like(scores, -1.0)), index % classes)


def distinct(found: Proposals, iou_threshold: float, count: int) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression within classes, unrolled: the best, then the best of those that don't overlap it, ...

    Returns:
        Indices ``[count]`` into `found` and scores ``[count]``, 0 where there are no more.
    """
    boxes, left, labels = found
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    places = torch.arange(len(boxes), device=boxes.device)
    chosen, scores = [], []
    for _ in range(count):
        first = left.argmax(0, keepdim=True)
        chosen.append(first)
        scores.append(left[first].clamp(min=0))
        box = boxes[first]
        sides = torch.minimum(boxes[:, 2:], box[:, 2:]) - torch.maximum(boxes[:, :2], box[:, :2])
        shared = sides.clamp(min=0).prod(1)
        covered = shared > iou_threshold * (areas + areas[first] - shared)
        gone = covered & (labels == labels[first]) | (places == first)
        left = torch.where(gone, torch.full_like(left, -1.0), left)
    return torch.cat(chosen), torch.cat(scores)
