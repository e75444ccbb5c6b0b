"""Predictions beside labels, in the form of ``test.roi.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hipdet.boxes import xywh_to_xyxy
from hipdet.coco.ignored import is_ignored
from hipdet.evaluation.matching import Detections, Labelled, evaluate_film
from hipdet.evaluation.roi_table import extra_rows, roi_rows

Record = Mapping[str, Any]


def compared_table(coco: Mapping[str, Any], found: Mapping[int, Sequence[Record]]) -> dict[str, list[dict]]:
    """``rois`` and ``extras`` of the films of a valid `coco`; what is found on one without labels is extra.

    Args:
        coco: Labels; crowds and ignored boxes are left out, and so are detections on them.
        found: COCO results by image id; all of them are matched.
    """
    labels: dict[int, list[Record]] = defaultdict(list)
    ignored: dict[int, list[Record]] = defaultdict(list)
    for annotation in coco["annotations"]:
        (ignored if is_ignored(annotation) else labels)[annotation["image_id"]].append(annotation)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    rois: list[dict] = []
    extras: list[dict] = []
    for image in coco["images"]:
        here, detections = labels.get(image["id"], []), _detections(found.get(image["id"], ()))
        left_out = _labelled(ignored.get(image["id"], []))
        film = evaluate_film(*_labelled(here), detections, len(detections.scores), left_out)
        rois += roi_rows(image, here, film, names)
        extras += extra_rows(image, film, names)
    return dict(rois=rois, extras=extras)


def _labelled(annotations: Sequence[Record]) -> Labelled:
    classes = np.array([each["category_id"] for each in annotations], dtype=np.int64)
    return xywh_to_xyxy([each["bbox"] for each in annotations]), classes


def _detections(found: Sequence[Record]) -> Detections:
    return Detections(
        xywh_to_xyxy([each["bbox"] for each in found]),
        np.array([each["score"] for each in found], dtype=np.float64),
        np.array([each["category_id"] for each in found], dtype=np.int64),
    )
