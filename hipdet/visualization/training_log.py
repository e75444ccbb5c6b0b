"""The curves of a training, read from what mmengine writes while it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipdet.errors import DatasetError

LOGS = "*/vis_data/scalars.json"


@dataclass
class TrainingLog:
    """Values by epoch, by name: of ``training`` the mean over an epoch, of ``validation`` as it was measured."""

    training: dict[str, dict[int, float]] = field(default_factory=dict)
    validation: dict[str, dict[int, float]] = field(default_factory=dict)


def runs_of(path: Path) -> list[Path]:
    """`path` where it is a work dir, else the work dirs right below it, such as the folds of a cross-validation.

    Raises:
        DatasetError: neither.
    """
    if any(path.glob(LOGS)):
        return [path]
    runs = sorted(folder for folder in path.glob("*") if any(folder.glob(LOGS)))
    if not runs:
        raise DatasetError(f"{path}: no {LOGS} in it: expected the work dir of tools/train.py, or a folder of several")
    return runs


def read_log(work_dir: Path) -> TrainingLog:
    """The curves of a work dir; of an epoch that was trained again after an interruption the later values.

    Raises:
        DatasetError: a log that isn't mmengine's.
    """
    steps: dict[tuple[bool, int, int], Mapping[str, Any]] = {}
    for path in sorted(work_dir.glob(LOGS)):  # by time, which is their folder's name
        for row in _rows(path):
            training = "epoch" in row and "loss" in row
            epoch = int(row["epoch"] if training else row["step"])
            steps[training, epoch, int(row.get("iter", 0)) if training else 0] = row
    return TrainingLog(
        _curves((epoch, row) for (training, epoch, _), row in sorted(steps.items()) if training),
        _curves((epoch, row) for (training, epoch, _), row in sorted(steps.items()) if not training),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    """Lines of JSON; a last line that an interruption cut short is left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.append({**row, "step": int(row["step"])})
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise DatasetError(f"{path}: line {number}: expected a line of mmengine's log ({error!r})") from error
    return rows


def _curves(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, list[float]]] = {}
    for epoch, row in rows:
        for name, value in row.items():
            if isinstance(value, (int, float)) and math.isfinite(value) and name not in ("epoch", "iter", "step"):
                values.setdefault(name, {}).setdefault(epoch, []).append(value)
    return {name: {e: sum(v) / len(v) for e, v in by_epoch.items()} for name, by_epoch in values.items()}
