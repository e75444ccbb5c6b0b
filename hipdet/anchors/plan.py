"""The plan: recommended anchors, the reasons, what was rejected, and warnings where one map with a few scales won't do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import FIT, MATCH, AnchorMetrics
from hipdet.anchors.feature_map import Backbone
from hipdet.anchors.rois import Rois, RoiSpread, spreads
from hipdet.anchors.search import (
    EQUAL,
    FITTED,
    MOST_ASPECTS,
    MOST_SCALES,
    SQUARE,
    AnchorCandidate,
    Goal,
    Neighbour,
    ScaleChooser,
    choose,
    list_neighbours,
    smallest_per_grid,
)
from hipdet.anchors.second_look import SecondLook, roi_counts
from hipdet.core.boxes import paired_iou
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import DatasetError

FEW = 30  # ROIs; fewer say little about a distribution
SPAN = 6.0  # largest / smallest ROI that one map can serve: beyond it, some have no positive anchor or dozens
OUTLYING = 3.0  # an outlier has over this many times the median size, or under a third of it
MISTAKES = 0.01  # share of ROIs that may be labelled twice
NMS = 0.3  # IoU threshold of non-maximum suppression in hipdet's configs
NEIGHBOURS = 64  # the overlap of an ROI is measured with fewer ROIs to its right than this
SMALLEST = 8  # pixels of the padded square: a cell of the finest map


def reasons_for(
    rois: Rois, chosen: AnchorCandidate, candidates: Sequence[AnchorCandidate], goal: Goal
) -> Iterator[str]:
    """Sentences about sizes, aspects, grid and scales."""
    tails = [(1 - goal.coverage) / 2, (1 + goal.coverage) / 2]
    low, high = np.quantile(rois.sizes, tails)
    yield f"{goal.coverage:.0%} of the ROIs take {low:.1%} to {high:.1%} of the long side of their film."
    yield _explain_aspects(rois, chosen, tails)
    yield _explain_grid(chosen, candidates, goal)
    yield _explain_scales(rois, chosen, goal)


def _explain_aspects(rois: Rois, chosen: AnchorCandidate, tails: list[float]) -> str:
    low, high = np.quantile(rois.aspects, tails)
    square = 1 / SQUARE <= low <= high <= SQUARE
    found = f"They are {'square' if square else f'{low:.2f} to {high:.2f} times as high as wide'}"
    aspects = chosen.anchors.aspects
    if aspects == (1.0,):
        return f"{found}: square anchors fit."
    if len(aspects) == 1:
        return f"{found}: one aspect, {aspects[0]:g}, fits."
    return f"{found}: {len(aspects)} aspects, {' and '.join(f'{aspect:g}' for aspect in aspects)}, fit."


def _explain_grid(chosen: AnchorCandidate, candidates: Sequence[AnchorCandidate], goal: Goal) -> str:
    matched = f"{chosen.metrics.matched:.0%} of the ROIs by IoU {MATCH} or more (goal {goal.matched:.0%})"
    words = f"{_grid(chosen)}: its anchors overlap {matched}"
    coarser = [each for each in candidates if each.anchors.grids < chosen.anchors.grids]
    if not coarser:
        return f"{words}; there is no coarser grid to choose."
    last = max(coarser, key=lambda each: each.anchors.grids)
    return f"{words}. {_grid(last)}, the next coarser: {'; '.join(last.shortfalls(goal)) or 'has more anchors'}."


def _explain_scales(rois: Rois, chosen: AnchorCandidate, goal: Goal) -> str:
    scales, metrics = chosen.anchors.scales, chosen.metrics
    count, fewer = f"One scale, {scales[0]} cells,", scales[:0]
    if len(scales) > 1:
        kind = "in equal steps" if goal.scales == EQUAL else "fitted to the sizes"
        count = f"{len(scales)} scales {kind}, {scales[0]} to {scales[-1]} cells,"
        fewer = ScaleChooser(rois, goal).scales(chosen.anchors.grids, len(scales) - 1)
    words = (
        f"{count} make anchors of {metrics.smallest:.1%} to {metrics.largest:.1%} of the film; {metrics.fitted:.1%} of the "
        f"ROIs have one of their size (IoU {FIT} or more if concentric; goal {goal.coverage:.0%})"
    )
    if not fewer:
        return f"{words}."
    anchors = replace(chosen.anchors, scales=fewer)
    short = AnchorCandidate(anchors, AnchorMetrics.of(rois, anchors)).shortfalls(goal)
    return f"{words}. With {len(fewer)}: {short[0]}." if short else f"{words}."


def _grid(candidate: AnchorCandidate) -> str:
    return f"Grid {' and '.join(map(str, candidate.anchors.grids))}"


def list_warnings(
    rois: Rois, chosen: AnchorMetrics, finest_contested: float, data_sets: Sequence[RoiSpread], goal: Goal
) -> Iterator[str]:
    """Sentences, each with what was found and what to do.

    Args:
        rois: ROIs of all data sets.
        chosen: Metrics of the recommended anchors.
        finest_contested: Smallest share of contested ROIs on any grid.
        data_sets: Size distribution of each data set.
        goal: What the anchors must reach.
    """
    if len(rois) < FEW:
        yield f"only {len(rois)} ROIs: other films will have other sizes; label {FEW} or more and run hipdet anchors again"
    yield from _list_size_warnings(rois)
    if chosen.contested > goal.crowded:
        yield (
            f"{chosen.contested:.1%} of the ROIs have the same best anchor as another ROI of their film, as several share a "
            f"cell ({finest_contested:.1%} on the best grid for that): only one of them gets the anchor; take a finer grid "
            f"(--grids) or, for crowded ROIs, a detector with a feature pyramid, such as mmdet's RetinaNet"
        )
    if chosen.reachable_iou < 0.95:
        yield f"regression reaches a mean IoU of only {chosen.reachable_iou:.2f}: sizes are too far from any anchor's"
    overlap = usual_overlap(rois)
    if overlap > NMS:
        yield (
            f"ROIs of one class overlap by IoU up to {overlap:.2f}: non-maximum suppression at {NMS} would drop one of two; "
            f"the written config allows {nms_threshold(overlap):.2f}"
        )
    medians = [(spread.ratio[2], spread.name) for spread in data_sets if not spread.label]
    (low, small), (high, large) = min(medians), max(medians)
    if high > 1.25 * low:
        yield (
            f"ROIs of {large} are {high / low:.2f} times as large as those of {small} (medians {high:.1%} and {low:.1%}): "
            f"a detector trained on one alone would be tested at other sizes on the other"
        )


def _list_size_warnings(rois: Rois) -> Iterator[str]:
    sizes = rois.sizes
    median = float(np.median(sizes))
    outlying = int(((sizes > OUTLYING * median) | (sizes < median / OUTLYING)).sum())
    if outlying:
        yield (
            f"{outlying} ROIs ({outlying / len(sizes):.1%}) are over {OUTLYING:g} times as large as the median, or under a "
            f"third of it: check their labels; hipdet validate lists them (ratio-unlikely)"
        )
    low, high = (float(value) for value in np.quantile(sizes, (0.005, 0.995)))
    if high > SPAN * low:
        yield (
            f"sizes span a factor of {high / low:.1f} ({low:.1%} to {high:.1%} of the film), more than about {SPAN:g}: one "
            f"map serves either small or large ROIs well; try two maps (--grids 14,7 or 28,14), or a detector with a "
            f"feature pyramid, such as mmdet's RetinaNet"
        )


def pixel_warnings(rois: Rois, side: int, receptive_field: int) -> Iterator[str]:
    """Warnings about ROIs too small or large for an input of `side` px and a receptive field of `receptive_field` px."""
    low, high = (float(value) * side for value in np.quantile(rois.ratios, (0.005, 0.995)))
    if low < SMALLEST:
        yield (
            f"the smallest ROIs are {low:.0f} px of the {side} px that the network sees: crop the films, or take a base "
            f"config with a larger image_size (--base)"
        )
    if high > receptive_field:
        yield (
            f"the largest ROIs are {high:.0f} px, and a cell sees {receptive_field} px: take a coarser grid (--grids) or a "
            f"deeper backbone"
        )


def usual_overlap(rois: Rois) -> float:
    """Quantile (99%) of the IoU of an ROI with another one of its class and film; so single mistakes are left out."""
    order = np.lexsort((rois.boxes[:, 0], rois.labels, rois.films))
    boxes, key = rois.boxes[order], rois.films[order] * len(rois.classes) + rois.labels[order]
    largest = np.zeros(len(key))
    for apart in range(1, min(NEIGHBOURS, len(key))):
        pairs = np.flatnonzero(key[apart:] == key[:-apart])
        if not pairs.size:
            break
        iou = paired_iou(boxes[pairs], boxes[pairs + apart])
        np.maximum.at(largest, pairs, iou)
        np.maximum.at(largest, pairs + apart, iou)
    return float(np.quantile(largest, 1 - MISTAKES))


def nms_threshold(overlap: float) -> float:
    """IoU for non-maximum suppression that keeps both of two ROIs that overlap by `overlap`."""
    return NMS if overlap <= NMS else round(min(overlap + 0.1, 0.95), 2)


@dataclass(frozen=True)
class Plan:
    """What :func:`design` recommends.

    Attributes:
        goal: The goal that the plan was made for.
        anchors: Recommended anchors.
        metrics: Metrics of the recommended anchors on all ROIs.
        spreads: Size distribution of each data set, and of its classes.
        reasons: Sentences.
        warnings: Sentences.
        neighbours: Rejected sets.
        classes: Class names.
        rois_per_image: Most frequent number of ROIs of each class on films that have any.
        roi_counts: Fewest and most ROIs on films that have any.
        second_look: Settings of a detector that refines its detections.
        nms_threshold: IoU above which two detections are one.
        image_side: Side of the padded square in pixels.
        receptive_field: Side in pixels of a cell's receptive field.
    """

    goal: Goal
    anchors: AnchorSet
    metrics: AnchorMetrics
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
        """The content of ``anchor_plan.json``."""
        strides = [self.image_side // grid for grid in self.anchors.grids]
        anchors = dict(asdict(self.anchors), per_image=self.anchors.per_image, strides=strides)
        fields = asdict(self, dict_factory=_with_names_of_the_file)
        return dict(fields, anchors=anchors, roi_counts=self.roi_counts.to_json())


def _with_names_of_the_file(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Metrics are called ``figures`` in ``anchor_plan.json``."""
    return {"figures" if name == "metrics" else name: value for name, value in fields}


def design(data_sets: Mapping[str, Rois], goal: Goal | None = None, backbone: Backbone | None = None) -> Plan:
    """Derive anchors from the ROIs of all `data_sets` (paper, section 3.3).

    Args:
        data_sets: ROIs by the name of their data set.
        goal: What the anchors must reach.
        backbone: Determines which grids there are (default: the paper's, on 224 px).

    Raises:
        DatasetError: there is no ROI, data sets have different classes, or no anchors can cover the ROIs.
        ConfigError: the backbone can't have a grid of the goal.
    """
    goal, backbone = goal or Goal(), backbone or Backbone()
    if not goal.grids:
        goal = replace(goal, coarsest=backbone.coarsest, grids=tuple((grid,) for grid in backbone.grids))
    for grids in goal.grids:
        backbone.feature_map(grids)  # raises if there is none
    for name, part in data_sets.items():
        if not len(part):
            raise DatasetError(f"{name}: no ROI to derive anchors from: label some, or leave the data set out")
    if not data_sets:
        raise DatasetError("no data set to derive anchors from: name one or more COCO files")
    rois = Rois.joined(list(data_sets.values()))
    goal, candidates, remarks = _candidates(rois, goal)
    chosen = choose(candidates, goal)
    spread = tuple(each for name, part in data_sets.items() for each in spreads(name, part))
    side, field = backbone.side, backbone.receptive_field(chosen.anchors.grids)
    finest = min(candidate.metrics.contested for candidate in candidates)
    return Plan(
        goal=goal,
        anchors=chosen.anchors,
        metrics=chosen.metrics,
        spreads=spread,
        reasons=(
            *remarks,
            *reasons_for(rois, chosen, candidates, goal),
            f"A cell sees up to {field} px of {side}; the largest ROI takes up {rois.ratios.max() * side:.0f} px.",
        ),
        warnings=(
            *(f"no grid reaches the goal; on the recommended one, {short}" for short in chosen.shortfalls(goal)),
            *list_warnings(rois, chosen.metrics, finest, spread, goal),
            *pixel_warnings(rois, side, field),
        ),
        neighbours=tuple(list_neighbours(rois, chosen, candidates, goal)),
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


def _candidates(rois: Rois, goal: Goal) -> tuple[Goal, list[AnchorCandidate], list[str]]:
    """The goal (with fitted scales if equal steps don't suffice), the candidates, and remarks on that."""
    candidates, remarks = smallest_per_grid(rois, goal), []
    if not candidates and goal.scales == EQUAL:
        goal = replace(goal, scales=FITTED)
        candidates = smallest_per_grid(rois, goal)
        remarks = [f"Even {MOST_SCALES} equal steps don't cover the sizes, so the scales are fitted to the data."]
    if not candidates:
        raise DatasetError(
            f"sizes and shapes differ too much: even {MOST_SCALES} scales and {MOST_ASPECTS} aspects don't give "
            f"{goal.coverage:.0%} of the ROIs an anchor of their size; look for wrong labels (hipdet validate) or lower "
            f"--coverage"
        )
    return goal, candidates, remarks
