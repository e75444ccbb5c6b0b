"""The table of a cross-validation: variants side by side, with their differences to the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.coco.patients import patients_of
from hipdet.cross_validation.result import Result
from hipdet.files import write_csv, write_json, write_text
from hipdet.visualization.calibration_figure import write_calibration

COLUMNS = ("avg_iou", "acc50", "acc75", "min_iou", "coco_map", "minutes", "parameters")
FOOTNOTE = (
    "Over all ROIs of all folds, each film left out of the training that tests it; [low, high]: 95% bootstrap interval, "
    "resampled: {resampled}. Gain: mean difference of IoU to the first row on the same ROIs. mAP: mean over folds."
)


def summarize_folder(out: Path, names: Sequence[str], annotations: Path) -> list[Path]:
    """Write ``summary`` (.md, .csv, .json) and ``calibration.png`` over all variants in `out`, those of `names` first.

    Other folders with ``fold<k>/test/test.roi.json`` for every fold take part, whoever made them.

    Raises:
        DatasetError: variants tested on different films.
    """
    tests = sorted((out / "folds").glob("*_test.json"))
    folds, patients = len(tests), patients_of(json.loads(path.read_text(encoding="utf-8")) for path in tests)
    others = sorted(path.name for path in out.iterdir() if path.is_dir() and path.name not in (*names, "folds"))
    results = [result for name in (*names, *others) if (result := Result.read(out / name, folds, patients))]
    rows = [_row(result, results[0]) for result in results]
    write_json(out / "summary.json", dict(annotations=annotations.name, folds=folds, variants=rows))
    head = ["variant", *COLUMNS, "gain", "gain_low", "gain_high", "resampled"]
    cells = [
        [row["variant"], *(row.get(name, "") for name in COLUMNS), row["gain"], *row["gain_interval"], row["resampled"]]
        for row in rows
    ]
    write_csv(out / "summary.csv", [head, *cells])
    write_text(out / "summary.md", markdown(annotations.name, folds, rows))
    write_calibration(out / "calibration.png", {result.name: result.calibration() for result in results})
    return [out / "summary.md", out / "calibration.png"]


def _row(result: Result, first: Result) -> dict[str, Any]:
    gain, interval = result.gain(first)
    return dict(
        variant=result.name,
        **result.figures(),
        gain=gain,
        gain_interval=interval,
        calibration=result.calibration(),
        worst=[dict(film=film, iou=iou) for iou, (film, _) in sorted(zip(result.iou.tolist(), result.key))[:5]],
    )


def markdown(name: str, folds: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        f"# {name}, {folds} folds",
        "",
        "| Variant | Average IoU | Folds | Gain | acc50 | acc75 | Minimum IoU | mAP | Minutes | Parameters |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["avg_iou_interval"]
        gain = "" if row is rows[0] else "{:+.4f} [{:+.4f}, {:+.4f}]".format(row["gain"], *row["gain_interval"])
        cells = [
            row["variant"],
            f"{row['avg_iou']:.4f} [{low:.4f}, {high:.4f}]",
            " ".join(f"{value:.3f}" for value in row["folds"]),
            gain,
            f"{row['acc50']:.3f}",
            f"{row['acc75']:.3f}",
            f"{row['min_iou']:.3f}",
            f"{row['coco_map']:.3f}" if "coco_map" in row else "",
            f"{row['minutes']:.1f}" if "minutes" in row else "",
            f"{row['parameters'] / 1e6:.2f} M" if "parameters" in row else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", FOOTNOTE.format(resampled=rows[0]["resampled"] if rows else ""), ""])
