"""Tables as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.experiments.tables import Row
from hipdet.files import replacing, write_json, write_text

Cell = Callable[[Row], str]
FOOTNOTE = (
    "Figures are per ROI over all ROIs of the set, from the two best-scored detections of a film. [low, high]: 95% bootstrap "
    "interval (a point where every ROI is a hit) over what is resampled. acc50: share of ROIs with IoU >= 0.5, which the "
    'paper prints as "AP50"; COCO AP50 is the usual one. "paper": as printed there, on its own data.'
)


def number(key: str, digits: int = 4) -> Cell:
    """A cell with the figure `key`, or nothing; a count is shown whole."""

    def cell(row: Row) -> str:
        value = row.get(key)
        return "" if value is None else f"{value:.{digits}f}"

    return cell


def text(key: str) -> Cell:
    """A cell with the text of `key`."""
    return lambda row: str(row.get(key, ""))


def with_interval(key: str) -> Cell:
    """A cell such as ``0.8115 ± 0.0031 [0.7990, 0.8250]``: mean, s.d. over seeds if there are several, interval."""

    def cell(row: Row) -> str:
        spread = f" ± {row[f'{key}_sd']:.4f}" if f"{key}_sd" in row else ""
        return f"{row[key]:.4f}{spread} [{row[f'{key}_low']:.4f}, {row[f'{key}_high']:.4f}]"

    return cell


TABLE2: dict[str, Cell] = {
    "exp": text("experiment"),
    "trained on": text("trained_on"),
    "tested on": text("tested_on"),
    "grid": text("grid"),
    "scales": text("scales"),
    "anchors": text("anchors"),
    "val avg IoU": number("val_avg_iou"),
    "paper": number("paper_val_avg_iou"),
    "val avg conf": number("val_avg_conf"),
    "paper ": number("paper_val_avg_conf"),
    "test avg IoU": with_interval("test_avg_iou"),
    "paper  ": number("paper_test_avg_iou"),
    "test avg conf": number("test_avg_conf"),
    "paper   ": number("paper_test_avg_conf"),
    "test min IoU": number("test_min_iou"),
    "paper    ": number("paper_test_min_iou"),
    "test acc50": with_interval("test_acc50"),
    "paper     ": number("paper_test_acc50"),
    "test COCO AP50": number("test_coco_ap50"),
    "test COCO mAP": number("test_coco_map"),
    "resampled": text("test_resampled"),
}
TABLE3: dict[str, Cell] = {
    "exp": text("experiment"),
    "set": text("set"),
    "part": text("part"),
    "images": number("num_images", 0),
    "ROIs": number("num_rois", 0),
    "avg IoU": with_interval("avg_iou"),
    "paper": number("paper_avg_iou"),
    "avg conf": number("avg_conf"),
    "paper ": number("paper_avg_conf"),
    "min IoU": number("min_iou"),
    "paper  ": number("paper_min_iou"),
    "IoU < 0.5": number("below50", 0),
    "paper   ": number("paper_below50", 0),
    "acc50": with_interval("acc50"),
    "paper    ": number("paper_acc50"),
    "resampled": text("resampled"),
}
RUNS: dict[str, Cell] = {
    "training": text("training"),
    "seed": text("seed"),
    "epochs": text("epochs"),
    "training films": text("train_images"),
    "validation films": text("val_images"),
    "of them with a patient in training": text("shared_patients"),
    "anchors": text("anchors"),
    "parameters": text("parameters"),
    "seconds": number("seconds", 0),
}


def markdown(columns: Mapping[str, Cell], rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [[title.strip() for title in columns], ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_table(
    prefix: Path,
    title: str,
    columns: Mapping[str, Cell],
    shown: Sequence[Row],
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    runs: Sequence[Row],
) -> None:
    """Write ``<prefix>.md`` (rows `shown`), ``.csv`` (all figures of all `rows`) and ``.json`` (also `facts`, `runs`)."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(prefix.with_suffix(".csv")) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=keys)
        writer.writeheader()
        writer.writerows(rows)
    write_json(prefix.with_suffix(".json"), dict(facts, rows=list(rows), runs=list(runs)))
    known = "\n".join(f"* {name}: {_words(value)}" for name, value in facts.items())
    parts = [f"# {title}", markdown(columns, shown), FOOTNOTE, "## Trainings", markdown(RUNS, runs), known]
    write_text(prefix.with_suffix(".md"), "\n\n".join(parts) + "\n")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
