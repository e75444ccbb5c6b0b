"""From a grey film to ROIs: normalisation, network, decoding, suppression and refinement in one traceable module."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from hipdet.core.errors import ConfigError
from hipdet.models.hip_ssd_head import HipSSDHead, flatten_levels
from hipdet.models.proposals import RegionProposals, best_of_classes, best_proposals, distinct, on_film

ROIS = 4  # of a class, unless more are expected


class DetectorGraph(nn.Module):
    """A trained detector for one film at a time that can be traced: only the number of crops depends on the film.

    It gives the detections of the detector's own ``predict``, padded with scores of 0 if there are fewer.

    Args:
        detector: A single-stage detector with a `HipSSDHead`, refining or not.
        side: Side of the padded square in pixels.
        rois: Number of ROIs of each class on a film; a refining detector gives as many as in its first pass.

    Raises:
        ConfigError: the detector has another kind of head, a score threshold or a minimum size.
    """

    anchors: Tensor
    detector: Any  # an nn.Module, but mypy would take its attributes for tensors

    def __init__(self, detector: nn.Module, side: int, rois: int = ROIS) -> None:
        super().__init__()
        self.detector = detector
        head = self.detector.bbox_head
        if not isinstance(head, HipSSDHead):
            raise ConfigError(f"DetectorGraph: expected a HipSSDHead, found {type(head).__name__}")
        self.settings = self.detector.test_cfg
        if self.settings.score_thr > 0 or self.settings.get("min_bbox_size", 0) > 0:
            raise ConfigError(
                f"DetectorGraph: model.test_cfg has score_thr={self.settings.score_thr} and min_bbox_size="
                f"{self.settings.get('min_bbox_size', 0)}, expected score_thr=0 and min_bbox_size=0, as shapes are fixed"
            )
        self.side = side
        self.eval()
        self.passes: tuple[int, ...] = getattr(detector, "passes", ())
        self.rois = (self.passes[0] if self.passes else rois) * head.num_classes
        if not self.passes:  # so a class with low scores has a chance, but no more than in `predict`
            self.rois = min(self.rois, self.settings.max_per_img)
        with torch.no_grad():
            seen = self._network_input(torch.zeros(1, 1, side, side))
            anchors, *_ = head.flat(*head(self.detector.extract_feat(seen)))
        self.register_buffer("anchors", anchors)

    def forward(self, film: Tensor, extent: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            film: Grey values 0 .. 255, ``[1, 1, side, side]``, any type.
            extent: Width and height of the film within the square, ``[2]``.

        Returns:
            Boxes ``[self.rois, 4]`` in pixels of the square, scores ``[self.rois]``, classes ``[self.rois]``; best first.
            With an orientation head also its probabilities ``[5]``.
        """
        seen = self._network_input(film.float())
        head = self.detector.bbox_head
        features = self.detector.extract_feat(seen)
        scores, deltas = head(features)
        logits, moves = flatten_levels(scores, head.num_classes)[0], flatten_levels(deltas, 4)[0]
        found = self._find(seen, logits, moves, extent)
        outputs = on_film(found.bboxes, extent), found.scores, found.labels
        if not self.tells_orientation:
            return outputs
        return *outputs, self.detector.orientation_head.predict(features)[0]

    @property
    def tells_orientation(self) -> bool:
        """Whether the detector has an orientation head."""
        return getattr(self.detector, "orientation_head", None) is not None

    def _find(self, seen: Tensor, logits: Tensor, moves: Tensor, extent: Tensor) -> InstanceData:
        """The best detections of all classes together; of a refining detector, as many of each class."""
        first = (logits, moves, self.anchors, extent, self.settings.nms_pre)
        if not self.passes:
            found = best_proposals(*first)
            return self._distinct(found._replace(boxes=on_film(found.boxes, extent)).instances, self.rois)
        candidates = best_of_classes(*first)
        proposed = [self._distinct(each.instances, self.passes[0]) for each in candidates]
        for each in proposed if self.detector.proposal_thr else ():
            each.scores = each.scores * self.detector.worth_refining(each.scores)
        suppress = lambda kept: self._distinct(kept, len(kept.scores))  # noqa: E731
        return self.detector.refine(seen[0], proposed, suppress, candidates if len(candidates) > 1 else ())

    def _network_input(self, film: Tensor) -> Tensor:
        """Grey values ``[1, 1, side, side]``, or three normalised channels if the data preprocessor normalises."""
        preprocessor = self.detector.data_preprocessor
        if not hasattr(preprocessor, "mean"):
            return film
        return (film.expand(1, 3, -1, -1) - preprocessor.mean) / preprocessor.std

    def _distinct(self, found: InstanceData, count: int) -> InstanceData:
        chosen, scores = distinct(
            RegionProposals(found.bboxes, found.scores, found.labels), self.settings.nms.iou_threshold, count
        )
        kept = found[chosen]
        kept.scores = scores
        return kept
