"""Tables with a header, as tools and spreadsheets write them: comma, semicolon or tab, with or without ``sep=;``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.values import shown


@dataclass(frozen=True)
class TableRow:
    """One row: `text` without blanks around it by column in small letters."""

    place: str
    text: dict[str, str]
    delimiter: str


def table_header(text: str, delimiters: Sequence[str] = (",", ";", "\t")) -> tuple[list[str], str]:
    """Columns in small letters and the delimiter: the one that makes most columns."""
    lines = [line for line in text[:10_000].splitlines() if line.strip()]
    if lines and _is_separator_line(lines[0]):
        lines = lines[1:]
    headers = []
    for delimiter in delimiters:
        try:
            fields = next(csv.reader(lines[:1], delimiter=delimiter), [])
        except csv.Error:
            fields = []
        headers.append(([field.strip().lstrip("#").casefold() for field in fields], delimiter))
    return max(headers, key=lambda header: len(header[0]))


def read_table(
    text: str, columns: Sequence[str], delimiters: Sequence[str], faults: Faults, shown_file: str
) -> Iterator[TableRow]:
    """The rows below the header; empty lines are passed over, rows of another length go to `faults`.

    Raises:
        LabelFault: `columns` are missing, a column stands twice, or the text is no CSV.
    """
    header, delimiter = table_header(text, delimiters)
    missing = [column for column in columns if column not in header]
    if missing:
        raise LabelFault(f"columns {', '.join(missing)} are missing, found {shown(header)}")
    if len(set(header)) < len(header):
        raise LabelFault(f"a column stands twice in {shown(header)}, expected once: remove one")
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
            with faults.at(shown_file, place):
                if len(fields) != len(header):
                    raise LabelFault(
                        f"{len(fields)} fields, expected {len(header)} as the header has: check the "
                        f"{'tabs' if delimiter == chr(9) else repr(delimiter)} between them"
                    )
                yield TableRow(place, dict(zip(header, (field.strip() for field in fields))), delimiter)
    except csv.Error as error:
        raise LabelFault(f"line {reader.line_num}: not CSV ({error}): save the table as CSV UTF-8") from error


def _is_separator_line(line: str) -> bool:
    """Whether a spreadsheet was told the delimiter here: ``sep=;``."""
    return line.strip().casefold().startswith("sep=") and len(line.strip()) <= 5
