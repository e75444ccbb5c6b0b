"""The ROIs of tests, read together for a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import DatasetError
from hipdet.visualization.evaluated_films import read_table

TABLE = "test.roi.json"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatedRois:
    """One entry per ROI ``[R]``.

    Attributes:
        iou: With the detection it was matched with, 0 without.
        confidence: Of that detection.
        ratio: ratio_ROI/image: longer side of the label / long side of the film; NaN where the film's size isn't known.
    """

    iou: Floats
    confidence: Floats
    ratio: Floats


def tables_of(path: Path) -> list[Path]:
    """`path` itself, or every ``test.roi.json`` below it: the folds of a cross-validation are read together.

    Raises:
        DatasetError: a folder without any.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(TABLE))
    if not found:
        raise DatasetError(f"{path}: no {TABLE} in it or below: tools/test.py writes one")
    return found


def read_rois(path: Path, long_sides: Mapping[str, int] | None = None) -> EvaluatedRois:
    """The ROIs of a ``test.roi.json``, or of all below a folder.

    Args:
        path: File or folder.
        long_sides: Of films by file name; None where ratios aren't needed.

    Raises:
        DatasetError: a file of another kind, an ROI that was tested twice, or a film whose size isn't known.
    """
    seen: dict[tuple[Any, Any], Path] = {}
    rows: list[Mapping[str, Any]] = []
    for table in tables_of(path):
        for row in read_table(table)["rois"]:
            key = row.get("file_name"), row.get("annotation_id")
            if key in seen:
                raise DatasetError(
                    f"{path}: annotation {key[1]} of {key[0]} was tested in {seen[key]} and in {table}: name one of them"
                )
            seen[key] = table
            rows.append(row)
    return EvaluatedRois(
        np.array([row["iou"] for row in rows]),
        np.array([row["confidence"] for row in rows]),
        np.full(len(rows), np.nan) if long_sides is None else _ratios(rows, long_sides),
    )


def _ratios(rows: Sequence[Mapping[str, Any]], long_sides: Mapping[str, int]) -> Floats:
    ratios = []
    for row in rows:
        if row["file_name"] not in long_sides:
            raise DatasetError(f"{row['file_name']}: not in the files of --ann, which say how large films are")
        ratios.append(max(row["x1"] - row["x0"], row["y1"] - row["y0"]) / long_sides[row["file_name"]])
    return np.array(ratios)
