"""Pixels of a DICOM film: their encoding, whether they are complete, and their greys by pydicom's tables and windows."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hipdet.core.errors import RadiographError
from hipdet.radiographs.grey import DTYPES, bands, windowed
from hipdet.radiographs.sniff import AGAIN

INSTALL = "pip install 'hipdet[dicom]'"
UNDEFINED = 0xFFFFFFFF  # length of encapsulated (compressed) pixel data
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_RLE = "1.2.840.10008.1.2.5"
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_IN_OUR_EXTRA = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(8[01]|9[0-3]|20[1-3])")  # JPEG-LS, JPEG 2000
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data are in the file.

    Attributes:
        start: Offset of their first byte in the file, which is inflated if it was deflated.
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
    here = min(element.length, file.seek(0, os.SEEK_END) - element.start)
    if here < expected:
        raise RadiographError(f"cut short ({here} bytes of pixel data, expected {expected}): {AGAIN}")
    return expected


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


def require_sound_code(dataset: Any) -> None:
    """Raise RadiographError if the compressed pixels claim another size than the header: decoders reserve what they claim."""
    uid = dataset.file_meta.TransferSyntaxUID
    fault, expected = "", f"{dataset.Columns}x{dataset.Rows} px"
    if uid.startswith(_JPEG_FAMILY):
        found = _code_size(_joined(dataset.PixelData, _MOST_HEADERS))
        if found != (dataset.Columns, dataset.Rows, 1):
            fault = "{}x{} px with {} colours".format(*found) if found else "they have no size"
    elif uid == _RLE and len(dataset.PixelData) * _MOST_REPEATS > _LARGE:
        code = _joined(dataset.PixelData, len(dataset.PixelData))
        count, *starts = struct.unpack("<16L", code[:64].ljust(64, b"\0"))
        ends = pairwise([*starts[:count], len(code)])
        if any(_is_longer(code, *between, dataset.Rows * dataset.Columns) for between in ends):
            fault = "more pixels"
    if fault:
        raise RadiographError(
            f"pixels can't be decoded as {syntax_name(uid)}: {fault}, expected grey, {expected}: {AGAIN}"
        )


def _joined(encapsulated: bytes, most: int) -> bytes:
    """The first `most` bytes of the fragments, without the offset table."""
    at, parts, length = 0, [], 0
    while at + 8 <= len(encapsulated) and length < most:
        group, element, size = struct.unpack_from("<HHI", encapsulated, at)
        if (group, element) != _ITEM:
            break
        if at:
            parts.append(encapsulated[at + 8 : at + 8 + min(size, most - length)])
            length += len(parts[-1])
        at += 8 + size
    return b"".join(parts)


def _code_size(code: bytes) -> tuple[int, int, int] | None:
    """Width, height and number of colours that a JPEG, JPEG-LS or JPEG 2000 code declares; None if there are none."""
    at = 0
    if code[4:8] == b"jP  ":  # in a JP2 file, among its boxes
        while code[at + 4 : at + 8] != b"jp2c":
            length = int.from_bytes(code[at : at + 4], "big")
            if length < 8:
                return None
            at += length
        at += 16 if code[at : at + 4] == b"\0\0\0\1" else 8
    if code[at : at + 4] == b"\xff\x4f\xff\x51" and len(code) >= at + 42:
        right, lower, left, upper = struct.unpack_from(">4I", code, at + 8)
        return right - left, lower - upper, int.from_bytes(code[at + 40 : at + 42], "big")
    at = 2
    while code[:2] == b"\xff\xd8" and at + 10 <= len(code) and code[at] == 0xFF:
        marker, length = code[at + 1], int.from_bytes(code[at + 2 : at + 4], "big")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # start of frame
            height, width, colours = struct.unpack_from(">HHB", code, at + 5)
            return width, height, colours
        at += 1 if marker == 0xFF else 2 + length
    return None


def _is_longer(code: bytes, at: int, end: int, most: int) -> bool:
    """Whether the runs of a segment of RLE code give more than `most` bytes, and padding."""
    total = 0
    while at < end and total <= most + _MOST_REPEATS:
        head = code[at]
        total += head + 1 if head < 128 else 257 - head if head > 128 else 0
        at += head + 2 if head < 128 else 2 if head > 128 else 1
    return total > most + _MOST_REPEATS


_MOST_HEADERS = 1 << 20  # bytes before the size in a JPEG
_MOST_REPEATS = 128  # of a byte, by two bytes of RLE code
_LARGE = 1 << 30  # bytes: less than this is decoded without further checks
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
    by_table = _table_maker(pixels)
    shown = by_table(lambda stored: _shown(dataset, stored, depth))
    film = np.empty(pixels.shape, DTYPES[depth])
    for rows in bands(pixels.shape):
        if (greys := shown(pixels[rows])) is None:
            break
        film[rows] = greys
    else:
        if _is_visible(dataset, pixels, film >> (depth - 8)):
            return film
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return windowed(pixels, inverted, depth, by_table(lambda stored: _values(dataset, stored)))


_OfValues = Callable[[NDArray[Any]], Any]


def _table_maker(pixels: NDArray[Any]) -> Callable[[_OfValues], _OfValues]:
    """Makes a function of stored values quick: it is computed once for each value, and the results are looked up."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low >= _TABLE:
        return lambda function: lambda stored: function(stored.astype(np.int64))
    low = 0 if pixels.dtype.kind == "u" and high < _TABLE else low

    def by_table(function: _OfValues) -> _OfValues:
        table = function(np.arange(low, high + 1))
        if table is None or low == 0:
            return lambda stored: None if table is None else table[stored]
        return lambda stored: table[np.subtract(stored, low, dtype=np.int64)]

    return by_table


def _shown(dataset: Any, stored: NDArray[Any], depth: int) -> NDArray[Any] | None:
    """Greys of `stored` by the VOI LUT or the first window, with black padding; None if there is none."""
    shades = _voi(dataset, _modality(dataset, stored))
    if shades is None:
        return None
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    greys = np.rint((2**depth - 1) * (1 - shades if inverted else shades)).astype(DTYPES[depth])
    greys[_padding(dataset, stored)] = 0
    return greys


def _values(dataset: Any, stored: NDArray[Any]) -> NDArray[Any]:
    """Values of `stored`; NaN for padding."""
    blank, values = _padding(dataset, stored), _modality(dataset, stored)
    return np.where(blank, np.nan, values) if blank.any() else values


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


def _is_visible(dataset: Any, pixels: NDArray[Any], film: NDArray[Any]) -> bool:
    """Whether anything is visible: a window in other units or a placeholder leaves the film uniform, or black and white."""
    step = max(1, film.size // _SAMPLE)
    sample = film.flat[::step][~_padding(dataset, pixels.flat[::step])]
    if not sample.size:
        return True
    low, high = np.percentile(sample, (0.5, 99.5))
    return bool(high - low >= _LEAST_GREYS and np.mean((sample > 0) & (sample < 255)) >= 0.01)
