"""COCO detection files: ``bbox`` is ``[x, y, width, height]``, 0-based.

Every image of the file is a labelled film, even one without boxes: the format has no way to say "not labelled", apart
from the ``status`` that hipdet annotate writes.  Ids may start at 0 or be strings, as some tools write them.  Segmentations
are skipped; boxes with ``iscrowd`` or ``ignore`` become ignored boxes.  hipdet's own additions are read: ``square``, the box
as drawn, ``kind``, and ``view`` of the film.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from hipdet.core.annotations import KIND, SQUARE, VIEW, is_ignored
from hipdet.core.boxes import clipped, near
from hipdet.core.records import shown
from hipdet.data.film_status import REMARKS
from hipdet.data.formats.geometry import checked_box
from hipdet.data.formats.parse import FaultLog, Fields, LabelFault, LabelFile, film_size, number, sequence
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, file_by_file, film_name, label_name


@file_by_file
def read_coco_labels(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the films of `file`; faults of its records go to `faults`."""
    coco = Fields(file.document, "the file")
    records = {key: sequence(coco[key], key) for key in ("images", "annotations", "categories")}
    names: dict[object, str] = {}
    for place, record in _places(records["categories"], "category"):
        with faults.at(file.shown, place):
            category = Fields(record, "the category")
            names[_new_id(category, names)] = label_name(category["name"], "name")
    images: dict[object, FilmLabels] = {}
    for place, record in _places(records["images"], "image"):
        with faults.at(file.shown, place) as about:
            image = Fields(record, "the image")
            about.film = film_name(image["file_name"], "file_name")
            size = film_size(image.get("width"), image.get("height"))
            remarks = {key: image[key] for key in REMARKS if key in image}
            remarks |= {VIEW: image[VIEW]} if isinstance(image.get(VIEW), str) else {}
            images[_new_id(image, images)] = FilmLabels(about.film, size, (), file.path, place, remarks=remarks)
    boxes: dict[tuple[object, bool], list[LabelBox]] = defaultdict(list)  # by image, and whether they are ignored
    for place, record in _places(records["annotations"], "annotation"):
        with faults.at(file.shown, place) as about:
            annotation = Fields(record, "the annotation")
            image_id = _get_id(annotation, "image_id", images, "images")
            about.film = images[image_id].film
            found = _box(annotation, images[image_id], names, place)
            boxes[image_id, _is_ignored(annotation)].append(found)
    return [
        replace(film, boxes=tuple(boxes[image_id, False]), ignored=tuple(boxes[image_id, True]))
        for image_id, film in images.items()
    ]


def _places(records: list[Any], kind: str) -> list[tuple[str, Any]]:
    return [(f"{kind} {number}", record) for number, record in enumerate(records, 1)]


def _new_id(record: Fields, known: dict[object, Any]) -> object:
    identity = record["id"]
    if isinstance(identity, bool) or not isinstance(identity, (int, str)):
        raise LabelFault(f"id is {shown(identity)}, expected a whole number or a string")
    if identity in known:
        raise LabelFault(f"id {shown(identity)} is used more than once, expected unique ids: renumber them")
    return identity


def _get_id(record: Fields, key: str, known: dict[object, Any], listed: str) -> object:
    identity = record[key]
    if isinstance(identity, bool) or not isinstance(identity, (int, str)) or identity not in known:
        raise LabelFault(f"{key} {shown(identity)} found, expected an id of {listed}: add it there, or remove the box")
    return identity


def _is_ignored(annotation: Fields) -> bool:
    for key in ("iscrowd", "ignore"):
        if annotation.get(key) not in (None, 0, 1):
            raise LabelFault(f"{key} is {shown(annotation[key])}, expected 0 or 1")
    return is_ignored(annotation)


def _box(annotation: Fields, film: FilmLabels, names: dict[object, str], place: str) -> LabelBox:
    label = names[_get_id(annotation, "category_id", names, "categories")]
    box, kind = _edges(annotation, "bbox"), annotation.get(KIND)
    if annotation.get(SQUARE):
        square = _edges(annotation, SQUARE)
        if film.declared is None or near(box, clipped(square, *film.declared)):  # otherwise bbox was edited elsewhere
            box = square
    box = checked_box(box, film.declared)
    return LabelBox(box, label, place, kind=kind if isinstance(kind, str) and kind else None)


def _edges(annotation: Fields, key: str) -> Box:
    box = sequence(annotation[key], key)
    if len(box) != 4:
        raise LabelFault(f"{key} is {shown(box)}, expected 4 numbers [x, y, width, height]")
    x, y, width, height = (number(value, f"{key}[{index}]") for index, value in enumerate(box))
    return x, y, x + width, y + height
