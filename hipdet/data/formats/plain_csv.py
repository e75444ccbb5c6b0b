"""Plain CSV, as small tools write it: a column ``image``, and a box in one of three groups of columns, 0-based pixels.

=================== ===========================================
``x, y, side``      top-left corner and side of a square
``x, y, w, h``      top-left corner, width and height
``x0, y0, x1, y1``  edges
=================== ===========================================

Further columns: ``label``; ``kind`` of ROI, such as ``child``; ``view``, ``width`` and ``height`` of the film; any other
column is skipped.  Fields are separated by commas, semicolons or tabs; with the latter two a decimal comma is read too.  A
row with an empty box is a film without ROI.
A spreadsheet that shows few digits also saves few: numbers like ``1.2E+03`` are refused.  Whole numbers may be rounded, so
they are exact to half a pixel.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hipdet.core.annotations import KIND
from hipdet.core.records import shown
from hipdet.data.formats.geometry import checked_box
from hipdet.data.formats.parse import (
    FaultLog,
    LabelFault,
    LabelFile,
    TableRow,
    film_size_in,
    number_in,
    table_header,
    table_rows,
)
from hipdet.data.formats.record import (
    Box,
    FilmLabels,
    LabelBox,
    LabelOptions,
    file_by_file,
    film_name,
    label_name,
    remarks_in,
    require_same,
)

FORMS = (("x", "y", "side"), ("x", "y", "w", "h"), ("x0", "y0", "x1", "y1"))
_ROUNDED = re.compile(r"[eE]\+?[0-9]")


@file_by_file
def read_csv(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the films of `file`; faults of its rows go to `faults`."""
    form = _form(table_header(file.document)[0])
    films: dict[str, FilmLabels] = {}
    boxes: dict[str, list[LabelBox]] = {}
    for row in table_rows(file.document, ("image", *form), faults, file.shown):
        with faults.at(file.shown, row.place, film=row.text["image"]):
            name = film_name(row.text["image"], "column image")
            size = film_size_in(_point(row, "width"), _point(row, "height"))
            said = remarks_in(row.text)
            film = films.get(name) or FilmLabels(name, size, (), file.path, row.place, remarks=said)
            require_same(film, said)
            if film.declared != size:
                raise LabelFault(f"size of {name} is {size}, expected {film.declared} as in {film.place}: fix one")
            has_box = any(row.text[column] for column in form)
            if name in films and not (has_box and boxes[name]):
                raise LabelFault(f"{name} is in {film.place} too, once without a box: remove the row without a box")
            label = label_name(text, "column label") if (text := row.text.get("label")) else None
            kind = row.text.get(KIND) or None
            found = [LabelBox(checked_box(_box(row, form), size), label, row.place, kind=kind)] if has_box else []
            films[name] = film
            boxes.setdefault(name, []).extend(found)
    return [replace(film, boxes=tuple(boxes[name])) for name, film in films.items()]


def _form(header: list[str]) -> tuple[str, ...]:
    forms = [form for form in FORMS if set(form) <= set(header)]
    if len(forms) != 1:
        groups = " or ".join(",".join(form) for form in FORMS) + ", separated by , ; or tab"
        raise LabelFault(f"columns are {shown(header)}, expected image and one group of {groups}")
    return forms[0]


def _box(row: TableRow, form: tuple[str, ...]) -> Box:
    values = [_number(row, column) for column in form]
    if form == FORMS[2]:
        return values[0], values[1], values[2], values[3]
    x, y, width, height = (*values, values[-1])[:4]
    return x, y, x + width, y + height


def _number(row: TableRow, column: str) -> float:
    text = _point(row, column) or ""
    if _ROUNDED.search(text):
        raise LabelFault(f"column {column} is {shown(text)}, rounded by a spreadsheet: export all digits")
    return number_in(text, f"column {column}")


def _point(row: TableRow, column: str) -> str | None:
    """Text of a number with a decimal point in place of a decimal comma."""
    text = row.text.get(column)
    decimal_comma = text is not None and row.delimiter != "," and text.count(",") == 1 and "." not in text
    return text.replace(",", ".") if text is not None and decimal_comma else text
