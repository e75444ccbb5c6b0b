"""A single-map detector on the reduced film (first stage), and the second look: a refiner of what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from hipdet.anchors.second_look import PASSES
from hipdet.core.errors import ConfigError
from hipdet.models.proposals import RegionProposals, best_of_classes, class_shares, film_shape, ignored_boxes, on_film

LEAST_DOUBT = 0.02  # 1 - score: readings themselves agree no better

Suppress = Callable[[InstanceData], InstanceData]
Candidates = Sequence[RegionProposals]


@MODELS.register_module()
class RefiningDetector(SingleStageDetector):
    """A single-stage detector runs on the reduced film, and `refiner` refines its detections at the film's own scale.

    Boxes are in pixels of the unreduced input throughout, so the strides of the anchor generator are those of the backbone
    times `reduction`.

    A score is the IoU that the refiner predicts, times the ROI's share of the first stage's scores: its own score, divided
    by the sum of the best score of its class on the whole film and the best scores of the other classes at its place
    (`class_shares`).  The refiner doesn't tell classes apart; the first stage does.  With a single class, the share is 1.

    Args:
        refiner: A `RoiRefiner`.
        reduction: Whole number by which the film is reduced for the backbone.
        passes: For each refinement pass, how many of the best ROIs of each class on a film are refined.  The first number
            limits the detections of a class.  Every other pass runs on the mirror image, and a box is the mean over its
            passes.  If empty, the first stage's boxes are the result.
        proposal_thr: Proposals that score less aren't refined but dropped, apart from the best of each class: a film on which
            two stand out takes less time than one with many that score little.
        one_size: Give the ROIs of a class on a film one size, see `share_size`: those of the last pass and, with several
            classes, those with a share of a half or more.  ``half``: bring them half way to it.
        orientation_head: An `OrientationHead` on the first look's features, if the film's orientation is to be told.
        **kwargs: Arguments of ``SingleStageDetector``.

    Raises:
        ConfigError: `passes` aren't positive or don't fall, or `proposal_thr` isn't a score.
    """

    def __init__(
        self,
        *args: Any,
        refiner: dict,
        reduction: int = 2,
        passes: Sequence[int] = PASSES,
        proposal_thr: float = 0.0,
        one_size: bool | Literal["half"] = False,
        orientation_head: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if any(count < 1 for count in passes) or sorted(passes, reverse=True) != list(passes):
            raise ConfigError(f"RefiningDetector: passes must be positive, in falling order, found {tuple(passes)}")
        if not 0 <= proposal_thr < 1:
            raise ConfigError(f"RefiningDetector: proposal_thr must be 0 or more and below 1, found {proposal_thr!r}")
        if one_size not in (True, False, "half"):
            raise ConfigError(f"RefiningDetector: one_size must be True, False or 'half', found {one_size!r}")
        self.refiner = MODELS.build(refiner)
        self.orientation_head = MODELS.build(orientation_head) if orientation_head else None
        self.reduction = reduction
        self.passes = tuple(passes)
        self.proposal_thr = proposal_thr
        self.one_size = one_size
        if not any(overruns_memory(module) for module in self.modules()):
            self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor]:
        """Features of the reduced films ``[N, C, H, W]``."""
        return super().extract_feat(reduced(batch_inputs, self.reduction))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Losses of the head and of the refiner, which learns from labels and from the head's proposals."""
        features = self.extract_feat(batch_inputs)
        losses, proposals = self.bbox_head.loss_and_propose(features, batch_data_samples, self.test_cfg)
        labels = [sample.gt_instances.bboxes for sample in batch_data_samples]
        ignored = [
            ignored_boxes(sample.get("ignored_instances"), boxes) for sample, boxes in zip(batch_data_samples, labels)
        ]
        losses.update(self.refiner.loss(batch_inputs, labels, proposals, ignored))
        if self.orientation_head is not None:
            losses.update(self.orientation_head.loss(features, batch_data_samples))
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: list, rescale: bool = True) -> list:
        """Detect and refine; with `rescale`, boxes are in pixels of the stored film.

        With an orientation head, each sample gets its probabilities ``[5]`` as ``pred_orientation``.
        """
        features = self.extract_feat(batch_inputs)
        if self.orientation_head is not None:
            for sample, found in zip(batch_data_samples, self.orientation_head.predict(features)):
                sample.set_field(found, "pred_orientation")
        proposals = self._propose(features, batch_data_samples)
        results = []
        for film, (proposed, candidates), sample in zip(batch_inputs, proposals, batch_data_samples):
            refined = self.refine(film, proposed, candidates=candidates)
            height, width = film_shape(sample.metainfo)
            refined.bboxes = on_film(refined.bboxes, refined.bboxes.new_tensor([width, height]))
            if rescale:
                refined.bboxes = refined.bboxes / refined.bboxes.new_tensor(sample.scale_factor).repeat(2)
            results.append(refined)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list | None = None) -> tuple:
        """The head's outputs, or with samples those of both stages: boxes ``[D, 4]`` and scores ``[D]`` of every film.

        mmdet's ``get_flops`` counts the operations of the latter.
        """
        if batch_data_samples is None:
            outputs: tuple = super()._forward(batch_inputs)
            return outputs
        found = [each.pred_instances for each in self.predict(batch_inputs, batch_data_samples)]
        return tuple((each.bboxes, each.scores) for each in found)

    def _propose(self, features: tuple[Tensor, ...], samples: list) -> Iterator[tuple[list[InstanceData], Candidates]]:
        """For each film, the proposals of each class, best first, and all candidates of the first stage.

        Each class has the same number: among the best of all classes together, a class with low scores would be missing.
        Boxes may reach over the edge of the film: the refiner has learnt to look at whole ROIs, not at their parts.
        """
        head, settings = self.bbox_head, self.test_cfg
        if not self.passes:
            for found in head.predict(features, samples, rescale=False):
                yield [found], ()
            return
        anchors, *found = head.flat(*head(features))
        for logits, deltas, sample in zip(*found, samples):
            height, width = film_shape(sample.metainfo)
            extent = logits.new_tensor([width, height])
            candidates = best_of_classes(logits, deltas, anchors, extent, settings.nms_pre)
            least = max(settings.score_thr, 0)
            proposed = [self._suppress(each.instances[each.scores > least]) for each in candidates]
            proposed = [each[self.worth_refining(each.scores)] for each in proposed]
            yield proposed, candidates if len(candidates) > 1 else ()

    def refine(
        self,
        film: Tensor,
        proposed: InstanceData | Sequence[InstanceData],
        suppress: Suppress | None = None,
        candidates: Candidates = (),
    ) -> InstanceData:
        """Refine the best of `proposed` on `film` ``[C, H, W]``, drop duplicates, and sort by score.

        Args:
            film: The network's input.
            proposed: Proposals, best first; with several classes, one set for each.
            suppress: Sorts by score and drops boxes that moved onto a better ROI of their class (default: mmcv's NMS).
            candidates: The first stage's candidates of each class; not needed with a single class.
        """
        suppress = suppress or self._suppress
        classes = [proposed] if isinstance(proposed, InstanceData) else proposed
        kept = [_unrefined(each[: self.passes[0]] if self.passes else each[:], candidates) for each in classes]
        for turn, count in enumerate(self.passes):
            if not any(map(len, kept)):
                break
            kept = [suppress(each) for each in self._refine_pass(film, kept, count, turn % 2 == 1, candidates)]
            for each in kept if candidates else ():  # with fixed shapes, suppressed boxes have score 0
                each.quality = torch.where(each.scores > 0, each.quality, torch.zeros_like(each.quality))
        for each in kept if self.one_size else ():
            few = each[: self.passes[-1]] if self.passes else each
            trusted = few.scores
            if candidates:  # a box that is more likely of another class has another size, whatever its quality
                trusted = torch.where(few.scores >= few.quality / 2, few.quality, few.scores)
            shared = share_size(few.bboxes, trusted, few.labels, self.one_size == "half")
            each.bboxes = torch.cat([shared, each.bboxes[len(few) :]])
        found = [InstanceData(bboxes=each.bboxes, scores=each.scores, labels=each.labels) for each in kept]
        if len(found) == 1:
            return found[0]
        together = InstanceData.cat(found)
        return together[together.scores.argsort(descending=True)]

    def worth_refining(self, scores: Tensor) -> Tensor:
        """Which proposals of a class, best first, of `scores` ``[P]`` are refined: those above the threshold.

        And as many as the last pass refines, so that films known to have so many ROIs get them, whatever they score.
        """
        first = torch.arange(len(scores), device=scores.device) < (self.passes[-1] if self.passes else 1)
        return first | (scores >= self.proposal_thr)

    def _refine_pass(
        self, film: Tensor, kept: Sequence[InstanceData], count: int, mirrored: bool, candidates: Candidates
    ) -> Iterator[InstanceData]:
        """Refine the first `count` of each class once more, and average each one over its passes."""
        chosen = [each[:count] for each in kept]
        together = torch.cat([each.bboxes for each in chosen]) if len(chosen) > 1 else chosen[0].bboxes
        found = self._refine_found(film, together, torch.cat([each.scores for each in chosen]), mirrored)
        parts = [part.split([len(each) for each in chosen]) if len(chosen) > 1 else [part] for part in found]
        for label, (each, few, boxes, quality) in enumerate(zip(kept, chosen, *parts)):
            times = few.times_refined
            boxes = (few.bboxes * times[:, None] + boxes) / (times[:, None] + 1)
            quality = ((few.quality if candidates else few.scores) * times + quality) / (times + 1)
            scores, more = quality, {}
            if candidates:
                first = RegionProposals(few.first_boxes, few.first_scores, few.labels)
                scores = quality * class_shares(boxes, first, label, candidates)
                more = dict(quality=torch.cat([quality, each.quality[count:]]))
                more.update(first_boxes=each.first_boxes, first_scores=each.first_scores)
            yield InstanceData(
                bboxes=torch.cat([boxes, each.bboxes[count:]]),
                scores=torch.cat([scores, each.scores[count:]]),
                labels=each.labels,
                times_refined=torch.cat([times + 1, each.times_refined[count:]]),
                **more,
            )

    def _refine_found(self, film: Tensor, boxes: Tensor, scores: Tensor, mirrored: bool) -> tuple[Tensor, Tensor]:
        """Refine those of `boxes` ``[R, 4]`` that score more than 0; the others' quality is 0."""
        real = scores > 0
        # the first in any case: a graph can't refine none
        worth = torch.cat([torch.ones_like(real[:1]), real[1:]]).nonzero()[:, 0]
        refined, quality = self.refiner.refine(film, boxes[worth], mirrored)
        quality = torch.zeros_like(scores).index_put((worth,), quality.to(scores)) * real
        return boxes.index_put((worth,), refined.to(boxes)), quality

    def _suppress(self, found: InstanceData) -> InstanceData:
        if not len(found):  # mmcv asks for one
            return found
        # compiled mmcv suppresses in single precision only
        keep = batched_nms(found.bboxes.float(), found.scores.float(), found.labels, self.test_cfg.nms)[1]
        return found[keep]


def overruns_memory(module: nn.Module) -> bool:
    """Whether `module` is a strided 1x1 convolution of fewer than 16 input channels.

    In channels-last order and float32, its backward pass writes beyond its memory on x86 processors, with and without AMX:
    segmentation faults occurred at 1 to 15 channels with torch 2.13.0 and 2.14.1, never at 16 or more, with larger kernels
    or without stride.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.in_channels < 16
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    )


def _unrefined(proposed: InstanceData, candidates: Candidates) -> InstanceData:
    """`proposed` with the number of refinements; with several classes also the quality and the first stage's results.

    The quality is the predicted IoU.  With one class, it is the score, and the first stage's results aren't needed.
    """
    proposed.times_refined = torch.zeros_like(proposed.scores)
    if candidates:
        proposed.quality = proposed.first_scores = proposed.scores
        proposed.first_boxes = proposed.bboxes
    return proposed


def reduced(films: Tensor, by: int) -> Tensor:
    """Means of blocks of `by` x `by` pixels of `films` ``[N, C, H, W]``."""
    if by == 2:  # the same means, in a quarter of the time of pooling on a CPU
        return F.interpolate(films, scale_factor=0.5, mode="bilinear")
    return F.avg_pool2d(films, by) if by > 1 else films


def share_size(boxes: Tensor, scores: Tensor, labels: Tensor, half: bool = False) -> Tensor:
    """Give the ROIs of a class on a film the geometric mean of their sides; centres stay.

    Both hips on a film are one patient's, at one magnification.  Only ROIs that score .5 or more take part.

    Args:
        boxes: ``[R, 4]``.
        scores: Predicted IoU of each box ``[R]``.
        labels: ``[R]``.
        half: Bring the sides only half way to the mean, in which an ROI weighs the more, the surer it is: by 1 / (1 - score).
            A hip with metal may look larger than it is, and shouldn't change the other one (docs/results/hips.md).
    """
    sure = scores >= 0.5
    same = (labels[:, None] == labels) & sure & sure[:, None] | torch.eye(
        len(boxes), dtype=torch.bool, device=boxes.device
    )
    certainty = 1 / (1 - scores).clamp(min=LEAST_DOUBT) if half else torch.ones_like(scores)
    weights = same * certainty
    weights = weights / weights.sum(dim=1, keepdim=True)
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).log()
    mean = (weights[:, :, None] * sides).sum(1)
    reach = ((mean + sides) / 2 if half else mean).exp() / 2
    return torch.cat([centre - reach, centre + reach], dim=1)
