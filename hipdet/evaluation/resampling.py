"""What a bootstrap draws: patients, as the films of one are alike, or groups or films where patients aren't known."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.coco.patients import Group

PATIENTS, GROUPS, FILMS = "patients", "groups", "films"


@dataclass(frozen=True)
class Units:
    """What every ROI is drawn with.

    Attributes:
        numbers: The unit of every ROI ``[R]``.
        kinds: Whether it is one of PATIENTS, of GROUPS that may be of a patient each, or of FILMS ``[R]``.
    """

    numbers: NDArray[np.int64]
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, films: Sequence[Hashable], patients: Mapping[Hashable, Hashable] | None = None) -> Units:
        """From the film of every ROI ``[R]`` and the patients of films, or groups, as far as they are known."""
        patients = patients or {}
        number: dict[tuple[str, Hashable], int] = {}
        units = [(_kind(patients[film]), patients[film]) if film in patients else (FILMS, film) for film in films]
        numbers = [number.setdefault(unit, len(number)) for unit in units]
        return cls(np.array(numbers, dtype=np.int64), np.array([kind for kind, _ in units], dtype=np.str_))

    def at(self, chosen: NDArray[Any]) -> Units:
        """Those that `chosen`, indices or a mask, names."""
        return Units(self.numbers[chosen], self.kinds[chosen])

    @property
    def resampled(self) -> str:
        """What is drawn, in words."""
        others = " and ".join(kind for kind in (GROUPS, FILMS) if kind in self.kinds)
        if not others:
            return PATIENTS
        return (
            f"{PATIENTS}, and {others} whose patient is not known"
            if PATIENTS in self.kinds
            else f"{others} (patients not known)"
        )


def _kind(patient: Hashable) -> str:
    return GROUPS if isinstance(patient, Group) else PATIENTS
