"""Which films are of one patient, and whether that is known."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

# in the ``info`` of a COCO file in which each film counts as a patient; in image records that were taken from such a file
UNKNOWN_PATIENTS = {"patients": "unknown"}
UNKNOWN = "patients aren't known: each film counts as one; films of one patient may stand on both sides"


def patients_unknown(coco: Mapping[str, Any]) -> bool:
    """Whether the ``info`` of a COCO dictionary, or the record of one of its films, says so."""
    return says_unknown(coco.get("info")) or any(map(says_unknown, coco.get("images", ())))


def says_unknown(record: Any) -> bool:
    """Whether a file's ``info``, or an image record, says that each film was taken for a patient as nothing was known."""
    return isinstance(record, Mapping) and UNKNOWN_PATIENTS.items() <= record.items()


def patients_of(cocos: Iterable[Mapping[str, Any]]) -> dict[Hashable, Hashable]:
    """The patients of the films of COCO dictionaries, by file name, where they are known.

    A patient is one within the ``source``.
    """
    return {
        image["file_name"]: (image.get("source") or "", image["patient"])
        for coco in cocos
        if not says_unknown(coco.get("info"))
        for image in coco.get("images", ())
        if image.get("patient") and not says_unknown(image)
    }
