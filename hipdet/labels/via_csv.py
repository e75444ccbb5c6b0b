"""VIA's CSV: one row per region, whose columns hold JSON; a film without regions has one row with an empty shape."""

from __future__ import annotations

from typing import Any

from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.film_name import film_name
from hipdet.labels.json_text import parse_json
from hipdet.labels.label_file import LabelFile
from hipdet.labels.record import FilmLabels, LabelBox
from hipdet.labels.table_text import TableRow, read_table
from hipdet.labels.values import mapping, number_in
from hipdet.labels.via_region import region_box, region_label

SHAPE_COLUMN = "region_shape_attributes"
_COLUMNS = ("filename", "region_count", SHAPE_COLUMN, "region_attributes")


def read_via_csv(file: LabelFile, attribute: str | None, faults: Faults) -> list[FilmLabels]:
    """The films of `file` in the order of their first rows; faults of rows go to `faults`.

    Raises:
        LabelFault: the file is no table with VIA's columns.
    """
    boxes: dict[str, list[LabelBox]] = {}
    first: dict[str, str] = {}  # place of the first row of a film
    counts: dict[str, tuple[int, int]] = {}  # regions that it should have, rows that it has
    for row in read_table(file.document, _COLUMNS, (",",), faults, file.shown):
        with faults.at(file.shown, row.place):
            name = film_name(row.text["filename"], "filename")
            boxes.setdefault(name, [])
            first.setdefault(name, row.place)
            # counted before the region is looked at: a faulty one is no missing one
            counts[name] = (int(number_in(row.text["region_count"], "region_count")), counts.get(name, (0, 0))[1] + 1)
            shape = _json(row, SHAPE_COLUMN)
            if not shape and counts[name][0] == 0:
                counts[name] = (0, 0)
                continue
            label = region_label(_json(row, "region_attributes"), attribute)
            boxes[name].append(LabelBox(region_box(shape), label, row.place))
    for name, (expected, found) in counts.items():
        with faults.at(file.shown, first[name]):
            if expected != found:
                raise LabelFault(f"{found} rows for {name}, region_count says {expected}: export again")
    return [FilmLabels(name, None, tuple(boxes[name]), file.path, first[name]) for name in boxes]


def _json(row: TableRow, column: str) -> dict[str, Any]:
    with_place = f"column {column}"
    try:
        return mapping(parse_json(row.text[column]), with_place)
    except LabelFault as fault:
        raise LabelFault(f"{with_place}: {fault}") from fault
