"""Grey film in, ROIs out: normalisation, network, decoding, suppression and second look in one traceable module."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from hipdet.errors import ConfigError
from hipdet.models.hip_ssd_head import HipSSDHead


class DetectorGraph(nn.Module):
    """A trained detector for one film at a time, with shapes that don't depend on the film, so that it can be traced.

    Gives what the detector's own ``predict`` gives, filled up with scores of 0 where that would find fewer ROIs.

    Args:
        detector: A single-stage detector with a `HipSSDHead`, refining or not.
        side: Side of the square that it sees, in pixels.
        rois: Number of ROIs given for a film; a refining detector gives no more than it re-reads at first.

    Raises:
        ConfigError: another kind of head, or a score threshold.
    """

    mean: Tensor
    std: Tensor
    anchors: Tensor
    detector: Any  # an nn.Module to torch, whose attributes mypy takes for tensors

    def __init__(self, detector: nn.Module, side: int, rois: int = 4) -> None:
        super().__init__()
        self.detector = detector
        head = self.detector.bbox_head
        if not isinstance(head, HipSSDHead):
            raise ConfigError(f"DetectorGraph: expected a HipSSDHead, found {type(head).__name__}")
        self.settings = self.detector.test_cfg
        if self.settings.score_thr > 0 or self.settings.get("min_bbox_size", 0) > 0:
            raise ConfigError(
                "DetectorGraph: expected a test_cfg with score_thr=0 and min_bbox_size=0: shapes are fixed"
            )
        self.side = side
        self.eval()
        self.passes: tuple[int, ...] = getattr(detector, "passes", ())
        self.rois = self.passes[0] if self.passes else rois
        preprocessor = self.detector.data_preprocessor
        self.register_buffer("mean", preprocessor.mean.reshape(1, 3, 1, 1))
        self.register_buffer("std", preprocessor.std.reshape(1, 3, 1, 1))
        with torch.no_grad():
            scores, _ = head(self.detector.extract_feat(torch.zeros(1, 3, side, side)))
        sizes = [tuple(level.shape[-2:]) for level in scores]
        self.register_buffer("anchors", torch.cat(head.prior_generator.grid_priors(sizes, device="cpu")))

    def forward(self, film: Tensor, extent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect.

        Args:
            film: Grey values 0 .. 255, ``[1, 1, side, side]``, any type.
            extent: Width and height of the film within the square, ``[2]``.

        Returns:
            Boxes ``[rois, 4]`` in pixels of the square, scores ``[rois]``, classes ``[rois]``; best first.
        """
        seen = (film.float().expand(1, 3, -1, -1) - self.mean) / self.std
        found = self._distinct(self._proposals(seen, extent), self.rois)
        if self.passes:
            found = self.detector.refine(seen[0], found, lambda kept: self._distinct(kept, len(kept.scores)))
        return torch.minimum(found.bboxes.clamp(min=0), extent.float().repeat(2)), found.scores, found.labels

    def _proposals(self, seen: Tensor, extent: Tensor) -> InstanceData:
        """The best anchors, decoded and cut off at the film's edge."""
        head = self.detector.bbox_head
        scores, deltas = head(self.detector.extract_feat(seen))
        flat = torch.cat([each[0].permute(1, 2, 0).reshape(-1) for each in scores]).sigmoid()  # [anchors * C]
        moves = torch.cat([each[0].permute(1, 2, 0).reshape(-1, 4) for each in deltas])
        best, index = flat.topk(min(self.settings.nms_pre, len(flat)))
        anchor = index // head.num_classes
        around = self.anchors[anchor]
        centre, sides = (around[:, :2] + around[:, 2:]) / 2, around[:, 2:] - around[:, :2]
        centre, half = centre + moves[anchor, :2] * sides, sides * moves[anchor, 2:].exp() / 2
        boxes = torch.cat([centre - half, centre + half], dim=1)
        boxes = torch.minimum(boxes.clamp(min=0), extent.float().repeat(2))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)  # what lies in the padding has no extent left
        best = torch.where(inside, best, torch.full_like(best, -1.0))
        return InstanceData(bboxes=boxes, scores=best, labels=index % head.num_classes)

    def _distinct(self, found: InstanceData, count: int) -> InstanceData:
        """Non-maximum suppression within classes, unrolled: the best, then the best of those that don't overlap it, ..."""
        boxes, labels, left = found.bboxes, found.labels, found.scores
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        chosen, scores = [], []
        for _ in range(count):
            first = left.argmax(0, keepdim=True)
            chosen.append(first)
            scores.append(left[first].clamp(min=0))
            box = boxes[first]
            sides = torch.minimum(boxes[:, 2:], box[:, 2:]) - torch.maximum(boxes[:, :2], box[:, :2])
            shared = sides.clamp(min=0).prod(1)
            covered = shared > self.settings.nms.iou_threshold * (areas + areas[first] - shared)
            gone = covered & (labels == labels[first]) | (torch.arange(len(boxes), device=boxes.device) == first)
            left = torch.where(gone, torch.full_like(left, -1.0), left)
        kept = found[torch.cat(chosen)]
        kept.scores = torch.cat(scores)
        return kept
