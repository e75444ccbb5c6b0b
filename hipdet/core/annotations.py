"""What COCO files say beyond COCO: which boxes are to be ignored, which films are of one patient and whether that is known.

An ignored box is neither an ROI nor background: nothing is learnt from it, and what is found on it is neither hit nor extra.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Whether its box is to be ignored: COCO's ``iscrowd``, or ``ignore``, which means the same here."""
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def as_crowd(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """`annotation` with ``iscrowd`` alone: CocoDataset drops a box with ``ignore``, pycocotools counts it as any other."""
    if not is_ignored(annotation):
        return dict(annotation)
    return {**{key: value for key, value in annotation.items() if key != "ignore"}, "iscrowd": 1}


# key of the mark: in the ``info`` of a COCO file, and in image records where the file was joined of several
PATIENTS = "patients"
UNKNOWN, GUESSED = "unknown", "guessed"  # each film counts as a patient; groups of films that may be of one patient do
UNKNOWN_PATIENTS = {PATIENTS: UNKNOWN}
SAID = {
    UNKNOWN: "patients aren't known: each film counts as one; films of one patient may stand on both sides",
    GUESSED: "patients aren't known; groups of neighbouring numbers are kept together",
}


@dataclass(frozen=True)
class Group:
    """Films that count as those of a patient, though nobody knows whose they are."""

    source: str
    name: str


def get_mark(record: Any) -> str:
    """The mark of a file's ``info`` or of an image record; empty where patients are known."""
    mark = record.get(PATIENTS) if isinstance(record, Mapping) else None
    return mark if isinstance(mark, str) and mark in SAID else ""


def marks(coco: Mapping[str, Any]) -> list[str]:
    """The mark of each film of a COCO dictionary: its own, or that of the ``info`` where no film has one.

    A file that was joined of several has both; its films without a mark are those whose patients are known.
    """
    own = [get_mark(image) for image in coco.get("images", ())]
    return own if any(own) else [get_mark(coco.get("info"))] * len(own)


def patients_mark(coco: Mapping[str, Any]) -> str:
    """The mark of a COCO dictionary as a whole: `UNKNOWN` if one of its films has it, else `GUESSED` if one has that."""
    found = {*marks(coco)}
    return next((mark for mark in SAID if mark in found), "")


def mark_record(mark: str) -> dict[str, str]:
    """What an ``info`` or an image record has of a mark: nothing where it is empty."""
    return {PATIENTS: mark} if mark else {}


def get_patients(cocos: Iterable[Mapping[str, Any]]) -> dict[Hashable, Hashable]:
    """The patients of the films of COCO dictionaries, by file name, where they are known; a `Group` where they are guessed.

    A patient is one within the ``source``.
    """
    found: dict[Hashable, Hashable] = {}
    for coco in cocos:
        for image, mark in zip(coco.get("images", ()), marks(coco)):
            if image.get("patient") and mark != UNKNOWN:
                whose = image.get("source") or "", image["patient"]
                found[image["file_name"]] = Group(*whose) if mark == GUESSED else whose
    return found
