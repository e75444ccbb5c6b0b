"""Metrics of ``hipdet fit`` from detections on films that a model wasn't trained on, and these detections as predictions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hipdet.core.annotations import KIND, UNKNOWN, VIEW, get_patients, group_of, is_absence_known
from hipdet.core.boxes import as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.data.coco_file import Coco
from hipdet.evaluation.matching import HIT
from hipdet.evaluation.metrics import Units, bootstrap_intervals, calibration, mean_interval, roi_metrics
from hipdet.evaluation.report import FOUND_CORNERS, read_roi_table
from hipdet.inference.detections import FilmDetections
from hipdet.inference.results import Numbered, write_predictions
from hipdet.inference.review import ReviewLimits, judge

Row = Mapping[str, Any]
TABLE = "test.roi.json"


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
        names = {image["id"]: image["file_name"] for image in coco["images"]}
        patients = get_patients([coco])
        classes = [each["name"] for each in coco["categories"]]
        scores = limits.least_scores(classes).tolist() if limits else [0.0] * len(classes)
        least = dict(zip(classes, scores))
        of = partial(self._summary, patients=patients, least=least)
        by_class = {}
        for name in classes:
            rois, extras = ([row for row in rows if row["label"] == name] for rows in (self.rois, self.extras))
            by_class[name] = of(rois, extras, _known(coco, names, {row["image_id"] for row in rois}))
        groups = {
            f"{key}s": {
                name: of(rois, [row for row in self.extras if row["image_id"] in films], films)
                for name, (films, rois) in self._groups(coco, key).items()
            }
            for key in (KIND, VIEW)
        }
        iou, score = (np.array([row[key] for row in self.rois], np.float64) for key in ("iou", "confidence"))
        bands = calibration(iou, score) if len(self.rois) else []
        by = {"classes": by_class, **{key: group for key, group in groups.items() if group}}
        every = of(self.rois, self.extras, names)
        return dict(films=len(names), least_scores=least, **every, **by, calibration=bands)

    def _groups(self, coco: Coco, key: str) -> dict[str, tuple[dict[int, str], list[Row]]]:
        """Names of the films by image id, and ROIs, of each kind of ROI or view of a film; none where no record says it."""
        image_of = {image["id"]: image for image in coco["images"]}
        rows = [(group_of(row if key == KIND else image_of[row["image_id"]], key), row) for row in self.rois]
        if key == KIND:
            films = [(name, row["image_id"]) for name, row in rows]
        else:  # also films without ROI
            films = [(group_of(image, key), number) for number, image in image_of.items()]
        found = {}
        for name in sorted({name for name, _ in films} if any(name != UNKNOWN for name, _ in films) else ()):
            names = {number: image_of[number]["file_name"] for own, number in films if own == name}
            found[name] = names, [row for own, row in rows if own == name]
        return found

    @staticmethod
    def _summary(
        rois: Sequence[Row],
        extras: Sequence[Row],
        names: Mapping[int, str],
        patients: Mapping[Any, Any],
        least: Mapping[str, float],
    ) -> dict[str, Any]:
        def given(row: Row) -> bool:
            return bool(row["confidence"] >= least[row["label"]])

        false = [*filter(given, extras), *(row for row in rois if 0 < row["iou"] < HIT and given(row))]
        with_roi = {row["image_id"] for row in rois}
        counts = dict(
            false_per_film=len(false) / max(len(names), 1),
            films_without=len(names) - len(with_roi),
            films_without_but_found=len({row["image_id"] for row in false} - with_roi),
        )
        if not rois:
            return dict(num_rois=0, **counts)
        iou = np.array([row["iou"] for row in rois])
        score = np.array([row["confidence"] for row in rois])
        units = Units.of([names[row["image_id"]] for row in rois], patients)
        intervals = bootstrap_intervals(iou, units.numbers)
        return dict(
            **roi_metrics(iou, score),
            avg_iou_interval=intervals["avg_iou"],
            acc50_interval=intervals["acc50"],
            resampled=units.resampled,
            recall=float(((iou >= HIT) & [*map(given, rois)]).mean()),
            label_iou=float(np.mean([row.get("best_iou", row["iou"]) for row in rois])),
            **counts,
        )

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
        names = {image["id"]: image["file_name"] for image in coco["images"]}
        units = Units.of([names[film] for film, _, _ in pairs], get_patients([coco]))
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


def _known(coco: Coco, names: Mapping[int, str], labelled: Collection[int]) -> dict[int, str]:
    """The `names` of films of which it is known whether they have ROIs of a class: those `labelled` with it, by image id.

    Of others that ``absent`` says isn't known; see :func:`hipdet.core.annotations.is_absence_known`.
    """
    known = {image["id"] for image in coco["images"] if is_absence_known(image)}
    return {number: name for number, name in names.items() if number in known or number in labelled}


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
        yield image["id"], judge(detections, counts, limits).record(image["file_name"], None, classes, counts.paired)


def write_as_predictions(path: Path, records: Sequence[Numbered], classes: Sequence[str]) -> None:
    """Write `records` to `path` in the form of the ``predictions.json`` of hipdet predict."""
    categories = {name: number for number, name in enumerate(classes, 1)}
    with TemporaryDirectory(dir=path.parent) as folder:
        write_predictions(Path(folder), lambda: iter(records), categories)
        (Path(folder) / "predictions.json").replace(path)
