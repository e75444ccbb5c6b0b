"""Strict parsing of untrusted label files: JSON, XML without entities, tables, and their values.

Anything unexpected raises LabelFault; FaultLog collects these faults with their file and place.
"""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hipdet.core.errors import HipdetError, one_line
from hipdet.core.files import unguarded
from hipdet.core.records import shown, strict_json


class LabelFault(HipdetError):
    """What is wrong at one place of a label file; :class:`FaultLog` adds file and place."""


@dataclass
class FaultyLabel:
    """A fault of a label file.

    Attributes:
        where: File and place.
        film: The film whose labels are faulty, as the label file names it; empty where that isn't known.
        reason: What is wrong.
    """

    where: str
    film: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.reason}" if self.where else self.reason)


class FaultLog:
    """The faults of label files found so far."""

    def __init__(self) -> None:
        self.faults: list[FaultyLabel] = []

    @property
    def found(self) -> list[str]:
        """Each fault as ``file: place: what is wrong``."""
        return [str(fault) for fault in self.faults]

    @contextmanager
    def at(self, *where: str, film: str = "") -> Iterator[FaultyLabel]:
        """Collect a LabelFault that ends the block, under `where`: file and place; empty parts are left out.

        The block sets the `film` of what it gets as soon as it knows which film a fault would be about.
        """
        fault = FaultyLabel(": ".join(filter(None, where)), film)
        try:
            yield fault
        except LabelFault as error:
            fault.reason = one_line(str(error))
            self.faults.append(fault)


LARGEST = 1e6  # px; no film is larger, and sums of such numbers stay finite

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


class Fields(dict[str, Any]):
    """A JSON object; errors call it `key`.  A `value` that is no object and a missing field raise LabelFault."""

    def __init__(self, value: object, key: str) -> None:
        if not isinstance(value, dict):
            raise LabelFault(f"{key} is {shown(value)}, expected an object {{...}}")
        super().__init__(value)

    def __missing__(self, key: str) -> Any:
        raise LabelFault(f"{key} is missing, found {shown(sorted(map(str, self)))}")


def number(value: object, key: str) -> float:
    """A JSON `value` as float."""
    # NaN and infinity fail the comparison too
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        raise LabelFault(f"{key} is {shown(value)}, expected a number from {-LARGEST:.0f} to {LARGEST:.0f}")
    return float(value)


def number_in(text: str | None, key: str) -> float:
    """Parse a number in XML, CSV or YOLO; unlike ``float`` it refuses ``nan``, ``inf`` and ``1_000``."""
    stripped = (text or "").strip()
    if not _DECIMAL.fullmatch(stripped):
        raise LabelFault(f"{key} is {'missing' if text is None else shown(text)}, expected a number")
    return number(float(stripped), key)


def sequence(value: object, key: str) -> list[Any]:
    """Return the JSON `value` if it is a list."""
    if not isinstance(value, list):
        raise LabelFault(f"{key} is {shown(value)}, expected a list [...]")
    return value


def film_size(width: object, height: object) -> tuple[int, int] | None:
    """Declared ``(width, height)`` in pixels; None if one of them is None or 0, which tools write for "unknown"."""
    sides = []
    for value, key in ((width, "width"), (height, "height")):
        side = 0.0 if value is None else number(value, f"{key} of the film")
        if side < 0 or side != int(side):
            raise LabelFault(f"{key} of the film is {shown(value)}, expected a whole number of pixels above 0")
        sides.append(int(side))
    return (sides[0], sides[1]) if all(sides) else None


def film_size_in(width: str | None, height: str | None) -> tuple[int, int] | None:
    """As :func:`film_size`, from text; an empty text is None."""
    sides = [
        number_in(text, f"{key} of the film") if text and text.strip() else None
        for text, key in ((width, "width"), (height, "height"))
    ]
    return film_size(*sides)


# LabelMe's and VIA's copies of the film: patient data, never kept
PICTURE_KEYS = frozenset({"imageData", "base64_img_data"})


def parse_json(text: str) -> Any:
    """Parse strict JSON (:func:`hipdet.core.records.strict_json`), without embedded pictures.

    Raises:
        LabelFault: it isn't strict JSON.
    """
    try:
        return strict_json(text, PICTURE_KEYS)
    except ValueError as error:
        raise LabelFault(f"{error}: export the annotations again, whole and as JSON") from error


def parse_xml(data: bytes) -> Element:
    """Parse XML and return its root element.

    Raises:
        LabelFault: broken XML, or a DTD or entities, which no annotation tool writes.
    """
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise LabelFault("has a DTD or entities, which no annotation tool writes: remove them") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:  # the last three: encodings and depth
        raise LabelFault(f"not XML ({error}): is it cut short? Export the annotations again") from error
    return root


def shown_tag(element: Element) -> str:
    """The tag of `element` for messages: ``<annotation>``."""
    return f"<{shown(element.tag)[1:-1]}>"


def child_text(element: Element, *names: str) -> str | None:
    """Text of the child at the path `names`, stripped; None if there is no such child.

    Raises:
        LabelFault: one of the children occurs several times.
    """
    found: Element | None = element
    for name in names:
        children = [] if found is None else found.findall(name)
        if len(children) > 1:
            raise LabelFault(f"<{name}> occurs {len(children)} times, expected once: remove the others")
        found = children[0] if children else None
    return None if found is None else (found.text or "").strip()


DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class TableRow:
    """One row: `text` holds the stripped fields by lower-case column name."""

    place: str
    text: dict[str, str]
    delimiter: str


def cell_text(field: str) -> str:
    """The text of a CSV field, without the apostrophe that keeps a spreadsheet from running it."""
    return unguarded(field.strip()).strip()


def table_header(text: str, delimiters: Sequence[str] = DELIMITERS) -> tuple[list[str], str]:
    """Lower-case column names, and the delimiter: the one that gives the most columns."""
    lines = [line for line in text[:10_000].splitlines() if line.strip()]
    if lines and _is_separator_line(lines[0]):
        lines = lines[1:]
    headers = []
    for delimiter in delimiters:
        try:
            fields = next(csv.reader(lines[:1], delimiter=delimiter), [])
        except csv.Error:
            fields = []
        headers.append(([cell_text(field).lstrip("#").casefold() for field in fields], delimiter))
    return max(headers, key=lambda header: len(header[0]))


def table_rows(
    text: str, columns: Sequence[str], faults: FaultLog, shown_file: str, delimiters: Sequence[str] = DELIMITERS
) -> Iterator[TableRow]:
    """The rows below the header; empty lines are skipped, rows of another length go to `faults`.

    The first of `columns` names the film.

    Raises:
        LabelFault: `columns` are missing, a column occurs twice, or the text is no CSV.
    """
    header, delimiter = table_header(text, delimiters)
    missing = [column for column in columns if column not in header]
    if missing:
        wanted = f"expected {', '.join(columns)}: rename them"
        raise LabelFault(
            f"columns {', '.join(missing)} are missing, found {shown(header)} separated by {delimiter!r}, {wanted}"
        )
    if len(set(header)) < len(header):
        raise LabelFault(f"a column occurs twice in {shown(header)}, expected once: remove one")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    seen_header = False
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if not seen_header:
                seen_header = not _is_separator_line(delimiter.join(fields))
                continue
            place = f"line {reader.line_num}"
            cells = dict(zip(header, map(cell_text, fields)))
            with faults.at(shown_file, place, film=cells.get(columns[0], "")):
                if len(fields) != len(header):
                    raise LabelFault(
                        f"{len(fields)} fields, expected {len(header)} as the header has: check the "
                        f"{'tabs' if delimiter == chr(9) else repr(delimiter)} between them"
                    )
                yield TableRow(place, cells, delimiter)
    except csv.Error as error:
        raise LabelFault(f"line {reader.line_num}: not CSV ({error}): save the table as CSV UTF-8") from error


def _is_separator_line(line: str) -> bool:
    """Whether this line tells a spreadsheet the delimiter: ``sep=;``."""
    return line.strip().casefold().startswith("sep=") and len(line.strip()) <= 5


MAX_BYTES = 1 << 29  # half a GiB, as large as thousands of LabelMe files with their pictures
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class LabelFile:
    """One label file.

    Attributes:
        path: Where it is.
        shown: What errors call it: its path below the folder that is read, or its name.
        kind: ``json``, ``xml`` or ``text``.
        document: JSON value, root element of the XML, or text without byte order mark.
    """

    path: Path
    shown: str
    kind: str
    document: Any = field(repr=False)


def load_label_file(path: Path, shown: str) -> LabelFile:
    """Read and parse `path`.

    Raises:
        LabelFault: it can't be read, is too large, is neither UTF-8 nor XML, or is broken JSON or XML.
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
            raise LabelFault("not a regular file, expected an annotation file: check the path")
        if status.st_size > MAX_BYTES:
            raise LabelFault(f"{status.st_size} bytes, expected at most {MAX_BYTES}: export the labels in parts")
        return path.read_bytes()
    except OSError as error:
        raise LabelFault(f"can't be read: {error.strerror or error}") from error
