"""What a model found on films that it wasn't trained on, from the tables that testing writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hipdet.boxes import as_boxes
from hipdet.coco.load import films_of
from hipdet.errors import DatasetError
from hipdet.evaluation.roi_table import FOUND_CORNERS
from hipdet.inference.inversion import centre_contrast, sign_of
from hipdet.inference.reading import Reading
from hipdet.inference.review import HIT, ValidationFilm
from hipdet.radiograph import read_radiograph

Size = tuple[int, int]


UNKNOWN = -1  # the class of an extra in tables from before they had it


def validation_films(
    tables: Sequence[Path], annotations: Path, data_root: Path | None = None, classes: Sequence[str] = ()
) -> list[ValidationFilm]:
    """The films of ``*.roi.json`` tables of tools/test.py or tools/cross_validate.py.

    Args:
        tables: Of one model, or of the folds of a cross-validation.
        annotations: COCO file with the sizes of their films.
        data_root: Folder that the names of films start from, for a look at their greys; None for none.
        classes: Names in the order of the model's labels (default: the order of `annotations`).

    Raises:
        DatasetError: a file that can't be read, a film that isn't in `annotations`, or a class that isn't in `classes`.
        RadiographError: a film that can't be read.
    """
    coco = _read(annotations, "images")
    sizes = {film.file_name: (film.width, film.height) for film in films_of(coco)}
    classes = classes or [category["name"] for category in coco["categories"]]
    labels = {name: number for number, name in enumerate(classes)}
    found = [film for table in tables for film in _films(table, sizes, labels, annotations)]
    return [
        film if data_root is None else replace(film, brightness=_brightness(film, data_root / name))
        for name, film in tqdm(found, desc="review limits", unit="film", disable=True if data_root is None else None)
    ]


def _brightness(film: ValidationFilm, path: Path) -> int | None:
    hits = film.found.boxes[film.iou >= HIT]
    return sign_of(centre_contrast(read_radiograph(path), hits)) if len(hits) else None


def _films(
    table: Path, sizes: Mapping[str, Size], labels: Mapping[str, int], annotations: Path
) -> list[tuple[str, ValidationFilm]]:
    content = _read(table, "rois")
    names = {row["image_id"]: row["file_name"] for row in content["rois"]}
    for row in content.get("extras", ()):
        if "file_name" in row:  # else of an old table, whose extras on films without ROI can't be used
            names.setdefault(row["image_id"], row["file_name"])
    rows: dict[str, list[tuple[Mapping[str, Any], float, int]]] = {name: [] for name in names.values()}
    for row in content["rois"]:
        if row[FOUND_CORNERS[0]] is not None:
            rows[row["file_name"]].append((row, row["iou"], _label(row, labels, table)))
    for row in content.get("extras", ()):
        if row["image_id"] in names:
            rows[names[row["image_id"]]].append((row, 0.0, _label(row, labels, table)))
    if missing := sorted(set(rows) - set(sizes)):
        raise DatasetError(
            f"{table}: {missing[0]} isn't in {annotations}: name the COCO file of these films with --ann"
        )
    return [(name, _film(found, sizes[name])) for name, found in rows.items()]


def _label(row: Mapping[str, Any], labels: Mapping[str, int], table: Path) -> int:
    name = row.get("label")
    if name is None:
        return 0 if len(labels) == 1 else UNKNOWN
    if name not in labels:
        raise DatasetError(
            f"{table}: has a ROI of class {name!r}, expected one of {list(labels)}: is it of this model?"
        )
    return labels[name]


def _film(found: Sequence[tuple[Mapping[str, Any], float, int]], size: Size) -> ValidationFilm:
    found = sorted(found, key=lambda each: -each[0]["confidence"])
    reading = Reading(
        as_boxes([[row[corner] for corner in FOUND_CORNERS] for row, _, _ in found]),
        np.array([row["confidence"] for row, _, _ in found], np.float64),
        np.array([label for _, _, label in found], np.int64),
        *size,
    )
    return ValidationFilm(reading, np.array([iou for _, iou, _ in found], np.float64))


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content[key]
    except OSError as error:
        raise DatasetError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: no {key!r} in it, or not JSON: expected a COCO file or a *.roi.json table"
        ) from error
    return dict(content)
