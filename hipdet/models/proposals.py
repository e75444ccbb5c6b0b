"""The best anchors of a film, decoded, and of those the distinct ones: traceable, and for a batch under ``torch.vmap``.

Also where the film ends within the padded square, and boxes that are neither ROI nor background: COCO's ``iscrowd``, mmdet's
``ignored_instances``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from hipdet.core.boxes import ON_IGNORED

# IoU from which boxes have something of their place in common (the recipe's anchors learn the ROI from .4 on), and from which
# all: hearts and lungs overlap by .3, one in ten by .46 or more
SAME = (0.4, 0.8)
TINY = 1e-12  # for divisions


class RegionProposals(NamedTuple):
    """K candidates of a film.

    Fields: `boxes` ``[K, 4]`` in pixels, `scores` ``[K]``, which are 0 or less for what is none, `labels` ``[K]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @property
    def instances(self) -> InstanceData:
        """As mmdet has them."""
        return InstanceData(bboxes=self.boxes, scores=self.scores, labels=self.labels)


def best_proposals(logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int) -> RegionProposals:
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
    return RegionProposals(boxes, torch.where(inside, scores, torch.full_like(scores, -1.0)), index % classes)


def best_of_classes(
    logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int
) -> list[RegionProposals]:
    """As `best_proposals`, `count` for each class: the best of one that scores low throughout are among them."""
    if logits.shape[1] == 1:
        return [best_proposals(logits, deltas, anchors, extent, count)]
    found = [best_proposals(logits[:, c : c + 1], deltas, anchors, extent, count) for c in range(logits.shape[1])]
    return [each._replace(labels=each.labels + label) for label, each in enumerate(found)]


def class_shares(boxes: Tensor, first: RegionProposals, label: int, looked: Sequence[RegionProposals]) -> Tensor:
    """Which share of the first look's scores `boxes` have: of those of `label` on the film, and of the other classes' there.

    A proposal's score is divided by the best of its class on the film and the best of every other class at its place,
    together.  The best of the place alone won't do for its own class: where the first look saw nothing, that is a share of
    noise, and a weak class is drawn there.  The other classes' best at the place doesn't depend on which anchor proposed a
    box, nor on what else was re-read; proposals that hardly overlap the place count little (`SAME`): shares don't jump.

    Args:
        boxes: Re-read, ``[R, 4]``.
        first: The R proposals that they were read from.
        label: Their class.
        looked: The first look's proposals of each class.

    Returns:
        ``[R]``; 1 for the best of its class where no other was seen.
    """
    best = []
    for number, each in enumerate(looked):
        if number == label:
            best.append(torch.maximum(each.scores.max(), first.scores))
            continue
        overlap = torch.maximum(pairwise_iou(boxes, each.boxes), pairwise_iou(first.boxes, each.boxes))
        near = ((overlap - SAME[0]) / (SAME[1] - SAME[0])).clamp(min=0, max=1)
        best.append((each.scores.clamp(min=0) * near).amax(dim=1))
    return first.scores / torch.stack(best).sum(dim=0).clamp(min=TINY)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU ``[N, M]`` of `a` ``[N, 4]`` with `b` ``[M, 4]``; 0 where both are empty."""
    sides = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    shared = sides.clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1] - shared).clamp(min=TINY)


def distinct(found: RegionProposals, iou_threshold: float, count: int) -> tuple[Tensor, Tensor]:
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


def film_shape(meta: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the resized film, without the padding at the right and the bottom, in pixels of the square.

    mmdet's ``img_shape`` is that of the square once ``Pad`` has run.  It is what is given where the film's place in it isn't
    known: without ``ori_shape`` and ``scale_factor`` (width, height).  A film is mirrored before it is padded, if at all.
    """
    height, width = meta["img_shape"][:2]
    if "ori_shape" not in meta or "scale_factor" not in meta:
        return height, width
    (stored_height, stored_width), (fx, fy) = meta["ori_shape"][:2], meta["scale_factor"][:2]
    return min(height, round(stored_height * fy)), min(width, round(stored_width * fx))


def ignored_boxes(instances: InstanceData | None, like: Tensor) -> Tensor:
    """The ignored boxes of a film ``[I, 4]``; none, of the kind of `like` ``[G, 4]``, where the pipeline gives none."""
    return get_box_tensor(instances.bboxes) if instances is not None and "bboxes" in instances else like[:0]


def on_ignored(boxes: Tensor, ignored: Tensor, shape: tuple[int, int]) -> Tensor:
    """Which of `boxes` ``[N, 4]``, cut off at the edge of the film, lie by at least a half on one of `ignored`, ``[N]``.

    Args:
        boxes: ``[N, 4]``.
        ignored: ``[I, 4]``.
        shape: Height and width of the film.
    """
    height, width = shape
    on_film = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height] * 2))
    return (bbox_overlaps(on_film, ignored, mode="iof") >= ON_IGNORED).any(dim=1)
