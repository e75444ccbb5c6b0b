"""Where a converted data set comes from: inputs, choices, counts, and the paper's Table 1; no path of the machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipdet.coco.summary import Summary
from hipdet.collection.conversion import Conversion, reasons
from hipdet.collection.label_source import LabelSource
from hipdet.labels.find_files import label_files_below
from hipdet.labels.formats import FORMATS
from hipdet.version import __version__


def provenance(root: Path, conversion: Conversion, labels: LabelSource, options: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a conversion: the same for the same inputs, wherever and whenever it is made."""
    ious = [row.iou for row in conversion.agreements]
    record: dict[str, Any] = {
        "hipdet": __version__,
        "options": dict(options),
        "labels": [
            {"annotator": name, "path": _neutral(path, root), **checksum(path)} for name, path in labels.paths.items()
        ],
        **figures(conversion.summary),
        "excluded": dict(reasons(conversion.exclusions)),
        "notes": list(conversion.notes),
        "warnings": list(conversion.warnings),
    }
    if ious:
        record["agreement"] = {
            "rois": len(ious),
            "mean_iou": round(sum(ious) / len(ious), 4),
            "min_iou": round(min(ious), 4),
        }
    return record


def figures(summary: Summary) -> dict[str, Any]:
    """Counts, the paper's Table 1 (long side in pixels), and ratio_ROI/image; None in its place without ROIs."""
    px, ratio = summary.long_side, summary.ratio
    spread = {
        "max": px.maximum,
        "min": px.minimum,
        "median": px.median,
        "mean": round(px.mean, 1),
        "sd": round(px.sd, 1),
    }
    ends = {"min": round(ratio.minimum, 4), "median": round(ratio.median, 4), "max": round(ratio.maximum, 4)}
    counts = {"films": summary.films, "rois": summary.rois, "patients": summary.patients}
    return {**counts, "long_side": spread, "ratio": ends if summary.rois else None}


def _neutral(path: Path, root: Path) -> str:
    """`path` below the data set, or its last part: never a folder of the machine."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def checksum(path: Path) -> dict[str, Any]:
    """Number of label files and one SHA-256 over their names and contents."""
    if path.is_file():
        return {"files": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    total = hashlib.sha256()
    files = label_files_below(path, sorted({suffix for each in FORMATS.values() for suffix in each.suffixes}))
    for file in files:
        total.update(file.relative_to(path).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return {"files": len(files), "sha256": total.hexdigest()}
