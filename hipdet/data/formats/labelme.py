"""LabelMe JSON: one file per film, 0-based points that may be fractions and may leave the film.

A ``rectangle`` has two opposite corners in any order, or in newer relatives of LabelMe four, as ``rotation`` has; a
``circle`` has its centre and a point of its rim and becomes the square around it.  Other shapes are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hipdet.data.formats.geometry import Point, Size, around_circle, box_of_corners, checked_box, enclosing
from hipdet.data.formats.parse import (
    Faults,
    LabelFault,
    LabelFile,
    entry,
    film_size,
    label_name,
    mapping,
    number,
    sequence,
    shown,
)
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, film_name, films_of_each


def read_labelme(files: Sequence[LabelFile], options: LabelOptions, faults: Faults) -> list[FilmLabels]:
    """The film of each of `files`; their faults go to `faults`."""
    return films_of_each(files, faults, lambda file: [_film(file, options.rotated, faults)])


def _film(file: LabelFile, rotated: str, faults: Faults) -> FilmLabels:
    document = mapping(file.document, "the file")
    size = film_size(document.get("imageWidth"), document.get("imageHeight"))
    boxes = []
    for index, record in enumerate(sequence(entry(document, "shapes"), "shapes"), 1):
        place = f"shape {index}"
        with faults.at(file.shown, place):
            shape = mapping(record, "the shape")
            label = label_name(entry(shape, "label"), "label")
            boxes.append(LabelBox(_box(shape, rotated, size), label, place))
    name = film_name(entry(document, "imagePath"), "imagePath")
    return FilmLabels(name, size, tuple(boxes), file.path)


def _box(shape: dict[str, Any], rotated: str, size: Size | None) -> Box:
    kind = shape.get("shape_type", "polygon")  # the oldest LabelMe had polygons only
    points = [_point(point, index) for index, point in enumerate(sequence(entry(shape, "points"), "points"))]
    if kind == "rectangle" and len(points) == 2:
        box = enclosing(points)
    elif kind in ("rectangle", "rotation") and len(points) == 4:
        box = box_of_corners(points, rotated)
    elif kind == "circle" and len(points) == 2:
        box = around_circle(points[0], math.dist(*points))
    elif kind in ("rectangle", "circle", "rotation"):
        raise LabelFault(
            f"{kind} has {len(points)} points, expected {'4' if kind == 'rotation' else '2'}: draw it again"
        )
    else:
        raise LabelFault(f"shape_type is {shown(kind)}, expected rectangle or circle: draw it again as one")
    return checked_box(box, size)


def _point(point: object, index: int) -> Point:
    values = sequence(point, f"points[{index}]")
    if len(values) != 2:
        raise LabelFault(f"points[{index}] is {shown(point)}, expected 2 numbers [x, y]")
    return number(values[0], f"points[{index}][0]"), number(values[1], f"points[{index}][1]")
