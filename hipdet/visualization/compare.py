"""Predictions beside labels, in the form of ``test.roi.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hipdet.boxes import xywh_to_xyxy
from hipdet.evaluation.matching import Detections, evaluate_film
from hipdet.evaluation.roi_table import extra_rows, roi_rows

Record = Mapping[str, Any]


def compared_table(coco: Mapping[str, Any], found: Mapping[int, Sequence[Record]]) -> dict[str, list[dict]]:
    """``rois`` and ``extras`` of the films of a valid `coco` that have labels.

    Args:
        coco: Labels; crowds and ignored boxes are left out.
        found: COCO results by image id; all of them are matched.
    """
    labels: dict[int, list[Record]] = defaultdict(list)
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd") and not annotation.get("ignore"):
            labels[annotation["image_id"]].append(annotation)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rois: list[dict] = []
    extras: list[dict] = []
    for image in coco["images"]:
        here, detections = labels.get(image["id"], []), _detections(found.get(image["id"], ()))
        if here:
            truth = xywh_to_xyxy([each["bbox"] for each in here])
            classes = np.array([each["category_id"] for each in here])
            film = evaluate_film(truth, classes, detections, len(detections.scores))
            rois += roi_rows(image, here, film, names)
            extras += extra_rows(image, film, names)
    return dict(rois=rois, extras=extras)


def _detections(found: Sequence[Record]) -> Detections:
    return Detections(
        xywh_to_xyxy([each["bbox"] for each in found]),
        np.array([each["score"] for each in found], dtype=np.float64),
        np.array([each["category_id"] for each in found], dtype=np.int64),
    )
