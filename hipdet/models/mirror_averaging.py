"""Test-time augmentation that averages the detections on a film and on its mirror image."""

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
    """Averages a detector's detections in two views: the film and its mirror image.

    Each detection in one view is paired with the detection of the same class in the other view that overlaps it most; boxes
    and scores of a pair are averaged.  Detections without a partner are kept unchanged.

    Args:
        module: The detector or its settings.  Its boxes are in pixels of the stored film, as mmdet's ``test_step`` rescales
            them.
        same_roi: IoU from which two boxes are the same ROI.  The best value is the detector's own threshold for non-maximum
            suppression, which decides this within a view.
        max_per_img: Largest number of detections on a film; those with the best scores are kept.
        mirrored_labels: For each class, its class in the mirror image; None if no class changes.
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
        """Merge the two views of each film into the sample of the original view."""
        for plain, mirrored in data_samples_list:
            found = unmirrored(mirrored.pred_instances, mirrored.ori_shape[1], self.mirrored_labels)
            plain.pred_instances = averaged(plain.pred_instances, found, self.same_roi)[: self.max_per_img]
        return [plain for plain, _ in data_samples_list]


def unmirrored(found: InstanceData, width: float, mirrored_labels: Sequence[int] | None = None) -> InstanceData:
    """Map detections in the mirror image of a film to the film itself.

    Args:
        found: ``bboxes`` ``[R, 4]``, ``scores`` ``[R]`` and ``labels`` ``[R]``.
        width: Width of the film, in the pixels of the boxes.
        mirrored_labels: For each class, its class in the mirror image; None if no class changes.
    """
    left, top, right, bottom = found.bboxes.unbind(1)
    labels = found.labels
    if mirrored_labels is not None:
        labels = labels.new_tensor(mirrored_labels)[labels]
    return InstanceData(
        bboxes=torch.stack([width - right, top, width - left, bottom], 1), scores=found.scores, labels=labels
    )


def averaged(first: InstanceData, second: InstanceData, same_roi: float) -> InstanceData:
    """Average two sets of detections on one film, best scores first; detections without a partner are kept unchanged.

    Args:
        first: ``bboxes`` ``[R, 4]``, ``scores`` ``[R]`` and ``labels`` ``[R]``.
        second: ``bboxes`` ``[S, 4]``, ``scores`` ``[S]`` and ``labels`` ``[S]``.
        same_roi: IoU from which two boxes of a class are the same ROI.
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
    """Indices ``[P]`` into `first` and `second` of pairs within a class, one to one, by falling IoU down to `same_roi`."""
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
