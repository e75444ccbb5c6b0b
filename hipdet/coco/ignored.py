"""Annotations that are to be ignored: COCO's ``iscrowd``, and ``ignore``, which means the same here.

An ignored box is neither an ROI nor background: nothing is learnt from it, and what is found on it is neither hit nor extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Whether its box is to be ignored."""
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def as_crowd(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """`annotation` with ``iscrowd`` alone: CocoDataset drops a box with ``ignore``, pycocotools counts it as any other."""
    if not is_ignored(annotation):
        return dict(annotation)
    return {**{key: value for key, value in annotation.items() if key != "ignore"}, "iscrowd": 1}
