"""The data of plots: the ROIs of one or several tests, and the curves of a training from mmengine's log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.errors import DatasetError
from hipdet.core.records import Record, finite
from hipdet.evaluation.report import CORNERS, read_roi_table

TABLE = "test.roi.json"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatedRois:
    """One entry per ROI ``[R]``.

    Attributes:
        iou: IoU with the matched detection, 0 without one.
        score: Score of that detection.
        ratio: ratio_ROI/image: longer side of the label / long side of the film; NaN if the size of the film isn't known.
    """

    iou: Floats
    score: Floats
    ratio: Floats


def read_rois(path: Path, long_sides: Mapping[str, int] | None = None) -> EvaluatedRois:
    """The ROIs of a ``test.roi.json``, or of all such files below a folder, such as the folds of a cross-validation.

    Args:
        path: File or folder.
        long_sides: Long sides of films in pixels by file name; None if ratios aren't needed.

    Raises:
        DatasetError: a file of another kind, a folder without one, an ROI that was tested twice, a film of unknown size.
    """
    tables = sorted(path.rglob(TABLE)) if path.is_dir() else [path]
    if not tables:
        raise DatasetError(f"{path}: no {TABLE} in this folder or below: run hipdet test, which writes it")
    seen: dict[tuple[Any, Any], Path] = {}
    rows: list[Mapping[str, Any]] = []
    for table in tables:
        for row in read_roi_table(table, "file_name", "annotation_id", *CORNERS)["rois"]:
            key = row["file_name"], row["annotation_id"]
            if key in seen:
                raise DatasetError(
                    f"{path}: annotation {key[1]} of {key[0]} was tested in {seen[key]} and in {table}: give one of them"
                )
            seen[key] = table
            rows.append(row)
    if not rows:
        raise DatasetError(f"{path}: no ROI in it: was the test interrupted?")
    return EvaluatedRois(
        np.array([row["iou"] for row in rows]),
        np.array([row["confidence"] for row in rows]),
        np.full(len(rows), np.nan) if long_sides is None else _ratios(rows, long_sides),
    )


def _ratios(rows: Sequence[Mapping[str, Any]], long_sides: Mapping[str, int]) -> Floats:
    ratios = []
    for row in rows:
        if row["file_name"] not in long_sides:
            raise DatasetError(
                f"{row['file_name']}: not in the files of --ann, which give the sizes of films: add the file that has it"
            )
        ratios.append(max(row["x1"] - row["x0"], row["y1"] - row["y0"]) / long_sides[row["file_name"]])
    return np.array(ratios)


LOGS = "*/vis_data/scalars.json"


@dataclass
class TrainingLog:
    """Values by name and epoch: ``training`` has means over epochs, ``validation`` has the measured values."""

    training: dict[str, dict[int, float]] = field(default_factory=dict)
    validation: dict[str, dict[int, float]] = field(default_factory=dict)


def find_runs(path: Path) -> list[Path]:
    """`path` if it is a work dir, else the work dirs directly below it, such as the folds of a cross-validation.

    Raises:
        DatasetError: there is no work dir.
    """
    if any(path.glob(LOGS)):
        return [path]
    runs = sorted(folder for folder in path.glob("*") if any(folder.glob(LOGS)))
    if not runs:
        raise DatasetError(f"{path}: no {LOGS} in it: expected the work dir of hipdet train, or a folder of work dirs")
    return runs


def read_log(work_dir: Path) -> TrainingLog:
    """The curves of a work dir; an epoch that was trained again after an interruption has the later values.

    Raises:
        DatasetError: the log isn't mmengine's.
    """
    steps: dict[tuple[bool, int, int], Mapping[str, Any]] = {}
    for path in sorted(work_dir.glob(LOGS)):  # in order of time, because mmengine names the folders by it
        for row in _rows(path):
            training = "epoch" in row and "loss" in row
            epoch = row["epoch"] if training else row["step"]
            steps[training, epoch, row.get("iter", 0) if training else 0] = row
    return TrainingLog(
        _curves((epoch, row) for (training, epoch, _), row in sorted(steps.items()) if training),
        _curves((epoch, row) for (training, epoch, _), row in sorted(steps.items()) if not training),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; a last line that an interruption cut short is left out."""
    lines = path.read_bytes().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        where = f"{path}: line {number}"
        try:
            content = json.loads(line)  # not strict JSON: mmengine writes NaN where a loss is
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise DatasetError(f"{where}: expected a line of mmengine's log ({error})") from error
            break
        row = Record.of(content, where, remedy="expected a line of mmengine's log")
        numbers = {key: row.whole(key, 0) for key in ("step", "epoch", "iter") if key == "step" or key in content}
        rows.append({**content, **numbers})
    return rows


def _curves(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, list[float]]] = {}
    for epoch, row in rows:
        for name, value in row.items():
            if (number := finite(value)) is not None and name not in ("epoch", "iter", "step"):
                values.setdefault(name, {}).setdefault(epoch, []).append(number)
    return {name: {e: sum(v) / len(v) for e, v in by_epoch.items()} for name, by_epoch in values.items()}
