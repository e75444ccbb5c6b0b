"""What kind of picture a file is, and whether it is all there, from its signature and its end: nothing is decoded."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from hipdet.errors import RadiographError

HEAD = 132  # bytes that tell the kind
AGAIN = "copy or download the film again"

SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}


_EXPLICIT = {b"AE", b"CS", b"DA", b"DT", b"LO", b"OB", b"PN", b"SH", b"ST", b"TM", b"UI", b"UL", b"UN", b"US", b"SQ"}


def checked_kind(file: BinaryIO) -> str:
    """JPEG, PNG, TIFF, BMP or DICOM, after making sure that JPEG and PNG reach their end; `file` is rewound."""
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise RadiographError(f"empty file: {AGAIN}")
    kind = kind_of(head)
    if kind is None:
        raise RadiographError("not a JPEG, PNG, TIFF, BMP or DICOM picture: save it as one of these")
    if kind == "JPEG" and not _jpeg_ends(file):
        raise RadiographError(f"cut short (the JPEG has no end marker): {AGAIN}")
    if kind == "PNG":
        _png_chunks(file)
    file.seek(0)
    return kind


def kind_of(head: bytes) -> str | None:
    """The kind of a film by its first 132 bytes, None if it is none; extensions play no part."""
    if head[128:] == b"DICM" or _is_bare_dicom(head):
        return "DICOM"
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)


def is_radiograph(path: Path) -> bool:
    """Whether the file begins as a film of a known kind does; False where it can't be read."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(HEAD)) is not None
    except OSError:
        return False


def _is_bare_dicom(head: bytes) -> bool:
    """Whether two elements of group 2 or 8 follow each other at the start, as in DICOM without a preamble."""
    if len(head) < 16:
        return False
    group, element = struct.unpack("<HH", head[:4])
    if head[4:6] in _EXPLICIT - {b"OB", b"UN", b"SQ"}:
        length = 8 + struct.unpack("<H", head[6:8])[0]
    elif head[4:6] in _EXPLICIT:
        length = 12 + struct.unpack("<I", head[8:12])[0]
    else:
        length = 8 + struct.unpack("<I", head[4:8])[0]
    following = struct.unpack("<HH", head[length : length + 4]) if len(head) >= length + 4 else None
    return group in (2, 8) and following is not None and following[0] in (2, 8) and following > (group, element)


def _jpeg_ends(file: BinaryIO) -> bool:
    """Whether an end-of-image marker closes the picture; zeros or a maker's trailer may follow it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4096))
    if file.read().rstrip(b"\0").endswith(b"\xff\xd9"):
        return True
    file.seek(0)
    data = file.read()
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xda":  # the scan: in it ff is always followed by 00 or a restart, so ffd9 is the end
            return data.find(b"\xff\xd9", at) >= 0
        # segments are stepped over, as a preview inside one has an end marker too; ff may be repeated as filling
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _png_chunks(file: BinaryIO) -> list[bytes]:
    """Names of the chunks up to IEND; `file` is rewound."""
    size = file.seek(0, os.SEEK_END)
    names: list[bytes] = []
    at = 8
    while not names or names[-1] != b"IEND":
        file.seek(at)
        head = file.read(8)
        at += 12 + int.from_bytes(head[:4], "big")  # length, name, content, checksum
        if len(head) < 8 or at > size or not head[4:].isalpha():
            raise RadiographError(f"cut short or damaged (the PNG has no end chunk): {AGAIN}")
        names.append(head[4:])
    file.seek(0)
    return names


def has_late_metadata(file: BinaryIO) -> bool:
    """Whether something that can hold an orientation stands behind the pixels of a PNG."""
    position = file.tell()
    names = _png_chunks(file)
    file.seek(position)
    behind = names[names.index(b"IDAT") :] if b"IDAT" in names else []
    return any(name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") for name in behind)
