"""Films that a model is tested on from outside: what it finds on them, and how that agrees with labels, if there are any.

It needs neither torch nor mm*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hipdet.core.annotations import is_ignored
from hipdet.core.boxes import Detections, as_boxes, xywh_to_xyxy
from hipdet.core.errors import DatasetError
from hipdet.core.files import path_below, write_json
from hipdet.core.records import read_json
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Coco
from hipdet.data.convert import Output, convert_found
from hipdet.data.sources.folder import find_folder
from hipdet.evaluation.matching import Labelled, evaluate_film
from hipdet.evaluation.report import extra_rows, roi_rows
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import RoiDetector
from hipdet.inference.film_list import FilmList, films_at, films_of_coco
from hipdet.inference.results import FilmJournal, Numbered
from hipdet.workflows.fit_labels import FitLabels, find_films
from hipdet.workflows.fit_metrics import Detected, write_as_predictions


@dataclass(frozen=True)
class FilmsElsewhere:
    """Films from elsewhere, with or without labels.

    Attributes:
        films: Their folder.
        labels: Their label file or folder; None if there are none.
        classes: Class names in the order of the model's labels.
        patients: As ``--patients`` of hipdet fit; None for what labels or DICOM tags say.
        ignore: CSV table of boxes that are neither ROI nor background.
    """

    films: Path
    labels: Path | None
    classes: Sequence[str]
    patients: str | None = None
    ignore: Path | None = None

    def run(self, out: Path) -> dict[str, Any]:
        """Find the ROIs with the model in `out`, write ``test.json`` there, and return the metrics if there are labels.

        Raises:
            DatasetError: faulty labels, or no film.
        """
        detector = RoiDetector(out, progress=True)
        if self.labels is None:
            listed = films_at([str(self.films)])
            records = detect(detector, listed)
            write_as_predictions(out / "test.json", records, self.classes)
            return _review(records)
        coco = self.read()
        with TemporaryDirectory() as folder:
            write_json(Path(folder) / "test.json", coco)
            listed = films_of_coco(Path(folder) / "test.json", self.films)
        records = detect(detector, listed)
        write_as_predictions(out / "test.json", records, self.classes)
        tested = compare_with_labels(records, coco, detector)
        return dict(_review(records), **tested.metrics(coco, detector.limits), rois=tested.rows(coco))

    def paths(self) -> dict[str, Path]:
        """The files of the films by name: of all films, or of those with labels.

        Raises:
            DatasetError: as :meth:`run`.
        """
        if self.labels is not None:
            names = [image["file_name"] for image in self.read()["images"]]
            return {name: path_below(self.films, name) for name in names}
        return {film.name: film.path for film in films_at([str(self.films)]).films if film.path is not None}

    def read(self) -> Coco:
        """The films and labels as COCO.

        Raises:
            DatasetError: they are faulty, or of other classes.
        """
        if self.labels is None:
            raise DatasetError(f"{self.films}: no labels to read: give --test-labels")
        unnamed = self.classes[0] if len(self.classes) == 1 else ""
        labels = FitLabels({"": self.labels}, dict(format=None), self.ignore, unnamed)
        rules = Rules("test", classes=tuple(self.classes), rois=None)
        found, _ = find_films(partial(find_folder, self.films, "test"), [self.labels], self.patients, None)
        with TemporaryDirectory() as folder:
            output = Output(self.films, annotations=Path(folder))
            converted = convert_found(self.films, found, labels, rules, output, {})
            coco: Coco = read_json(converted.path, "a COCO file")
        return coco


def detect(detector: RoiDetector, listed: FilmList, journal: FilmJournal | None = None) -> list[Numbered]:
    """The ROIs of the films in `listed` with their ids; those in `journal` are taken from it, others are added to it."""
    found: dict[int, FilmRois] = {}
    for number, source in zip(listed.ids, listed.films):
        if journal and (record := journal.find(source)) is not None and record.error is None:
            found[number] = record
    todo = {number: source for number, source in zip(listed.ids, listed.films) if number not in found}
    for (number, source), record in zip(todo.items(), detector.of_sources(iter(todo.values()), len(todo))):
        if journal:
            journal.add(source, record)
        found[number] = record
    return [(number, found[number]) for number in listed.ids]


def _review(records: Sequence[Numbered]) -> dict[str, Any]:
    films = [film for _, film in records]
    return dict(
        films=len(films),
        unreadable=sum(film.error is not None for film in films),
        flagged=sum(bool(film.flags) for film in films),
    )


def compare_with_labels(records: Sequence[Numbered], coco: Coco, detector: RoiDetector) -> Detected:
    """Match the ROIs of `records` with the labels of `coco`."""
    names = {each["id"]: each["name"] for each in coco["categories"]}
    classes = list(names.values())
    images = {image["id"]: image for image in coco["images"]}

    def boxes_of(annotations: Sequence[Mapping[str, Any]]) -> Labelled:
        labels = [classes.index(names[each["category_id"]]) for each in annotations]
        return xywh_to_xyxy([each["bbox"] for each in annotations]), np.array(labels, np.int64)

    rois: list[Mapping[str, Any]] = []
    extras: list[Mapping[str, Any]] = []
    for number, film in records:
        own = [each for each in coco["annotations"] if each["image_id"] == number]
        labels, ignored = ([each for each in own if is_ignored(each) == wanted] for wanted in (False, True))
        found = _detections(film, classes)
        result = evaluate_film(*boxes_of(labels), found, detector.rois, boxes_of(ignored))
        rois += roi_rows(images[number], labels, result, names)
        extras += extra_rows(images[number], result, dict(enumerate(classes)))
    return Detected(tuple(rois), tuple(extras))


def _detections(film: FilmRois, classes: Sequence[str]) -> Detections:
    found = [*film.rois, *film.candidates]
    return Detections(
        as_boxes([roi.box for roi in found]),
        np.array([roi.score for roi in found], np.float64),
        np.array([classes.index(roi.label) for roi in found], np.int64),
    )
