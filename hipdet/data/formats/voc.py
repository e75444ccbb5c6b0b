"""Pascal VOC XML: ``xmin, ymin, xmax, ymax`` in two conventions that look alike.

* In the standard (origin 1) they are pixel numbers, counted from 1, the last one included: pixel ``p`` covers ``p - 1``
  to ``p``, so the box is ``(xmin - 1, ymin - 1, xmax, ymax)``.
* LabelImg (origin 0) writes edges, counted from 0: the box is ``(xmin, ymin, xmax, ymax)``.  It writes 1 for an edge at 0,
  so the numbers don't show the convention.

Origin ``auto`` is 0 for all files read together if any of them has an xmin or ymin below 1, or a ``<path>``, which LabelImg
writes but the standard lacks; otherwise it is 1.  A wrong guess moves two edges of every box by a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from hipdet.data.formats.geometry import checked_box
from hipdet.data.formats.parse import FaultLog, LabelFault, LabelFile, child_text, film_size_in, number_in, shown_tag
from hipdet.data.formats.record import (
    Box,
    FilmLabels,
    LabelBox,
    LabelOptions,
    file_by_file,
    film_name,
    label_name,
    last_part,
)


def read_voc(files: Sequence[LabelFile], options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the film of each of `files`; their faults go to `faults`."""
    if options.origin == "auto":
        options = replace(options, origin=0 if any(_is_zero_based(file.document) for file in files) else 1)
    return _films(files, options, faults)


def _is_zero_based(root: Element) -> bool:
    if root.find("path") is not None:
        return True
    for edge in (*root.iterfind("object/bndbox/xmin"), *root.iterfind("object/bndbox/ymin")):
        try:
            if number_in(edge.text, edge.tag) < 1:
                return True
        except LabelFault:  # reported when the box is read
            continue
    return False


@file_by_file
def _films(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    root: Element = file.document
    if root.tag != "annotation":
        raise LabelFault(f"root element is {shown_tag(root)}, expected <annotation>: is this a Pascal VOC file?")
    film = _film_name(root)
    with faults.at(file.shown, film=film):
        size = film_size_in(child_text(root, "size", "width"), child_text(root, "size", "height"))
        boxes = []
        for number, thing in enumerate(root.findall("object"), 1):
            place = f"object {number}"
            with faults.at(file.shown, place, film=film):
                label = label_name(child_text(thing, "name"), "name")
                boxes.append(LabelBox(checked_box(_box(thing, int(options.origin)), size), label, place))
        return [FilmLabels(film, size, tuple(boxes), file.path)]
    return []


def _film_name(root: Element) -> str:
    """``filename``; if it has no extension, that of ``path`` is added."""
    name, path = child_text(root, "filename"), child_text(root, "path")
    if path and (not name or ("." not in last_part(name) and last_part(path).rpartition(".")[0] == last_part(name))):
        name = last_part(path)
    return film_name(name, "filename")


def _box(thing: Element, origin: int) -> Box:
    if thing.find("bndbox") is None:
        raise LabelFault("bndbox is missing, expected the edges of a box: draw a rectangle")
    x0, y0, x1, y1 = (number_in(child_text(thing, "bndbox", key), key) for key in ("xmin", "ymin", "xmax", "ymax"))
    return x0 - origin, y0 - origin, x1, y1
