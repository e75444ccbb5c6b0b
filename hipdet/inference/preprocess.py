"""A film reduced to the square that a network sees, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes, as_boxes
from hipdet.radiographs.grey import ReducedFilm, area_mean

try:  # much faster, and never off by more than a grey
    import cv2
except ImportError:
    cv2 = None  # type: ignore[assignment]


@dataclass(frozen=True)
class ShrunkFilm:
    """A film whose long side is that of the square.

    Attributes:
        pixels: ``[h, w]`` grey.
        width: Of the film, in pixels.
        height: Of the film, in pixels.
        original: The film itself ``[H, W]``, for models that reduce it on their own.
        laterality: See :class:`hipdet.radiographs.grey.ReducedFilm`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    original: NDArray[np.uint8] | None = None
    laterality: str | None = None

    def seen(self, quarters: int, inverted: bool) -> ShrunkFilm:
        """Turned by 90 degrees counter-clockwise `quarters` times, and with its greys inverted if asked for."""
        pixels = np.rot90(self.pixels, quarters)
        size = (self.height, self.width) if quarters % 2 else (self.width, self.height)
        return ShrunkFilm(255 - pixels if inverted else pixels, *size)

    def padded(self) -> NDArray[np.uint8]:
        """``[side, side]``, padded with black at the right or at the bottom."""
        height, width = self.pixels.shape
        square = np.zeros((max(height, width),) * 2, np.uint8)
        square[:height, :width] = self.pixels
        return square

    def to_film(self, boxes: Boxes) -> Boxes:
        """`boxes` ``[N, 4]`` in pixels of the square, in pixels of the film."""
        return as_boxes(boxes) * self._scale()

    def to_square(self, boxes: Boxes) -> Boxes:
        """`boxes` ``[N, 4]`` in pixels of the film, in pixels of the square."""
        return as_boxes(boxes) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        height, width = self.pixels.shape
        return np.tile([self.width / width, self.height / height], 2)


def shrink(film: NDArray[np.uint8] | ReducedFilm, side: int) -> ShrunkFilm:
    """`film` ``[H, W]``, or what was decoded of it, by area mean to a long side of `side` pixels, as the configs resize."""
    film = film if isinstance(film, ReducedFilm) else ReducedFilm.whole(film)
    scale = side / max(film.width, film.height)
    w, h = (max(1, int(length * scale + 0.5)) for length in (film.width, film.height))  # rounded as mmcv does
    columns, rows = film.width / film.step, film.height / film.step  # decoded; the last may hold only part of a film
    if cv2 is not None:
        # where it does, by factors: by its size OpenCV would take the last as whole
        size = (w, h) if film.pixels.shape == (rows, columns) else None
        pixels: NDArray[Any] = cv2.resize(film.pixels, size, fx=w / columns, fy=h / rows, interpolation=cv2.INTER_AREA)
    else:
        pixels = np.rint(area_mean(film.pixels, w, h, columns, rows))
    return ShrunkFilm(pixels.astype(np.uint8, copy=False), film.width, film.height, laterality=film.laterality)
