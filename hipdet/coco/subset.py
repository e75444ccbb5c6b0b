"""Parts of COCO dictionaries, and several as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hipdet.coco.patients import PATIENTS, mark_of, mark_record, marks, patients_mark
from hipdet.errors import DatasetError

Coco = dict[str, Any]


def subset(coco: Mapping[str, Any], image_ids: Iterable[int]) -> Coco:
    """The part of `coco` with these images; ids stay, and so does what is said of patients (:mod:`hipdet.coco.patients`)."""
    wanted = set(image_ids)
    part = dict(
        coco,
        images=[image for image in coco["images"] if image["id"] in wanted],
        annotations=[annotation for annotation in coco["annotations"] if annotation["image_id"] in wanted],
    )
    # the films that the mark is of may not be in the part
    if mark_of(part.get("info")) and any(map(mark_of, coco["images"])):
        info = {key: value for key, value in part["info"].items() if key != PATIENTS}
        part["info"] = {**mark_record(patients_mark({**part, "info": info})), **info}
    return part


def append(coco: Coco, added: Mapping[str, Any], name: str) -> None:
    """Append the records of `added` to `coco` with new ids, from 1 on; the first one gives the categories.

    Where the ``info`` of `added` says that patients aren't known, its image records say so from now on, see
    :func:`hipdet.coco.patients.marks`.

    Args:
        coco: With lists ``images``, ``annotations`` and ``categories``; changed in place.
        added: Same classes.
        name: What errors call `added`.

    Raises:
        DatasetError: other classes.
    """
    classes = [category["name"] for category in added["categories"]]
    coco["categories"] = coco["categories"] or [dict(id=i, name=title) for i, title in enumerate(classes, 1)]
    expected = [category["name"] for category in coco["categories"]]
    if classes != expected:
        raise DatasetError(f"{name}: classes are {classes}, those of the other data sets {expected}")
    category_ids = {category["id"]: number for number, category in enumerate(added["categories"], 1)}
    image_ids: dict[int, int] = {}
    for image, mark in zip(added["images"], marks(added)):
        image_ids[image["id"]] = len(coco["images"]) + 1
        coco["images"].append({**image, "id": image_ids[image["id"]], **mark_record(mark)})
    for annotation in added["annotations"]:
        ids = dict(
            id=len(coco["annotations"]) + 1,
            image_id=image_ids[annotation["image_id"]],
            category_id=category_ids[annotation["category_id"]],
        )
        coco["annotations"].append({**annotation, **ids})
