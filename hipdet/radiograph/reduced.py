"""A film that was decoded at a fraction of its size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReducedFilm:
    """Pixels that each stand for `step` x `step` pixels of a film.

    Attributes:
        pixels: Upright grey ``[h, w]``; the last row and column may reach over the film's edge.
        width: Of the film, in pixels.
        height: Of the film, in pixels.
        step: Whole number; 1 for the film itself.
        laterality: ``left`` or ``right`` of the patient, where the film itself says which of the two it shows; else None.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    step: int = 1
    laterality: str | None = None

    @classmethod
    def whole(cls, film: NDArray[np.uint8], laterality: str | None = None) -> ReducedFilm:
        """A film ``[H, W]`` as it is."""
        return cls(film, film.shape[1], film.shape[0], laterality=laterality)
