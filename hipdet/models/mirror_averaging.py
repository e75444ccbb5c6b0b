"""Test-time augmentation that averages what a detector finds on a film and on its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn


@MODELS.register_module()
class MirrorAveraging(BaseTTAModel):
    """Gives the mean of two looks of a detector: at the film, and at its mirror image.

    Each ROI of one look is paired with the one of the other look that is of its class and overlaps it most; boxes and scores
    of a pair are averaged.  What only one look found is kept as it is.

    Args:
        module: The detector or its settings.  Its boxes are in pixels of the film as stored: mmdet's ``test_step`` has
            rescaled them.
        same_roi: Two boxes are the same ROI from this IoU on.  Best is the threshold of the detector's own suppression: what
            overlaps more within one look counts as one ROI there, and what overlaps less as two.
        max_per_img: Most detections of a film, those with the best scores.
        mirrored_labels: For every class the one that it is in the mirror image; all stay themselves if not given.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        same_roi: float = 0.5,
        max_per_img: int = 100,
        mirrored_labels: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, **kwargs)
        self.same_roi = same_roi
        self.max_per_img = max_per_img
        self.mirrored_labels = None if mirrored_labels is None else tuple(mirrored_labels)

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """For each film its looks become one sample, that of the look at the film as it is."""
        for plain, mirrored in data_samples_list:
            found = unmirrored(mirrored.pred_instances, mirrored.ori_shape[1], self.mirrored_labels)
            plain.pred_instances = averaged(plain.pred_instances, found, self.same_roi)[: self.max_per_img]
        return [plain for plain, _ in data_samples_list]


def unmirrored(found: InstanceData, width: float, mirrored_labels: Sequence[int] | None = None) -> InstanceData:
    """What was found in the mirror image of a film, on the film itself.

    Args:
        found: ``bboxes`` ``[R, 4]``, ``scores`` ``[R]`` and ``labels`` ``[R]``.
        width: Of the film, in the pixels of the boxes.
        mirrored_labels: For every class the one that it is in the mirror image.
    """
    left, top, right, bottom = found.bboxes.unbind(1)
    labels = found.labels
    if mirrored_labels is not None:
        labels = labels.new_tensor(mirrored_labels)[labels]
    return InstanceData(
        bboxes=torch.stack([width - right, top, width - left, bottom], 1), scores=found.scores, labels=labels
    )


def averaged(first: InstanceData, second: InstanceData, same_roi: float) -> InstanceData:
    """The mean of two readings of one film, best scores first; ROIs that only one has are kept as they are.

    Args:
        first: ``bboxes`` ``[R, 4]``, ``scores`` ``[R]`` and ``labels`` ``[R]``.
        second: Likewise, ``[S]``.
        same_roi: Two boxes of a class are the same ROI from this IoU on.
    """
    rows, columns = find_pairs(first, second, same_roi)
    both = InstanceData(
        bboxes=(first.bboxes[rows] + second.bboxes[columns]) / 2,
        scores=(first.scores[rows] + second.scores[columns]) / 2,
        labels=first.labels[rows],
    )
    every = [both, _without(first, rows), _without(second, columns)]
    together = InstanceData(
        **{key: torch.cat([found[key] for found in every]) for key in ("bboxes", "scores", "labels")}
    )
    return together[together.scores.argsort(descending=True, stable=True)]


def find_pairs(first: InstanceData, second: InstanceData, same_roi: float) -> tuple[Tensor, Tensor]:
    """Indices ``[P]`` of `first` and `second` that belong together one to one: the best IoU first, down to `same_roi`."""
    same_class = first.labels[:, None] == second.labels
    overlap = (bbox_overlaps(first.bboxes, second.bboxes) * same_class).cpu()  # [R, S]
    pairs = []
    while overlap.numel() and overlap.max() >= max(same_roi, 1e-6):
        row, column = divmod(int(overlap.argmax()), overlap.shape[1])
        pairs.append((row, column))
        overlap[row], overlap[:, column] = -1, -1
    chosen = torch.tensor(pairs, dtype=torch.long, device=first.labels.device).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]


def _without(found: InstanceData, indices: Tensor) -> InstanceData:
    keep = torch.ones(len(found.scores), dtype=torch.bool, device=found.scores.device)
    keep[indices] = False
    return found[keep]
