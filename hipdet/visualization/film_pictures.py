"""Films to draw: of a test, of predictions with or without labels, and of a data set with its faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.core.annotations import is_ignored, source_of
from hipdet.core.boxes import Detections, xywh_to_xyxy
from hipdet.core.errors import DatasetError
from hipdet.core.records import Record, read_json, records
from hipdet.data.coco_file import subset
from hipdet.data.film_status import brief_reason, left_out
from hipdet.data.validate.faults import Fault
from hipdet.data.validate.plausibility import sound, sound_images
from hipdet.evaluation.matching import HIT, Labelled, evaluate_film
from hipdet.evaluation.report import CORNERS, FARTHEST, FOUND_CORNERS, extra_rows, roi_rows
from hipdet.visualization.tiles import Box, Mark, PicturedFilm

Row = Mapping[str, Any]  # a row of a table, or a record of a COCO file


PICTURED = ("image_id", "file_name", *CORNERS, *FOUND_CORNERS)  # what is needed of a row of test.roi.json


def evaluated_films(table: Mapping[str, Sequence[Row]]) -> dict[int, PicturedFilm]:
    """Films by image id, in that order, with labels, detections, IoU and score; also films with detections but no ROI.

    Flags: ``missed``: an ROI without a hit (IoU 0.5); ``extra``: a detection that is no hit.  In old tables ``extras`` have
    no file names, so films without ROIs are left out.
    """
    films: dict[int, list[Row]] = {}
    extras: dict[int, list[Row]] = {}
    for row in table["rois"]:
        films.setdefault(row["image_id"], []).append(row)
    for row in table.get("extras", ()):
        if "file_name" in row or row["image_id"] in films:
            extras.setdefault(row["image_id"], []).append(row)
    return {key: _evaluated_film(films.get(key, ()), extras.get(key, ())) for key in sorted({*films, *extras})}


def _evaluated_film(rows: Sequence[Row], extras: Sequence[Row]) -> PicturedFilm:
    labels, detections, scores = [], [], []
    for row in rows:
        score, text = row["confidence"], "not found"
        if row["found_x0"] is not None:
            scores.append(score)
            text = f"{row['iou']:.2f} ({score:.2f})"
            detections.append(Mark(_box(row, FOUND_CORNERS), True))
        labels.append(Mark(_box(row, CORNERS), False, text))
    for row in extras:
        scores.append(row["confidence"])
        detections.append(Mark(_box(row, FOUND_CORNERS), True, f"extra ({row['confidence']:.2f})"))
    hits = sum(row["iou"] >= HIT for row in rows)
    first = [*rows, *extras][0]
    flags = [*["missed"] * (hits < len(rows)), *["extra"] * (hits < len(scores))]
    return PicturedFilm(
        file_name=first["file_name"],
        source=first.get("source") or "",
        marks=(*labels, *detections),  # detections are drawn over labels
        iou=min((row["iou"] for row in rows), default=None),
        score=min(scores, default=None),
        flags=tuple(flags),
    )


def _box(row: Row, corners: Sequence[str]) -> Box:
    x0, y0, x1, y1 = (float(row[corner]) for corner in corners)
    return x0, y0, x1, y1


def read_predictions(path: Path) -> list[Row]:
    """The content of a COCO results file: ``image_id``, ``category_id``, ``bbox`` and ``score`` of each detection.

    Raises:
        DatasetError: the file is of another kind, or an entry lacks one of these.
    """
    expected = "COCO results: a list of detections"
    found = records(read_json(path, expected), f"{path}: detection", remedy=f"expected {expected}")
    return [_detection(each) for each in found]


def _detection(record: Record) -> Row:
    checked = dict(
        image_id=record.whole("image_id"),
        category_id=record.whole("category_id"),
        bbox=list(record.box("bbox", FARTHEST)),
        score=record.number("score"),
    )
    if min(checked["bbox"][2:]) < 0:
        record.refuse("bbox", "[x, y, width, height]")
    for key in ("file_name", "source"):
        record.text(key, None)
    if not isinstance(record.values.get("flags"), str):
        record.texts("flags", None)
    return {**record.values, **checked}


def predicted_films(
    predictions: Sequence[Row], coco: Mapping[str, Any] | None = None, rois: int = 2
) -> list[PicturedFilm]:
    """Films in the order of `coco`, or without it in the order of their first detections.

    Args:
        predictions: COCO results; without `coco` each needs a ``file_name``.
        coco: Films and, if it has annotations, labels to compare with; a film that :mod:`hipdet.data.film_status`
            leaves out is drawn without labels, and a flag gives the reason.
        rois: Number of detections to draw per film, highest scores first; 0 for all.

    Raises:
        DatasetError: a film has no name, or `coco` lacks it.
    """
    found: dict[int, list[Row]] = defaultdict(list)
    for each in predictions:
        found[each["image_id"]].append(each)
    if coco is None:
        images = {image_id: detections[0] for image_id, detections in found.items()}
        if nameless := [image_id for image_id, each in images.items() if not isinstance(each.get("file_name"), str)]:
            raise DatasetError(f"detections of image_id {nameless[0]} have no file_name: give the COCO file with --ann")
    else:
        images = {image["id"]: image for image in coco["images"]}
    for image_id, detections in found.items():
        found[image_id] = sorted(detections, key=lambda each: -each["score"])[: rois or None]
    if strangers := [image_id for image_id in found if image_id not in images]:
        raise DatasetError(
            f"predictions have image_id {strangers[0]}, which the COCO file of --ann lacks: give the file they were made on"
        )
    if coco is not None and coco["annotations"]:
        return _compared(images, found, coco)
    return [_predicted_film(image, found[image_id]) for image_id, image in images.items()]


def _predicted_film(image: Row, found: Sequence[Row]) -> PicturedFilm:
    marks = []
    for each in found:
        x0, y0, x1, y1 = xywh_to_xyxy([each["bbox"]])[0].tolist()
        marks.append(Mark((x0, y0, x1, y1), True, f"{each['score']:.2f}"))
    score = min((float(each["score"]) for each in found), default=None)
    return PicturedFilm(image["file_name"], source_of(image), tuple(marks), None, score, _flags(image, found))


def _flags(image: Row, found: Sequence[Row]) -> tuple[str, ...]:
    """Flags of the image record and of the detections, without repeats; ``nothing found`` if there is no detection."""
    flags: list[str] = [] if found else ["nothing found"]
    for each in (image, *found):
        given = each.get("flags") or ()
        flags += given.replace(",", " ").split() if isinstance(given, str) else map(str, given)
    return tuple(dict.fromkeys(flags))


def _compared(
    images: Mapping[int, Row], found: Mapping[int, Sequence[Row]], coco: Mapping[str, Any]
) -> list[PicturedFilm]:
    """Films compared with labels as in RoiMetric; films with neither label nor detection aren't compared."""
    if find_spec("scipy") is None:
        raise DatasetError("comparing with labels needs scipy: pip install 'hipdet[data]'")
    reasons = {image_id: reason for image_id, image in images.items() if (reason := left_out(image))}
    truth = subset(coco, [image_id for image_id in images if image_id not in reasons])
    labelled = evaluated_films(compared_table(truth, found))
    films = []
    for image_id, image in images.items():
        plain = _predicted_film(image, found.get(image_id, ()))
        if reason := reasons.get(image_id):
            plain = replace(
                plain, flags=(*plain.flags, brief_reason(reason)), notes=(f"its labels aren't shown: {reason}",)
            )
        film = labelled.get(image_id, plain)
        films.append(replace(film, flags=tuple(dict.fromkeys((*film.flags, *plain.flags)))))
    return films


def compared_table(coco: Mapping[str, Any], found: Mapping[int, Sequence[Row]]) -> dict[str, list[dict]]:
    """``rois`` and ``extras`` of the films of a valid `coco`; detections on a film without labels are extra.

    Args:
        coco: Labels; crowds and ignored boxes are left out, and so are the detections on them.
        found: COCO results by image id; all of them are matched.
    """
    labels: dict[int, list[Row]] = defaultdict(list)
    ignored: dict[int, list[Row]] = defaultdict(list)
    for annotation in coco["annotations"]:
        (ignored if is_ignored(annotation) else labels)[annotation["image_id"]].append(annotation)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rois: list[dict] = []
    extras: list[dict] = []
    for image in coco["images"]:
        here = found.get(image["id"], ())
        boxes, classes = _boxes(here)
        detections = Detections(boxes, np.array([each["score"] for each in here], dtype=np.float64), classes)
        truth = labels[image["id"]]
        film = evaluate_film(*_boxes(truth), detections, len(here), _boxes(ignored[image["id"]]))
        rois += roi_rows(image, truth, film, names)
        extras += extra_rows(image, film, names)
    return dict(rois=rois, extras=extras)


def _boxes(annotations: Sequence[Row]) -> Labelled:
    classes = np.array([each["category_id"] for each in annotations], dtype=np.int64)
    return xywh_to_xyxy([each["bbox"] for each in annotations]), classes


def labelled_films(
    coco: Mapping[str, Any], faults: Sequence[Fault] = (), root: Path | None = None
) -> list[PicturedFilm]:
    """Films in the order of `coco`, with the boxes that can be drawn, and each film's faults as flags and notes.

    Args:
        coco: As :func:`hipdet.data.validate.check` returns it, including faulty records.
        faults: The faults that this function found.
        root: Folder of the films; it is removed from notes, because pictures must not show paths of the machine.
    """
    images = sound_images(coco.get("images", ()))
    classes = {category["id"]: category["name"] for category in coco.get("categories", ())}
    marks: dict[int, list[Mark]] = defaultdict(list)
    for annotation in sound(coco.get("annotations", ()), images):
        x0, y0, x1, y1 = xywh_to_xyxy([annotation["bbox"]])[0].tolist()
        marks[annotation["image_id"]].append(Mark((x0, y0, x1, y1), False, _text(annotation, classes)))
    by_film: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_film[fault.film].append(fault)
    return [
        PicturedFilm(
            image["file_name"],
            source_of(image),
            tuple(marks[image["id"]]),
            flags=tuple(dict.fromkeys(fault.kind for fault in by_film[image["file_name"]])),
            notes=tuple(_note(fault, root) for fault in by_film[image["file_name"]]),
        )
        for image in images
    ]


def faulty_first(films: Sequence[PicturedFilm], faults: Sequence[Fault]) -> list[PicturedFilm]:
    """Films with errors, then films with warnings, then the others; each group keeps its order."""
    with_errors = {fault.film for fault in faults if not fault.warning}
    with_faults = {fault.film for fault in faults}
    return sorted(films, key=lambda film: (film.file_name not in with_errors, film.file_name not in with_faults))


def _text(annotation: Mapping[str, Any], classes: Mapping[Any, Any]) -> str:
    """The patient's side if known, the class if there are several, and ``ignored`` if it is, such as ``right lung``."""
    side = annotation.get("laterality")
    name = classes.get(annotation["category_id"])
    parts = [side if isinstance(side, str) else None, str(name) if len(classes) > 1 else None]
    return " ".join(filter(None, (*parts, "ignored" if is_ignored(annotation) else None)))


def _note(fault: Fault, root: Path | None) -> str:
    where = f"{fault.id}: " if fault.id else ""
    note = f"{fault.severity}: {where}found {fault.found}, expected {fault.expected}: {fault.remedy}"
    return note if root is None else note.replace(f"{root}/", "")
