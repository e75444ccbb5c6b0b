"""The figures that a published model carries: those of reports that were measured on its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from hipdet.errors import DatasetError

VALIDATED, TESTED = "val_report.json", "test_report.json"


def reports_of(checkpoint: Path, meta: Mapping[str, Any], paths: Sequence[Path] | None) -> list[dict[str, Any]]:
    """``ann_file``, ``figures`` and ``versions`` of every report.

    Args:
        checkpoint: The checkpoint.
        meta: Its epoch and seed.
        paths: Reports; if not given, those beside the checkpoint, without such as are of another epoch.

    Raises:
        DatasetError: a report that can't be read, or one of `paths` that belongs to another checkpoint.
    """
    beside = [path for name in (VALIDATED, TESTED) if (path := checkpoint.with_name(name)).is_file()]
    measured = []
    for path in beside if paths is None else paths:
        report = read_report(path)
        if is_of(report, path, checkpoint, meta):
            # the name alone, as a report may name any path
            ann_file = PureWindowsPath(str(report.get("ann_file"))).name
            measured.append(dict(ann_file=ann_file, figures=report["figures"], versions=report.get("versions")))
        elif paths is not None:
            raise DatasetError(
                f"{path}: measured on {report.get('checkpoint')} at epoch {report['epoch']}, and this is "
                f"{checkpoint.name} at epoch {meta['epoch']} with seed {meta['seed']}; test it with tools/test.py"
            )
    return measured


def read_report(path: Path) -> dict[str, Any]:
    """A report of tools/train.py or tools/test.py.

    Raises:
        DatasetError: something else.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(report["figures"]), report["epoch"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path}: expected a report as tools/test.py writes it ({error!r})") from error
    return report


def is_of(report: Mapping[str, Any], path: Path, checkpoint: Path, meta: Mapping[str, Any]) -> bool:
    """Whether `report`, read from `path`, was measured on this checkpoint.

    A test names the checkpoint that it read.  Training names the one that it started from, if any; its own is known by
    epoch and seed.
    """
    if report["epoch"] != meta["epoch"]:
        return False
    if path.name == VALIDATED:
        return report.get("seed", meta["seed"]) == meta["seed"]
    return report.get("checkpoint", checkpoint.name) == checkpoint.name
