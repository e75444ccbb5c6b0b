"""Film records as files: COCO results, a table of ROIs, the review list, and the journal that resumes a run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.core.boxes import xyxy_to_xywh
from hipdet.core.errors import DatasetError
from hipdet.core.files import Journal, replacing, write_csv, write_json
from hipdet.core.records import Record
from hipdet.core.spacing import PLANE, SPACING
from hipdet.inference.detections import FilmRois
from hipdet.inference.film_list import FilmSource

Numbered = tuple[int, FilmRois]  # image id and film record
Walk = Callable[[], Iterator[Numbered]]  # starts again at each call, so records needn't be kept in memory

ROI_COLUMNS = (
    "film", "image_id", "label", "x0", "y0", "x1", "y1", "score", "picture_side", "patient_side", "turned", "inverted",
    "flags", "candidate", "spacing_x_mm", "spacing_y_mm", "spacing_plane", "width_mm", "height_mm",
)  # fmt: skip
REVIEW_COLUMNS = ("film", "flags", "error", "lowest_score", "rois", "turned", "inverted", "width", "height")


def write_predictions(out: Path, records: Walk, categories: Mapping[str, int], faults: Mapping[str, str] = {}) -> None:
    """Write ``predictions.json``, ``predictions.csv`` and ``review.csv`` into `out`.

    Args:
        out: Folder of the files.
        records: Yields image ids and film records.
        categories: Category id of each class.
        faults: Why films have no DICOM objects, by name, for the review list.
    """
    write_coco_results(out / "predictions.json", records(), categories)
    write_csv(out / "predictions.csv", roi_table(records()))
    write_csv(out / "review.csv", [REVIEW_COLUMNS, *_review(records(), faults)])


def write_films(path: Path, records: Walk, categories: Mapping[str, int]) -> None:
    """Write the films as a COCO file without annotations, which pycocotools' ``loadRes`` needs."""
    write_json(path, coco_films(records(), categories))


def coco_films(records: Iterable[Numbered], categories: Mapping[str, int]) -> dict[str, Any]:
    """The content of :func:`write_films`."""
    images = [
        dict(id=number, file_name=film.name, width=film.width, height=film.height,
             **({SPACING: list(film.spacing_mm), PLANE: film.spacing_plane} if film.spacing_mm else {}))
        for number, film in records
        if film.error is None
    ]  # fmt: skip
    classes = [dict(id=number, name=name) for name, number in categories.items()]
    return dict(info=dict(description="films of predictions.json"), images=images, annotations=[], categories=classes)


def coco_results(number: int, film: FilmRois, categories: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The ROIs of a film, then its candidates, as COCO results with further entries that cropping needs."""
    for roi in (*film.rois, *film.candidates):
        yield dict(
            image_id=number,
            category_id=categories[roi.label],
            bbox=[round(value, 3) for value in xyxy_to_xywh(roi.box)[0].tolist()],
            score=round(roi.score, 6),
            file_name=film.name,
            width=film.width,
            height=film.height,
            label=roi.label,
            picture_side=roi.picture_side,
            patient_side=roi.patient_side,
            turned=film.turned,
            inverted=film.inverted,
            flags=list(film.flags),
            candidate=roi.candidate,
            spacing_mm=film.spacing_mm,
            spacing_plane=film.spacing_plane,
            size_mm=film.size_mm(roi),
        )


def roi_table(records: Iterable[Numbered]) -> Iterator[tuple[object, ...]]:
    """The rows of ``predictions.csv``: the header, then one for each ROI and candidate."""
    yield ROI_COLUMNS
    for number, film in records:
        for roi in (*film.rois, *film.candidates):
            box = (round(value, 3) for value in roi.box)
            yield (film.name, number, roi.label, *box, round(roi.score, 6), roi.picture_side, roi.patient_side, film.turned,
                   int(film.inverted), " ".join(film.flags), int(roi.candidate), *(film.spacing_mm or (None, None)),
                   film.spacing_plane, *(film.size_mm(roi) or (None, None)))  # fmt: skip


def _review(records: Iterable[Numbered], faults: Mapping[str, str]) -> list[tuple[object, ...]]:
    """Rows of the review list: films that can't be read, then by number of flags, most first, then by lowest score."""
    worst = []
    for number, film in records:
        error = faults.get(film.name) if film.error is None else film.error
        if error is not None or film.flags:
            scores = [round(roi.score, 6) for roi in film.rois]
            row = (film.name, " ".join(film.flags), error or "", min(scores, default=""), len(scores), film.turned,
                   int(film.inverted), film.width, film.height)  # fmt: skip
            worst.append(((error is None, -len(film.flags), min(scores, default=0.0), number), row))
    return [row for _, row in sorted(worst)]


def write_coco_results(path: Path, records: Iterable[Numbered], categories: Mapping[str, int]) -> None:
    """Write `records` in the form of ``predictions.json``: a JSON list, one row per line, not all in memory."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        separator = "["
        for each in records:
            for row in coco_results(*each, categories):
                file.write(f"{separator}\n{json.dumps(row, allow_nan=False)}")
                separator = ","
        file.write("[]\n" if separator == "[" else "\n]\n")


class FilmJournal(Journal):
    """A journal of film records.  A record is found again if neither the film nor the model has changed.

    A line is ``{"key": :meth:`key`, "film": FilmRois.to_json()}``.

    Args:
        path: File; made if it is missing.
        model: ``RoiDetector.settings``: identifies the model, its settings and the version of the rules for results.
        classes: Those of the model; other labels of its records are refused.

    Raises:
        DatasetError: the file isn't a journal of film records.
    """

    def __init__(self, path: Path, model: str, classes: Sequence[str] | None = None) -> None:
        super().__init__(path)
        self.model, self.classes = model, classes
        try:
            self.places = {self._get_key(record, place): place for place, record in self.records()}
            self._keys: dict[str, str] = {}
        except BaseException:
            self.close()
            raise

    def key(self, source: FilmSource) -> str:
        """A hash of the film's path, size and modification time, and of the model; a hash, so that the file has no paths.

        It stays while the journal is open: a film that changes in the meantime is predicted again by the next run.
        """
        path = str(source.path or source.name)
        if path not in self._keys:
            try:
                found = os.stat(path)
                state = f"{found.st_size} {found.st_mtime_ns}"
            except OSError:
                state = "missing"
            text = f"{os.path.abspath(path)}\n{state}\n{self.model}"
            self._keys[path] = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self._keys[path]

    def add(self, source: FilmSource, record: FilmRois) -> None:
        """Append the `record` of `source`; it is in the file when this returns."""
        key = self.key(source)
        self.places[key] = self.append([{"key": key, "film": record.to_json()}])

    def find(self, source: FilmSource) -> FilmRois | None:
        """The record of `source`, with its current name; None if there is none."""
        place = self.places.get(self.key(source))
        if place is None:
            return None
        values = self._record(self.at(place), place).record("film")
        return FilmRois.from_json(values, source.name, source.path, self.classes)

    def of(self, films: Mapping[int, FilmSource]) -> Iterator[Numbered]:
        """The records of `films`, which are given by id; films without one are left out."""
        for number, source in films.items():
            if (record := self.find(source)) is not None:
                yield number, record

    def _record(self, values: Mapping[str, Any], place: int) -> Record:
        remedy = "remove this journal of hipdet predict, or choose another --out"
        return Record(values, f"{self.path}: byte {place}", DatasetError, remedy)

    def _get_key(self, values: Mapping[str, Any], place: int) -> str:
        record = self._record(values, place)
        FilmRois.from_json(record.record("film"), "")
        key: str = record.text("key")
        return key
