"""COCO back to films: the way back of :mod:`hipdet.coco.build`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hipdet.boxes import xywh_to_xyxy
from hipdet.coco.film import Film, Roi
from hipdet.coco.ignored import is_ignored

_OWN = ("id", "file_name", "width", "height", "source", "patient")


def films_of(coco: Mapping[str, Any]) -> list[Film]:
    """The films of a valid COCO dictionary with their ROIs, in the order of the images."""
    labels = {category["id"]: category["name"] for category in coco["categories"]}
    rois: dict[int, list[Roi]] = defaultdict(list)
    ignored: dict[int, list[Roi]] = defaultdict(list)
    for annotation in coco["annotations"]:
        x0, y0, x1, y1 = xywh_to_xyxy(annotation["bbox"])[0].tolist()
        side, implant = annotation.get("picture_side"), annotation.get("implant")
        boxes = (ignored if is_ignored(annotation) else rois)[annotation["image_id"]]
        boxes.append(Roi((x0, y0, x1, y1), labels[annotation["category_id"]], side, implant))
    return [
        Film(
            image["file_name"],
            image["width"],
            image["height"],
            image.get("source") or "",
            image.get("patient") or "",
            tuple(rois[image["id"]]),
            {key: value for key, value in image.items() if key not in _OWN},
            tuple(ignored[image["id"]]),
        )
        for image in coco["images"]
    ]
