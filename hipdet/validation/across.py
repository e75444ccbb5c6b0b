"""Faults between annotation files that are used together, such as those of training and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hipdet.coco.leak import Shared, find_leaks
from hipdet.validation.fault import Fault
from hipdet.validation.plausibility import sound_images


def check_across(files: Mapping[str, dict[str, Any]]) -> list[Fault]:
    """Warn of patients and films that stand in several of `files`, COCO dictionaries by file name."""
    leaks = find_leaks({name: sound_images(coco.get("images", [])) for name, coco in files.items()})
    return [
        *(_warning("patient-shared", f"patient {shared.name}", shared) for shared in leaks.patients),
        *(_warning("film-shared", "", shared) for shared in leaks.films),
    ]


def _warning(kind: str, id: str, shared: Shared) -> Fault:
    mend = "split by patient (tools/split.py) if these are training and test"
    return Fault(
        kind, shared.parts[0], id, shared.film, f"also in {', '.join(shared.parts[1:])}", "one file", mend, True
    )
