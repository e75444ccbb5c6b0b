"""CVAT images XML 1.1: edges ``xtl, ytl, xbr, ybr``, 0-based; ``rotation`` in degrees about the centre of the box.

Boxes with ``outside="1"`` mark frames in which the object is not visible; they are left out.  Video tracks are read too:
their films are called ``frame_000012``, as CVAT calls frames without a name.  Tags of a whole film are skipped, other shapes
are refused.  An image without boxes is a film without ROI: the format has no way to say "not labelled".
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from hipdet.core.records import shown
from hipdet.data.formats.geometry import Size, box_of_corners, checked_box, turned_corners
from hipdet.data.formats.parse import FaultLog, LabelFault, LabelFile, child_text, film_size_in, number_in, shown_tag
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, file_by_file, film_name, label_name

_SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")


@file_by_file
def read_cvat(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the films of `file`; faults of its shapes go to `faults`."""
    if file.document.tag != "annotations":
        raise LabelFault(f"root element is {shown_tag(file.document)}, expected <annotations>: is this a CVAT file?")
    return [*_images(file, options.rotated, faults), *_tracks(file, options.rotated, faults)]


def _images(file: LabelFile, rotated: str, faults: FaultLog) -> Iterator[FilmLabels]:
    for index, image in enumerate(file.document.findall("image"), 1):
        place = f"image {index}"
        with faults.at(file.shown, place) as about:
            film = about.film = film_name(image.get("name"), "name")
            size = film_size_in(image.get("width"), image.get("height"))
            boxes = []
            for number, shape in enumerate(_shapes(image), 1):
                where = f"{place}, shape {number}"
                with faults.at(file.shown, where, film=film):
                    if shape.get("outside") != "1":
                        boxes.append(_label_box(shape, shape.get("label"), rotated, size, where))
            yield FilmLabels(film, size, tuple(boxes), file.path, place)


def _tracks(file: LabelFile, rotated: str, faults: FaultLog) -> list[FilmLabels]:
    """One film for each frame in which a track is visible."""
    size: Size | None = None
    with faults.at(file.shown, "meta"):
        original = next(file.document.iterfind("meta//original_size"), None)
        if original is not None:
            size = film_size_in(child_text(original, "width"), child_text(original, "height"))
    frames: dict[int, list[LabelBox]] = {}
    for index, track in enumerate(file.document.findall("track"), 1):
        for number, shape in enumerate(_shapes(track), 1):
            place = f"track {index}, shape {number}"
            with faults.at(file.shown, place) as about:
                frame = _frame(shape)
                about.film = _frame_name(frame)
                if shape.get("outside") != "1":
                    box = _label_box(shape, track.get("label"), rotated, size, place)
                    frames.setdefault(frame, []).append(box)
    return [
        FilmLabels(_frame_name(frame), size, tuple(boxes), file.path, f"frame {frame}")
        for frame, boxes in sorted(frames.items())
    ]


def _frame_name(frame: int) -> str:
    return f"frame_{frame:06d}"


def _shapes(parent: Element) -> list[Element]:
    """The drawn shapes: boxes and others."""
    return [child for child in parent if child.tag in ("box", *_SHAPES)]


def _frame(shape: Element) -> int:
    frame = shape.get("frame", "")
    if not (frame.isascii() and frame.isdigit() and len(frame) < 10):
        raise LabelFault(f"frame is {shown(frame)}, expected a whole number of at least 0")
    return int(frame)


def _label_box(shape: Element, label: str | None, rotated: str, size: Size | None, place: str) -> LabelBox:
    if shape.tag != "box":
        raise LabelFault(f"{shown_tag(shape)} found, expected <box>: draw a rectangle")
    x0, y0, x1, y1 = (number_in(shape.get(key), key) for key in ("xtl", "ytl", "xbr", "ybr"))
    box = checked_box((x0, y0, x1, y1), None)
    degrees = number_in(shape.get("rotation", "0"), "rotation")
    if degrees % 360:
        box = _turned(box, degrees, rotated)
    return LabelBox(checked_box(box, size), label_name(label, "label"), place)


def _turned(box: Box, degrees: float, rotated: str) -> Box:
    """`box` rotated about its centre."""
    x0, y0, x1, y1 = box
    centre = complex(x0 + x1, y0 + y1) / 2
    # the centre stays in place, so the corner that turned_corners starts from moves
    corner = centre + (complex(x0, y0) - centre) * cmath.rect(1, math.radians(degrees))
    return box_of_corners(turned_corners((corner.real, corner.imag), x1 - x0, y1 - y0, degrees), rotated)
