"""Decoding and non-maximum suppression of a film's best anchors: traceable, and for a batch under ``torch.vmap``.

Also the extent of the film within the padded square, and ignored boxes, which are neither ROI nor background: COCO's
``iscrowd``, mmdet's ``ignored_instances``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from hipdet.core.boxes import ON_IGNORED

# IoU from which boxes begin to share a place (anchors are positive from .4 on), and from which they share it fully: hearts
# and lungs overlap by .3, one in ten by .46 or more
SAME = (0.4, 0.8)
TINY = 1e-12  # for divisions


class RegionProposals(NamedTuple):
    """K candidates on a film.

    Fields: `boxes` ``[K, 4]`` in pixels, `scores` ``[K]``, 0 or less where there is no candidate, `labels` ``[K]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @property
    def instances(self) -> InstanceData:
        """The candidates in mmdet's form."""
        return InstanceData(bboxes=self.boxes, scores=self.scores, labels=self.labels)


def best_proposals(logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int) -> RegionProposals:
    """The `count` best pairs of anchor and class, decoded as by ``DeltaXYWHBBoxCoder``; boxes may reach over the edge.

    Args:
        logits: Class logits ``[A, C]``.
        deltas: Box deltas ``[A, 4]``.
        anchors: Anchors ``[A, 4]`` in pixels.
        extent: Width and height of the film ``[2]``, in pixels.
        count: K, unless there are fewer pairs.
    """
    classes = logits.shape[1]
    scores, index = logits.flatten().sigmoid().topk(min(count, logits.shape[0] * classes))
    anchor = index // classes
    around, moves = anchors[anchor], deltas[anchor]
    centre, sides = (around[:, :2] + around[:, 2:]) / 2, around[:, 2:] - around[:, :2]
    centre, half = centre + moves[:, :2] * sides, sides * moves[:, 2:].exp() / 2
    boxes = torch.cat([centre - half, centre + half], dim=1)
    seen = on_film(boxes, extent)
    inside = (seen[:, 2:] > seen[:, :2]).all(1)  # of boxes in the padding nothing is left
    return RegionProposals(boxes, torch.where(inside, scores, torch.full_like(scores, -1.0)), index % classes)


def on_film(boxes: Tensor, extent: Tensor) -> Tensor:
    """`boxes` ``[K, 4]`` clipped to the film, whose width and height are `extent` ``[2]``."""
    return torch.minimum(boxes.clamp(min=0), extent.float().repeat(2))


def best_of_classes(
    logits: Tensor, deltas: Tensor, anchors: Tensor, extent: Tensor, count: int
) -> list[RegionProposals]:
    """As `best_proposals`, but `count` for each class, so that a class with low scores is represented too."""
    if logits.shape[1] == 1:
        return [best_proposals(logits, deltas, anchors, extent, count)]
    found = [best_proposals(logits[:, c : c + 1], deltas, anchors, extent, count) for c in range(logits.shape[1])]
    return [each._replace(labels=each.labels + label) for label, each in enumerate(found)]


def class_shares(boxes: Tensor, first: RegionProposals, label: int, candidates: Sequence[RegionProposals]) -> Tensor:
    """The share of each box in the first stage's scores: those of `label` on the film, and of other classes at its place.

    A proposal's score is divided by the sum of the best score of its class on the film and the best score of each other
    class at its place.  For its own class, the best score at the place won't do: where the first stage found nothing, it
    would give a share of noise, and a weak class would be drawn there.  The other classes' best score at the place depends
    neither on the anchor that proposed a box nor on the other refined boxes.  Candidates that hardly overlap the place get
    a low weight (`SAME`), so that shares don't jump.

    Args:
        boxes: Refined boxes ``[R, 4]``.
        first: The R proposals from which they were refined.
        label: Class of the boxes.
        candidates: The first stage's candidates of each class.

    Returns:
        Shares ``[R]``; 1 for the best proposal of its class where no other class was found.
    """
    best = []
    for number, each in enumerate(candidates):
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
    """Non-maximum suppression within classes, unrolled into `count` steps: each keeps the best of what is left.

    Returns:
        Indices ``[count]`` into `found` and scores ``[count]``, 0 where nothing is left.
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

    After ``Pad``, mmdet's ``img_shape`` is that of the square.  It is returned if ``ori_shape`` or ``scale_factor`` (width,
    height) is missing, as the film's extent isn't known then.  A film is mirrored before it is padded, if at all.
    """
    height, width = meta["img_shape"][:2]
    if "ori_shape" not in meta or "scale_factor" not in meta:
        return height, width
    (stored_height, stored_width), (fx, fy) = meta["ori_shape"][:2], meta["scale_factor"][:2]
    return min(height, round(stored_height * fy)), min(width, round(stored_width * fx))


def ignored_boxes(instances: InstanceData | None, like: Tensor) -> Tensor:
    """The ignored boxes of a film ``[I, 4]``; an empty part of `like` ``[G, 4]`` if the pipeline gives none."""
    return get_box_tensor(instances.bboxes) if instances is not None and "bboxes" in instances else like[:0]


def on_ignored(boxes: Tensor, ignored: Tensor, shape: tuple[int, int]) -> Tensor:
    """Which of `boxes`, clipped to the film, lie by at least a half on one of `ignored`: a mask ``[N]``.

    Args:
        boxes: ``[N, 4]``.
        ignored: ``[I, 4]``.
        shape: Height and width of the film.
    """
    height, width = shape
    seen = on_film(boxes, boxes.new_tensor([width, height]))
    return (bbox_overlaps(seen, ignored, mode="iof") >= ON_IGNORED).any(dim=1)
