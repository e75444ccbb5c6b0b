"""Metrics of ``hipdet fit`` from detections on films that a model wasn't trained on, and these detections as predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.core.annotations import KIND, UNKNOWN, VIEW, get_patients, group_of, is_absence_known
from hipdet.core.boxes import as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.records import Record
from hipdet.core.spacing import read_spacing
from hipdet.data.coco_file import Coco
from hipdet.evaluation.matching import HIT
from hipdet.evaluation.metrics import Units, bootstrap_intervals, calibration, mean_interval, roi_metrics
from hipdet.evaluation.report import FOUND_CORNERS, placement_metrics, read_roi_table
from hipdet.inference.detections import FilmDetections
from hipdet.inference.results import Numbered
from hipdet.inference.review import ReviewLimits, judge

Row = Mapping[str, Any]
TABLE = "test.roi.json"
RIGHT = 0.7  # least IoU of a box that needn't be drawn again


def least_by_class(coco: Coco, limits: ReviewLimits | None) -> dict[str, float]:
    """Score from which a detection is an ROI, by class; 0 without limits."""
    classes = [each["name"] for each in coco["categories"]]
    scores = limits.least_scores(classes).tolist() if limits else [0.0] * len(classes)
    return dict(zip(classes, scores))


@dataclass(frozen=True)
class _Films:
    """Tested films: names by image id, the ids of those that have no other ROIs than their labels, and patients by name."""

    names: Mapping[int, str]
    known: tuple[int, ...]
    patients: Mapping[Any, Any]

    @classmethod
    def of(cls, coco: Coco) -> _Films:
        known = tuple(image["id"] for image in coco["images"] if is_absence_known(image))
        return cls({image["id"]: image["file_name"] for image in coco["images"]}, known, get_patients([coco]))

    def of_class(self, labelled: Collection[int]) -> _Films:
        """For the ROIs of a class: it is the others that may be unknown on a film that is `labelled` with it."""
        return replace(self, known=tuple(each for each in self.names if each in self.known or each in labelled))

    def only(self, chosen: Collection[int]) -> _Films:
        names = {each: name for each, name in self.names.items() if each in chosen}
        return _Films(names, tuple(each for each in self.known if each in chosen), self.patients)

    def units(self, numbers: Sequence[int]) -> Units:
        """What a bootstrap of values of the films `numbers` resamples."""
        return Units.of([self.names[number] for number in numbers], self.patients)

    def false_rois(self, numbers: Sequence[int], with_roi: Collection[int]) -> dict[str, Any]:
        """False ROIs a film, and films without an ROI, of films whose other ROIs are known to be absent.

        `numbers` has the film of each false ROI, `with_roi` the films that have a label.
        """
        count, without = Counter(numbers), {*self.known}.difference(with_roi)
        found: dict[str, Any] = dict(false_per_film=None, false_per_film_interval=None)
        if self.known:
            false = np.array([count[number] for number in self.known], np.float64)
            interval = mean_interval(false, self.units(self.known).numbers)
            found = dict(false_per_film=float(false.mean()), false_per_film_interval=interval)
        return dict(found, films_without=len(without), films_without_but_found=len(without.intersection(numbers)))


@dataclass(frozen=True)
class Detected:
    """Labels and detections of tested films, as the rows of ``test.roi.json``; ids of images are unique.

    Attributes:
        rois: A row for each label, with the detection that was matched with it.
        extras: A row for each of the best detections that was matched with none.
        ignored: As `extras`, on ignored boxes.
        fold_of: Number of the fold by image id.
    """

    rois: tuple[Row, ...]
    extras: tuple[Row, ...] = ()
    ignored: tuple[Row, ...] = ()
    fold_of: Mapping[int, int] | None = None

    @classmethod
    def read(cls, folders: Sequence[Path]) -> Detected:
        """Read the tables in the `folders` of all folds."""
        parts = [
            read_roi_table(folder / TABLE, "image_id", "annotation_id", "label", *FOUND_CORNERS) for folder in folders
        ]
        rows = {key: tuple(row for part in parts for row in part[key]) for key in ("rois", "extras", "ignored")}
        fold_of = {row["image_id"]: n for n, part in enumerate(parts) for key in rows for row in part[key]}
        return cls(**rows, fold_of=fold_of)

    def detections(self) -> dict[int, list[Row]]:
        """The best detections of each film, by image id."""
        found: dict[int, list[Row]] = {}
        for row in (*self.rois, *self.extras, *self.ignored):
            if row[FOUND_CORNERS[0]] is not None:
                found.setdefault(row["image_id"], []).append(row)
        return found

    def metrics(self, coco: Coco, limits: ReviewLimits | None) -> dict[str, Any]:
        """Metrics over all ROIs, by class, and by kind of ROI and view of films where records say them.

        Films without a label count for false ROIs, unless it isn't known whether they have an ROI of the class.

        Args:
            coco: The tested films.
            limits: Review limits, which say from which score a detection is an ROI.
        """
        films, least = _Films.of(coco), least_by_class(coco, limits)
        by: dict[str, dict[str, Any]] = {"classes": {}}
        for name in least:
            rois, extras = ([row for row in rows if row["label"] == name] for rows in (self.rois, self.extras))
            own = films.of_class({row["image_id"] for row in rois})
            by["classes"][name] = self._summary(rois, extras, own, least)
        for key in (KIND, VIEW):
            for name, (numbers, rois) in self._groups(coco, key).items():
                extras = [row for row in self.extras if row["image_id"] in numbers]
                by.setdefault(f"{key}s", {})[name] = self._summary(rois, extras, films.only(numbers), least)
        iou, score = (np.array([row[key] for row in self.rois], np.float64) for key in ("iou", "confidence"))
        bands = calibration(iou, score) if len(self.rois) else []
        every = self._summary(self.rois, self.extras, films, least)
        return dict(films=len(films.names), least_scores=least, **every, **by, calibration=bands)

    def _groups(self, coco: Coco, key: str) -> dict[str, tuple[set[int], list[Row]]]:
        """Image ids of the films, and ROIs, of each kind of ROI or view of a film; none where no record says it."""
        image_of = {image["id"]: image for image in coco["images"]}
        rows = [(group_of(row if key == KIND else image_of[row["image_id"]], key), row) for row in self.rois]
        if key == KIND:
            films = [(name, row["image_id"]) for name, row in rows]
        else:  # also films without ROI
            films = [(group_of(image, key), number) for number, image in image_of.items()]
        names = sorted({name for name, _ in films})
        return {
            name: ({number for own, number in films if own == name}, [row for own, row in rows if own == name])
            for name in (names if names != [UNKNOWN] else ())
        }

    @staticmethod
    def _summary(
        rois: Sequence[Row],
        extras: Sequence[Row],
        films: _Films,
        least: Mapping[str, float],
    ) -> dict[str, Any]:
        def given(row: Row) -> bool:
            return bool(row["confidence"] >= least[row["label"]])

        false = [*filter(given, extras), *(row for row in rois if 0 < row["iou"] < HIT and given(row))]
        counts = films.false_rois([row["image_id"] for row in false], {row["image_id"] for row in rois})
        if not rois:
            return dict(num_rois=0, **counts)
        iou = np.array([row["iou"] for row in rois])
        score = np.array([row["confidence"] for row in rois])
        units = films.units([row["image_id"] for row in rois])
        more = dict(
            acc75=iou >= 0.75,
            recall=(iou >= HIT) & [*map(given, rois)],
            label_iou=np.array([row.get("best_iou", row["iou"]) for row in rois]),
        )
        intervals = bootstrap_intervals(iou, units.numbers)
        intervals.update((name, mean_interval(value, units.numbers)) for name, value in more.items())
        return dict(
            **roi_metrics(iou, score),
            **{f"{name}_interval": interval for name, interval in intervals.items()},
            units=len({*units.numbers.tolist()}),
            resampled=units.resampled,
            recall=float(more["recall"].mean()),
            label_iou=float(more["label_iou"].mean()),
            **placement_metrics(rois),
            **counts,
        )

    def wrong(self, coco: Coco, limits: ReviewLimits | None) -> set[int]:
        """Ids of the films of `coco` with a label that no ROI has an IoU of :data:`RIGHT` with, or an ROI without a label.

        The latter only where it is known what the film lacks.  `limits` say from which score a detection is an ROI.
        """
        least, known = least_by_class(coco, limits), _Films.of(coco).known
        off = {row["image_id"] for row in self.rois if row["iou"] < RIGHT or row["confidence"] < least[row["label"]]}
        false = {row["image_id"] for row in self.extras if row["confidence"] >= least[row["label"]]}
        return off | false.intersection(known)

    def compared(self, other: Detected, coco: Coco) -> dict[str, Any]:
        """Average IoU of both on the labels that both were tested on, and the gain of this one with its 95% interval."""
        theirs = {(row["image_id"], row["annotation_id"]): row["iou"] for row in other.rois}
        pairs = [
            (row["image_id"], row["iou"], theirs[key])
            for row in self.rois
            if (key := (row["image_id"], row["annotation_id"])) in theirs
        ]
        if not pairs:
            return {}
        units = _Films.of(coco).units([film for film, _, _ in pairs])
        mine, before = (np.array([pair[place] for pair in pairs]) for place in (1, 2))
        interval = mean_interval(mine - before, units.numbers)
        return dict(
            num_rois=len(pairs),
            avg_iou=float(mine.mean()),
            other_avg_iou=float(before.mean()),
            gain=float((mine - before).mean()),
            gain_interval=interval,
        )

    def rows(self, coco: Coco) -> list[dict[str, Any]]:
        """A short row for each label, worst first, with the names of the original films."""
        names = {image["id"]: image["file_name"] for image in coco["images"]}
        keys = ("label", "iou", "confidence", "annotation_id")
        rows = [dict(film=names[row["image_id"]], **{key: row[key] for key in keys}) for row in self.rois]
        for row, each in zip(rows, self.rois):
            if self.fold_of:
                row["fold"] = self.fold_of[each["image_id"]]
        return sorted(rows, key=lambda row: (row["iou"], row["film"], row["annotation_id"]))


def metric_rows(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and metrics of all, each class, kind and view; of a single class, all says it."""
    classes = found["classes"]
    single = next(iter(classes)) if len(classes) == 1 else ""
    rows = [(single or "all classes", found), *(classes.items() if not single else ())]
    groups = [(f"{key}: {name}", each) for key in (KIND, VIEW) for name, each in found.get(f"{key}s", {}).items()]
    return [*rows, *groups]


DOUBT = 0.3  # score, the IoU that the detector expects, less the IoU with the label: three times its usual error
MISPLACED, LACKING, UNLABELLED = "misplaced", "lacking", "unlabelled"  # kinds of doubted labels


def doubted_labels(tested: Detected, coco: Coco, least: Mapping[str, float]) -> list[dict[str, Any]]:
    """Labels that the detector doubts, the most doubted first: either they are wrong, or the detector is.

    The score is the IoU that a detection expects to have with a label.  Of each detection that is an ROI and expects a hit
    (a score of 0.5 or more), the doubt is its score less the IoU that it has, 0 without a label; listed from :data:`DOUBT`.

    Args:
        tested: Labels and detections out of fold.
        coco: The films.
        least: Score from which a detection is an ROI, by class.

    Returns:
        Rows of ``film``, ``label`` (the class), ``kind``, ``doubt``, ``score``, ``iou``, and ``annotation_id``, None for a
        detection without a label.  Kinds: ``misplaced``, its box overlaps the label's by less than expected; ``lacking``,
        the film is said to lack the class; ``unlabelled``, it lies beside the film's labels of the class.
    """
    name_of = {image["id"]: image["file_name"] for image in coco["images"]}
    labelled = {(row["image_id"], row["label"]) for row in tested.rois}
    found = []
    for row in (*tested.rois, *tested.extras):
        iou = row.get("iou", 0.0)
        if row["confidence"] < max(HIT, least[row["label"]]) or row["confidence"] - iou < DOUBT:
            continue
        unmatched = UNLABELLED if (row["image_id"], row["label"]) in labelled else LACKING
        found.append(
            dict(
                film=name_of[row["image_id"]],
                label=row["label"],
                kind=MISPLACED if "iou" in row else unmatched,
                doubt=row["confidence"] - iou,
                score=row["confidence"],
                iou=iou,
                annotation_id=row.get("annotation_id"),
            )
        )
    return sorted(found, key=lambda each: (-each["doubt"], each["film"], each["label"]))


def film_records(
    tested: Detected, coco: Coco, copies: Coco, counts: RoiCounts, limits: ReviewLimits | None
) -> Iterator[Numbered]:
    """Each film with its ROIs and flags, in pixels of the film.

    Args:
        tested: Detections in pixels of the copies.
        coco: The films.
        copies: Their copies, with the same ids.
        counts: How many ROIs a film may have.
        limits: Review limits, which say from which score a detection is an ROI.
    """
    found, size = tested.detections(), {image["id"]: (image["width"], image["height"]) for image in copies["images"]}
    classes = [each["name"] for each in coco["categories"]]
    for image in coco["images"]:
        rows = sorted(found.get(image["id"], ()), key=lambda row: -row["confidence"])
        scale = np.tile([image["width"] / size[image["id"]][0], image["height"] / size[image["id"]][1]], 2)
        detections = FilmDetections(
            as_boxes([[row[corner] for corner in FOUND_CORNERS] for row in rows]) * scale,
            np.array([row["confidence"] for row in rows], np.float64),
            np.array([classes.index(row["label"]) for row in rows], np.int64),
            image["width"],
            image["height"],
        )
        spacing = read_spacing(Record(image, image["file_name"]))
        judged = judge(detections, counts, limits)
        yield image["id"], judged.record(image["file_name"], None, classes, counts.paired, None, spacing)
