"""A COCO file as JSON with the records that training needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hipdet.validation.fault import Faults
from hipdet.validation.values import shown

_EXPORT = "export the annotations again"
FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    # CocoDataset needs the area of a box, COCOeval iscrowd
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


def read_coco(path: Path, faults: Faults) -> dict[str, Any] | None:
    """The content of `path`; None, with its faults noted, where it isn't JSON with all records and their fields."""
    before = len(faults.found)
    coco = _parse(path, faults)
    if coco is not None:
        for key, fields in FIELDS.items():
            _check_records(coco, key, fields, faults)
    return coco if len(faults.found) == before else None


def _parse(path: Path, faults: Faults) -> dict[str, Any] | None:
    constants: list[str] = []
    try:
        coco = json.loads(path.read_bytes().decode("utf-8"), parse_constant=constants.append)
    except FileNotFoundError:
        faults.error("file-missing", "", "no such file", f"{path}", "check the path, or make it with tools/convert.py")
        return None
    except OSError as error:
        faults.error("file-unreadable", "", f"can't be read ({error.strerror or error})", "a readable file", "check it")
        return None
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        faults.error("file-not-json", "", f"not JSON ({error})", "JSON in UTF-8", _EXPORT)
        return None
    if constants:
        found = f"{len(constants)} x {', '.join(sorted(set(constants)))}, which is no JSON number"
        faults.error("not-a-number", "", found, "finite numbers", "mend the boxes")
        return None
    if not isinstance(coco, dict):
        expected = "an object with images, annotations and categories"
        faults.error("file-not-coco", "", f"a {type(coco).__name__}", expected, _EXPORT)
        return None
    return coco


def _check_records(coco: dict[str, Any], key: str, fields: tuple[str, ...], faults: Faults) -> None:
    records = coco.get(key)
    if not isinstance(records, list):
        found = f"'{key}' is {'missing' if key not in coco else 'a ' + type(records).__name__}"
        faults.error("file-not-coco", "", found, "a list", "is this a COCO detection file?")
        return
    for place, record in enumerate(records):
        if not isinstance(record, dict):
            found = f"{key}[{place}] is a {type(record).__name__}"
            faults.error("record-not-object", f"{key}[{place}]", found, "an object", _EXPORT)
            continue
        missing = [field for field in fields if field not in record]
        if missing:
            where = f"{key}[{place}] (id {shown(record.get('id'))})"
            faults.error("field-missing", where, f"{', '.join(missing)} missing", ", ".join(fields), "add them")
