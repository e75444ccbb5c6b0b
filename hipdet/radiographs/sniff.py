"""The kind of a picture, and whether its file is complete, from its first and last bytes; nothing is decoded."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from hipdet.core.errors import RadiographError
from hipdet.core.stored_files import special_kind

MAX_BYTES = 1 << 31  # of a file; a 32-bit film of 20,000 px a side has 1.6e9
HEAD = 512  # bytes from which the kind is known
AGAIN = "copy or download the film again"
KINDS = "JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM"

PICTURE_SUFFIX = re.compile(r"\.(jpe?g|png|tiff?|bmp|gif|webp|dcm|dicom)", re.IGNORECASE)
_NO_SUFFIX = re.compile(r"(\.\d+)?")  # scanners name films 001 or 1.2.840.113
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_LONG_LENGTH = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHORT_LENGTH = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
)  # fmt: skip


def checked_kind(file: BinaryIO) -> str:
    """The kind of a film, after a check that a kind with an end marker is complete; `file` is rewound."""
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise RadiographError(f"empty file: {AGAIN}")
    kind = sniff_kind(head)
    if kind is None:
        raise RadiographError(f"not a {KINDS} film: save it as one of these")
    if (kind == "JPEG" and not _jpeg_ends(file)) or (kind == "GIF" and not _gif_ends(file)):
        raise RadiographError(f"cut short (the {kind} has no end marker): {AGAIN}")
    if kind == "WEBP" and 8 + int.from_bytes(head[4:8], "little") > file.seek(0, os.SEEK_END):
        raise RadiographError(f"cut short (the WEBP is longer by its header): {AGAIN}")
    if kind == "PNG":
        _png_chunks(file)
    file.seek(0)
    return kind


def sniff_kind(head: bytes) -> str | None:
    """The kind of a film from its first 512 bytes, regardless of its name; None if it isn't a film."""
    if head[128:132] == b"DICM" or _starts_with_elements(head):
        return "DICOM"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)), None)


def is_film(name: str, path: Path) -> bool:
    """Whether the file at `path` is a film, by the extension of `name`, or by its first bytes if there is no extension."""
    suffix = PurePath(name).suffix
    is_picture = bool(PICTURE_SUFFIX.fullmatch(suffix))
    if is_picture or not _NO_SUFFIX.fullmatch(suffix):
        return is_picture
    if special_kind(path):
        return False
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
    return jpeg_end(file.read()) >= 0


def jpeg_end(data: bytes) -> int:
    """Where the picture's end-of-image marker is; -1 if there is none."""
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xda":  # the scan, in which 00 or a restart follows every ff: ffd9 is the end
            return data.find(b"\xff\xd9", at)
        # segments are skipped, as a preview inside one has an end marker, too; ff may be repeated as padding
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return -1


_AFTER_SCAN = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")


def lacks_scans(data: bytes) -> bool:
    """Whether a progressive JPEG lacks some scan of its first component, the luminance, and is blurred without it."""
    at, first, missing = 2, -1, set(range(64))
    while data[at : at + 1] == b"\xff" and (marker := data[at + 1]) != 0xD9:
        if marker in (0xC2, 0xC6, 0xCA, 0xCE):  # start of a progressive frame
            first = data[at + 10]
        place = at
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            low, high, bits = data[at - 3 : at]  # coefficients, and how many of their last bits follow in other scans
            if first in data[place + 5 : at - 3 : 2] and not bits & 15:
                missing -= set(range(low, high + 1))
            following = _AFTER_SCAN.search(data, at)
            at = following.start() if following else len(data)
    return bool(missing)


def _gif_ends(file: BinaryIO) -> bool:
    """Whether the blocks of a GIF lead to its end mark."""
    file.seek(0)
    data = file.read()
    at = 13 + _palette_length(data[10:11])
    while data[at : at + 1] in (b"!", b","):
        at += 2 if data[at : at + 1] == b"!" else 11 + _palette_length(data[at + 9 : at + 10])
        while size := int.from_bytes(data[at : at + 1], "big"):
            at += 1 + size
        at += 1
    return data[at : at + 1] == b";"


def _palette_length(flags: bytes) -> int:
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 128 else 0


def webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height by the header; `file` is rewound."""
    head = file.read(30).ljust(30, b"\0")
    file.seek(0)
    if head[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
    elif head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = 1 + bits % (1 << 14), 1 + (bits >> 14) % (1 << 14)
    else:
        width, height = (int.from_bytes(head[at : at + 2], "little") % (1 << 14) for at in (26, 28))
    return width, height


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
