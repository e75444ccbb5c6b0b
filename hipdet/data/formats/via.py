"""VGG VIA, versions 1 and 2, JSON: a rectangle is ``x, y, width, height``, 0-based; a circle becomes the square around it.

Version 1 writes the regions of a film as an object, version 2 as a list; project files hold the same below
``_via_img_metadata``.  The key of a film is its name and size in bytes, so the name is taken from ``filename``.
The film's size in pixels is not declared.  A film without regions is a film without ROI: the format has no way to say "not
labelled".

VIA's CSV has one row per region, with JSON in its columns; a film without regions has one row with an empty shape.

The label is the value of the region's attribute: the only one, or the one that the option `attribute` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hipdet.core.records import shown
from hipdet.data.formats.geometry import around_circle, checked_box
from hipdet.data.formats.parse import FaultLog, Fields, LabelFault, LabelFile, number, number_in, parse_json, table_rows
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, file_by_file, film_name, label_name

PROJECT_KEY = "_via_img_metadata"
SHAPE_COLUMN = "region_shape_attributes"
_COLUMNS = ("filename", "region_count", SHAPE_COLUMN, "region_attributes")


@file_by_file
def read_via(file: LabelFile, options: LabelOptions, faults: FaultLog) -> Iterable[FilmLabels]:
    """Read the films of `file`, JSON or CSV; faults of its regions go to `faults`."""
    return (_csv_films if file.kind == "text" else _json_films)(file, options.attribute, faults)


def _json_films(file: LabelFile, attribute: str | None, faults: FaultLog) -> Iterator[FilmLabels]:
    document = Fields(file.document, "the file")
    if PROJECT_KEY in document:
        document = Fields(document[PROJECT_KEY], PROJECT_KEY)
    for position, record in enumerate(document.values(), 1):
        place = f"film {position}"
        with faults.at(file.shown, place) as about:
            film = Fields(record, "the film")
            name = about.film = film_name(film["filename"], "filename")
            boxes = []
            for index, region in enumerate(_regions(film["regions"]), 1):
                where = f"{place}, region {index}"
                with faults.at(file.shown, where, film=name):
                    boxes.append(_label_box(Fields(region, "the region"), attribute, where))
            yield FilmLabels(name, None, tuple(boxes), file.path, place)


def _regions(regions: object) -> list[Any]:
    if isinstance(regions, dict):  # version 1
        return list(regions.values())
    if not isinstance(regions, list):
        raise LabelFault(f"regions are {shown(regions)}, expected a list, or VIA 1's object")
    return regions


def _label_box(region: Fields, attribute: str | None, place: str) -> LabelBox:
    shape = Fields(region["shape_attributes"], "shape_attributes")
    attributes = Fields(region.get("region_attributes", {}), "region_attributes")
    return LabelBox(_region_box(shape), _region_label(attributes, attribute), place)


def _csv_films(file: LabelFile, attribute: str | None, faults: FaultLog) -> list[FilmLabels]:
    """The films of `file` in the order of their first rows; faults of rows go to `faults`.

    Raises:
        LabelFault: the file isn't a table with VIA's columns.
    """
    boxes: dict[str, list[LabelBox]] = {}
    first: dict[str, str] = {}  # place of the first row of a film
    counts: dict[str, tuple[int, int]] = {}  # regions that it should have, rows that it has
    for row in table_rows(file.document, _COLUMNS, faults, file.shown, delimiters=","):
        with faults.at(file.shown, row.place, film=row.text["filename"]):
            name = film_name(row.text["filename"], "filename")
            boxes.setdefault(name, [])
            first.setdefault(name, row.place)
            # counted before the region is parsed: a faulty region isn't a missing one
            counts[name] = (int(number_in(row.text["region_count"], "region_count")), counts.get(name, (0, 0))[1] + 1)
            shape = _json(row.text, SHAPE_COLUMN)
            if not shape and counts[name][0] == 0:
                counts[name] = (0, 0)
                continue
            label = _region_label(_json(row.text, "region_attributes"), attribute)
            boxes[name].append(LabelBox(_region_box(shape), label, row.place))
    for name, (expected, found) in counts.items():
        with faults.at(file.shown, first[name], film=name):
            if expected != found:
                raise LabelFault(f"{found} rows for {name}, region_count says {expected}: export the labels again")
    return [FilmLabels(name, None, tuple(boxes[name]), file.path, first[name]) for name in boxes]


def _json(text: dict[str, str], column: str) -> Fields:
    key = f"column {column}"
    try:
        return Fields(parse_json(text[column]), key)
    except LabelFault as fault:
        raise LabelFault(f"{key}: {fault}") from fault


def _region_box(shape: Fields) -> Box:
    """The box of ``shape_attributes``."""
    kind = shape["name"]
    if kind == "rect":
        x, y, width, height = (number(shape[key], key) for key in ("x", "y", "width", "height"))
        return checked_box((x, y, x + width, y + height), None)
    if kind == "circle":
        x, y, radius = (number(shape[key], key) for key in ("cx", "cy", "r"))
        return checked_box(around_circle((x, y), radius), None)
    raise LabelFault(f"shape is {shown(kind)}, expected rect or circle: draw a rectangle")


def _region_label(attributes: Fields, attribute: str | None) -> str | None:
    """The label among ``region_attributes``; None if there is none.

    Raises:
        LabelFault: there are several attributes and the option names none, or the value isn't one name.
    """
    if attribute is None and len(attributes) > 1:
        raise LabelFault(
            f"region has the attributes {shown(sorted(attributes))}, expected one: name the label's with attribute="
        )
    name = attribute if attribute is not None else next(iter(attributes), None)
    value = attributes.get(name) if name is not None else None
    if isinstance(value, dict):  # a checkbox: ticked values are true
        ticked = [key for key, state in value.items() if state]
        if len(ticked) > 1:
            raise LabelFault(f"{name} has {shown(ticked)} ticked, expected one label: choose one")
        value = ticked[0] if ticked else None
    return None if value is None or value == "" else label_name(value, shown(name)[1:-1])
