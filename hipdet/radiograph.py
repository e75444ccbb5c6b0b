"""Radiographs as upright 8-bit grey pictures, from JPEG, PNG, TIFF and BMP, with errors that say what is wrong.

The stored pixels of a film and the film as a person sees it differ when EXIF orientation is set; everything here is in
the upright frame, which is the frame of the labels.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from hipdet.errors import RadiographError
from hipdet.picture_files import AGAIN, checked_kind, has_late_metadata

Source = Union[str, "os.PathLike[str]", bytes]

MAX_SIDE = 20_000  # px; a 43 cm film at 50 um, the finest digitiser, has 8,600
WINDOW_PERCENTILES = (0.5, 99.5)  # leaves out burnt-in letters and the few hottest pixels of a deep picture

_ORIENTATION = 0x0112  # EXIF and TIFF tag
_TOO_LARGE = f"larger than {MAX_SIDE} px a side, which no radiograph is: crop or shrink it"
# what Pillow's decoders raise on damaged files, over and above OSError
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
    MemoryError, ZeroDivisionError, struct.error, zlib.error, NotImplementedError,
)  # fmt: skip
_limit_lock = threading.Lock()


def read_radiograph(source: Source, name: str | None = None) -> NDArray[np.uint8]:
    """The film as upright 8-bit grey ``[H, W]``.

    EXIF orientation is applied, colour becomes luminance and transparent parts black.  Deeper films (16-bit, 32-bit,
    float) are windowed from their 0.5 to their 99.5 percentile onto 0..255: keeping only the high byte, as many readers
    do, would leave a 12-bit film nearly black.

    Args:
        source: Path of the film, or its bytes.
        name: What errors call a film given as bytes.

    Raises:
        RadiographError: missing, cut short, damaged, larger than 20,000 px a side, or not a picture.
    """
    name = name or ("radiograph in memory" if isinstance(source, bytes) else os.fspath(source))
    try:
        with _opened(source) as file:
            return _read(file)
    except RadiographError as fault:
        raise RadiographError(f"{name}: {fault}") from fault


def upright_size(source: Source) -> tuple[int, int]:
    """``(width, height)`` in pixels with EXIF orientation applied, without decoding the film.

    Raises:
        RadiographError: as :func:`read_radiograph`, as far as the header shows it.
    """
    return _sizes(source)[1]


def stored_size(source: Source) -> tuple[int, int]:
    """``(width, height)`` in pixels as stored, EXIF orientation ignored: what tools that ignore it declare."""
    return _sizes(source)[0]


def check_radiograph(source: Source) -> str | None:
    """What is wrong with the film, or None.

    Cheap for JPEG and PNG: the header must open and the file must reach its end marker, so damage in the middle stays
    unseen.  TIFF and BMP have no end marker and are decoded.
    """
    try:
        with _opened(source) as file:
            if checked_kind(file) in ("JPEG", "PNG"):
                _open(file)
            else:
                _read(file)
    except RadiographError as fault:
        return str(fault)
    return None


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    """Open `source`; whatever its decoding raises becomes a RadiographError that doesn't name the film yet."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise RadiographError("no such file: check the path") from error
    except UnidentifiedImageError as error:
        raise RadiographError(f"header is damaged: {AGAIN}") from error
    except Image.DecompressionBombError as error:
        raise RadiographError(_TOO_LARGE) from error
    except _DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise RadiographError(f"can't be read: {error.strerror}") from error
        raise RadiographError(f"damaged ({error or type(error).__name__}): {AGAIN}") from error


def _read(file: BinaryIO) -> NDArray[np.uint8]:
    kind = checked_kind(file)
    image = _open(file)
    if kind == "TIFF":
        _require_one_page(image)
    inverted = kind == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # WhiteIsZero
    image.load()
    return _grey(ImageOps.exif_transpose(image), inverted)


def _grey(image: Image.Image, inverted: bool) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        return _windowed(np.asarray(image), inverted)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        backdrop = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(backdrop, image.convert("RGBA"))
    if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    return np.array(image.convert("L"))


def _windowed(values: NDArray[Any], inverted: bool) -> NDArray[np.uint8]:
    """``[H, W]`` of any depth to 8 bits; values that aren't finite become black, a uniform film too."""
    step = max(1, int((values.size / 4_000_000) ** 0.5))  # percentiles of a large film from a grid of its pixels
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, WINDOW_PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low and sample.size:  # nearly uniform: all that differs is in the tails
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    finite = np.isfinite(values)
    grey = np.clip((np.where(finite, values, low).astype(np.float32) - low) / (high - low), 0, 1)
    return np.where(finite, np.rint(255 * (1 - grey if inverted else grey)), 0).astype(np.uint8)


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """The film with only its header read."""
    with _limit_lock:  # Pillow's limit is global; 20,000 px a side is beyond its default
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_SIDE**2
        try:
            image: ImageFile.ImageFile = Image.open(file, formats=("JPEG", "PNG", "TIFF", "BMP"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if max(image.size) > MAX_SIDE:
        raise RadiographError(f"{image.size[0]}x{image.size[1]} px: {_TOO_LARGE}")
    if image.mode in ("RGB", "RGBA", "LA", "CMYK") and any(";16" in str(tile[3]) for tile in image.tile):
        raise RadiographError("16-bit colour, of which only the high byte could be read: save it as 16-bit grey")
    return image


def _sizes(source: Source) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stored and upright ``(width, height)``."""
    name = "radiograph in memory" if isinstance(source, bytes) else os.fspath(source)
    try:
        with _opened(source) as file:
            kind = checked_kind(file)
            image = _open(file)
            width, height = image.size
            if kind == "TIFF":  # Pillow versions differ in whether image.size is stored or upright
                width, height = (image.tag_v2[tag] for tag in (256, 257))  # type: ignore[attr-defined]
            # PngImageFile's getexif decodes the film first, as metadata may follow the pixels
            header_only = kind == "PNG" and not has_late_metadata(file)
            exif = Image.Image.getexif(image) if header_only else image.getexif()
            turned = exif.get(_ORIENTATION) in (5, 6, 7, 8)
            return (width, height), ((height, width) if turned else (width, height))
    except RadiographError as fault:
        raise RadiographError(f"{name}: {fault}") from fault


def _require_one_page(image: ImageFile.ImageFile) -> None:
    """Refuse a TIFF whose further pages are more than previews of the first."""
    pages = getattr(image, "n_frames", 1)
    for page in range(1, pages):
        image.seek(page)
        if not image.tag_v2.get(254, 0) & 1:  # type: ignore[attr-defined]  # NewSubfileType: reduced resolution
            raise RadiographError(f"{pages} pages: save each film as a file of its own")
    image.seek(0)
