"""What a radiograph is before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from hipdet.errors import RadiographError

MAX_SIDE = 20_000  # px; a 43 cm film at 50 um, the finest digitiser, has 8,600
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
