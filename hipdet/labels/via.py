"""VGG VIA, versions 1 and 2, JSON: a rectangle is ``x, y, width, height``, 0-based; a circle becomes the square around it.

Version 1 writes the regions of a film as an object, version 2 as a list; project files hold the same below
``_via_img_metadata``.  The key of a film is its name and size in bytes, so the name is taken from ``filename``.
The film's size in pixels is not declared.  A film of the project without
regions is one without ROI: the format can't say "not labelled".

The label is the value of the region's attribute: the only one, or the one that the option `attribute` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hipdet.labels.each_file import films_of_each
from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.film_name import film_name
from hipdet.labels.label_file import LabelFile
from hipdet.labels.options import LabelOptions
from hipdet.labels.record import FilmLabels, LabelBox
from hipdet.labels.values import field, mapping, shown
from hipdet.labels.via_csv import read_via_csv
from hipdet.labels.via_region import region_box, region_label

PROJECT_KEY = "_via_img_metadata"


def read_via(files: Sequence[LabelFile], options: LabelOptions, faults: Faults) -> list[FilmLabels]:
    """The films of all `files`, JSON or CSV; their faults go to `faults`."""

    def read(file: LabelFile) -> Iterator[FilmLabels] | list[FilmLabels]:
        return (read_via_csv if file.kind == "text" else _films)(file, options.attribute, faults)

    return films_of_each(files, faults, read)


def _films(file: LabelFile, attribute: str | None, faults: Faults) -> Iterator[FilmLabels]:
    document = mapping(file.document, "the file")
    if PROJECT_KEY in document:
        document = mapping(document[PROJECT_KEY], PROJECT_KEY)
    for number, record in enumerate(document.values(), 1):
        place = f"film {number}"
        with faults.at(file.shown, place):
            film = mapping(record, "the film")
            boxes = []
            for index, region in enumerate(_regions(field(film, "regions")), 1):
                where = f"{place}, region {index}"
                with faults.at(file.shown, where):
                    boxes.append(_label_box(mapping(region, "the region"), attribute, where))
            name = film_name(field(film, "filename"), "filename")
            yield FilmLabels(name, None, tuple(boxes), file.path, place)


def _regions(regions: object) -> list[Any]:
    if isinstance(regions, dict):  # version 1
        return list(regions.values())
    if not isinstance(regions, list):
        raise LabelFault(f"regions are {shown(regions)}, expected a list, or VIA 1's object")
    return regions


def _label_box(region: dict[str, Any], attribute: str | None, place: str) -> LabelBox:
    shape = mapping(field(region, "shape_attributes"), "shape_attributes")
    attributes = mapping(region.get("region_attributes", {}), "region_attributes")
    return LabelBox(region_box(shape), region_label(attributes, attribute), place)
