"""Boxes that are neither ROI nor background: COCO's ``iscrowd``, mmdet's ``ignored_instances``."""

from __future__ import annotations

from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from hipdet.boxes import ON_IGNORED


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
