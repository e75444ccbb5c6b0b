"""The single-map detector on a reduced film, followed by a second look at what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.anchors.second_look import PASSES
from hipdet.core.errors import ConfigError
from hipdet.models.proposals import RegionProposals, best_of_classes, class_shares, film_shape, ignored_boxes

Suppress = Callable[[InstanceData], InstanceData]
Looked = Sequence[RegionProposals]


@MODELS.register_module()
class RefiningDetector(SingleStageDetector):
    """An ordinary single-stage detector sees the film reduced; `refiner` re-reads what it finds at the film's own scale.

    Boxes are in pixels of the unreduced input throughout, so the strides of the anchor generator are those of the backbone
    times `reduction`.

    A score is the IoU that the second look expects, times the ROI's share of the first look's scores: its own, divided by the
    best of its class on the whole film and the best of the other classes at its place, together (`class_shares`).  The second
    look doesn't tell classes apart, the first one does.  With a single class there is nothing to share, and it is 1.

    Args:
        refiner: A `RoiRefiner`.
        reduction: The backbone sees the film smaller by this whole number.
        passes: How many of the best ROIs of each class on a film are re-read, reading by reading; no more detections of a
            class than the first are given.  Every other reading sees the mirror image, and the box is the mean of its
            readings.  Empty: none, the detector's own boxes are the result.
        one_size: ROIs of a class on a film get one size, see `share_size`; those of the last reading alone, and of several
            classes those with a share of a half or more.
        **kwargs: Those of ``SingleStageDetector``.

    Raises:
        ConfigError: passes that don't descend.
    """

    def __init__(
        self,
        *args: Any,
        refiner: dict,
        reduction: int = 2,
        passes: Sequence[int] = PASSES,
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
        proposals = self._propose(self.extract_feat(batch_inputs), batch_data_samples)
        results = []
        for film, (proposed, looked), sample in zip(batch_inputs, proposals, batch_data_samples):
            refined = self.refine(film, proposed, looked=looked)
            height, width = film_shape(sample.metainfo)
            refined.bboxes = refined.bboxes.clamp(min=0).minimum(refined.bboxes.new_tensor([width, height] * 2))
            if rescale:
                refined.bboxes = refined.bboxes / refined.bboxes.new_tensor(sample.scale_factor).repeat(2)
            results.append(refined)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list | None = None) -> tuple:
        """What the head says, or with samples both looks: boxes ``[D, 4]`` and scores ``[D]`` of every film.

        mmdet's ``get_flops`` counts the operations of the latter.
        """
        if batch_data_samples is None:
            outputs: tuple = super()._forward(batch_inputs)
            return outputs
        found = [each.pred_instances for each in self.predict(batch_inputs, batch_data_samples)]
        return tuple((each.bboxes, each.scores) for each in found)

    def _propose(self, features: tuple[Tensor, ...], samples: list) -> Iterator[tuple[list[InstanceData], Looked]]:
        """Of each film the proposals of each class, best first, and all that the first look saw of them.

        Each class has as many: where the best of all classes are taken together, one that scores low goes without.
        """
        head, settings = self.bbox_head, self.test_cfg
        if head.num_classes == 1 or not self.passes:
            for found in head.predict(features, samples, rescale=False):
                yield [found], ()
            return
        anchors, *found = head.flat(*head(features))
        for logits, deltas, sample in zip(*found, samples):
            height, width = film_shape(sample.metainfo)
            extent = logits.new_tensor([width, height])
            looked = best_of_classes(logits, deltas, anchors, extent, settings.nms_pre)
            least = max(settings.score_thr, 0)
            yield [self._suppress(each.instances[each.scores > least]) for each in looked], looked

    def refine(
        self,
        film: Tensor,
        proposed: InstanceData | Sequence[InstanceData],
        suppress: Suppress | None = None,
        looked: Looked = (),
    ) -> InstanceData:
        """Re-read the best of `proposed` on `film` ``[C, H, W]``; duplicates go, the best come first.

        Args:
            film: What the network sees.
            proposed: Best first; of several classes one for each.
            suppress: Sorts by score and drops what has moved onto a better ROI of its class (default: mmcv's suppression).
            looked: What the first look saw of each class; of one class nothing is needed.
        """
        suppress = suppress or self._suppress
        classes = [proposed] if isinstance(proposed, InstanceData) else proposed
        kept = [_unread(each[: self.passes[0]] if self.passes else each[:], looked) for each in classes]
        for turn, count in enumerate(self.passes):
            if not any(map(len, kept)):
                break
            kept = [suppress(each) for each in self._read(film, kept, count, turn % 2 == 1, looked)]
            for each in kept if looked else ():  # what was suppressed has score 0 where shapes are fixed
                each.quality = torch.where(each.scores > 0, each.quality, torch.zeros_like(each.quality))
        for each in kept if self.one_size else ():
            few = each[: self.passes[-1]] if self.passes else each
            sure = few.scores
            if looked:  # of what is rather of another class the size is another one, however well it was read
                sure = torch.where(few.scores >= few.quality / 2, few.quality, few.scores)
            each.bboxes = torch.cat([share_size(few.bboxes, sure, few.labels), each.bboxes[len(few) :]])
        found = [InstanceData(bboxes=each.bboxes, scores=each.scores, labels=each.labels) for each in kept]
        if len(found) == 1:
            return found[0]
        together = InstanceData.cat(found)
        return together[together.scores.argsort(descending=True)]

    def _read(
        self, film: Tensor, kept: Sequence[InstanceData], count: int, mirrored: bool, looked: Looked
    ) -> Iterator[InstanceData]:
        """Read the first `count` of each class once more, and take the mean of each one's readings."""
        chosen = [each[:count] for each in kept]
        together = torch.cat([each.bboxes for each in chosen]) if len(chosen) > 1 else chosen[0].bboxes
        found = self.refiner.refine(film, together, mirrored)
        parts = [part.split([len(each) for each in chosen]) if len(chosen) > 1 else [part] for part in found]
        for label, (each, few, boxes, quality) in enumerate(zip(kept, chosen, *parts)):
            times = few.readings
            boxes = (few.bboxes * times[:, None] + boxes) / (times[:, None] + 1)
            quality = ((few.quality if looked else few.scores) * times + quality) / (times + 1)
            scores, more = quality, {}
            if looked:
                first = RegionProposals(few.first_boxes, few.first_scores, few.labels)
                scores = quality * class_shares(boxes, first, label, looked)
                more = dict(quality=torch.cat([quality, each.quality[count:]]))
                more.update(first_boxes=each.first_boxes, first_scores=each.first_scores)
            yield InstanceData(
                bboxes=torch.cat([boxes, each.bboxes[count:]]),
                scores=torch.cat([scores, each.scores[count:]]),
                labels=each.labels,
                readings=torch.cat([times + 1, each.readings[count:]]),
                **more,
            )

    def _suppress(self, found: InstanceData) -> InstanceData:
        if not len(found):  # mmcv asks for one
            return found
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


def _unread(proposed: InstanceData, looked: Looked) -> InstanceData:
    """`proposed` with how often each was read; of several classes with the expected IoU and what the first look said, too.

    Of one class its score is its quality, and nothing of the first look is needed.
    """
    proposed.readings = torch.zeros_like(proposed.scores)
    if looked:
        proposed.quality = proposed.first_scores = proposed.scores
        proposed.first_boxes = proposed.bboxes
    return proposed


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
