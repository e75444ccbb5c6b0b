"""The single-map detector on a reduced film, followed by a second look at what it proposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from hipdet.errors import ConfigError


@MODELS.register_module()
class RefiningDetector(SingleStageDetector):
    """An ordinary single-stage detector sees the film reduced; `refiner` re-reads what it finds at the film's own scale.

    Boxes are in pixels of the unreduced input throughout, so the strides of the anchor generator are those of the backbone
    times `reduction`.

    Args:
        refiner: A `RoiRefiner`.
        reduction: The backbone sees the film smaller by this whole number.
        passes: How many of the best ROIs of a film are re-read, pass by pass; no more detections than the first are given.
            Empty: none, the first pass is the result.
        **kwargs: Those of ``SingleStageDetector``.

    Raises:
        ConfigError: passes that don't descend.
    """

    def __init__(
        self, *args: Any, refiner: dict, reduction: int = 2, passes: Sequence[int] = (4, 2), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if any(count < 1 for count in passes) or sorted(passes, reverse=True) != list(passes):
            raise ConfigError(f"RefiningDetector: passes must be numbers of ROIs that descend, found {tuple(passes)}")
        self.refiner = MODELS.build(refiner)
        self.reduction = reduction
        self.passes = tuple(passes)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor]:
        """Features of the reduced films ``[N, C, H, W]``."""
        return super().extract_feat(F.avg_pool2d(batch_inputs, self.reduction) if self.reduction > 1 else batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Losses of the head and of the refiner, which trains on labels, not on what the head proposes."""
        losses = super().loss(batch_inputs, batch_data_samples)
        labels = [sample.gt_instances.bboxes for sample in batch_data_samples]
        return {**losses, **self.refiner.loss(batch_inputs, labels)}

    def predict(self, batch_inputs: Tensor, batch_data_samples: list, rescale: bool = True) -> list:
        """Detect, re-read, and give the boxes in pixels of the film as stored where `rescale` is set."""
        proposals = self.bbox_head.predict(self.extract_feat(batch_inputs), batch_data_samples, rescale=False)
        results = []
        for film, proposed, sample in zip(batch_inputs, proposals, batch_data_samples):
            refined = self.refine(film, proposed)
            height, width = sample.img_shape[:2]
            refined.bboxes = refined.bboxes.clamp(min=0).minimum(refined.bboxes.new_tensor([width, height] * 2))
            if rescale:
                refined.bboxes = refined.bboxes / refined.bboxes.new_tensor(sample.scale_factor).repeat(2)
            results.append(refined)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def refine(self, film: Tensor, proposed: InstanceData) -> InstanceData:
        """Re-read the best of `proposed`, best first, on `film` ``[C, H, W]``; duplicates go."""
        kept = proposed[: self.passes[0]] if self.passes else proposed
        for count in self.passes:
            if not len(kept):
                return kept
            boxes, quality = self.refiner.refine(film, kept.bboxes[:count])
            kept.bboxes = torch.cat([boxes, kept.bboxes[count:]])
            kept.scores = torch.cat([quality, kept.scores[count:]])
            kept = self._best_first(kept)
        return kept

    def _best_first(self, found: InstanceData) -> InstanceData:
        """Sort by score and drop what has moved onto a better ROI of its class."""
        keep = batched_nms(found.bboxes, found.scores, found.labels, self.test_cfg.nms)[1]
        return found[keep]
