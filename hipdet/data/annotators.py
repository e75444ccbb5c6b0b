"""The labels of several annotators as one, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hipdet.core.boxes import iou_matrix
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Roi
from hipdet.data.film_status import left_out
from hipdet.data.formats.record import FilmLabels
from hipdet.evaluation.matching import match


@dataclass(frozen=True)
class Agreement:
    """Two annotators on one ROI; without a partner `second_box` is None and `iou` 0."""

    film: str
    label: str
    first: str
    second: str
    iou: float
    first_box: tuple[float, float, float, float]
    second_box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Merged:
    """The ROIs of a film, how its annotators agree on them, and why the film is to be excluded, if it is."""

    rois: tuple[Roi, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreement: str | None = None


def merge_annotators(film: str, readings: Mapping[str, Sequence[Roi]], rules: Rules) -> Merged:
    """The mean box of every ROI; a film that annotators disagree on is excluded or has the boxes of the first.

    ROIs are matched one to one within their class by the best total IoU.  The mean of squares is a square.

    Args:
        film: Its name, for messages.
        readings: ROIs by annotator, the first one first; at least one.
        rules: Say what a disagreement is and what follows from it.
    """
    names = list(readings)
    first = tuple(readings[names[0]])
    if len(names) == 1:
        return Merged(first)
    partners = {name: _partners(first, readings[name]) for name in names[1:]}
    agreements = tuple(
        row
        for one, other in combinations(names, 2)
        for row in _agreements(film, one, other, readings[one], readings[other])
    )
    disagreement = _disagreement(names, readings, agreements, rules)
    if disagreement:
        return Merged(first, agreements, disagreement if rules.disagreement == "exclude" else None)
    rois = []
    for place, roi in enumerate(first):
        boxes = [roi.box, *(readings[name][partners[name][place]].box for name in names[1:])]
        x0, y0, x1, y1 = np.mean(boxes, axis=0).tolist()
        rois.append(Roi((x0, y0, x1, y1), roi.label, roi.picture_side, roi.implant))
    return Merged(tuple(rois), agreements)


def standing(labels: Sequence[FilmLabels], rules: Rules) -> tuple[list[FilmLabels], str | None]:
    """The labels of a film that their annotators stand by, and why the film is excluded if it is.

    Unfinished labels are none where another annotator has finished.  A film that one of them excludes is excluded, unless
    `rules` follow the first.
    """
    reasons = [left_out(each.remarks, rules.unfinished) for each in labels]
    excluded = [left_out(each.remarks, unfinished=True) for each in labels]
    finished = [each for each, reason in zip(labels, reasons) if reason is None]
    judges = excluded if rules.disagreement == "exclude" else excluded[:1]
    return finished, next(filter(None, judges), None if finished else reasons[0])


def _partners(first: Sequence[Roi], second: Sequence[Roi]) -> list[int]:
    """The index in `second` of the partner of every one of `first`, -1 for none."""
    iou = iou_matrix([roi.box for roi in first], [roi.box for roi in second])
    same = np.array([[a.label == b.label for b in second] for a in first]).reshape(iou.shape)
    return [int(partner) for partner in match(np.where(same, iou, 0.0))]


def _agreements(film: str, one: str, other: str, first: Sequence[Roi], second: Sequence[Roi]) -> list[Agreement]:
    """A row for every ROI of either; one without a partner has IoU 0."""
    rows = []
    partners = _partners(first, second)
    for roi, partner in zip(first, partners):
        box = second[partner].box if partner >= 0 else None
        iou = float(iou_matrix([roi.box], [box])[0, 0]) if box else 0.0
        rows.append(Agreement(film, roi.label, one, other, iou, roi.box, box))
    alone = set(range(len(second))) - set(partners)
    return rows + [Agreement(film, second[n].label, other, one, 0.0, second[n].box, None) for n in sorted(alone)]


def _disagreement(
    names: Sequence[str], readings: Mapping[str, Sequence[Roi]], agreements: Sequence[Agreement], rules: Rules
) -> str | None:
    counts = {name: len(readings[name]) for name in names}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        return f"annotators disagree on the number of ROIs: {found}"
    worst = min(agreements, key=lambda row: row.iou, default=None)
    if worst and (worst.iou < rules.min_agreement or worst.second_box is None):
        return f"annotators {worst.first} and {worst.second} disagree on a ROI: IoU {worst.iou:.3f}"
    return None
