"""Patients of films, as far as they are known."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any


def patients_of(cocos: Iterable[Mapping[str, Any]]) -> dict[Hashable, Hashable]:
    """The patients of the films of COCO dictionaries, by file name, where they are known.

    A patient is one within the ``source``.
    """
    return {
        image["file_name"]: (image.get("source") or "", image["patient"])
        for coco in cocos
        if not patients_unknown(coco.get("info"))
        for image in coco.get("images", ())
        if image.get("patient") and not patients_unknown(image)
    }


def patients_unknown(record: Any) -> bool:
    """Whether a file's ``info``, or an image record, says that each film was taken for a patient as nothing was known."""
    return isinstance(record, Mapping) and record.get("patients") == "unknown"
