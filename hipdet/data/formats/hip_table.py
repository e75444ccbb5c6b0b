"""The hip table: one row per hip, ``image,x,y,side[,picture_side][,implant][,kind][,view][,patient]``.

``x, y`` is the top-left corner and ``side`` the side of a square box, in pixels of the upright film, 0-based.  The table is
comma separated; further columns are skipped.  Its content looks like plain CSV, which has neither sides of the picture nor
implants: it is read as a hip table only if the format is named (``hips``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hipdet.core.annotations import KIND
from hipdet.core.errors import one_line
from hipdet.core.files import is_file_name
from hipdet.core.records import MAX_ROIS, shown
from hipdet.data.formats.parse import FaultLog, LabelFault, LabelFile, TableRow, number_in, table_rows
from hipdet.data.formats.record import FilmLabels, LabelBox, LabelOptions, file_by_file, remarks_in, require_same

COLUMNS = ("image", "x", "y", "side")


@file_by_file
def read_hip_table(file: LabelFile, options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the films of `file`, each with the ``patient`` of its rows or ``""``; faults of its rows go to `faults`."""
    films: dict[str, FilmLabels] = {}
    hips: dict[str, list[LabelBox]] = {}
    for row in table_rows(file.document, COLUMNS, faults, file.shown, delimiters=","):
        with faults.at(file.shown, row.place, film=row.text["image"]):
            image, said = row.text["image"], {"patient": row.text.get("patient", ""), **remarks_in(row.text)}
            if not is_file_name(image) or one_line(image) != image:
                raise LabelFault(f"column image is {shown(image)}, expected a plain file name without folders")
            film = films.setdefault(image, FilmLabels(image, None, (), file.path, row.place, remarks=said))
            before = hips.setdefault(image, [])
            require_same(film, said)
            hip = _hip(row)
            before.append(hip)
            if len(before) <= MAX_ROIS:  # check_films refuses more
                _check_side(hip, before[:-1], image)
    return [replace(film, boxes=tuple(hips[image])) for image, film in films.items()]


def _check_side(hip: LabelBox, before: Sequence[LabelBox], image: str) -> None:
    same = [each.place for each in before if hip.picture_side and each.picture_side == hip.picture_side]
    if same and all(each.box != hip.box for each in before):  # check_films reports the same box twice
        raise LabelFault(
            f"column picture_side is {hip.picture_side!r}, as for {image} in {same[0]}, expected one hip on each "
            "side: fix one of the two"
        )


def _hip(row: TableRow) -> LabelBox:
    x, y, side = (number_in(row.text[column], f"column {column}") for column in COLUMNS[1:])
    if side <= 0:
        raise LabelFault(f"column side is {side:g}, expected a number above 0")
    for column, expected in (("picture_side", ("left", "right")), ("implant", ("0", "1"))):
        if (text := row.text.get(column)) and text not in expected:
            raise LabelFault(f"column {column} is {shown(text)}, expected {', '.join(expected)} or an empty field")
    implant = {"0": False, "1": True}.get(row.text.get("implant", ""))
    box = (x, y, x + side, y + side)
    kind = row.text.get(KIND) or None
    return LabelBox(box, None, row.place, row.text.get("picture_side") or None, implant, kind)
