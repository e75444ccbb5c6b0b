"""Films as grey pictures: headers, the formats that Pillow decodes, and windows and area means in numpy alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE
from hipdet.radiographs.sniff import has_late_metadata

TOO_LARGE = f"larger than {MAX_SIDE} px a side, which no radiograph is: crop or downscale it"

Size = tuple[int, int]


@dataclass(frozen=True)
class RadiographHeader:
    """Kind, size and orientation of a film.

    Attributes:
        kind: ``JPEG``, ``PNG``, ``TIFF``, ``BMP`` or ``DICOM``.
        stored: ``(width, height)`` in pixels as stored; tools that ignore EXIF orientation declare this size.
        orientation: EXIF orientation 1 to 8; 1 if there is none or it is invalid.
    """

    kind: str
    stored: Size
    orientation: int = 1

    @property
    def upright(self) -> Size:
        """``(width, height)`` in pixels with EXIF orientation applied."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def require_size(width: int, height: int) -> None:
    """Raise RadiographError if a side is longer than any radiograph's."""
    if max(width, height) > MAX_SIDE:
        raise RadiographError(f"{width}x{height} px: {TOO_LARGE}")


@dataclass(frozen=True)
class ReducedFilm:
    """A film, perhaps reduced: each pixel covers `step` x `step` pixels of the film.

    Attributes:
        pixels: Upright 8-bit or 16-bit grey ``[h, w]``; the last row and column may reach over the film's edge.
        width: Width of the film in pixels.
        height: Height of the film in pixels.
        step: Whole number; 1 if the film isn't reduced.
        patient_side: ``left`` or ``right`` of the patient, if the film's tags say which one it shows; else None.
    """

    pixels: NDArray[Any]
    width: int
    height: int
    step: int = 1
    patient_side: str | None = None

    @classmethod
    def whole(cls, film: NDArray[Any], patient_side: str | None = None) -> ReducedFilm:
        """A film ``[H, W]`` that isn't reduced."""
        return cls(film, film.shape[1], film.shape[0], patient_side=patient_side)


DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
PERCENTILES = (0.5, 99.5)  # so burnt-in letters and a few outliers don't set the window


def windowed(values: NDArray[Any], inverted: bool = False, depth: int = 8) -> NDArray[Any]:
    """Map `values` ``[H, W]`` from their 0.5 to their 99.5 percentile onto `depth` bits, 8 or 16.

    Values that aren't finite become black, and so does a uniform film.
    """
    step = max(1, int((values.size / 4_000_000) ** 0.5))  # a grid of pixels is enough for a large film's percentiles
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low and sample.size:  # nearly uniform: all differences are in the tails
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.zeros(values.shape, DTYPES[depth])
    finite = np.isfinite(values)
    grey = np.clip((np.where(finite, values, low).astype(np.float32) - low) / (high - low), 0, 1)
    return np.where(finite, np.rint((2**depth - 1) * (1 - grey if inverted else grey)), 0).astype(DTYPES[depth])


_COLUMNS = 512  # summed at a time: all of a film of 20,000 px a side would take 3 GB


def area_mean(
    values: NDArray[Any], width: int, height: int, columns: float | None = None, rows: float | None = None
) -> NDArray[np.float64]:
    """Average `values` ``[H, W]`` over equal areas to ``[height, width]``, as OpenCV's INTER_AREA and the configs do.

    Pillow's box filter uses whole pixels only, which differs by up to 30 greys at sharp edges.

    Args:
        values: Picture.
        width: Width of the result.
        height: Height of the result.
        columns: How many columns are used, by default all; a fraction uses a part of the last one.
        rows: How many rows are used, in the same way.
    """
    parts = [_mean_rows(values[:, at : at + _COLUMNS], height, rows) for at in range(0, values.shape[1], _COLUMNS)]
    return _mean_rows(np.concatenate(parts, axis=1).T, width, columns).T


def _mean_rows(values: NDArray[Any], rows: int, extent: float | None) -> NDArray[np.float64]:
    """Average the first `extent` rows of `values` over `rows` equal parts."""
    height = len(values)
    extent = height if extent is None else extent
    total = np.zeros((height + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    edges = np.linspace(0, extent, rows + 1)
    whole = np.minimum(edges.astype(int), height - 1)
    below = total[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(below, axis=0) * (rows / extent)


_ORIENTATION = 0x0112  # EXIF and TIFF tag
_limit_lock = threading.Lock()


def read_picture(file: BinaryIO, kind: str, depth: int = 8, at_least: int | None = None) -> ReducedFilm:
    """The film as upright 8-bit or 16-bit grey; a JPEG is reduced while its long side keeps `at_least` pixels."""
    image = _open(file)
    width, height = image.size
    step = _step(image, at_least) if kind == "JPEG" and at_least is not None else 1
    if kind == "JPEG":  # decode the stored luminance alone: conversion from colour takes five times as long
        image.draft("L", (width // step, height // step) if step > 1 else None)
    if kind == "TIFF":
        _require_one_page(image)
    inverted = kind == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # WhiteIsZero
    image.load()
    orientation = _orientation(image.getexif())
    # exif_transpose would copy an upright film, too
    pixels = _grey(ImageOps.exif_transpose(image) if orientation != 1 else image, inverted, depth)
    if step == 1:
        return ReducedFilm.whole(pixels)
    return ReducedFilm(pixels, *((height, width) if orientation >= 5 else (width, height)), step)


def _step(image: Image.Image, at_least: int) -> int:
    """The largest step that leaves the long side `at_least` pixels, and divides both sides if EXIF orientation is set."""
    turned = _orientation(image.getexif()) != 1
    for step in (8, 4, 2):  # JPEG decoders offer these
        fits = max(image.size) >= step * at_least and min(image.size) >= step
        if fits and not (turned and any(length % step for length in image.size)):
            return step
    return 1


def _orientation(exif: Image.Exif) -> int:
    """EXIF orientation 1 to 8; 1 if there is none or it is invalid."""
    orientation: int = exif.get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def picture_header(file: BinaryIO, kind: str) -> RadiographHeader:
    """Kind, size and orientation of a film; TIFF and BMP have no end marker, so they are decoded."""
    image = _open(file)
    width, height = image.size
    if kind == "TIFF":  # Pillow versions differ in whether image.size is stored or upright
        width, height = (image.tag_v2[tag] for tag in (256, 257))  # type: ignore[attr-defined]
    # PngImageFile.getexif decodes the film first, as metadata may follow the pixels
    header_only = kind == "PNG" and not has_late_metadata(file)
    exif = Image.Image.getexif(image) if header_only else image.getexif()
    if kind in ("TIFF", "BMP"):
        file.seek(0)
        read_picture(file, kind)
    return RadiographHeader(kind, (width, height), _orientation(exif))


def _grey(image: Image.Image, inverted: bool, depth: int) -> NDArray[Any]:
    if image.mode.startswith("I") or image.mode == "F":
        return windowed(np.asarray(image), inverted, depth)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        backdrop = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(backdrop, image.convert("RGBA"))
    if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    grey = np.array(image if image.mode == "L" else image.convert("L"))
    return grey if depth == 8 else grey * np.uint16(257)  # 255 becomes 65535


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a film; only its header is read."""
    with _limit_lock:  # Pillow's limit is global; 20,000 px a side is beyond its default
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_SIDE**2
        try:
            image: ImageFile.ImageFile = Image.open(file, formats=("JPEG", "PNG", "TIFF", "BMP"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    require_size(*image.size)
    if image.mode in ("RGB", "RGBA", "LA", "CMYK") and any(";16" in str(tile[3]) for tile in image.tile):
        raise RadiographError("16-bit colour, of which only the high byte can be read: save it as 16-bit grey")
    return image


def _require_one_page(image: ImageFile.ImageFile) -> None:
    """Raise RadiographError if a TIFF has further pages that aren't previews of the first."""
    pages = getattr(image, "n_frames", 1)
    for page in range(1, pages):
        image.seek(page)
        if not image.tag_v2.get(254, 0) & 1:  # type: ignore[attr-defined]  # NewSubfileType: reduced resolution
            raise RadiographError(f"{pages} pages, expected one: save each film as its own file")
    image.seek(0)
