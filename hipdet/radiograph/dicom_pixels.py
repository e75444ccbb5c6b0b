"""How the pixels of a DICOM film are encoded, and whether they are all there: nothing is decoded."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from hipdet.errors import RadiographError
from hipdet.radiograph.kind import AGAIN

INSTALL = "pip install 'hipdet[dicom]'"
UNDEFINED = 0xFFFFFFFF  # length of encapsulated, which is compressed, pixel data
DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED)
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_IN_OUR_EXTRA = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(8[01]|9[0-3]|20[1-3])")  # JPEG-LS, JPEG 2000
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data stand.

    Attributes:
        start: Offset of their first byte in the file; of a deflated file, without meaning.
        length: Bytes, or UNDEFINED.
        representation: ``OB`` or ``OW``; None in implicit VR files.
    """

    start: int
    length: int
    representation: str | None


def syntax_name(uid: Any) -> str:
    """The transfer syntax in words; its number where pydicom doesn't know it, and no number that isn't one."""
    name = str(uid.name)
    if name != uid:
        return name
    return f"an unknown transfer syntax ({uid})" if re.fullmatch(r"[0-9.]{1,64}", uid) else "an unknown transfer syntax"


def require_decoder(uid: Any) -> None:
    """Raise RadiographError, naming the package to install, for pixels that nothing here can decode."""
    if uid in _NATIVE or _decodable(uid):
        return
    if _IN_OUR_EXTRA.fullmatch(uid):
        remedy = INSTALL
    elif str(uid.name) != uid:
        remedy = "pip install python-gdcm, or export it uncompressed or as JPEG 2000"
    else:
        remedy = "export it uncompressed or as JPEG 2000"
    raise RadiographError(f"compressed as {syntax_name(uid)}, for which no decoder is installed: {remedy}")


def other_remedy(uid: Any) -> str:
    """What may help too where decoding failed: Pillow's decoder is asked for JPEG of 12 and 16 bits, and can't."""
    other_jpeg = uid.startswith(_JPEG_FAMILY) and not _IN_OUR_EXTRA.fullmatch(uid)
    return ", or pip install python-gdcm" if other_jpeg else ""


def _decodable(uid: Any) -> bool:
    try:
        from pydicom.pixels import get_decoder
    except ImportError:  # pydicom 2.4
        from pydicom import config

        handlers = [handler for handler in config.pixel_data_handlers if handler is not None]
        return any(handler.supports_transfer_syntax(uid) and handler.is_available() for handler in handlers)
    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def whole_length(file: BinaryIO, element: PixelElement, uid: Any, expected: int) -> int:
    """Bytes of the pixel data as stored, after making sure that they are all there; RadiographError if they aren't.

    Args:
        file: The film.
        element: Where its pixel data stand.
        uid: Its transfer syntax.
        expected: Bytes of the pixels without compression.
    """
    if (element.length == UNDEFINED) == (uid in _NATIVE):
        raise RadiographError(f"pixel data aren't encoded as {syntax_name(uid)}, which the file says: export it again")
    if element.length == UNDEFINED:
        return _fragments_length(file, element.start, uid)
    here = element.length
    if uid != DEFLATED:  # that one doesn't inflate unless it is whole
        here = min(here, file.seek(0, os.SEEK_END) - element.start)
    if here < expected:
        raise RadiographError(f"cut short ({here} bytes of pixel data, expected {expected}): {AGAIN}")
    return element.length


def _fragments_length(file: BinaryIO, start: int, uid: Any) -> int:
    """Step from fragment to fragment to the delimiter behind the last one: a search for it would stop inside one."""
    size = file.seek(0, os.SEEK_END)
    at, last = start, (0, 0)
    while True:
        file.seek(at)
        head = file.read(8)
        group, element, length = struct.unpack("<HHI", head) if len(head) == 8 else (0, 0, 0)
        if (group, element) == _END:
            break
        if (group, element) != _ITEM or at + 8 + length > size:
            raise RadiographError(f"cut short or damaged (the compressed pixels have no end): {AGAIN}")
        last = (at + 8, length)
        at += 8 + length
    file.seek(last[0] + max(0, last[1] - 64))
    tail = file.read(min(last[1], 64))
    if not tail or (uid.startswith(_JPEG_FAMILY) and not tail.rstrip(b"\0\xff").endswith(b"\xff\xd9")):
        raise RadiographError(f"cut short (the compressed pixels have no end marker): {AGAIN}")
    return at - start
