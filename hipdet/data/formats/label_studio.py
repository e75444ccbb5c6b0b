"""Label Studio JSON and JSON-MIN: ``x, y, width, height`` in percent of the original film, ``rotation`` in degrees.

``x, y`` is the top-left corner of the box as drawn; the box is then rotated clockwise about it.  Corner and sides are
converted to pixels before the rotation, as percents of width and height differ.  A film with several annotators becomes one
record for each of them, distinguished by ``annotator``; the option `annotator` keeps one.  Cancelled annotations and
predictions are left out, so a film that has nothing else is not labelled; an annotation without boxes is a film without ROI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hipdet.core.records import shown
from hipdet.data.formats.geometry import Size, box_of_corners, checked_box, turned_corners
from hipdet.data.formats.parse import FaultLog, FaultyLabel, Fields, LabelFault, LabelFile, film_size, number, sequence
from hipdet.data.formats.record import Box, FilmLabels, LabelBox, LabelOptions, file_by_file, film_name, label_name

_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".dcm", ".webp", ".gif")
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
TOLERANCE = 0.01  # percent; Label Studio doesn't round, but exports through other tools do


@file_by_file
def read_label_studio(file: LabelFile, options: LabelOptions, faults: FaultLog) -> Iterator[FilmLabels]:
    """Read the films of `file`; faults of its tasks go to `faults`."""
    for index, record in enumerate(sequence(file.document, "the file"), 1):
        with faults.at(file.shown, f"task {index}") as about:
            yield from _task(file, Fields(record, "the task"), about, options, faults)


def _task(
    file: LabelFile, task: Fields, about: FaultyLabel, options: LabelOptions, faults: FaultLog
) -> Iterator[FilmLabels]:
    """One film per annotator."""
    minimal = "data" not in task
    data = task if minimal else Fields(task["data"], "data")
    name = about.film = film_name(film_of_address(_address(data)), "the image's address")
    place = about.where.removeprefix(f"{file.shown}: ")
    found = [task] if minimal else sequence(task["annotations"], "annotations")
    for index, record in enumerate(found, 1):
        where = place if minimal else f"{place}, annotation {index}"
        with faults.at(file.shown, where, film=name):
            annotation = Fields(record, "the annotation")
            annotator = _annotator(annotation.get("annotator" if minimal else "completed_by"))
            if annotation.get("was_cancelled") or options.annotator not in (None, annotator):
                continue
            regions = _minimal_regions(annotation) if minimal else sequence(annotation["result"], "result")
            boxes, size = _region_boxes(regions, options.rotated, (file.shown, where, name), faults)
            yield FilmLabels(name, size, boxes, file.path, where, annotator)


def _address(data: Fields) -> str:
    """The film's address: the value of ``image``, or the only value with the extension of a picture."""
    if "image" in data:
        found = [data["image"]]
    else:
        found = [value for value in data.values() if isinstance(value, str) and value.lower().endswith(_PICTURES)]
    if len(found) != 1 or not isinstance(found[0], str):
        raise LabelFault(f"image is {shown(found[0]) if found else 'missing'}, expected the address of one film")
    return found[0]


def film_of_address(address: str) -> str:
    """The name of the film in an address as Label Studio writes it: without server, query and upload prefix.

    ``/data/upload/3/abcd1234-a.jpg`` becomes ``a.jpg``, ``/data/local-files/?d=films/a.jpg`` becomes ``films/a.jpg``; a text
    that isn't an address is returned unchanged.

    Raises:
        LabelFault: the picture itself is embedded, or the address can't be parsed.
    """
    if address.startswith("data:"):
        raise LabelFault("embedded picture found, expected an address: import films as files and export again")
    local = address.startswith(("/data/", "upload/"))
    if not local and "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise LabelFault(f"address {shown(address)} can't be parsed ({error})") from error
    if parts.path.rstrip("/").endswith("local-files"):
        return parse_qs(parts.query).get("d", [""])[0]
    path = unquote(parts.path)
    if "upload/" not in path:
        return path.lstrip("/") if parts.netloc else path
    return _UPLOAD_PREFIX.sub("", PurePosixPath(path).name, count=1)


def _annotator(value: object) -> str | None:
    """Id of the annotator; names and e-mail addresses of an account aren't kept."""
    if isinstance(value, dict):
        value = value.get("id")
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _minimal_regions(task: Fields) -> list[dict[str, Any]]:
    """The regions of a JSON-MIN task, whose key is the name of the labelling control."""
    lists = [value for value in task.values() if isinstance(value, list)]
    regions = [item for values in lists for item in values if isinstance(item, dict) and "original_width" in item]
    # JSON-MIN merges "value" into the region, and the key of the labels gives the type
    types = ("rectanglelabels", "polygonlabels", "ellipselabels", "keypointlabels", "brushlabels")
    return [
        {**region, "type": next((kind for kind in types if kind in region), "rectangle"), "value": region}
        for region in regions
    ]


def _region_boxes(
    regions: Sequence[object], rotated: str, where: tuple[str, str, str], faults: FaultLog
) -> tuple[tuple[LabelBox, ...], Size | None]:
    """The boxes among `regions`, and the declared ``(width, height)`` of the film: None without boxes.

    `where` is what errors call the file, the place of the regions in it, and the film.

    Answers about the whole film, such as choices and texts, are skipped; regions of other shapes are faults.
    """
    boxes: list[LabelBox] = []
    sizes: list[Size] = []
    apart = _separate_labels(regions)
    for index, record in enumerate(regions, 1):
        place = f"{where[1]}, region {index}"
        with faults.at(where[0], place, film=where[2]):
            region = Fields(record, "the region")
            kind = region["type"]
            if kind not in ("rectanglelabels", "rectangle"):
                _refuse_shapes(kind)
                continue
            value = Fields(region["value"], "value")
            size = film_size(region["original_width"], region["original_height"])
            if size is None:
                found = "original_width or original_height is null or 0"
                raise LabelFault(f"{found}, expected the size of the film in pixels")
            if sizes and size != sizes[0]:
                raise LabelFault(f"original size is {size}, expected {sizes[0]} as in the regions before: export again")
            sizes.append(size)
            boxes.append(LabelBox(_box(value, size, rotated), _label(region, value, apart), place))
    return tuple(boxes), sizes[0] if sizes else None


def _refuse_shapes(kind: object) -> None:
    shapes = ("polygon", "ellipse", "keypoint", "brush", "bitmask", "vector")
    if not isinstance(kind, str) or kind.startswith(shapes):
        raise LabelFault(f"type is {shown(kind)}, expected rectanglelabels: draw a rectangle")


def _separate_labels(regions: Sequence[object]) -> dict[object, Any]:
    """The regions of a separate ``Labels`` control, by their id."""
    return {
        region["id"]: region
        for region in regions
        if isinstance(region, dict) and region.get("type") == "labels" and isinstance(region.get("id"), (str, int))
    }


def _label(region: Fields, value: Fields, apart: Mapping[object, Any]) -> str:
    """The only label of a region: its own, or that of a separate ``Labels`` control with the same id."""
    labels = value.get("rectanglelabels", value.get("labels"))
    identity = region.get("id")
    if labels is None and isinstance(identity, (str, int)) and identity in apart:
        labels = Fields(apart[identity]["value"], "value").get("labels")
    names = [] if labels is None else sequence(labels, "rectanglelabels")
    if len(names) != 1:
        raise LabelFault(f"rectanglelabels are {shown(names)}, expected one label: choose one")
    return label_name(names[0], "rectanglelabels[0]")


def _box(value: Fields, size: Size, rotated: str) -> Box:
    x, y = (_percent(value, key) * side / 100 for key, side in zip(("x", "y"), size))
    width, height = (_percent(value, key) * side / 100 for key, side in zip(("width", "height"), size))
    box = checked_box((x, y, x + width, y + height), None)
    degrees = number(value.get("rotation") or 0, "rotation")
    if degrees % 360:
        box = box_of_corners(turned_corners((x, y), width, height, degrees), rotated)
    return checked_box(box, size)


def _percent(value: Fields, key: str) -> float:
    percent = number(value[key], key)
    if not -TOLERANCE <= percent <= 100 + TOLERANCE:
        raise LabelFault(f"{key} is {percent:g}, expected a percentage of the film from 0 to 100: are these pixels?")
    return percent
