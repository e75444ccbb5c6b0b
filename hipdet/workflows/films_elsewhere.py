"""Films that a model is tested on from outside: what it finds on them, and how that agrees with labels, if there are any.

It needs neither torch nor mm*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hipdet.core.files import film_below
from hipdet.core.records import read_json
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Coco, subset
from hipdet.data.convert import Output, convert_found
from hipdet.data.sources.folder import find_folder
from hipdet.inference.detector import RoiDetector
from hipdet.inference.film_list import FilmSource, films_at
from hipdet.inference.results import FilmJournal, Numbered, coco_results, write_coco_results
from hipdet.inference.run import predict_missing
from hipdet.visualization.film_pictures import compared_table
from hipdet.workflows.fit_labels import FitLabels, find_films
from hipdet.workflows.fit_metrics import Detected


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

    @cached_property
    def coco(self) -> Coco | None:
        """The films with labels as COCO; None without labels.

        Raises:
            DatasetError: the labels are faulty, or of other classes, or there is no film.
        """
        if self.labels is None:
            return None
        unnamed = self.classes[0] if len(self.classes) == 1 else ""
        labels = FitLabels({"": self.labels}, dict(format=None), self.ignore, unnamed)
        rules = Rules("test", classes=tuple(self.classes), rois=None)
        found, _ = find_films(partial(find_folder, self.films, "test"), [self.labels], self.patients, None)
        with TemporaryDirectory() as folder:
            output = Output(self.films, annotations=Path(folder))
            converted = convert_found(self.films, found, labels, rules, output, {})
            coco: Coco = read_json(converted.path, "a COCO file")
        return coco

    def sources(self) -> dict[int, FilmSource]:
        """The films by id: those with labels, or all if there are none.

        Raises:
            DatasetError: as :attr:`coco`.
        """
        if self.coco is None:
            return films_at([str(self.films)]).films
        names = {image["id"]: image["file_name"] for image in self.coco["images"]}
        return {number: FilmSource(name, film_below(self.films, name, self.labels)) for number, name in names.items()}

    def run(self, out: Path) -> dict[str, Any]:
        """Find the ROIs with the model in `out`, write ``test.json`` there, and return the metrics if there are labels.

        Raises:
            DatasetError: as :attr:`coco`.
        """
        detector = RoiDetector(out, progress=True)
        records = detect(detector, self.sources(), out / "test.jsonl")
        write_coco_results(out / "test.json", records, {name: at for at, name in enumerate(self.classes, 1)})
        unreadable = sum(film.error is not None for _, film in records)
        flagged = sum(bool(film.flags) for _, film in records)
        found = dict(films=len(records), unreadable=unreadable, flagged=flagged)
        if self.coco is None:
            return found
        tested, coco = compare_with_labels(records, self.coco)
        return {**tested.metrics(coco, detector.limits), "rois": tested.rows(coco), **found}


def detect(detector: RoiDetector, films: Mapping[int, FilmSource], path: Path) -> list[Numbered]:
    """The ROIs of `films` with their ids; those in the journal `path` are taken from it, others are added to it."""
    with FilmJournal(path, detector.settings, detector.model.card.classes) as journal:
        predict_missing(detector, journal, films)
        return [*journal.of(films)]


def compare_with_labels(records: Sequence[Numbered], coco: Coco) -> tuple[Detected, Coco]:
    """Match the ROIs and candidates of `records` with the labels of `coco`; also the part of `coco` that could be read."""
    categories = {each["name"]: each["id"] for each in coco["categories"]}
    found = {number: [*coco_results(number, film, categories)] for number, film in records if film.error is None}
    coco = subset(coco, [*found])
    table = compared_table(coco, found)
    return Detected(tuple(table["rois"]), tuple(table["extras"])), coco
