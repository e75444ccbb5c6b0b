"""JPEG, PNG, TIFF and BMP through Pillow."""

from __future__ import annotations

import threading
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from hipdet.core.errors import RadiographError
from hipdet.core.records import MAX_SIDE
from hipdet.radiographs.grey import RadiographHeader, ReducedFilm, require_size, windowed
from hipdet.radiographs.sniff import has_late_metadata

_ORIENTATION = 0x0112  # EXIF and TIFF tag
_STEPS = (8, 4, 2)  # at which a JPEG can be decoded to a fraction of its size
_limit_lock = threading.Lock()


def read(file: BinaryIO, kind: str, depth: int = 8) -> NDArray[Any]:
    """The film as upright grey of 8 or 16 bits ``[H, W]``; see :func:`hipdet.radiographs.read.read_radiograph`."""
    image = _open(file)
    if kind == "JPEG":
        image.draft("L", None)  # the luminance as it is stored: the way round colour takes five times as long
    return _upright(image, kind, depth)


def read_reduced(file: BinaryIO, kind: str, at_least: int) -> ReducedFilm:
    """As :func:`hipdet.radiographs.read.read_reduced`: only JPEG is decoded to less than its size."""
    image = _open(file)
    step = _step(image, at_least) if kind == "JPEG" else 1
    width, height = image.size
    if kind == "JPEG":
        image.draft("L", (width // step, height // step))
    pixels = _upright(image, kind)
    if step == 1:
        return ReducedFilm.whole(pixels)
    size = (height, width) if _orientation(image) >= 5 else (width, height)
    return ReducedFilm(pixels, *size, step)


def _step(image: Image.Image, at_least: int) -> int:
    """The largest that leaves the long side `at_least` pixels; sides that it doesn't divide stay as they are if turned."""
    for step in _STEPS:
        turned = _orientation(image) != 1
        fits = max(image.size) >= step * at_least and min(image.size) >= step
        if fits and not (turned and any(length % step for length in image.size)):
            return step
    return 1


def _upright(image: ImageFile.ImageFile, kind: str, depth: int = 8) -> NDArray[Any]:
    """Decode, and turn as EXIF says."""
    if kind == "TIFF":
        _require_one_page(image)
    inverted = kind == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # WhiteIsZero
    image.load()
    # it would copy what stays as it is
    return _grey(ImageOps.exif_transpose(image) if _orientation(image) != 1 else image, inverted, depth)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def header(file: BinaryIO, kind: str) -> RadiographHeader:
    """Kind, size and orientation; TIFF and BMP, which have no end marker, are decoded."""
    image = _open(file)
    width, height = image.size
    if kind == "TIFF":  # Pillow versions differ in whether image.size is stored or upright
        width, height = (image.tag_v2[tag] for tag in (256, 257))  # type: ignore[attr-defined]
    # PngImageFile's getexif decodes the film first, as metadata may follow the pixels
    header_only = kind == "PNG" and not has_late_metadata(file)
    exif = Image.Image.getexif(image) if header_only else image.getexif()
    orientation: int = exif.get(_ORIENTATION, 1)
    if kind in ("TIFF", "BMP"):
        file.seek(0)
        read(file, kind)
    return RadiographHeader(kind, (width, height), orientation if orientation in range(1, 9) else 1)


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
    """The film with only its header read."""
    with _limit_lock:  # Pillow's limit is global; 20,000 px a side is beyond its default
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_SIDE**2
        try:
            image: ImageFile.ImageFile = Image.open(file, formats=("JPEG", "PNG", "TIFF", "BMP"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    require_size(*image.size)
    if image.mode in ("RGB", "RGBA", "LA", "CMYK") and any(";16" in str(tile[3]) for tile in image.tile):
        raise RadiographError("16-bit colour, of which only the high byte could be read: save it as 16-bit grey")
    return image


def _require_one_page(image: ImageFile.ImageFile) -> None:
    """Refuse a TIFF whose further pages are more than previews of the first."""
    pages = getattr(image, "n_frames", 1)
    for page in range(1, pages):
        image.seek(page)
        if not image.tag_v2.get(254, 0) & 1:  # type: ignore[attr-defined]  # NewSubfileType: reduced resolution
            raise RadiographError(f"{pages} pages: save each film as a file of its own")
    image.seek(0)
