"""Detections scored as hipdet's test scores them, the same boxes as squares, and tables of all detectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from compared.folds import TABLE_OF_FOLD, Folds
from hipdet.core.boxes import Boxes, Detections, as_boxes
from hipdet.core.classes import Counts
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json
from hipdet.core.resumable import RunFolder
from hipdet.core.tables import Cell, Row, markdown, number_cell, text_cell
from hipdet.data.coco_file import Coco, subset
from hipdet.evaluation.report import FOUND_CORNERS
from hipdet.evaluation.roi_metric import RoiMetric
from hipdet.export.export import validation_films
from hipdet.inference.review import ReviewLimits, build_limits
from hipdet.workflows.fit_metrics import Detected

FOOTNOTE = (
    "On the films that were left out. [low, high]: 95% bootstrap interval, resampled: {resampled}. Difference: mean IoU "
    "minus that of the first row on the same labels. Label IoU: of the best of the boxes that a film may have of a class, "
    "also if another label is matched with it. Recall: IoU of 0.5 and a score from the limit that hipdet's rule sets on the "
    "same films. CPU seconds: of the process tree of a training, from start to end, mean over folds; of hipdet without the "
    "end. Squared: width and height replaced by their mean around the same centre."
)


def write_table(ann_file: Path, counts: Counts, found: Mapping[int, Detections], folder: Path) -> None:
    """Score `found`, all detections by image id, as hipdet test does, and write ``test.roi.json`` into `folder`."""
    metric = RoiMetric(str(ann_file.resolve()), counts, str(folder / "test"))
    for number, each in found.items():
        instances = dict(
            bboxes=torch.from_numpy(each.boxes),
            scores=torch.from_numpy(each.scores),
            labels=torch.from_numpy(each.labels),
        )
        metric.process(None, [dict(img_id=number, pred_instances=instances)])
    metric.compute_metrics(metric.results)


def squared(boxes: Boxes) -> Boxes:
    """`boxes` ``[N, 4]`` as squares around the same centres, whose side is the mean of width and height."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def square_table(folds: Folds, number: int, tested: Path, folder: Path) -> None:
    """Score the best detections in the table of `tested` again, those of square classes as squares, into `folder`."""
    classes = folds.classes
    found = {}
    rows = Detected.read([tested]).detections()
    for image in folds.part(number)["images"]:
        own = rows.get(image["id"], [])
        boxes = as_boxes([[row[corner] for corner in FOUND_CORNERS] for row in own])
        square = np.array([row["label"] in folds.square_classes for row in own], bool)
        boxes[square] = squared(boxes[square])
        scores = np.array([row["confidence"] for row in own], np.float64)
        labels = np.array([classes.index(row["label"]) for row in own], np.int64)
        found[image["id"]] = Detections(boxes, scores, labels)
    write_table(folds.parts[number].test, folds.counts, found, folder)


@dataclass(frozen=True)
class Contestant:
    """A detector with a folder for each fold that it was tested on, by number."""

    name: str
    folders: Mapping[int, Path]

    def on(self, numbers: Collection[int]) -> Contestant:
        """The same on these folds alone."""
        return Contestant(self.name, {number: self.folders[number] for number in sorted(numbers)})

    @property
    def tested(self) -> Detected:
        """Labels and detections."""
        return Detected.read([(folder / TABLE_OF_FOLD).parent for folder in self.folders.values()])

    def times(self) -> dict[str, float]:
        """Means over the folds of what the records of the trainings say, as far as all say it."""
        records = [record for folder in self.folders.values() if (record := RunFolder(folder).record) is not None]
        means = {}
        for key in ("cpu_seconds", "seconds", "epochs"):
            values = [record.number(key, 0, default=None) for record in records]
            if len(values) == len(self.folders) and None not in values:
                means[key] = float(np.mean(values))
        return means


def compare(folds: Folds, contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
    """Metrics of all `contestants` and their difference from the first one, for each set of folds that any was tested on.

    Returns:
        For each set: ``folds``, ``films``, and ``rows`` with ``name``, times, ``all`` and ``classes``.
    """
    first = contestants[0]
    sets = {tuple(sorted(each.folders)) for each in contestants[1:]} or {tuple(sorted(first.folders))}
    found = []
    for numbers in sorted(sets, key=lambda each: (-len(each), each)):
        coco = subset(folds.coco, [image["id"] for number in numbers for image in folds.part(number)["images"]])
        base = first.on(numbers)
        others = [each.on(numbers) for each in contestants[1:] if set(numbers) <= set(each.folders)]
        rows = [_row(each, base, coco) for each in (base, *others)]
        found.append(dict(folds=list(numbers), films=len(coco["images"]), rows=rows))
    return found


def _row(contestant: Contestant, base: Contestant, coco: Coco) -> dict[str, Any]:
    tested, before = contestant.tested, base.tested
    metrics = tested.metrics(coco, _limits(contestant, coco))
    classes, keys = metrics.pop("classes"), ("num_rois", "avg_iou", "avg_iou_interval", "acc50", "acc50_interval", "acc75",
                                             "min_iou", "label_iou", "recall", "false_per_film", "resampled")  # fmt: skip
    parts = {"": metrics, **(classes if len(classes) > 1 else {})}
    row: dict[str, Any] = dict(name=contestant.name, **contestant.times(), parts={})
    for name, part in parts.items():
        compared = _of_class(tested, name).compared(_of_class(before, name), coco) if contestant is not base else {}
        gain = {key: compared[key] for key in ("gain", "gain_interval") if compared}
        row["parts"][name] = {**{key: part[key] for key in keys if key in part}, **gain}
    return row


def _of_class(tested: Detected, name: str) -> Detected:
    return Detected(tuple(row for row in tested.rois if name in ("", row["label"])))


def _limits(contestant: Contestant, coco: Coco) -> ReviewLimits | None:
    """Limits from the films that were left out, as hipdet fit sets them for its model; None without a hit."""
    tables = [folder / TABLE_OF_FOLD for folder in contestant.folders.values()]
    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "films.json", coco)
        try:
            return build_limits(validation_films(tables, Path(folder) / "films.json"), classes=_names(coco))
        except DatasetError:
            return None


def _names(coco: Coco) -> list[str]:
    return [each["name"] for each in coco["categories"]]


def tables(compared: Sequence[Mapping[str, Any]]) -> str:
    """What :func:`compare` found as Markdown: a table for each set of folds, and for each class of several."""
    columns: dict[str, Cell] = {
        "Trained": text_cell("name"),
        "CPU s a fold": number_cell("cpu_seconds", 0),
        "Seconds": number_cell("seconds", 0),
        "Epochs": number_cell("epochs", 0),
        "Average IoU": _with_interval("avg_iou", 4),
        "acc50": _with_interval("acc50", 3),
        "acc75": number_cell("acc75", 3),
        "Minimum IoU": number_cell("min_iou", 3),
        "Label IoU": number_cell("label_iou", 4),
        "Recall": number_cell("recall", 3),
        "False per film": number_cell("false_per_film", 2),
        "Difference": _with_interval("gain", 4, "+"),
    }
    texts = ["# Comparison"]
    for each in compared:
        numbers = " ".join(map(str, each["folds"]))
        texts.append(f"## Fold{'s' if len(each['folds']) > 1 else ''} {numbers}, {each['films']} films")
        for name in each["rows"][0]["parts"]:
            rows: list[Row] = [{**row, **row["parts"][name]} for row in each["rows"]]
            labels = f"{rows[0]['num_rois']:.0f} labels"
            texts += [f"### {name}, {labels}" if name else labels, markdown(columns, rows)]
        texts.append(FOOTNOTE.format(resampled=each["rows"][0]["parts"][""].get("resampled", "")))
    return "\n\n".join(texts) + "\n"


def _with_interval(key: str, digits: int, sign: str = "") -> Cell:
    def cell(row: Row) -> str:
        if row.get(key) is None:
            return ""
        return "{:{f}} [{:{f}}, {:{f}}]".format(row[key], *row[f"{key}_interval"], f=f"{sign}.{digits}f")

    return cell
