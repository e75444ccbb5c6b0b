"""The gate before training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hipdet.coco.faults import raise_faults
from hipdet.coco.verify import verify_annotations
from hipdet.coco.verify_films import verify_films


def require_valid(
    path: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The annotations at `path`, if neither they nor, with `image_root`, the films below it have a fault.

    Raises:
        DatasetError: the number of faults and the first 20.
    """
    coco, faults = verify_annotations(path, classes)
    if image_root is not None and _has_records(coco):
        faults += verify_films(coco, image_root)
    raise_faults(os.fspath(path), faults)
    return coco


def _has_records(coco: dict[str, Any]) -> bool:
    images = coco.get("images")
    return isinstance(images, list) and all(isinstance(image, dict) for image in images)
