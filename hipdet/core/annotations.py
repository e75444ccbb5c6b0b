"""hipdet's additions to COCO files: boxes to ignore, squares over a film's edge, kinds and views, patients and groups.

An ignored box is neither an ROI nor background: no model learns from it, and a detection on it is neither a hit nor an extra.

A square about an ROI near the edge of a film reaches over it.  Its ``bbox`` is the part on the film, with which detections
are compared; ``square`` is ``[x, y, side, side]`` as drawn, which models learn.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hipdet.core.records import finite


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Whether the box of `annotation` is to be ignored: COCO's ``iscrowd``, or ``ignore``, which means the same here."""
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def as_crowd(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """`annotation` with ``iscrowd`` for ``ignore``: CocoDataset drops boxes with ``ignore``, pycocotools skips that key."""
    if not is_ignored(annotation):
        return dict(annotation)
    return {**{key: value for key, value in annotation.items() if key != "ignore"}, "iscrowd": 1}


def is_absence_known(image: Mapping[str, Any]) -> bool:
    """Whether the film of an image record is known to have no other ROIs than its labels; ``absent`` says so if it isn't."""
    return image.get("absent") != UNKNOWN


SQUARE, KIND, VIEW = "square", "kind", "view"  # keys: of annotations, but ``view`` of image records
TURNED = "turned"  # the view of a film that isn't upright
UNKNOWN_TURN = -1

# The largest part of a square's side that may be outside the film: 4 of 200 ordinary hips of FracAtlas reach out by up to
# .21, one of the others by .28.  More is a mistake: the box of another film, or of this one in another orientation.
LARGEST_OVERHANG = 0.35


def group_of(record: Mapping[str, Any], key: str) -> str:
    """The ``kind`` of an annotation or the ``view`` of an image record; ``unknown`` where it has none."""
    value = record.get(key)
    return value if isinstance(value, str) and value else UNKNOWN


def drawn_box(annotation: Mapping[str, Any]) -> list[float]:
    """The box of a valid `annotation` as it was drawn, ``[x, y, w, h]``: perhaps a square over the edge of the film."""
    box: list[float] = annotation.get(SQUARE) or annotation["bbox"]
    return box


def name_text(value: object) -> str | None:
    """The patient or source of an image record as text, so that 1, 1.0 and "1" are one: empty if there is none.

    None for what is no name: a list, an object, true.
    """
    if value is None or isinstance(value, str):
        return value or ""
    number = finite(value)
    if number is None:
        return None
    return str(int(value)) if number.is_integer() else str(value)  # type: ignore[call-overload]


def patient_of(image: Mapping[str, Any]) -> str:
    """The patient of an image record; empty if it has none, or what is no name."""
    return name_text(image.get("patient")) or ""


def source_of(image: Mapping[str, Any]) -> str:
    """The source of an image record; empty if it has none, or what is no name."""
    return name_text(image.get("source")) or ""


# key of the mark: in the ``info`` of a COCO file, and in the image records of a file that was merged from several
PATIENTS = "patients"
UNKNOWN, GUESSED = "unknown", "guessed"  # a patient is a single film; a group of films that may be of one patient
UNKNOWN_PATIENTS = {PATIENTS: UNKNOWN}
SAID = {
    UNKNOWN: "patients aren't known: each film is treated as its own patient; films of one patient may be on both sides",
    GUESSED: "patients aren't known; groups of neighbouring numbers are kept together",
}


@dataclass(frozen=True)
class Group:
    """Films that are treated as those of one patient, though it isn't known whose they are."""

    source: str
    name: str


def get_mark(record: Any) -> str:
    """The mark in a file's ``info`` or in an image record; empty where patients are known."""
    mark = record.get(PATIENTS) if isinstance(record, Mapping) else None
    return mark if isinstance(mark, str) and mark in SAID else ""


def marks(coco: Mapping[str, Any]) -> list[str]:
    """The mark of each film in a COCO dictionary: its own, or the one in ``info`` where no film has its own.

    A file that was merged from several has both; the patients of its films without a mark are known.
    """
    own = [get_mark(image) for image in _images(coco)]
    return own if any(own) else [get_mark(coco.get("info"))] * len(own)


def _images(coco: Mapping[str, Any]) -> list[Any]:
    """The image records of a COCO dictionary, which may be faulty."""
    images = coco.get("images")
    return images if isinstance(images, list) else []


def patients_mark(coco: Mapping[str, Any]) -> str:
    """The mark of a COCO dictionary as a whole: `UNKNOWN` if any of its films has it, else `GUESSED` if any has that."""
    found = {*marks(coco)}
    return next((mark for mark in SAID if mark in found), "")


def mark_record(mark: str) -> dict[str, str]:
    """The entry that puts `mark` into an ``info`` or an image record; no entry for an empty mark."""
    return {PATIENTS: mark} if mark else {}


def get_patients(cocos: Iterable[Mapping[str, Any]]) -> dict[Hashable, Hashable]:
    """Patients by film name, where they are known; a `Group` where they are guessed.

    Patient names are unique within one ``source`` only, so a patient is the pair of both.
    """
    found: dict[Hashable, Hashable] = {}
    for coco in cocos:
        for image, mark in zip(_images(coco), marks(coco)):
            named = isinstance(image, Mapping) and isinstance(image.get("file_name"), str)
            if named and patient_of(image) and mark != UNKNOWN:
                patient = source_of(image), patient_of(image)
                found[image["file_name"]] = Group(*patient) if mark == GUESSED else patient
    return found
