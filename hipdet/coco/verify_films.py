"""Every fault between the annotations and the films on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hipdet.coco.verify import file_name_fault
from hipdet.errors import RadiographError
from hipdet.radiograph import read_header


def verify_films(coco: dict[str, Any], image_root: str | os.PathLike[str]) -> list[str]:
    """Faults of the films that `coco` names: missing, damaged, or of another size than declared.

    Headers and ends are read, not the pixels: thousands of JPEGs take seconds.  Image records that are faulty
    themselves are passed over: :func:`hipdet.coco.verify_annotations` reports them.
    """
    root = Path(image_root)
    if not root.is_dir():
        return [f"image root {root} is no folder: check data_root and data_prefix"]
    faults = []
    for image in coco.get("images", ()):
        name = image.get("file_name")
        if file_name_fault(name):
            continue
        fault = _film_fault(root / name, (image.get("width"), image.get("height")))
        if fault:
            faults.append(f"{name} (image id {image.get('id')!r}): {fault}")
    return faults


def _film_fault(path: Path, declared: tuple[object, object]) -> str | None:
    if not path.is_file():
        return f"film not found at {path}: check the image root, or drop the image"
    try:
        header = read_header(path)
    except RadiographError as error:
        return error.reason
    upright = header.upright
    if declared == upright:
        return None
    text = f"declared {declared[0]}x{declared[1]}, but the upright film is {upright[0]}x{upright[1]}"
    if declared == header.stored:
        return f"{text}: EXIF orientation was ignored when it was labelled, so turn its boxes to the upright film"
    return f"{text}: label this very file, not a resized or turned copy"
