"""The films of a data set with their labels and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.boxes import xywh_to_xyxy
from hipdet.coco.ignored import is_ignored
from hipdet.validation import Fault
from hipdet.validation.plausibility import sound, sound_images
from hipdet.visualization.pictured_film import Mark, PicturedFilm


def labelled_films(
    coco: Mapping[str, Any], faults: Sequence[Fault] = (), root: Path | None = None
) -> list[PicturedFilm]:
    """Films in the order of `coco`, with the boxes that can be drawn, and each film's faults as flags and notes.

    Args:
        coco: As :func:`hipdet.validation.validate` returns it, faults and all.
        faults: What that function found.
        root: Folder of the films: notes leave it out, as pictures name no path of the machine.
    """
    images = sound_images(coco.get("images", ()))
    classes = {category["id"]: category["name"] for category in coco.get("categories", ())}
    marks: dict[int, list[Mark]] = defaultdict(list)
    for annotation in sound(coco.get("annotations", ()), images):
        x0, y0, x1, y1 = xywh_to_xyxy([annotation["bbox"]])[0].tolist()
        marks[annotation["image_id"]].append(Mark((x0, y0, x1, y1), False, _text(annotation, classes)))
    of_film: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        of_film[fault.film].append(fault)
    return [
        PicturedFilm(
            image["file_name"],
            image.get("source") or "",
            tuple(marks[image["id"]]),
            flags=tuple(dict.fromkeys(fault.kind for fault in of_film[image["file_name"]])),
            notes=tuple(_note(fault, root) for fault in of_film[image["file_name"]]),
        )
        for image in images
    ]


def faulty_first(films: Sequence[PicturedFilm], faults: Sequence[Fault]) -> list[PicturedFilm]:
    """Films with errors, those with warnings, then the others, each in their order."""
    rank = {fault.film: 1 for fault in faults if fault.warning} | {
        fault.film: 0 for fault in faults if not fault.warning
    }
    return sorted(films, key=lambda film: rank.get(film.file_name, 2))


def _text(annotation: Mapping[str, Any], classes: Mapping[Any, Any]) -> str:
    """The patient's side where it is known, the class where there are several, and what is ignored: ``right lung``."""
    side = annotation.get("laterality")
    name = classes.get(annotation["category_id"])
    parts = [side if isinstance(side, str) else None, str(name) if len(classes) > 1 else None]
    return " ".join(filter(None, (*parts, "ignored" if is_ignored(annotation) else None)))


def _note(fault: Fault, root: Path | None) -> str:
    where = f"{fault.id}: " if fault.id else ""
    note = f"{fault.severity}: {where}found {fault.found}, expected {fault.expected}: {fault.mend}"
    return note if root is None else note.replace(f"{root}/", "")
