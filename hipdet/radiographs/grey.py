"""What is read of a radiograph, before and after it is decoded; its greys windowed and its size reduced in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE

TOO_LARGE = f"larger than {MAX_SIDE} px a side, which no radiograph is: crop or shrink it"

Size = tuple[int, int]


@dataclass(frozen=True)
class RadiographHeader:
    """Kind and sizes of a film.

    Attributes:
        kind: ``JPEG``, ``PNG``, ``TIFF``, ``BMP`` or ``DICOM``.
        stored: ``(width, height)`` in pixels as stored: what tools that ignore EXIF orientation declare.
        orientation: EXIF orientation 1 to 8; 1 where there is none or an impossible one.
    """

    kind: str
    stored: Size
    orientation: int = 1

    @property
    def upright(self) -> Size:
        """``(width, height)`` in pixels with EXIF orientation applied."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def require_size(width: int, height: int) -> None:
    """Raise RadiographError for a film that is too large to be one."""
    if max(width, height) > MAX_SIDE:
        raise RadiographError(f"{width}x{height} px: {TOO_LARGE}")


@dataclass(frozen=True)
class ReducedFilm:
    """Pixels that each stand for `step` x `step` pixels of a film.

    Attributes:
        pixels: Upright grey of 8 or 16 bits ``[h, w]``; the last row and column may reach over the film's edge.
        width: Of the film, in pixels.
        height: Of the film, in pixels.
        step: Whole number; 1 for the film itself.
        laterality: ``left`` or ``right`` of the patient, where the film itself says which of the two it shows; else None.
    """

    pixels: NDArray[Any]
    width: int
    height: int
    step: int = 1
    laterality: str | None = None

    @classmethod
    def whole(cls, film: NDArray[Any], laterality: str | None = None) -> ReducedFilm:
        """A film ``[H, W]`` as it is."""
        return cls(film, film.shape[1], film.shape[0], laterality=laterality)


DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
PERCENTILES = (0.5, 99.5)  # leaves out burnt-in letters and the few hottest pixels of a deep picture


def windowed(values: NDArray[Any], inverted: bool = False, depth: int = 8) -> NDArray[Any]:
    """``[H, W]`` of any depth to `depth` bits, 8 or 16, from its 0.5 to its 99.5 percentile.

    Values that aren't finite become black, a uniform film too.
    """
    step = max(1, int((values.size / 4_000_000) ** 0.5))  # percentiles of a large film from a grid of its pixels
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low and sample.size:  # nearly uniform: all that differs is in the tails
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.zeros(values.shape, DTYPES[depth])
    finite = np.isfinite(values)
    grey = np.clip((np.where(finite, values, low).astype(np.float32) - low) / (high - low), 0, 1)
    return np.where(finite, np.rint((2**depth - 1) * (1 - grey if inverted else grey)), 0).astype(DTYPES[depth])


_COLUMNS = 512  # at a time: sums of a film of 20,000 px a side would take 3 GB


def area_mean(
    values: NDArray[Any], width: int, height: int, columns: float | None = None, rows: float | None = None
) -> NDArray[np.float64]:
    """`values` ``[H, W]`` averaged over equal areas, as OpenCV's INTER_AREA and the configs resize: ``[height, width]``.

    Pillow's box filter takes whole pixels only, which differs by up to 30 greys at sharp edges.

    Args:
        values: Picture.
        width: Of the result.
        height: Of the result.
        columns: That take part; all of them if not given, and part of the last one if it is no whole number.
        rows: Likewise.
    """
    parts = [_mean_rows(values[:, at : at + _COLUMNS], height, rows) for at in range(0, values.shape[1], _COLUMNS)]
    return _mean_rows(np.concatenate(parts, axis=1).T, width, columns).T


def _mean_rows(values: NDArray[Any], rows: int, extent: float | None) -> NDArray[np.float64]:
    """The first `extent` rows of `values`, averaged over `rows` equal parts."""
    height = len(values)
    extent = height if extent is None else extent
    total = np.zeros((height + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    edges = np.linspace(0, extent, rows + 1)
    whole = np.minimum(edges.astype(int), height - 1)
    below = total[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(below, axis=0) * (rows / extent)
