"""LabelMe JSON: one file per film, with 0-based points that may be fractional and may be outside the film.

A ``rectangle`` has two opposite corners in any order, or four in newer tools derived from LabelMe; a ``rotation`` has four.
A ``circle`` has its centre and a point on its rim, and becomes the square around it.  Other shapes are refused.
"""

from __future__ import annotations

import math

from hipdet.core.records import shown
from hipdet.data.formats.geometry import Point, Size, around_circle, box_of_corners, checked_box, enclosing
from hipdet.data.formats.parse import FaultLog, Fields, LabelFault, LabelFile, film_size, number, sequence
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, file_by_file, film_name, label_name


@file_by_file
def read_labelme(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the film of `file`; faults of its shapes go to `faults`."""
    document = Fields(file.document, "the file")
    shapes = sequence(document["shapes"], "shapes")
    film = film_name(document["imagePath"], "imagePath")
    with faults.at(file.shown, film=film):
        size = film_size(document.get("imageWidth"), document.get("imageHeight"))
        boxes = []
        for index, record in enumerate(shapes, 1):
            place = f"shape {index}"
            with faults.at(file.shown, place, film=film):
                shape = Fields(record, "the shape")
                label = label_name(shape["label"], "label")
                boxes.append(LabelBox(_box(shape, options.rotated, size), label, place))
        return [FilmLabels(film, size, tuple(boxes), file.path)]
    return []


def _box(shape: Fields, rotated: str, size: Size | None) -> Box:
    kind = shape.get("shape_type", "polygon")  # the oldest LabelMe had polygons only
    points = [_point(point, index) for index, point in enumerate(sequence(shape["points"], "points"))]
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
        raise LabelFault(f"shape_type is {shown(kind)}, expected rectangle or circle: draw a rectangle")
    return checked_box(box, size)


def _point(point: object, index: int) -> Point:
    values = sequence(point, f"points[{index}]")
    if len(values) != 2:
        raise LabelFault(f"points[{index}] is {shown(point)}, expected 2 numbers [x, y]")
    return number(values[0], f"points[{index}][0]"), number(values[1], f"points[{index}][1]")
