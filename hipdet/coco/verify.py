"""Every fault of a COCO annotation file, found before anything is trained on it."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

TOLERANCE = 1.0  # px that a box may reach over the edge of its film: rounding of labelling tools

Record = dict[str, Any]


def verify_annotations(
    path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Read a COCO file and find its faults; the films are not looked at.

    Returns:
        The parsed file, empty where it can't be parsed, and the faults: each names the file, the id, what was found and
        what was expected.  With `classes` the category names must be these.
    """
    path = Path(path)
    coco, faults = _parse(path)
    if not faults:
        faults = _structure_faults(coco)
    if not faults:
        images, annotations, categories = (coco[key] for key in ("images", "annotations", "categories"))
        faults += _id_faults("image", images, 0)
        # pycocotools stores "matched with annotation 0" and "not matched" as the same number
        faults += _id_faults("annotation", annotations, 1)
        faults += _id_faults("category", categories, 0)
        faults += _image_faults(images)
        faults += _annotation_faults(annotations, images, categories)
        faults += _category_faults(categories, annotations, classes)
        faults += _emptiness_faults(images, annotations)
    return coco, [f"{path.name}: {fault}" for fault in faults]


def file_name_fault(name: object) -> str | None:
    """Why `name` can't be followed below an image root, or None."""
    if not isinstance(name, str) or not name.strip():
        return f"file_name is {name!r}, expected the path of a film below the image root"
    if "\\" in name:
        return f"file_name {name!r} has a backslash: write '/' between folders"
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        return f"file_name {name!r} is absolute: give the path below the image root"
    if ".." in PurePosixPath(name).parts or "\0" in name:
        return f"file_name {name!r} leads out of the image root: give a path below it, without '..'"
    return None


def _parse(path: Path) -> tuple[dict[str, Any], list[str]]:
    constants: list[str] = []
    try:
        coco = json.loads(path.read_bytes().decode("utf-8"), parse_constant=constants.append)
    except FileNotFoundError:
        return {}, [f"no such file ({path}): check the path, or make it with tools/convert.py"]
    except OSError as error:
        return {}, [f"can't be read: {error.strerror or error}"]
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        return {}, [f"not JSON in UTF-8 ({error}): export the annotations again"]
    if constants:
        found = ", ".join(sorted(set(constants)))
        return {}, [f"{len(constants)} x {found} found, which is no JSON number: mend the boxes"]
    if not isinstance(coco, dict):
        return {}, [f"holds a {type(coco).__name__}, expected a COCO object with images, annotations and categories"]
    return coco, []


def _structure_faults(coco: dict[str, Any]) -> list[str]:
    """Missing keys and records that aren't objects."""
    required = {
        "images": ("id", "file_name", "width", "height"),
        # CocoDataset needs the area of a box
        "annotations": ("id", "image_id", "category_id", "bbox", "area"),
        "categories": ("id", "name"),
    }
    faults = []
    for key, fields in required.items():
        records = coco.get(key)
        if not isinstance(records, list):
            found = "missing" if key not in coco else f"a {type(records).__name__}"
            faults.append(f"'{key}' is {found}, expected a list: is this a COCO detection file?")
            continue
        for place, record in enumerate(records):
            if not isinstance(record, dict):
                faults.append(f"{key}[{place}] is a {type(record).__name__}, expected an object")
                continue
            missing = [field for field in fields if field not in record]
            if missing:
                faults.append(f"{key}[{place}] (id {record.get('id')!r}) lacks {', '.join(missing)}: add them")
    return faults


def _id_faults(kind: str, records: Iterable[Record], first: int) -> list[str]:
    faults = []
    ids = [record["id"] for record in records]
    for number in ids:
        if not _is_int(number) or number < first:
            faults.append(f"{kind} id {number!r}, expected a whole number from {first or 1} up: number them anew")
    for number, count in Counter(number for number in ids if _is_int(number)).items():
        if count > 1:
            faults.append(f"{kind} id {number} is used {count} times, expected once: number them anew")
    return faults


def _image_faults(images: Iterable[Record]) -> list[str]:
    faults = []
    first_id: dict[str, Any] = {}
    for image in images:
        where, name = f"image id {image['id']!r}", image["file_name"]
        for key in ("width", "height"):
            if not _is_int(image[key]) or image[key] <= 0:
                faults.append(f"{where}: {key} is {image[key]!r}, expected the pixels of the upright film")
        fault = file_name_fault(name)
        if fault:
            faults.append(f"{where}: {fault}")
        elif name in first_id:
            faults.append(f"{where}: file_name {name!r} is image id {first_id[name]!r} too: keep one record for a film")
        else:
            first_id[name] = image["id"]
    return faults


def _annotation_faults(
    annotations: Iterable[Record], images: Iterable[Record], categories: Iterable[Record]
) -> list[str]:
    faults = []
    by_id = {image["id"]: image for image in images if _is_int(image["id"])}
    category_ids = {category["id"] for category in categories if _is_int(category["id"])}
    for annotation in annotations:
        where = f"annotation id {annotation['id']!r}"
        image_id, category_id = annotation["image_id"], annotation["category_id"]
        image = by_id.get(image_id) if _is_int(image_id) else None
        if image is None:
            faults.append(f"{where}: image_id {image_id!r} is no image of this file: add the image or drop the box")
        else:
            where += f" ({image['file_name']})"
        if not _is_int(category_id) or category_id not in category_ids:
            faults.append(f"{where}: category_id {category_id!r} found, expected one of {sorted(category_ids)}")
        fault = _box_fault(annotation["bbox"], image)
        if fault:
            faults.append(f"{where}: {fault}")
        elif (_finite(annotation["area"]) or 0) <= 0:  # CocoDataset drops the box without a word
            faults.append(f"{where}: area is {annotation['area']!r}, expected width x height of the box")
    return faults


def _box_fault(bbox: object, image: Record | None) -> str | None:
    numbers = [_finite(value) for value in bbox] if isinstance(bbox, list) else []
    x, y, w, h = numbers if len(numbers) == 4 else [None] * 4
    if x is None or y is None or w is None or h is None:
        return f"bbox is {bbox!r}, expected 4 finite numbers [x, y, width, height]"
    if w < 1 or h < 1:  # CocoDataset drops these without a word
        return f"bbox {bbox} is {w:g} wide and {h:g} high, expected at least 1 px: draw it again"
    if image is None or not all(_is_int(image[key]) and image[key] > 0 for key in ("width", "height")):
        return None
    width, height = image["width"], image["height"]
    if x >= -TOLERANCE and y >= -TOLERANCE and x + w <= width + TOLERANCE and y + h <= height + TOLERANCE:
        return None
    fault = f"bbox {bbox} [x, y, width, height] reaches out of the film of {width}x{height}"
    if 0 <= x < w <= width + TOLERANCE and 0 <= y < h <= height + TOLERANCE:
        return f"{fault}: it is probably [x0, y0, x1, y1], write [{x:g}, {y:g}, {w - x:g}, {h - y:g}]"
    return f"{fault}: clip or redraw it, and check that it was drawn on the upright film of this size"


def _category_faults(
    categories: Sequence[Record], annotations: Iterable[Record], classes: Sequence[str] | None
) -> list[str]:
    faults = []
    for category in categories:
        if not isinstance(category["name"], str) or not category["name"]:
            faults.append(f"category id {category['id']!r}: name is {category['name']!r}, expected a text")
    names = [category["name"] for category in categories if isinstance(category["name"], str)]
    faults += [f"category name {name!r} stands {n} times, expected once" for name, n in Counter(names).items() if n > 1]
    if classes is None:
        return faults
    near = {name.strip().casefold(): name for name in names if name not in classes}
    for expected in classes:
        if expected in names:
            continue
        similar = near.pop(expected.strip().casefold(), None)
        if similar is not None:
            faults.append(f"category {similar!r} differs from the expected {expected!r} by case or blanks: rename it")
        else:
            faults.append(
                f"category {expected!r} is missing, found {names}: rename them, or set the config's `classes`"
            )
    # a further category only matters when boxes would be dropped with it
    used = {annotation["category_id"] for annotation in annotations if _is_int(annotation["category_id"])}
    for category in categories:
        if category["name"] in near.values() and _is_int(category["id"]) and category["id"] in used:
            faults.append(f"category {category['name']!r} has boxes but is none of the expected {list(classes)}")
    return faults


def _emptiness_faults(images: Sequence[Record], annotations: Iterable[Record]) -> list[str]:
    if not images:
        return ["empty dataset: no images"]
    if not any(not annotation.get("iscrowd") and not annotation.get("ignore") for annotation in annotations):
        return ["no ground truth boxes: nothing to train or test on"]
    return []


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: object) -> float | None:
    """`value` as float, None unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
