"""Patients and films that stand on two sides of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shared:
    """A patient or film and the parts it is in, with an example film of the patient."""

    name: str
    film: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Leaks:
    """What parts share, and how many films in them have no patient, so that nothing can be said of those."""

    patients: tuple[Shared, ...]
    films: tuple[Shared, ...]
    without_patient: int

    def __bool__(self) -> bool:
        return bool(self.patients or self.films)


def find_leaks(parts: Mapping[str, Iterable[Mapping[str, Any]]]) -> Leaks:
    """What two or more of `parts` share.

    Args:
        parts: COCO image records by the name of their part; a patient is one within its ``source``.
    """
    patients: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # part to a film
    films: dict[str, dict[str, None]] = defaultdict(dict)
    without = 0
    for part, images in parts.items():
        for image in images:
            name = str(image.get("file_name"))
            films[name][part] = None
            if image.get("patient"):
                patients[str(image.get("source", "")), str(image["patient"])].setdefault(part, name)
            else:
                without += 1
    shared_patients = [
        Shared(" ".join(filter(None, patient)), next(iter(where.values())), tuple(where))
        for patient, where in sorted(patients.items())
        if len(where) > 1
    ]
    shared_films = [Shared(name, name, tuple(where)) for name, where in sorted(films.items()) if len(where) > 1]
    return Leaks(tuple(shared_patients), tuple(shared_films), without)
