"""The single-map detector on a reduced film, followed by a second look at what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.errors import ConfigError
from hipdet.models.film_shape import film_shape
from hipdet.models.ignored import ignored_boxes

Suppress = Callable[[InstanceData], InstanceData]


@MODELS.register_module()
class RefiningDetector(SingleStageDetector):
    """An ordinary single-stage detector sees the film reduced; `refiner` re-reads what it finds at the film's own scale.

    Boxes are in pixels of the unreduced input throughout, so the strides of the anchor generator are those of the backbone
    times `reduction`.

    Args:
        refiner: A `RoiRefiner`.
        reduction: The backbone sees the film smaller by this whole number.
        passes: How many of the best ROIs of a film are re-read, reading by reading; no more detections than the first are
            given.  Every other reading sees the mirror image, and the box is the mean of its readings.  Empty: none, the
            detector's own boxes are the result.
        one_size: ROIs of a class on a film get one size, see `share_size`; those of the last reading alone.
        **kwargs: Those of ``SingleStageDetector``.

    Raises:
        ConfigError: passes that don't descend.
    """

    def __init__(
        self,
        *args: Any,
        refiner: dict,
        reduction: int = 2,
        passes: Sequence[int] = (3, 2),
        one_size: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if any(count < 1 for count in passes) or sorted(passes, reverse=True) != list(passes):
            raise ConfigError(f"RefiningDetector: passes must be numbers of ROIs that descend, found {tuple(passes)}")
        self.refiner = MODELS.build(refiner)
        self.reduction = reduction
        self.passes = tuple(passes)
        self.one_size = one_size
        if not any(is_overrun(module) for module in self.modules()):
            self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor]:
        """Features of the reduced films ``[N, C, H, W]``."""
        return super().extract_feat(reduced(batch_inputs, self.reduction))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Losses of the head and of the refiner, which learns from labels and from what the head takes for a ROI."""
        features = self.extract_feat(batch_inputs)
        losses, proposals = self.bbox_head.loss_and_propose(features, batch_data_samples, self.test_cfg)
        labels = [sample.gt_instances.bboxes for sample in batch_data_samples]
        ignored = [
            ignored_boxes(sample.get("ignored_instances"), boxes) for sample, boxes in zip(batch_data_samples, labels)
        ]
        return {**losses, **self.refiner.loss(batch_inputs, labels, proposals, ignored)}

    def predict(self, batch_inputs: Tensor, batch_data_samples: list, rescale: bool = True) -> list:
        """Detect, re-read, and give the boxes in pixels of the film as stored where `rescale` is set."""
        proposals = self.bbox_head.predict(self.extract_feat(batch_inputs), batch_data_samples, rescale=False)
        results = []
        for film, proposed, sample in zip(batch_inputs, proposals, batch_data_samples):
            refined = self.refine(film, proposed)
            height, width = film_shape(sample.metainfo)
            refined.bboxes = refined.bboxes.clamp(min=0).minimum(refined.bboxes.new_tensor([width, height] * 2))
            if rescale:
                refined.bboxes = refined.bboxes / refined.bboxes.new_tensor(sample.scale_factor).repeat(2)
            results.append(refined)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def refine(self, film: Tensor, proposed: InstanceData, suppress: Suppress | None = None) -> InstanceData:
        """Re-read the best of `proposed`, best first, on `film` ``[C, H, W]``; duplicates go.

        `suppress` sorts by score and drops what has moved onto a better ROI of its class (default: mmcv's suppression).
        """
        suppress = suppress or self._suppress
        kept = proposed[: self.passes[0]] if self.passes else proposed[:]
        kept.readings = torch.zeros_like(kept.scores)
        for turn, count in enumerate(self.passes):
            if not len(kept):
                break
            kept = suppress(self._read(film, kept, count, mirrored=turn % 2 == 1))
        del kept.readings
        if self.one_size:
            few = kept[: self.passes[-1]] if self.passes else kept
            kept.bboxes = torch.cat([share_size(few.bboxes, few.scores, few.labels), kept.bboxes[len(few) :]])
        return kept

    def _read(self, film: Tensor, kept: InstanceData, count: int, mirrored: bool) -> InstanceData:
        """Read the first `count` once more, and take the mean of each one's readings."""
        boxes, quality = self.refiner.refine(film, kept.bboxes[:count], mirrored)
        times = kept.readings[:count]
        boxes = (kept.bboxes[:count] * times[:, None] + boxes) / (times[:, None] + 1)
        quality = (kept.scores[:count] * times + quality) / (times + 1)
        return InstanceData(
            bboxes=torch.cat([boxes, kept.bboxes[count:]]),
            scores=torch.cat([quality, kept.scores[count:]]),
            labels=kept.labels,
            readings=torch.cat([times + 1, kept.readings[count:]]),
        )

    def _suppress(self, found: InstanceData) -> InstanceData:
        keep = batched_nms(found.bboxes, found.scores, found.labels, self.test_cfg.nms)[1]
        return found[keep]


def is_overrun(module: nn.Module) -> bool:
    """Whether `module` is a strided 1x1 convolution of fewer than 16 input channels.

    In channels-last order and float32 its backward writes beyond its memory on x86 processors, with AMX and without: seen as
    segmentation faults at 1 to 15 channels with torch 2.13.0 and 2.14.1; never at 16 and more, with larger kernels or without
    stride.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.in_channels < 16
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    )


def reduced(films: Tensor, by: int) -> Tensor:
    """Means of the blocks of `by` x `by` pixels of `films` ``[N, C, H, W]``."""
    if by == 2:  # the same means, at a quarter of a pooling's time on a CPU
        return F.interpolate(films, scale_factor=0.5, mode="bilinear")
    return F.avg_pool2d(films, by) if by > 1 else films


def share_size(boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Give the ROIs of a class on a film the geometric mean of their sides; centres stay.

    Both hips of a film are one patient's, at one magnification.  Only ROIs that score .5 or more take part.

    Args:
        boxes: ``[R, 4]``.
        scores: IoU that is expected of them, ``[R]``.
        labels: ``[R]``.
    """
    sure = scores >= 0.5
    same = (labels[:, None] == labels) & sure & sure[:, None] | torch.eye(
        len(boxes), dtype=torch.bool, device=boxes.device
    )
    weights = same / same.sum(dim=1, keepdim=True)
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = (weights[:, :, None] * sides.clamp(min=1e-6).log()).sum(1).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)
