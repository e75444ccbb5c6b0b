"""Results of the variants of a cross-validation over all folds, and their differences from the first variant."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.annotations import get_patients
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_csv, write_json, write_text
from hipdet.core.records import Record, read_json
from hipdet.core.resumable import RunFolder
from hipdet.core.tables import Cell, Row, markdown, number_cell, text_cell
from hipdet.evaluation.metrics import Interval, Units, bootstrap_intervals, calibration, mean_interval, roi_metrics
from hipdet.evaluation.report import read_roi_table
from hipdet.visualization.plots import write_calibration

TABLE = "test/test.roi.json"
COLUMNS = ("avg_iou", "acc50", "acc75", "min_iou", "coco_map", "minutes", "parameters")
FOOTNOTE = (
    "Over all ROIs of all folds, each tested by the model that wasn't trained on its film; [low, high]: 95% bootstrap "
    "interval, resampled: {resampled}. Gain: mean IoU minus that of the first row on the same ROIs. mAP: mean over folds."
)


@dataclass(frozen=True)
class Result:
    """The results of a variant: one entry per ROI ``[R]``, in the order of films and annotation ids, regardless of the fold.

    Attributes:
        name: Name of the variant.
        key: Film and annotation id of each ROI.
        fold: The fold in which it was left out.
        iou: IoU with the matched detection, 0 without one.
        score: Score of that detection.
        records: Records of the folds: seconds of training, parameters, metrics; empty if another program trained.
        patients: Patients of the films, as far as they are known.
    """

    name: str
    key: list[tuple[str, int]]
    fold: NDArray[np.int64]
    iou: NDArray[np.float64]
    score: NDArray[np.float64]
    records: list[dict[str, Any]]
    patients: Mapping[Hashable, Hashable] | None = None

    @classmethod
    def read(cls, folder: Path, folds: int, patients: Mapping[Hashable, Hashable] | None = None) -> Result | None:
        """Read ``<folder>/fold<k>/test/test.roi.json`` of every fold; None if one of them is missing."""
        places = [folder / f"fold{number}" for number in range(folds)]
        if not all((place / TABLE).is_file() for place in places):
            return None
        found = []
        for number, place in enumerate(places):
            for row in read_roi_table(place / TABLE, "file_name", "annotation_id")["rois"]:
                found.append(((row["file_name"], row["annotation_id"]), number, row["iou"], row["confidence"]))
        if not found:
            raise DatasetError(f"{folder}: no ROI in {TABLE} of any fold: was the test interrupted? Remove the folder")
        key, fold, iou, score = zip(*sorted(found))
        records = [_checked(record) for place in places if (record := RunFolder(place).record) is not None]
        return cls(folder.name, list(key), np.array(fold), np.array(iou), np.array(score), records, patients)

    @property
    def units(self) -> Units:
        """The units that the bootstrap resamples."""
        return Units.of([film for film, _ in self.key], self.patients)

    def metrics(self) -> dict[str, Any]:
        """Metrics over all ROIs, with 95% intervals over patients or films, and the average IoU of each fold."""
        metrics: dict[str, Any] = roi_metrics(self.iou, self.score)
        intervals = bootstrap_intervals(self.iou, self.units.numbers)
        metrics.update(avg_iou_interval=intervals["avg_iou"], acc50_interval=intervals["acc50"])
        metrics["resampled"] = self.units.resampled
        metrics["folds"] = [float(self.iou[self.fold == fold].mean()) for fold in np.unique(self.fold)]
        if self.records:
            metrics["minutes"] = float(np.mean([record["seconds"] for record in self.records])) / 60
            if self.records[0].get("parameters") is not None:
                metrics["parameters"] = self.records[0]["parameters"]
            maps = [record["figures"].get("coco/bbox_mAP") for record in self.records]
            if None not in maps:
                metrics["coco_map"] = float(np.mean(maps))  # per fold: scores of different models don't share a scale
        return metrics

    def gain(self, other: Result) -> tuple[float, Interval]:
        """Mean difference in IoU from `other` on the same ROIs, with its 95% interval over patients or films.

        Raises:
            DatasetError: `other` has other ROIs.
        """
        if self.key != other.key:
            raise DatasetError(
                f"{self.name} and {other.name} were tested on different films: give each data set an --out of its own"
            )
        difference = self.iou - other.iou
        return float(difference.mean()), mean_interval(difference, self.units.numbers)

    def calibration(self, bands: int = 5) -> list[dict[str, float]]:
        """Score and IoU of `bands` of ROIs of equal size, by rising score."""
        return calibration(self.iou, self.score, bands)


def _read_fold(path: Path) -> Mapping[str, Any]:
    fold = Record.of(read_json(path, "a fold, as COCO"), path, remedy="remove the folder folds and run again")
    for image in fold.records("images") if "images" in fold.values else ():
        image.text("file_name")
        image.text("source", None)
        if not isinstance(image.values.get("patient"), (str, int, type(None))):
            image.refuse("patient", "a name or a number")
    return fold.values


def _checked(record: Record) -> dict[str, Any]:
    """What the tables show of a fold's record, which another program may have written."""
    figures = dict(record.record("figures").values)
    figures["coco/bbox_mAP"] = record.record("figures").number("coco/bbox_mAP", -1, 1, default=None)
    parameters = record.whole("parameters", 0, default=None)
    return dict(seconds=record.number("seconds", 0), parameters=parameters, figures=figures)


def summarize_folder(out: Path, names: Sequence[str], annotations: Path) -> list[Path]:
    """Write ``summary`` (.md, .csv, .json) and ``calibration.png`` over all variants in `out`, those of `names` first.

    Other folders with ``fold<k>/test/test.roi.json`` for every fold are included, even if another program wrote them.

    Raises:
        DatasetError: variants were tested on different films.
    """
    tests = sorted((out / "folds").glob("*_test.json"))
    folds, patients = len(tests), get_patients(map(_read_fold, tests))
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
    write_text(out / "summary.md", summary_text(annotations.name, folds, rows))
    write_calibration(out / "calibration.png", {result.name: result.calibration() for result in results})
    return [out / "summary.md", out / "calibration.png"]


def _row(result: Result, first: Result) -> dict[str, Any]:
    gain, interval = result.gain(first)
    return dict(
        variant=result.name,
        **result.metrics(),
        gain=gain,
        gain_interval=interval,
        calibration=result.calibration(),
        worst=[dict(film=film, iou=iou) for iou, (film, _) in sorted(zip(result.iou.tolist(), result.key))[:5]],
    )


def summary_text(name: str, folds: int, rows: Sequence[Row]) -> str:
    """The table as Markdown; the other rows are compared with the first."""
    shown: dict[str, Cell] = {
        "Variant": text_cell("variant"),
        "Average IoU": lambda row: "{:.4f} [{:.4f}, {:.4f}]".format(row["avg_iou"], *row["avg_iou_interval"]),
        "Folds": lambda row: " ".join(f"{value:.3f}" for value in row["folds"]),
        "Gain": lambda row: (
            "" if row is rows[0] else "{:+.4f} [{:+.4f}, {:+.4f}]".format(row["gain"], *row["gain_interval"])
        ),
        "acc50": number_cell("acc50", 3),
        "acc75": number_cell("acc75", 3),
        "Minimum IoU": number_cell("min_iou", 3),
        "mAP": number_cell("coco_map", 3),
        "Minutes": number_cell("minutes", 1),
        "Parameters": lambda row: f"{row['parameters'] / 1e6:.2f} M" if "parameters" in row else "",
    }
    footnote = FOOTNOTE.format(resampled=rows[0]["resampled"] if rows else "")
    return "\n\n".join([f"# {name}, {folds} folds", markdown(shown, rows), footnote]) + "\n"
