"""Pixels of a DICOM film: their encoding, whether they are complete, and their greys by pydicom's tables and windows."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hipdet.core.errors import RadiographError
from hipdet.radiographs.grey import DTYPES, windowed
from hipdet.radiographs.sniff import AGAIN

INSTALL = "pip install 'hipdet[dicom]'"
UNDEFINED = 0xFFFFFFFF  # length of encapsulated (compressed) pixel data
DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED)
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_IN_OUR_EXTRA = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(8[01]|9[0-3]|20[1-3])")  # JPEG-LS, JPEG 2000
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data are in the file.

    Attributes:
        start: Offset of their first byte in the file; meaningless in a deflated file.
        length: Bytes, or UNDEFINED.
        representation: ``OB`` or ``OW``; None in implicit VR files.
    """

    start: int
    length: int
    representation: str | None


def syntax_name(uid: Any) -> str:
    """The transfer syntax in words, or its UID if pydicom doesn't know it; text that isn't a UID is not quoted."""
    name = str(uid.name)
    if name != uid:
        return name
    return f"an unknown transfer syntax ({uid})" if re.fullmatch(r"[0-9.]{1,64}", uid) else "an unknown transfer syntax"


def require_decoder(uid: Any) -> None:
    """Raise RadiographError, with the package to install, if no installed decoder can decode the pixels."""
    if uid in _NATIVE or _decodable(uid):
        return
    if _IN_OUR_EXTRA.fullmatch(uid):
        remedy = INSTALL
    elif str(uid.name) != uid:
        remedy = "pip install python-gdcm, or export the film uncompressed or as JPEG 2000"
    else:
        remedy = "export the film uncompressed or as JPEG 2000"
    raise RadiographError(f"compressed as {syntax_name(uid)}, for which no decoder is installed: {remedy}")


def other_remedy(uid: Any) -> str:
    """Another remedy if decoding failed: pydicom tries Pillow for 12-bit and 16-bit JPEG, which Pillow can't decode."""
    other_jpeg = uid.startswith(_JPEG_FAMILY) and not _IN_OUR_EXTRA.fullmatch(uid)
    return ", or pip install python-gdcm" if other_jpeg else ""


def _decodable(uid: Any) -> bool:
    from pydicom.pixels import get_decoder

    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def whole_length(file: BinaryIO, element: PixelElement, uid: Any, expected: int) -> int:
    """Length of the stored pixel data in bytes; RadiographError if the file ends before they do.

    Args:
        file: The film.
        element: Where its pixel data are.
        uid: Its transfer syntax.
        expected: Bytes of the uncompressed pixels.
    """
    if (element.length == UNDEFINED) == (uid in _NATIVE):
        raise RadiographError(f"pixel data aren't {syntax_name(uid)}, which the header declares: export the film again")
    if element.length == UNDEFINED:
        return _fragments_length(file, element.start, uid)
    here = element.length
    if uid != DEFLATED:  # an incomplete deflated file can't be inflated
        here = min(here, file.seek(0, os.SEEK_END) - element.start)
    if here < expected:
        raise RadiographError(f"cut short ({here} bytes of pixel data, expected {expected}): {AGAIN}")
    return element.length


def _fragments_length(file: BinaryIO, start: int, uid: Any) -> int:
    """Step over the fragments to the delimiter after the last one; a search for it could stop inside a fragment."""
    size = file.seek(0, os.SEEK_END)
    at, last = start, (0, 0)
    while True:
        file.seek(at)
        head = file.read(8)
        group, element, length = struct.unpack("<HHI", head) if len(head) == 8 else (0, 0, 0)
        if (group, element) == _END:
            break
        if (group, element) != _ITEM or at + 8 + length > size:
            raise RadiographError(f"cut short or damaged (the compressed pixels have no end delimiter): {AGAIN}")
        last = (at + 8, length)
        at += 8 + length
    file.seek(last[0] + max(0, last[1] - 64))
    tail = file.read(min(last[1], 64))
    if not tail or (uid.startswith(_JPEG_FAMILY) and not tail.rstrip(b"\0\xff").endswith(b"\xff\xd9")):
        raise RadiographError(f"cut short (the compressed pixels have no end marker): {AGAIN}")
    return at - start


_TABLE = 1 << 16
_SAMPLE = 200_000  # pixels
_LEAST_GREYS = 16  # of 256, between the 0.5 and the 99.5 percentile


def grey(dataset: Any, pixels: NDArray[Any], depth: int = 8) -> NDArray[Any]:
    """Stored values to greys: modality LUT or rescale; VOI LUT, first window or percentiles; MONOCHROME1 inverted.

    Args:
        dataset: The film's elements, a pydicom Dataset.
        pixels: ``[H, W]`` stored values, any integer type.
        depth: Bits of the result, 8 or 16.

    Returns:
        ``[H, W]`` with bright bone and black padding.

    Raises:
        RadiographError: the rescale slope or intercept is 0 or not a number.
    """
    stored, place = _levels(pixels)
    blank = _padding(dataset, stored)
    values = _modality(dataset, stored)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    shades = _voi(dataset, values)
    if shades is not None:
        greys = np.rint((2**depth - 1) * (1 - shades if inverted else shades)).astype(DTYPES[depth])
        greys[blank] = 0
        film = greys[place]
        if _is_visible((film[~blank[place]] if blank.any() else film) >> (depth - 8)):
            return film
    return windowed((np.where(blank, np.nan, values) if blank.any() else values)[place], inverted, depth)


def _levels(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stored values in ascending order, and the index of each pixel's value: later steps work on this short list."""
    low, high = int(pixels.min()), int(pixels.max())
    if pixels.dtype.kind == "u" and high < _TABLE:
        return np.arange(high + 1), pixels
    if high - low < _TABLE:
        return np.arange(low, high + 1), np.subtract(pixels, low, dtype=np.int64).astype(np.uint16)
    stored, place = np.unique(pixels, return_inverse=True)
    return stored.astype(np.int64), place.reshape(pixels.shape)


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask of the stored values that mean padding, which isn't part of the film."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(stored.shape, np.bool_)
    ends = [int(value), int(value if limit is None else limit)]
    if dataset.PixelRepresentation == 1:  # which some writers still store as unsigned
        ends = [end - (1 << dataset.BitsAllocated if end >> (dataset.BitsAllocated - 1) == 1 else 0) for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _modality(dataset: Any, stored: NDArray[Any]) -> NDArray[Any]:
    from pydicom.pixels import apply_modality_lut

    values: NDArray[Any] = apply_modality_lut(stored, dataset)
    slope = dataset.get("RescaleSlope")
    rescaled = not dataset.get("ModalityLUTSequence") and slope is not None
    if not np.isfinite(values).all() or (rescaled and slope == 0):
        raise RadiographError("rescale slope or intercept is 0 or not a number: export the film again")
    return values


def _voi(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Shades from 0 to 1 by the VOI LUT or the first window; None if there is none or the standard doesn't allow it."""
    try:
        if dataset.get("VOILUTSequence"):
            shades = _voi_table(dataset, values)
        elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
            shades = _voi_window(dataset, values)
        else:
            return None
    except Exception:  # such as a width of 0, or a table without data: percentiles are used
        return None
    return shades if np.isfinite(shades).all() else None


def _voi_window(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    from pydicom.pixels import apply_windowing

    # the range of the result depends on depth, rescale and tables: infinite values give its ends
    dark, bright = apply_windowing(np.array([-np.inf, np.inf]), dataset)
    shades: NDArray[np.float64] = np.clip((apply_windowing(values, dataset) - dark) / (bright - dark), 0, 1)
    return shades


def _voi_table(dataset: Any, values: NDArray[Any]) -> NDArray[np.float64]:
    from pydicom.pixels import apply_voi

    table = dataset.VOILUTSequence[0]
    entries, first, depth = table.LUTDescriptor
    if depth == 8:
        table.LUTDescriptor = [entries, first, 16]  # pydicom would index more than 256 entries with 8 bits
    inside = np.clip(np.rint(values), first, first + (entries or 1 << 16) - 1).astype(np.int64)
    shades: NDArray[np.float64] = apply_voi(inside, dataset) / (2.0**depth - 1)
    return np.clip(shades, 0, 1)


def _is_visible(film: NDArray[Any]) -> bool:
    """Whether anything is visible: a window in other units or a placeholder leaves the film uniform, or black and white."""
    sample = film.ravel()[:: max(1, film.size // _SAMPLE)]
    if not sample.size:
        return True
    low, high = np.percentile(sample, (0.5, 99.5))
    return bool(high - low >= _LEAST_GREYS and np.mean((sample > 0) & (sample < 255)) >= 0.01)
