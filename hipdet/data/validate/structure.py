"""A COCO file as JSON with the records that training needs: their ids, images and categories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from hipdet.core.files import leads_out
from hipdet.core.records import MAX_SIDE, is_side, is_whole, shown
from hipdet.data.validate.faults import Faults

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
        faults.error("file-missing", "", "no such file", f"{path}", "check the path, or make it with hipdet convert")
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


_RENUMBER = "number them anew"


def check_ids(kind: str, records: Sequence[dict[str, Any]], first: int, faults: Faults) -> None:
    """Ids are whole numbers from `first` up, each used once."""
    ids = [record["id"] for record in records]
    for number in ids:
        if not is_whole(number) or number < first:
            expected = f"a whole number from {first or 1} up"
            faults.error("id-invalid", f"{kind} {shown(number)}", f"id {shown(number)}", expected, _RENUMBER)
    for number, count in Counter(number for number in ids if is_whole(number)).items():
        if count > 1:
            faults.error("id-twice", f"{kind} {number}", f"id used {count} times", "once", _RENUMBER)


def check_images(images: Sequence[dict[str, Any]], faults: Faults) -> None:
    """Sizes are whole pixels; names lead to one film each, below the image root."""
    first: dict[str, Any] = {}
    folded: dict[str, str] = {}
    for image in images:
        where, name = f"image {shown(image['id'])}", image["file_name"]
        for key in ("width", "height"):
            if not is_side(image[key]):
                found, expected = f"{key} is {shown(image[key])}", f"the pixels of the upright film, 1 to {MAX_SIDE}"
                faults.error("size-invalid", where, found, expected, "read them from the film", name)
        if fault := file_name_fault(name):
            expected = "the path of a film below the image root"
            faults.error("name-invalid", where, f"file_name {fault}", expected, "mend it", name)
            continue
        if name in first:
            found = f"file_name is that of image {first[name]} too"
            faults.error("film-twice", where, found, "one record for a film", "remove one", name)
        elif folded.setdefault(name.casefold(), name) != name:
            found = f"differs from {folded[name.casefold()]!r} by case only"
            mend = "rename one, as some disks don't tell them apart"
            faults.warn("name-case", where, found, "names that differ", mend, name)
        first.setdefault(name, image["id"])


def file_name_fault(name: object) -> str | None:
    """Why `name` can't be followed below an image root, or None."""
    if not isinstance(name, str) or not name.strip():
        return f"is {shown(name)}"
    if "\\" in name:
        return f"{name!r} has a backslash in place of '/'"
    if name.startswith("/") or (":" in name and PureWindowsPath(name).drive):
        return f"{name!r} is absolute"
    if leads_out(name):
        return f"{name!r} leads out of the image root"
    return None


def check_categories(
    categories: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
    classes: Sequence[str] | None,
    faults: Faults,
) -> None:
    """Names are texts, each used once, and with `classes` these, in their order."""
    for category in categories:
        if not isinstance(category["name"], str) or not category["name"]:
            where = f"category {shown(category['id'])}"
            faults.error("class-name", where, f"name is {shown(category['name'])}", "a text", "name the class")
    names = [category["name"] for category in categories if isinstance(category["name"], str)]
    for name, count in Counter(names).items():
        if count > 1:
            faults.error("class-twice", f"category {name!r}", f"name stands {count} times", "once", "remove the others")
    if classes is None:
        return
    near = {name.strip().casefold(): name for name in names if name not in classes}
    for expected in classes:
        if expected in names:
            continue
        similar = near.pop(expected.strip().casefold(), None)
        if similar is not None:
            faults.error("class-name", f"category {similar!r}", f"{similar!r}", f"{expected!r}", "rename it")
        else:
            found, mend = f"categories {shown(names)}", "rename one, or set the config's `classes`"
            faults.error("class-missing", f"category {expected!r}", found, f"{expected!r}", mend)
    # CocoDataset numbers classes in the order of the file and names them in the order of the config
    order = [name for name in names if name in classes]
    if order != [name for name in classes if name in names] and len(set(order)) == len(order):
        mend = "write the config's `classes` in the order of the file"
        faults.error("class-order", "", f"categories in the order {order}", f"{list(classes)}", mend)
    # a further category only matters when boxes would be dropped with it
    used = {annotation["category_id"] for annotation in annotations if is_whole(annotation["category_id"])}
    for category in categories:
        if category["name"] in near.values() and is_whole(category["id"]) and category["id"] in used:
            found, mend = "boxes of a class that is dropped", "add it to `classes`, or drop its boxes"
            faults.error("class-unknown", f"category {category['name']!r}", found, f"one of {list(classes)}", mend)
