"""Merge the labels of several annotators, and measure how well they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Film, Roi, get_films
from hipdet.data.film_status import STATUS, UNCHECKED, left_out
from hipdet.data.formats.record import FilmLabels


@dataclass(frozen=True)
class Agreement:
    """The boxes of two annotators for one ROI; without a match, `second_box` is None and `iou` is 0."""

    film: str
    label: str
    first: str
    second: str
    iou: float
    first_box: tuple[float, float, float, float]
    second_box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Merged:
    """The merged ROIs of a film, the agreement of its annotators, and the reason if the film is to be excluded."""

    rois: tuple[Roi, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreement: str | None = None


def merge_annotators(film: str, readings: Mapping[str, Sequence[Roi]], rules: Rules) -> Merged:
    """Average the boxes of each ROI; if annotators disagree, exclude the film or use the first annotator's boxes.

    ROIs are matched one to one within their class so that the total IoU is largest.  The mean of squares is a square, and
    may reach over the edge of the film.

    Args:
        film: Its name, for messages.
        readings: ROIs by annotator, in the order of the annotators; at least one.
        rules: Say what a disagreement is, and what to do about it.
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
        boxes = [roi.drawn, *(readings[name][partners[name][place]].drawn for name in names[1:])]
        x0, y0, x1, y1 = np.mean(boxes, axis=0).tolist()
        rois.append(replace(roi, box=(x0, y0, x1, y1), square=None))
    return Merged(tuple(rois), agreements)


def get_usable_labels(labels: Sequence[FilmLabels], rules: Rules) -> tuple[list[FilmLabels], str | None]:
    """The finished labels of a film, and the reason if the film is excluded.

    Unfinished labels are dropped if another annotator has finished.  A film that any annotator excludes is excluded; if
    `rules` use the first annotator, only the first one's exclusion is followed.
    """
    reasons = [left_out(each.remarks, rules.unfinished) for each in labels]
    excluded = [left_out(each.remarks, unfinished=True) for each in labels]
    finished = [each for each, reason in zip(labels, reasons) if reason is None]
    decisive = excluded if rules.disagreement == "exclude" else excluded[:1]
    return finished, next(filter(None, decisive), None if finished else reasons[0])


def _partners(first: Sequence[Roi], second: Sequence[Roi]) -> list[int]:
    """The index in `second` of the match of each ROI of `first`, -1 for none."""
    from hipdet.evaluation.matching import match  # imported here, as few data sets have two annotators

    iou = iou_matrix([roi.box for roi in first], [roi.box for roi in second])
    same = np.array([[a.label == b.label for b in second] for a in first]).reshape(iou.shape)
    return [int(partner) for partner in match(np.where(same, iou, 0.0))]


def _agreements(film: str, one: str, other: str, first: Sequence[Roi], second: Sequence[Roi]) -> list[Agreement]:
    """A row for each ROI of either annotator; an ROI without a match has IoU 0."""
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
        return f"annotators {worst.first} and {worst.second} disagree on an ROI: IoU {worst.iou:.3f}"
    return None


Row = dict[str, Any]


@dataclass(frozen=True)
class FilmAgreement:
    """One film that both annotators labelled.

    Attributes:
        film: Its name.
        rois: A row for each ROI of either annotator (see :func:`roi_row`).
        remarks: Other differences, and what they are unsure of.
    """

    film: str
    rois: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """The lowest IoU: 0 if only one annotator found an ROI, 1 without ROIs."""
        return min((row["iou"] for row in self.rois), default=1.0)


@dataclass(frozen=True)
class Comparison:
    """The comparison of two annotators' labels.

    Attributes:
        names: Names of the annotators.
        films: Films that both have, the ones to review first: films with remarks, then by lowest IoU.
        alone: Names of the films that only the first annotator has, and those that only the second has.
        unchecked: Names of the films whose labels the first annotator hasn't checked, and those of the second: no readings.
    """

    names: tuple[str, str]
    films: tuple[FilmAgreement, ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()))
    unchecked: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()))

    def again(self, least_iou: float) -> tuple[FilmAgreement, ...]:
        """The films to review again: with an IoU below `least_iou`, an ROI that only one annotator found, or a remark."""
        return tuple(film for film in self.films if film.remarks or film.worst < least_iou)

    def metrics(self) -> dict[str, float]:
        """Metrics over all ROIs; means, medians and extremes are over ROIs that both found, and missing if there are none."""
        rows = [row for film in self.films for row in film.rois]
        both = [row for row in rows if row["found_by"] == "both"]
        metrics: dict[str, float] = {"films": len(self.films), "rois": len(rows), "found_by_both": len(both)}
        for name, films, unchecked in zip(self.names, self.alone, self.unchecked):
            metrics[f"found_by_{name}_only"] = sum(row["found_by"] == name for row in rows)
            metrics[f"films_of_{name}_only"] = len(films)
            metrics[f"films_unchecked_by_{name}"] = len(unchecked)
        if both:
            values = {key: np.array([row[key] for row in both]) for key in ("iou", *DIFFERENCES)}
            metrics.update(mean_iou=float(values["iou"].mean()), min_iou=float(values["iou"].min()))
            for key in DIFFERENCES:
                metrics[f"median_{key}"] = float(np.median(np.abs(values[key])))
                metrics[f"max_{key}"] = float(np.abs(values[key]).max())
        return metrics


DIFFERENCES = ("centre_px", "centre_sides", "size_px", "size_sides")


def compare(first: Mapping[str, Any], second: Mapping[str, Any], names: tuple[str, str]) -> Comparison:
    """Compare two valid COCO dictionaries; films are matched by file name.

    For excluded films only the exclusion is compared.  Films that either annotator hasn't checked aren't compared.

    Raises:
        DatasetError: a film has two sizes, or both annotators have the same name.
    """
    if len(set(names)) < 2:
        raise DatasetError(f"both annotators are called {names[0]!r}, expected two names: rename a file")
    one, other = ({film.file_name: film for film in get_films(coco)} for coco in (first, second))
    unchecked = _unchecked(one), _unchecked(other)
    both = sorted((one.keys() & other.keys()).difference(*unchecked))
    films = [_compare_film(one[name], other[name], names) for name in both]
    films.sort(key=lambda film: (not film.remarks, film.worst, film.film))
    alone = tuple(sorted(one.keys() - other.keys())), tuple(sorted(other.keys() - one.keys()))
    return Comparison(names, tuple(films), alone, unchecked)


def _unchecked(films: Mapping[str, Film]) -> tuple[str, ...]:
    """Names of films with earlier labels that the annotator hasn't checked: they are no reading."""
    return tuple(sorted(name for name, film in films.items() if film.extra.get(STATUS) == UNCHECKED))


def roi_row(agreement: Agreement) -> Row:
    """A row for an ROI: who found it, the IoU, and the differences of the second box from the first.

    ``centre_px`` is the distance of the centres, ``size_px`` the second side minus the first.  ``_sides`` are the same in
    units of the ROI's side, which can be compared between films of different resolution.
    """
    row: Row = {"label": agreement.label, "found_by": "both", "iou": agreement.iou}
    if agreement.second_box is None:
        return {**row, "found_by": agreement.first, **dict.fromkeys(DIFFERENCES), "first_box": agreement.first_box}
    a, b = np.array(agreement.first_box), np.array(agreement.second_box)
    centre = float(np.hypot(*((b[:2] + b[2:] - a[:2] - a[2:]) / 2)))
    sides = [float((box[2:] - box[:2]).max()) for box in (a, b)]
    size, mean = sides[1] - sides[0], float(np.mean(sides))
    differences = dict(zip(DIFFERENCES, (centre, centre / mean, size, size / mean)))
    return {**row, **differences, "first_box": agreement.first_box, "second_box": agreement.second_box}


def _compare_film(first: Film, second: Film, names: tuple[str, str]) -> FilmAgreement:
    sizes = [f"{film.width}x{film.height}" for film in (first, second)]
    if sizes[0] != sizes[1]:
        found = " and ".join(f"{size} px for {name}" for size, name in zip(sizes, names))
        raise DatasetError(f"{first.file_name}: {found}, expected one size: was one of them labelled on a copy?")
    reasons = [film.extra.get("exclude") for film in (first, second)]
    unsure = [f"{name} is unsure" for name, film in zip(names, (first, second)) if film.extra.get("unsure")]
    if any(reasons):
        said = [f"{name}: {reason or 'not excluded'}" for name, reason in zip(names, reasons)]
        return FilmAgreement(first.file_name, (), () if all(reasons) else ("; ".join(said), *unsure))
    rules = Rules("", classes=(), rois=None, disagreement="first")
    readings = dict(zip(names, (first.rois, second.rois)))
    rows = merge_annotators(first.file_name, readings, rules).agreements
    return FilmAgreement(first.file_name, tuple(roi_row(row) for row in rows), tuple(unsure))
