"""Films as grey pictures: headers, the formats that Pillow decodes, and windows and area means in numpy alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError, features

from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE
from hipdet.core.spacing import Spacing
from hipdet.radiographs.sniff import AGAIN, has_late_metadata, jpeg_end, lacks_scans, webp_size

TOO_LARGE = f"larger than {MAX_SIDE} px a side, which no radiograph is: crop or downscale it"

Size = tuple[int, int]


@dataclass(frozen=True)
class RadiographHeader:
    """Kind, size, orientation and spacing of a film.

    Attributes:
        kind: ``JPEG``, ``PNG``, ``TIFF``, ``BMP``, ``GIF``, ``WEBP`` or ``DICOM``.
        stored: ``(width, height)`` in pixels as stored; tools that ignore EXIF orientation declare this size.
        orientation: EXIF orientation 1 to 8; 1 if there is none or it is invalid.
        spacing: Spacing of its pixels, if its tags say one: DICOM films only.
    """

    kind: str
    stored: Size
    orientation: int = 1
    spacing: Spacing | None = None

    @property
    def upright(self) -> Size:
        """``(width, height)`` in pixels with EXIF orientation applied."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def require_size(width: int, height: int) -> None:
    """Raise RadiographError if a side is longer than any radiograph's, or 0."""
    if min(width, height) < 1:
        raise RadiographError(f"{width}x{height} px, expected at least 1x1: {AGAIN}")
    if max(width, height) > MAX_SIDE:
        raise RadiographError(f"{width}x{height} px: {TOO_LARGE}")


PEAK = 16  # bytes per pixel that reading the worst film takes; an 8-bit JPEG takes 1
SHORT = "too little memory: close other programs, or use a machine with more"


@contextmanager
def enough_memory(width: int, height: int) -> Iterator[None]:
    """Turn an error of a decoder into RadiographError where memory is short, which many decoders report as damage."""
    try:
        yield
    except RadiographError:
        raise
    except Exception as error:
        try:
            np.empty(PEAK * width * height, np.uint8)
        except MemoryError:
            raise RadiographError(f"{width}x{height} px: {SHORT}") from error
        raise


@dataclass(frozen=True)
class ReducedFilm:
    """A film, perhaps reduced: each pixel covers `step` x `step` pixels of the film.

    Attributes:
        pixels: Upright 8-bit or 16-bit grey ``[h, w]``; the last row and column may reach over the film's edge.
        width: Width of the film in pixels.
        height: Height of the film in pixels.
        step: Whole number; 1 if the film isn't reduced.
        patient_side: ``left`` or ``right`` of the patient, if the film's tags say which one it shows; else None.
        spacing: Spacing of the film's pixels, not of the reduced ones, if its tags say one; else None.
    """

    pixels: NDArray[Any]
    width: int
    height: int
    step: int = 1
    patient_side: str | None = None
    spacing: Spacing | None = None

    @classmethod
    def whole(cls, film: NDArray[Any], patient_side: str | None = None, spacing: Spacing | None = None) -> ReducedFilm:
        """A film ``[H, W]`` that isn't reduced."""
        return cls(film, film.shape[1], film.shape[0], patient_side=patient_side, spacing=spacing)


DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
PERCENTILES = (0.5, 99.5)  # so burnt-in letters and a few outliers don't set the window
_BAND = 1 << 18  # pixels that are converted at a time: all of a large film would take many times its own memory


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of ``[H, W]``, some at a time."""
    rows = max(1, _BAND // max(1, shape[1]))
    return (slice(top, top + rows) for top in range(0, shape[0], rows))


def windowed(
    stored: NDArray[Any],
    inverted: bool = False,
    depth: int = 8,
    values_of: Callable[[NDArray[Any]], NDArray[Any]] = lambda stored: stored,
) -> NDArray[Any]:
    """Map values from their 0.5 to their 99.5 percentile onto `depth` bits, 8 or 16.

    Values that aren't finite become black, and so does a uniform film.

    Args:
        stored: ``[H, W]``.
        inverted: Whether the largest value is black.
        depth: Bits.
        values_of: Gives the values of some stored ones.
    """
    step = max(1, int((stored.size / 4_000_000) ** 0.5))  # a grid of pixels is enough for a large film's percentiles
    sample = values_of(stored[::step, ::step])
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low and sample.size:  # nearly uniform: all differences are in the tails
        low, high = float(sample.min()), float(sample.max())
    film = np.zeros(stored.shape, DTYPES[depth])
    for rows in bands(stored.shape) if high > low else ():
        values = values_of(stored[rows])
        finite = np.isfinite(values)
        grey = np.clip((np.where(finite, values, low).astype(np.float32) - low) / (high - low), 0, 1)
        film[rows] = np.where(finite, np.rint((2**depth - 1) * (1 - grey if inverted else grey)), 0)
    return film


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
_TURNED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda film: film[:, ::-1],
    3: lambda film: film[::-1, ::-1],
    4: lambda film: film[::-1],
    5: lambda film: film.T,
    6: lambda film: film.T[:, ::-1],
    7: lambda film: film.T[::-1, ::-1],
    8: lambda film: film.T[::-1],
}
_MOST_PREVIEWS = 100
_TIFF_BITS = (1, 2, 4, 8, 12, 16, 32)
_FURTHER = bytes(range(1, 255)) * 16  # as good as random bits of a JPEG's scan


def read_picture(file: BinaryIO, kind: str, depth: int = 8, at_least: int | None = None) -> ReducedFilm:
    """The film as upright 8-bit or 16-bit grey; a JPEG is reduced while its long side keeps `at_least` pixels."""
    image = _open(file, kind)
    width, height = image.size
    step = _step(image, at_least) if kind == "JPEG" and at_least is not None else 1
    if kind == "JPEG":
        _draft(image, step)
    tags = image.tag_v2 if kind == "TIFF" else {}  # type: ignore[attr-defined]
    inverted, unsigned = tags.get(262) == 0, tags.get(339, (1,))[0] == 1  # WhiteIsZero, SampleFormat
    _load(image)
    orientation = _orientation(image)
    pixels = _grey(image, inverted, unsigned, depth)
    if kind == "JPEG":
        is_progressive, is_grey = bool(image.info.get("progressive")), _ends_in_grey(image)
        del image  # two large pictures would be too many
        if is_progressive or is_grey:
            _require_all_data(file, is_progressive, pixels, step)
    if orientation != 1:
        pixels = np.ascontiguousarray(_TURNED[orientation](pixels))
    if step == 1:
        return ReducedFilm.whole(pixels)
    return ReducedFilm(pixels, *((height, width) if orientation >= 5 else (width, height)), step)


def _step(image: Image.Image, at_least: int) -> int:
    """The largest step that leaves the long side `at_least` pixels, and divides both sides if EXIF orientation is set."""
    turned = _orientation(image) != 1
    for step in (8, 4, 2):  # JPEG decoders offer these
        fits = max(image.size) >= step * at_least and min(image.size) >= step
        if fits and not (turned and any(length % step for length in image.size)):
            return step
    return 1


def _draft(image: Image.Image, step: int) -> None:
    """Decode the stored luminance alone: conversion from colour takes five times as long."""
    image.draft("L", (image.width // step, image.height // step) if step > 1 else None)


def _ends_in_grey(image: Image.Image) -> bool:
    """Whether the last pixel is mid-grey, which decoders put in the place of missing data."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return all(value in (127, 128) for value in (last if isinstance(last, tuple) else (last,)))


def _require_all_data(file: BinaryIO, is_progressive: bool, pixels: NDArray[Any], step: int) -> None:
    """Raise RadiographError if a JPEG lacks data before its end marker: then further data there change its picture."""
    file.seek(0)
    data = file.read()
    end = jpeg_end(data)
    longer = _open(io.BytesIO(b"".join((data[:end], _FURTHER, data[end:]))), "JPEG")
    _draft(longer, step)
    _load(longer)
    depth = 8 * pixels.itemsize
    if (is_progressive and lacks_scans(data)) or not np.array_equal(pixels, _grey(longer, False, False, depth)):
        raise RadiographError(f"cut short (data are missing before the JPEG's end marker): {AGAIN}")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 if there is none, or it is invalid or unreadable: then viewers show the film as stored."""
    try:
        # not PngImageFile.getexif, which decodes the film
        orientation = Image.Image.getexif(image).get(_ORIENTATION, 1)
        return int(orientation) if orientation in range(1, 9) else 1
    except Exception:
        return 1


def picture_header(file: BinaryIO, kind: str) -> RadiographHeader:
    """Kind, size and orientation of a film; TIFF and BMP have no end marker, so they are decoded."""
    image = _open(file, kind)
    width, height = image.size
    if kind == "TIFF":  # Pillow versions differ in whether image.size is stored or upright
        width, height = (image.tag_v2[tag] for tag in (256, 257))  # type: ignore[attr-defined]
    if kind == "PNG" and has_late_metadata(file):
        _load(image)
    orientation = _orientation(image)
    if kind in ("TIFF", "BMP"):
        _load(image)
    return RadiographHeader(kind, (width, height), orientation)


def _grey(image: Image.Image, inverted: bool, unsigned: bool, depth: int) -> NDArray[Any]:
    if image.mode.startswith("I") or image.mode == "F":
        stored = _array(image, lambda part: part)
        if unsigned and stored.dtype == np.int32:  # Pillow has no unsigned 32 bit
            stored = stored.view(np.uint32)
        return windowed(stored, inverted, depth)
    grey = _array(image, _luminance)
    return grey if depth == 8 else grey * np.uint16(257)  # 255 becomes 65535


def _array(image: Image.Image, converted: Callable[[Image.Image], Image.Image]) -> NDArray[Any]:
    """``[H, W]`` of the picture, which is converted and copied by bands: Pillow would copy all of it several times."""
    film = np.empty((image.height, image.width), np.asarray(converted(image.crop((0, 0, 1, 1)))).dtype)
    for rows in bands(film.shape):
        film[rows] = converted(image.crop((0, rows.start, image.width, min(rows.stop, image.height))))
    return film


def _luminance(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        backdrop = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(backdrop, image.convert("RGBA"))
    if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    return image if image.mode == "L" else image.convert("L")


def _open(file: BinaryIO, kind: str) -> ImageFile.ImageFile:
    """Open a film; only its header is read."""
    try:
        with enough_memory(*webp_size(file)) if kind == "WEBP" else nullcontext():  # opening it reserves memory
            image: ImageFile.ImageFile = Image.open(file, formats=(kind,))
    except UnidentifiedImageError:
        if kind == "WEBP" and not features.check("webp"):
            raise RadiographError(
                "WEBP, which this Pillow can't read: save it as PNG, or pip install -U Pillow"
            ) from None
        if kind == "TIFF" and (bits := _tiff_bits(file)) not in _TIFF_BITS:
            raise RadiographError(
                f"TIFF of {bits} bits per value, expected 8, 16 or 32: save it as 16-bit grey"
            ) from None
        raise
    require_size(*image.size)
    if image.mode in ("RGB", "RGBA", "LA", "CMYK") and any(";16" in str(tile[3]) for tile in image.tile):
        raise RadiographError("16-bit colour, of which only the high byte can be read: save it as 16-bit grey")
    if kind == "TIFF":
        _require_one_page(file)
    elif kind != "JPEG" and getattr(image, "is_animated", False):  # a JPEG's further pictures are previews
        raise RadiographError(f"an animated {kind}, expected one picture: save each film as its own file")
    return image


def _load(image: ImageFile.ImageFile) -> None:
    with enough_memory(*image.size):
        image.load()


def _directories(file: BinaryIO) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    """The tags of a TIFF's pages; Pillow would also look whether it can decode them."""
    file.seek(0)
    head = file.read(8)
    is_big = head[2] == 43  # BigTIFF
    directory = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8 if is_big else 0))
    while directory.next:
        file.seek(directory.next)
        directory.load(file)
        yield directory


def _tiff_bits(file: BinaryIO) -> int:
    """Bits of a value of a TIFF's first page."""
    first = next(_directories(file), None)
    bits = first.get(258, 1) if first else 1
    return max(bits) if isinstance(bits, tuple) else bits


def _require_one_page(file: BinaryIO) -> None:
    """Raise RadiographError if a TIFF has further pages that aren't previews of the first; `file` stays where it is."""
    at = file.tell()
    for number, tags in enumerate(_directories(file)):
        # NewSubfileType: reduced resolution
        if number > _MOST_PREVIEWS or (number and not tags.get(254, 0) & 1):
            raise RadiographError("several pages, expected one: save each film as its own file")
    file.seek(at)
