"""The format of a label file by its content; the ending only tells YOLO from a table without a header."""

from __future__ import annotations

from typing import Any

from hipdet.labels.fault import LabelFault
from hipdet.labels.label_file import LabelFile
from hipdet.labels.plain_csv import DELIMITERS, FORMS
from hipdet.labels.table_text import table_header
from hipdet.labels.values import shown
from hipdet.labels.via import PROJECT_KEY
from hipdet.labels.via_csv import SHAPE_COLUMN


def detect_format(file: LabelFile) -> str:
    """Its name in FORMATS.

    Raises:
        LabelFault: no known format.
    """
    found = {"json": _json_format, "xml": _xml_format, "text": _text_format}[file.kind](file)
    if found is None:
        raise LabelFault(
            f"no known format, found {_summary(file)}: export the labels as one that hipdet reads, name it with "
            "format=, or take the file out of the folder"
        )
    return found


def _json_format(file: LabelFile) -> str | None:
    document = file.document
    if isinstance(document, list):
        tasks = [item for item in document if isinstance(item, dict)]
        is_label_studio = any("data" in task or "annotation_id" in task or "annotator" in task for task in tasks)
        return "labelstudio" if is_label_studio else None
    if {"images", "annotations", "categories"} <= document.keys() or {"images", "annotations"} <= document.keys():
        return "coco"
    if "shapes" in document:
        return "labelme"
    films = document.get(PROJECT_KEY, document)
    if PROJECT_KEY in document or (films and any(_is_via_film(film) for film in films.values())):
        return "via"
    return None


def _is_via_film(film: Any) -> bool:
    return isinstance(film, dict) and {"filename", "regions"} <= film.keys()


def _xml_format(file: LabelFile) -> str | None:
    return {"annotation": "voc", "annotations": "cvat"}.get(file.document.tag)


def _text_format(file: LabelFile) -> str | None:
    columns, _ = table_header(file.document, DELIMITERS)
    if SHAPE_COLUMN in columns:
        return "via"
    if "image" in columns and any(set(form) & set(columns) for form in FORMS):
        return "csv"
    endings = {".txt": "yolo", ".csv": "csv", ".tsv": "csv"}
    return endings.get(file.path.suffix.lower())


def _summary(file: LabelFile) -> str:
    if file.kind == "xml":
        return f"XML with the root element <{file.document.tag}>"
    if file.kind == "text":
        return f"text that begins with {shown(file.document)}"
    if isinstance(file.document, dict):
        return f"a JSON object with {shown(sorted(file.document))}"
    return f"a JSON list of {len(file.document)}"
