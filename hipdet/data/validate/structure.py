"""Checks of the structure of a COCO file: valid JSON, required fields, ids, images and categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from hipdet.core.annotations import name_text
from hipdet.core.errors import one_line
from hipdet.core.files import leads_out
from hipdet.core.records import MAX_SIDE, NotANumber, bytes_of, is_side, is_whole, shown, strict_json
from hipdet.core.spacing import EXPECTED, PLANE, PLANES, SPACING, as_mm
from hipdet.data.validate.faults import Faults, FaultyRecord

Record = dict[str, Any]

_EXPORT = "export the annotations again"
_RENUMBER = "renumber them"
FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    # CocoDataset needs the area of a box, COCOeval iscrowd
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


def read_coco(path: Path, faults: Faults) -> dict[str, Any] | None:
    """Parse `path`; None, with its faults reported, if it isn't JSON with all records and their fields."""
    before = len(faults.found)
    coco = _parse(path, faults)
    if coco is not None:
        for key, fields in FIELDS.items():
            _check_records(coco, key, fields, faults)
    return coco if len(faults.found) == before else None


def _parse(path: Path, faults: Faults) -> dict[str, Any] | None:
    whole = faults.at()
    try:
        coco = strict_json(bytes_of(path))
    except FileNotFoundError:
        whole.error("file-missing", "no such file", f"{path}", "check the path, or make it with hipdet convert")
        return None
    except OSError as error:
        found = f"can't be read ({error.strerror or error})"
        whole.error("file-unreadable", found, "a readable file", "check the path and its permissions")
        return None
    except NotANumber as error:
        whole.error("not-a-number", str(error), "finite numbers", "fix the boxes")
        return None
    except ValueError as error:
        whole.error("file-not-json", str(error), "strict JSON in UTF-8", _EXPORT)
        return None
    if not isinstance(coco, dict):
        expected = "an object with images, annotations and categories"
        whole.error("file-not-coco", f"a {type(coco).__name__}", expected, _EXPORT)
        return None
    return coco


def _check_records(coco: dict[str, Any], key: str, fields: tuple[str, ...], faults: Faults) -> None:
    records = coco.get(key)
    if not isinstance(records, list):
        found = f"'{key}' is {'missing' if key not in coco else 'a ' + type(records).__name__}"
        faults.at().error("file-not-coco", found, "a list", "is this a COCO detection file?")
        return
    for place, record in enumerate(records):
        where = f"{key}[{place}]"
        if not isinstance(record, dict):
            found = f"{where} is of type {type(record).__name__}"
            faults.at(where).error("record-not-object", found, "an object", _EXPORT)
        elif missing := [field for field in fields if field not in record]:
            report = faults.at(f"{where} (id {shown(record.get('id'))})")
            report.error("field-missing", f"{', '.join(missing)} missing", ", ".join(fields), "add them")


def check_ids(kind: str, records: Sequence[Record], first: int, faults: Faults) -> None:
    """Check that ids are whole numbers from `first` up, each used once."""
    ids = [record["id"] for record in records]
    for number in ids:
        if not is_whole(number) or number < first:
            expected = f"a whole number from {first or 1} up"
            faults.at(f"{kind} {shown(number)}").error("id-invalid", f"id {shown(number)}", expected, _RENUMBER)
    for number, count in Counter(number for number in ids if is_whole(number)).items():
        if count > 1:
            faults.at(f"{kind} {number}").error("id-twice", f"id used {count} times", "once", _RENUMBER)


def check_images(images: Sequence[Record], faults: Faults) -> None:
    """Check sizes and spacings, and that each file name leads to a film of its own below the image root."""
    first: dict[str, Any] = {}
    folded: dict[str, str] = {}
    for image in images:
        name = image["file_name"]
        report = faults.at(f"image {shown(image['id'])}", name)
        for key in ("width", "height"):
            if not is_side(image[key]):
                expected = f"the pixels of the upright film, 1 to {MAX_SIDE}"
                report.error("size-invalid", f"{key} is {shown(image[key])}", expected, "read them from the film")
        for key in ("patient", "source"):
            if name_text(image.get(key)) is None:
                report.error("name-invalid", f"{key} is {shown(image[key])}", "a name or a number", "fix it")
        _check_spacing(image, report)
        if fault := file_name_fault(name):
            report.error("name-invalid", f"file_name {fault}", "the path of a film below the image root", "fix it")
            continue
        if name in first:
            found = f"the same file_name as image {shown(first[name])}"
            report.error("film-twice", found, "one record per film", "remove one")
        elif folded.setdefault(name.casefold(), name) != name:
            found = f"differs from {shown(folded[name.casefold()])} by case only"
            report.warn("name-case", found, "names that differ", "rename one: some file systems ignore case")
        first.setdefault(name, image["id"])


def _check_spacing(image: Record, report: FaultyRecord) -> None:
    size = [image[key] if is_side(image[key]) else 1 for key in ("width", "height")]
    if image.get(SPACING) is not None and as_mm(image[SPACING], size) is None:
        report.error("spacing-invalid", f"{SPACING} is {shown(image[SPACING])}", EXPECTED, "remove it, or fix it")
    elif image.get(PLANE) not in (None, *PLANES):
        report.error("spacing-invalid", f"{PLANE} is {shown(image[PLANE])}", f"one of {', '.join(PLANES)}", "fix it")


def file_name_fault(name: object) -> str | None:
    """Why `name` can't be followed below an image root, or None."""
    if not isinstance(name, str) or not name.strip():
        return f"is {shown(name)}"
    if one_line(name) != name:
        return f"{shown(name)} has control characters or is too long"
    if "\\" in name:
        return f"{shown(name)} has a backslash in place of '/'"
    if name.startswith("/") or (":" in name and PureWindowsPath(name).drive):
        return f"{shown(name)} is absolute"
    if leads_out(name):
        return f"{shown(name)} leads out of the image root"
    return None


def check_categories(
    categories: Sequence[Record], annotations: Sequence[Record], classes: Sequence[str] | None, faults: Faults
) -> None:
    """Check that names are strings, each used once, and with `classes` that they are these, in this order."""
    for category in categories:
        name = category["name"]
        if not isinstance(name, str) or not name or one_line(name) != name:
            report = faults.at(f"category {shown(category['id'])}")
            expected = "a string without control characters"
            report.error("class-name", f"name is {shown(name)}", expected, "name the class")
    names = [category["name"] for category in categories if isinstance(category["name"], str)]
    for name, count in Counter(names).items():
        if count > 1:
            faults.at(f"category {shown(name)}").error(
                "class-twice", f"name is used {count} times", "once", "remove the others"
            )
    if classes is not None:
        _check_classes(categories, names, annotations, classes, faults)


def _check_classes(
    categories: Sequence[Record],
    names: Sequence[str],
    annotations: Sequence[Record],
    classes: Sequence[str],
    faults: Faults,
) -> None:
    near = {name.strip().casefold(): name for name in names if name not in classes}
    for expected in classes:
        if expected in names:
            continue
        similar = near.pop(expected.strip().casefold(), None)
        if similar is not None:
            report = faults.at(f"category {shown(similar)}")
            report.error("class-name", shown(similar), f"{expected!r}", "rename it")
        else:
            report, remedy = faults.at(f"category {expected!r}"), "rename one, or fix --classes or the config"
            report.error("class-missing", f"categories {shown(names)}", f"{expected!r}", remedy)
    # CocoDataset numbers classes in the order of the file and names them in the order of the config
    order = [name for name in names if name in classes]
    if order != [name for name in classes if name in names] and len(set(order)) == len(order):
        remedy = "write the config's `classes` in the order of the file"
        faults.at().error("class-order", f"categories in the order {shown(order)}", shown(list(classes)), remedy)
    # a further category only matters if boxes would be dropped with it
    used = {annotation["category_id"] for annotation in annotations if is_whole(annotation["category_id"])}
    for category in categories:
        if category["name"] in near.values() and is_whole(category["id"]) and category["id"] in used:
            report = faults.at(f"category {shown(category['name'])}")
            remedy = "add it to `classes`, or remove its boxes"
            report.error(
                "class-unknown", "boxes of a class that training drops", f"one of {shown(list(classes))}", remedy
            )
