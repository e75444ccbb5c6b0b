"""What a bootstrap draws: patients, as the films of one are alike, or films where patients aren't known."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATIENTS, FILMS = "patients", "films (patients not known)"


@dataclass(frozen=True)
class Units:
    """What every ROI is drawn with.

    Attributes:
        numbers: The unit of every ROI ``[R]``.
        known: Whether it is a patient ``[R]``, or a film whose patient isn't known.
    """

    numbers: NDArray[np.int64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, films: Sequence[Hashable], patients: Mapping[Hashable, Hashable] | None = None) -> Units:
        """From the film of every ROI ``[R]`` and the patients of films, as far as they are known."""
        patients = patients or {}
        number: dict[tuple[bool, Hashable], int] = {}
        units = [(film in patients, patients.get(film, film)) for film in films]
        numbers = [number.setdefault(unit, len(number)) for unit in units]
        return cls(np.array(numbers, dtype=np.int64), np.array([known for known, _ in units], dtype=bool))

    def at(self, chosen: NDArray[Any]) -> Units:
        """Those that `chosen`, indices or a mask, names."""
        return Units(self.numbers[chosen], self.known[chosen])

    @property
    def resampled(self) -> str:
        """What is drawn, in words."""
        if self.known.all():
            return PATIENTS
        return f"{PATIENTS}, and films whose patient is not known" if self.known.any() else FILMS
