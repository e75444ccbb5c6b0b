"""What a variant found on the films left out, over all folds."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import DatasetError
from hipdet.evaluation.calibration import calibration
from hipdet.evaluation.figures import Interval, bootstrap_intervals, mean_interval, roi_figures
from hipdet.evaluation.resampling import Units

TABLE = "test/test.roi.json"


@dataclass(frozen=True)
class Result:
    """One entry per ROI ``[R]``, in the order of films and annotation ids, whatever the fold.

    Attributes:
        name: Of the variant.
        key: Film and annotation id of every ROI.
        fold: In which it was left out.
        iou: With the detection it was matched with, 0 without.
        confidence: Of that detection.
        records: Of the folds: seconds of training, parameters, figures; empty for what others have trained.
        patients: Of films, as far as they are known.
    """

    name: str
    key: list[tuple[str, int]]
    fold: NDArray[np.int64]
    iou: NDArray[np.float64]
    confidence: NDArray[np.float64]
    records: list[dict[str, Any]]
    patients: Mapping[Hashable, Hashable] | None = None

    @classmethod
    def read(cls, folder: Path, folds: int, patients: Mapping[Hashable, Hashable] | None = None) -> Result | None:
        """From ``<folder>/fold<k>/test/test.roi.json``; None where one of them is missing."""
        places = [folder / f"fold{number}" for number in range(folds)]
        if not all((place / TABLE).is_file() for place in places):
            return None
        found = []
        for number, place in enumerate(places):
            for row in json.loads((place / TABLE).read_text(encoding="utf-8"))["rois"]:
                found.append(((row["file_name"], row["annotation_id"]), number, row["iou"], row["confidence"]))
        key, fold, iou, confidence = zip(*sorted(found))
        records = [json.loads((p / "record.json").read_text()) for p in places if (p / "record.json").is_file()]
        return cls(folder.name, list(key), np.array(fold), np.array(iou), np.array(confidence), records, patients)

    @property
    def units(self) -> Units:
        """What every ROI is resampled with."""
        return Units.of([film for film, _ in self.key], self.patients)

    def figures(self) -> dict[str, Any]:
        """Figures over all ROIs, with 95% intervals over patients or films, and the average IoU of every fold."""
        figures: dict[str, Any] = roi_figures(self.iou, self.confidence)
        intervals = bootstrap_intervals(self.iou, self.units.numbers)
        figures.update(avg_iou_interval=intervals["avg_iou"], acc50_interval=intervals["acc50"])
        figures["resampled"] = self.units.resampled
        figures["folds"] = [float(self.iou[self.fold == fold].mean()) for fold in np.unique(self.fold)]
        if self.records:
            figures["minutes"] = float(np.mean([record["seconds"] for record in self.records])) / 60
            if "parameters" in self.records[0]:
                figures["parameters"] = self.records[0]["parameters"]
            maps = [record["figures"].get("coco/bbox_mAP") for record in self.records]
            if None not in maps:
                figures["coco_map"] = float(np.mean(maps))  # per fold: scores of different models don't share a scale
        return figures

    def gain(self, other: Result) -> tuple[float, Interval]:
        """Mean difference of IoU to `other` on the same ROIs, with its 95% interval over patients or films.

        Raises:
            DatasetError: other ROIs.
        """
        if self.key != other.key:
            raise DatasetError(
                f"{self.name} and {other.name} were tested on different films: use one --out for one set"
            )
        difference = self.iou - other.iou
        return float(difference.mean()), mean_interval(difference, self.units.numbers)

    def calibration(self, bands: int = 5) -> list[dict[str, float]]:
        """ROIs in `bands` of equal number by rising confidence: mean confidence and mean IoU of each."""
        return calibration(self.iou, self.confidence, bands)
