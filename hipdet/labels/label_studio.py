"""Label Studio JSON and JSON-MIN: ``x, y, width, height`` in percent of the original film, ``rotation`` in degrees.

``x, y`` is the top-left corner of the box as drawn, about which the box is then turned clockwise; both are brought to pixels
first, as percents of width and height differ.  A film that several people labelled becomes one record for each of
them, told apart by ``annotator``; the option of the same name keeps one.  Cancelled annotations and predictions are left
out, so a film with nothing else is not labelled; an annotation without boxes is a film without ROI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.film_name import film_name, film_of_address
from hipdet.labels.label_file import LabelFile
from hipdet.labels.label_studio_regions import read_regions
from hipdet.labels.options import LabelOptions
from hipdet.labels.record import FilmLabels
from hipdet.labels.values import field, mapping, sequence, shown

_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".dcm", ".webp", ".gif")


def read_label_studio(files: Sequence[LabelFile], options: LabelOptions, faults: Faults) -> list[FilmLabels]:
    """The films of all `files`; their faults go to `faults`."""
    films: list[FilmLabels] = []
    for file in files:
        with faults.at(file.shown):
            for index, record in enumerate(sequence(file.document, "the file"), 1):
                with faults.at(file.shown, f"task {index}"):
                    films += _task(file, mapping(record, "the task"), f"task {index}", options, faults)
    return films


def _task(
    file: LabelFile, task: dict[str, Any], place: str, options: LabelOptions, faults: Faults
) -> Iterator[FilmLabels]:
    """One film per annotator."""
    minimal = "data" not in task
    data = task if minimal else mapping(task["data"], "data")
    name = film_name(film_of_address(_address(data)), "the image's address")
    found = [task] if minimal else sequence(field(task, "annotations"), "annotations")
    for index, record in enumerate(found, 1):
        where = place if minimal else f"{place}, annotation {index}"
        with faults.at(file.shown, where):
            annotation = mapping(record, "the annotation")
            annotator = _annotator(annotation.get("annotator" if minimal else "completed_by"))
            if annotation.get("was_cancelled") or options.annotator not in (None, annotator):
                continue
            regions = _minimal_regions(annotation) if minimal else sequence(field(annotation, "result"), "result")
            boxes, size = read_regions(regions, options.rotated, (file.shown, where), faults)
            yield FilmLabels(name, size, boxes, file.path, where, annotator)


def _address(data: dict[str, Any]) -> str:
    """The film's address: under ``image``, or else the only value that ends like a picture."""
    if "image" in data:
        found = [data["image"]]
    else:
        found = [value for value in data.values() if isinstance(value, str) and value.lower().endswith(_PICTURES)]
    if len(found) != 1 or not isinstance(found[0], str):
        raise LabelFault(f"image is {shown(found[0]) if found else 'missing'}, expected the address of one film")
    return found[0]


def _annotator(value: object) -> str | None:
    """Number of the annotator; of a whole account only its id: names and e-mail addresses aren't kept."""
    if isinstance(value, dict):
        value = value.get("id")
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _minimal_regions(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of a JSON-MIN task, which stand under the name of the labelling control."""
    lists = [value for value in task.values() if isinstance(value, list)]
    regions = [item for values in lists for item in values if isinstance(item, dict) and "original_width" in item]
    # JSON-MIN puts what JSON has as "value" beside the sizes, and the type is told by the key of the labels
    types = ("rectanglelabels", "polygonlabels", "ellipselabels", "keypointlabels", "brushlabels")
    return [
        {**region, "type": next((kind for kind in types if kind in region), "rectangle"), "value": region}
        for region in regions
    ]
