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
_limit_lock = threading.Lock()


def read_picture(file: BinaryIO, kind: str, depth: int = 8, at_least: int | None = None) -> ReducedFilm:
    """The film as upright grey of 8 or 16 bits; a JPEG at a fraction of its size if that has `at_least` pixels."""
    image = _open(file)
    width, height = image.size
    step = _step(image, at_least) if kind == "JPEG" and at_least is not None else 1
    if kind == "JPEG":  # the luminance as it is stored: the way round colour takes five times as long
        image.draft("L", (width // step, height // step) if step > 1 else None)
    if kind == "TIFF":
        _require_one_page(image)
    inverted = kind == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # WhiteIsZero
    image.load()
    orientation = _orientation(image.getexif())
    # exif_transpose would copy what stays as it is
    pixels = _grey(ImageOps.exif_transpose(image) if orientation != 1 else image, inverted, depth)
    if step == 1:
        return ReducedFilm.whole(pixels)
    return ReducedFilm(pixels, *((height, width) if orientation >= 5 else (width, height)), step)


def _step(image: Image.Image, at_least: int) -> int:
    """The largest that leaves the long side `at_least` pixels; sides that it doesn't divide stay as they are if turned."""
    turned = _orientation(image.getexif()) != 1
    for step in (8, 4, 2):  # at which a JPEG can be decoded
        fits = max(image.size) >= step * at_least and min(image.size) >= step
        if fits and not (turned and any(length % step for length in image.size)):
            return step
    return 1


def _orientation(exif: Image.Exif) -> int:
    """EXIF orientation 1 to 8."""
    orientation: int = exif.get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def picture_header(file: BinaryIO, kind: str) -> RadiographHeader:
    """Kind, size and orientation; TIFF and BMP, which have no end marker, are decoded."""
    image = _open(file)
    width, height = image.size
    if kind == "TIFF":  # Pillow versions differ in whether image.size is stored or upright
        width, height = (image.tag_v2[tag] for tag in (256, 257))  # type: ignore[attr-defined]
    # PngImageFile's getexif decodes the film first, as metadata may follow the pixels
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
