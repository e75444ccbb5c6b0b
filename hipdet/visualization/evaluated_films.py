"""The films of a test, as ``test.roi.json`` tells of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.errors import DatasetError
from hipdet.visualization.pictured_film import Box, Mark, PicturedFilm, extra, ordered, outcome

CORNERS = ("x0", "y0", "x1", "y1")
HIT = 0.5
Row = Mapping[str, Any]
Table = Mapping[str, Sequence[Row]]


def is_table(path: Path) -> bool:
    """Whether `path` is an object, as tables are, and not a list, as predictions are.

    Raises:
        DatasetError: a file that can't be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(1000).lstrip()[:1] != "["
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: can't be read ({error})") from error


def read_table(path: Path) -> dict[str, Any]:
    """The content of a ``test.roi.json``: ``rois`` and ``extras``.

    Raises:
        DatasetError: another file.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rois = [{**row, "iou": float(row["iou"]), "confidence": float(row["confidence"])} for row in table["rois"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: expected test.roi.json as tools/test.py writes it ({error!r})") from error
    if not rois:
        raise DatasetError(f"{path}: no ROI in it: was the test interrupted?")
    return dict(table, rois=rois, extras=table.get("extras", []))


def evaluated_films(table: Table) -> dict[int, PicturedFilm]:
    """Films by image id, in its order, with labels, detections, IoU and score; also those without ROI that have detections.

    Flags: ``missed``, a ROI without, and ``extra``, a detection without a partner at IoU 0.5.  Tables from before extras had
    names lack the films without ROI.

    Raises:
        DatasetError: rows that lack something.
    """
    films: dict[int, list[Row]] = {}
    extras: dict[int, list[Row]] = {}
    try:
        for row in table["rois"]:
            films.setdefault(row["image_id"], []).append(row)
        for row in table.get("extras", ()):
            if "file_name" in row or row["image_id"] in films:
                extras.setdefault(row["image_id"], []).append(row)
        return {key: _film(films.get(key, ()), extras.get(key, ())) for key in sorted({*films, *extras})}
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"rows of test.roi.json: {error!r}: expected them as tools/test.py writes them") from error


def _film(rows: Sequence[Row], extras: Sequence[Row]) -> PicturedFilm:
    marks: list[Mark] = []
    scores = []
    for row in rows:
        found = None if row["found_x0"] is None else _box(row, "found_")
        marks += outcome(_box(row), found, row["iou"], row["confidence"])
        if found:
            scores.append(row["confidence"])
    for row in extras:
        marks.append(extra(_box(row, "found_"), row["confidence"]))
        scores.append(row["confidence"])
    hits = sum(row["iou"] >= HIT for row in rows)
    first = [*rows, *extras][0]
    flags = [*["missed"] * (hits < len(rows)), *["extra"] * (hits < len(scores))]
    return PicturedFilm(
        file_name=first["file_name"],
        source=first.get("source") or "",
        marks=ordered(marks),
        iou=min((row["iou"] for row in rows), default=None),
        score=min(scores, default=None),
        flags=tuple(flags),
    )


def _box(row: Row, prefix: str = "") -> Box:
    x0, y0, x1, y1 = (float(row[prefix + corner]) for corner in CORNERS)
    return x0, y0, x1, y1
