"""The plan: recommended anchors, why these, what was rejected, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.candidates import MOST_ASPECTS, Candidate, choose, smallest_per_grid
from hipdet.anchors.choose_scales import MOST_SCALES
from hipdet.anchors.figures import AnchorFigures
from hipdet.anchors.goal import EQUAL, FITTED, Goal
from hipdet.anchors.neighbours import Neighbour, neighbours_of
from hipdet.anchors.reasons import reasons_for
from hipdet.anchors.rois import Rois
from hipdet.anchors.second_look import SecondLook, roi_counts
from hipdet.anchors.settings import Backbone
from hipdet.anchors.spread import RoiSpread, spreads
from hipdet.anchors.warnings import nms_threshold, pixel_warnings, usual_overlap, warnings_of
from hipdet.errors import DatasetError
from hipdet.roi_counts import RoiCounts


@dataclass(frozen=True)
class Plan:
    """What :func:`design` recommends.

    Attributes:
        goal: That it was made for.
        anchors: Recommended.
        figures: Theirs, on all ROIs.
        spreads: Of every data set, and of its classes.
        reasons: Sentences.
        warnings: Sentences.
        neighbours: Sets that were rejected.
        classes: Names.
        rois_per_image: Of every class, on most films that have any.
        roi_counts: Fewest and most on the films that have any.
        second_look: For a detector that re-reads what it finds.
        nms_threshold: IoU above which two detections are one.
        image_side: Of the padded square in pixels.
        receptive_field: Side in pixels of what a cell sees.
    """

    goal: Goal
    anchors: AnchorSet
    figures: AnchorFigures
    spreads: tuple[RoiSpread, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    classes: tuple[str, ...]
    rois_per_image: Mapping[str, int]
    roi_counts: RoiCounts
    second_look: SecondLook
    nms_threshold: float
    image_side: int
    receptive_field: int

    def as_json(self) -> dict[str, Any]:
        """For ``anchor_plan.json``."""
        anchors = asdict(self.anchors)
        anchors.update(
            per_image=self.anchors.per_image, strides=[self.image_side // grid for grid in self.anchors.grids]
        )
        neighbours = [neighbour.as_json() for neighbour in self.neighbours]
        return dict(asdict(self), anchors=anchors, neighbours=neighbours, roi_counts=self.roi_counts.to_json())


def design(data_sets: Mapping[str, Rois], goal: Goal | None = None, backbone: Backbone | None = None) -> Plan:
    """Read anchors off the ROIs of all `data_sets` (paper, section 3.3).

    Args:
        data_sets: ROIs by the name of their data set.
        goal: What to reach.
        backbone: It decides which grids there are; by default the paper's, on 224 px.

    Raises:
        DatasetError: no ROI, data sets with different classes, or ROIs that no anchors can serve.
        ConfigError: a grid that the backbone hasn't.
    """
    goal, backbone = goal or Goal(), backbone or Backbone()
    if not goal.grids:
        goal = replace(goal, coarsest=backbone.coarsest, grids=tuple((grid,) for grid in backbone.grids))
    for grids in goal.grids:
        backbone.feature_map(grids)  # there must be one
    for name, part in data_sets.items():
        if not len(part):
            raise DatasetError(f"{name}: no ROI to read anchors off: label some, or leave the data set out")
    if not data_sets:
        raise DatasetError("no data set to read anchors off")
    rois = Rois.joined(list(data_sets.values()))
    goal, candidates, remarks = _candidates(rois, goal)
    chosen = choose(candidates, goal)
    spread = tuple(each for name, part in data_sets.items() for each in spreads(name, part))
    side, field = backbone.side, backbone.receptive_field(chosen.anchors.grids)
    finest = min(candidate.figures.contested for candidate in candidates)
    return Plan(
        goal=goal,
        anchors=chosen.anchors,
        figures=chosen.figures,
        spreads=spread,
        reasons=(
            *remarks,
            *reasons_for(rois, chosen, candidates, goal),
            f"A cell sees up to {field} px of {side}; the largest ROI takes {rois.ratios.max() * side:.0f} px.",
        ),
        warnings=(
            *(f"no grid reaches the goal; of this one {short}" for short in chosen.shortfalls(goal)),
            *warnings_of(rois, chosen.figures, finest, spread),
            *pixel_warnings(rois, side, field),
        ),
        neighbours=tuple(neighbours_of(rois, chosen, candidates, goal)),
        classes=rois.classes,
        rois_per_image=_rois_per_image(rois),
        roi_counts=roi_counts(rois),
        second_look=SecondLook.of(rois),
        nms_threshold=nms_threshold(usual_overlap(rois)),
        image_side=side,
        receptive_field=field,
    )


def _rois_per_image(rois: Rois) -> dict[str, int]:
    parts = {name: rois.of_class(label) for label, name in enumerate(rois.classes)}
    return {name: RoiSpread.of(name, part).usual_rois if len(part) else 1 for name, part in parts.items()}


def _candidates(rois: Rois, goal: Goal) -> tuple[Goal, list[Candidate], list[str]]:
    """The goal, with fitted scales where no equal steps do, the candidates, and what to say about that."""
    candidates, remarks = smallest_per_grid(rois, goal), []
    if not candidates and goal.scales == EQUAL:
        goal = replace(goal, scales=FITTED)
        candidates = smallest_per_grid(rois, goal)
        remarks = [f"No {MOST_SCALES} equal steps or fewer cover the sizes, so the scales are fitted to the data."]
    if not candidates:
        raise DatasetError(
            f"sizes and shapes differ too much: no {MOST_SCALES} scales and {MOST_ASPECTS} aspects give {goal.coverage:.0%} "
            f"of the ROIs an anchor of their size; look for wrong labels (tools/validate.py) or lower --coverage"
        )
    return goal, candidates, remarks
