"""The best anchors of a batch, decoded, without loops over films: traceable, and cheap beside a small network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Proposals(NamedTuple):
    """K candidates of each of N films.

    Fields: `boxes` ``[N, K, 4]`` in pixels, `scores` ``[N, K]``, which are 0 or less for what is none, `labels` ``[N, K]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def best_anchors(logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int) -> Proposals:
    """The `count` best anchors and classes, decoded as ``DeltaXYWHBBoxCoder`` does and cut off at the film's edge.

    Args:
        logits: ``[N, A, C]``.
        deltas: ``[N, A, 4]``.
        anchors: ``[A, 4]`` in pixels.
        extent: Width and height of the film ``[2]``, in pixels.
        count: K, if there are as many.
    """
    classes = logits.shape[2]
    scores = logits.flatten(1).sigmoid()
    scores, index = scores.topk(min(count, scores.shape[1]))
    anchor = index // classes
    around = anchors[anchor]
    moves = deltas.gather(1, anchor[:, :, None].expand(-1, -1, 4))
    centre, sides = (around[..., :2] + around[..., 2:]) / 2, around[..., 2:] - around[..., :2]
    centre, half = centre + moves[..., :2] * sides, sides * moves[..., 2:].exp() / 2
    boxes = torch.cat([centre - half, centre + half], dim=2)
    boxes = torch.minimum(boxes.clamp(min=0), extent.float().repeat(2))
    inside = (boxes[..., 2:] > boxes[..., :2]).all(2)  # what lies in the padding has no extent left
    return Proposals(boxes, torch.where(inside, scores, torch.full_like(scores, -1.0)), index % classes)


def distinct(found: Proposals, iou_threshold: float, count: int) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression within classes, unrolled: the best, then the best of those that don't overlap it, ...

    Returns:
        Indices ``[N, count]`` into `found` and scores ``[N, count]``, 0 where there are no more.
    """
    boxes, left, labels = found
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(2)
    places = torch.arange(boxes.shape[1], device=boxes.device)
    chosen, scores = [], []
    for _ in range(count):
        first = left.argmax(1, keepdim=True)
        chosen.append(first)
        scores.append(left.gather(1, first).clamp(min=0))
        box = boxes.gather(1, first[:, :, None].expand(-1, -1, 4))
        shared = (torch.minimum(boxes[..., 2:], box[..., 2:]) - torch.maximum(boxes[..., :2], box[..., :2])).clamp(min=0)
        shared = shared.prod(2)
        covered = shared > iou_threshold * (areas + areas.gather(1, first) - shared)
        gone = covered & (labels == labels.gather(1, first)) | (places == first)
        left = torch.where(gone, torch.full_like(left, -1.0), left)
    return torch.cat(chosen, 1), torch.cat(scores, 1)
