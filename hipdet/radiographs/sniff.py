"""The kind of a picture, and whether its file is complete, from its first and last bytes; nothing is decoded."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from hipdet.core.errors import RadiographError

HEAD = 512  # bytes from which the kind is known
AGAIN = "copy or download the film again"

PICTURE_SUFFIX = re.compile(r"\.(jpe?g|png|tiff?|bmp|dcm|dicom)", re.IGNORECASE)
_NO_SUFFIX = re.compile(r"(\.\d+)?")  # scanners name films 001 or 1.2.840.113
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_LONG_LENGTH = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHORT_LENGTH = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
)  # fmt: skip


def checked_kind(file: BinaryIO) -> str:
    """JPEG, PNG, TIFF, BMP or DICOM, after a check that a JPEG or PNG is complete; `file` is rewound."""
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise RadiographError(f"empty file: {AGAIN}")
    kind = sniff_kind(head)
    if kind is None:
        raise RadiographError("not a JPEG, PNG, TIFF, BMP or DICOM film: save it as one of these")
    if kind == "JPEG" and not _jpeg_ends(file):
        raise RadiographError(f"cut short (the JPEG has no end marker): {AGAIN}")
    if kind == "PNG":
        _png_chunks(file)
    file.seek(0)
    return kind


def sniff_kind(head: bytes) -> str | None:
    """The kind of a film from its first 512 bytes, regardless of its name; None if it isn't a film."""
    if head[128:132] == b"DICM" or _starts_with_elements(head):
        return "DICOM"
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)


def is_film(name: str, path: Path) -> bool:
    """Whether the file at `path` is a film, by the extension of `name`, or by its first bytes if there is no extension."""
    suffix = PurePath(name).suffix
    is_picture = bool(PICTURE_SUFFIX.fullmatch(suffix))
    if is_picture or not _NO_SUFFIX.fullmatch(suffix):
        return is_picture
    try:
        if not path.is_file():  # a pipe would wait forever
            return False
        with path.open("rb") as file:
            return sniff_kind(file.read(HEAD)) is not None
    except OSError:
        return False


def short_name(name: str) -> str:
    """The path `name`, with ``/``, without a picture's extension."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if PICTURE_SUFFIX.fullmatch(path.suffix) else name


def _starts_with_elements(head: bytes) -> bool:
    """Whether the file is DICOM without preamble: two little endian elements in order, the first of group 2 or 8."""
    first, at = _element(head, 0)
    second, _ = _element(head, at)
    return first[0] in (0x0002, 0x0008) and first < second and second[0] <= 0x0020


def _element(head: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Group and element numbers at offset `at`, and the offset of the next element; zeros if there is none."""
    if len(head) < at + 12:
        return (0, 0), 0
    group, element = struct.unpack_from("<HH", head, at)
    representation = head[at + 4 : at + 6]
    start, size = (8, 4) if representation in _LONG_LENGTH else (6, 2) if representation in _SHORT_LENGTH else (4, 4)
    value = at + start + size
    return (group, element), value + int.from_bytes(head[at + start : value], "little")


def _jpeg_ends(file: BinaryIO) -> bool:
    """Whether the picture has its end-of-image marker; zeros or a vendor's trailer may follow it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4096))
    if file.read().rstrip(b"\0").endswith(b"\xff\xd9"):
        return True
    file.seek(0)
    data = file.read()
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xda":  # the scan, in which 00 or a restart follows every ff: ffd9 is the end
            return data.find(b"\xff\xd9", at) >= 0
        # segments are skipped, as a preview inside one has an end marker, too; ff may be repeated as padding
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
    """Whether a chunk that can hold an orientation follows the pixels of a PNG."""
    position = file.tell()
    names = _png_chunks(file)
    file.seek(position)
    late = names[names.index(b"IDAT") :] if b"IDAT" in names else []
    return any(name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") for name in late)
