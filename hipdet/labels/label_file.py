"""A label file in memory, parsed as the text, JSON or XML it is."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipdet.labels.fault import LabelFault
from hipdet.labels.json_text import parse_json
from hipdet.labels.xml_text import parse_xml

MAX_BYTES = 1 << 29  # half a GiB: thousands of LabelMe files with their pictures
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class LabelFile:
    """One label file.

    Attributes:
        path: Where it is.
        shown: What errors call it: its path below the folder that is read, or its name.
        kind: ``json``, ``xml`` or ``text``.
        document: Value of the JSON, root element of the XML, or the text without byte order mark.
    """

    path: Path
    shown: str
    kind: str
    document: Any = field(repr=False)


def load_label_file(path: Path, shown: str) -> LabelFile:
    """Read and parse `path`.

    Raises:
        LabelFault: it can't be read, is too large, neither UTF-8 nor XML, or broken JSON or XML.
    """
    data = _bytes(path)
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if data.startswith(_UTF16):
        raise LabelFault("UTF-16, expected UTF-8: save it as UTF-8")
    if head == b"<":
        return LabelFile(path, shown, "xml", parse_xml(data))
    text = decoded(data)
    if head in (b"{", b"["):
        return LabelFile(path, shown, "json", parse_json(text))
    if "\0" in text:
        raise LabelFault("not text, expected an annotation file: is it a picture?")
    return LabelFile(path, shown, "text", text)


def decoded(data: bytes) -> str:
    """`data` as text without byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelFault(f"not UTF-8 (byte {error.start}), expected UTF-8: save it as UTF-8") from error


def _bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait forever
            raise LabelFault("not a regular file, expected an annotation file")
        if status.st_size > MAX_BYTES:
            raise LabelFault(f"{status.st_size} bytes, expected at most {MAX_BYTES}: export the labels in parts")
        return path.read_bytes()
    except OSError as error:
        raise LabelFault(f"can't be read: {error.strerror or error}") from error
