"""The results of ``hipdet fit``: metrics out of fold, the exported model, and crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.core.annotations import get_patients
from hipdet.core.errors import DatasetError
from hipdet.core.files import film_below, write_csv
from hipdet.core.resumable import RunFolder
from hipdet.data.coco_file import Coco
from hipdet.evaluation.metrics import Units, mean_interval
from hipdet.export.export import export_model, validation_films
from hipdet.export.torch_model import TorchModel
from hipdet.inference.crops import COLUMNS, CropSettings, crops_by_film, manifest_row, strangers, write_crops
from hipdet.inference.dicom_objects import CODES
from hipdet.inference.results import Numbered, write_coco_results
from hipdet.inference.review import ReviewLimits, build_limits
from hipdet.radiographs.read import read_radiograph
from hipdet.workflows.cross_validation import CONFIG, Fold
from hipdet.workflows.fit_data import FitData, TrainingFiles
from hipdet.workflows.fit_metrics import TABLE, Detected, doubted_labels, film_records
from hipdet.workflows.fit_plan import FitPlan
from hipdet.workflows.fit_words import IMAGENET, IMAGENET_NOTICE

COMPARED = 4  # films on which the exported model is compared with torch
NOT_FOR = "research only, not for diagnosis"


@dataclass(frozen=True)
class FitResult:
    """What reports need.

    Attributes:
        out: Folder of the fit.
        films: Folder of the films.
        metrics: Content of ``metrics.json``.
        coco: The films with their labels, in pixels of the films.
        files: Their copies, with the same ids.
        tested: Labels and detections out of fold, in pixels of the copies.
    """

    out: Path
    films: Path
    metrics: dict[str, Any]
    coco: Coco
    files: TrainingFiles
    tested: Detected


@dataclass(frozen=True)
class RoundResults:
    """Results of all folds, each tested on the films that it left out.

    Attributes:
        data: Films and labels.
        files: The copies that were trained and tested on.
        plan: What was trained.
        folds: Finished trainings of the folds.
        half: Finished training on half of the films, tested on the other half.
    """

    data: FitData
    files: TrainingFiles
    plan: FitPlan
    folds: Sequence[Fold]
    half: Fold | None

    @cached_property
    def tested(self) -> Detected:
        """Labels and detections of all films."""
        return Detected.read([fold.folder / "test" for fold in self.folds])

    @cached_property
    def limits(self) -> ReviewLimits | None:
        """Review limits from detections on films that the model of the fold hadn't seen; None without a single hit."""
        tables = [fold.folder / "test" / TABLE for fold in self.folds]
        everything = self.files.root / "all.json"
        films = validation_films(tables, everything, self.data.classes)
        try:
            return build_limits(films, classes=self.data.classes)
        except DatasetError:
            return None

    def metrics(self) -> dict[str, Any]:
        """Metrics out of fold and of half of the films, agreement of readers, and facts about the trainings."""
        records = [facts_of(fold) for fold in self.folds]
        maps = [record["figures"].get("coco/bbox_mAP") for record in records]
        found = self.tested.metrics(self.data.coco, self.limits)
        found["coco_map"] = None if None in maps else float(np.mean(maps))
        metrics: dict[str, Any] = dict(
            out_of_fold=found,
            rois=self.tested.rows(self.data.coco),
            limits=self.limits.to_json() if self.limits else None,
            training_minutes=[record["seconds"] / 60 for record in records],
            parameters=records[0]["parameters"],
            versions=records[0]["versions"],
            readers=self._readers(),
            doubted=doubted_labels(self.tested, self.data.coco, found["least_scores"]),
            half=None,
        )
        if self.half is not None:
            half = Detected.read([self.half.folder / "test"])
            compared = self.tested.compared(half, self.data.coco)
            halves = self.data.halves() or ((), ())
            metrics["half"] = compared and dict(train_films=len(halves[0]), test_films=len(halves[1]), **compared)
        return metrics

    def _readers(self) -> dict[str, Any] | None:
        """How well two readers agree, by class."""
        rows = self.data.conversion.agreements
        if not rows:
            return None
        both = [row.iou for row in rows if row.second_box is not None]
        classes = {
            name: float(np.mean([row.iou for row in rows if row.label == name and row.second_box is not None] or [0.0]))
            for name in self.data.classes
        }
        return dict(
            rois=len(both),
            alone=len(rows) - len(both),
            mean_iou=float(np.mean(both or [0.0])),
            min_iou=min(both, default=0.0),
            classes=classes,
        )

    def against(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics before, and the average IoU of both on the films that both have."""
        old, new = (_iou_of_films(rows) for rows in (before.get("rois", ()), self.tested.rows(self.data.coco)))
        common = sorted(set(old) & set(new))
        figures = {key: before["out_of_fold"].get(key) for key in ("avg_iou", "acc50", "recall", "false_per_film")}
        figures.update(films=before["data"]["films"], common_films=len(common))
        if common:
            # a film counts once: the ids of labels may have changed
            mine, theirs = (np.array([np.mean(rows[film]) for film in common]) for rows in (new, old))
            units = Units.of(common, get_patients([self.data.coco]))
            figures.update(
                common_avg_iou_before=float(theirs.mean()),
                common_avg_iou=float(mine.mean()),
                common_gain=float((mine - theirs).mean()),
                common_gain_interval=mean_interval(mine - theirs, units.numbers),
            )
        return figures

    def records(self) -> list[Numbered]:
        """Every film with its ROIs out of fold."""
        counts = self.plan.anchors.roi_counts
        return list(film_records(self.tested, self.data.coco, self.files.coco, counts, self.limits))

    def write_detections(self, path: Path) -> None:
        """Write the ROIs of every film by the model that wasn't trained on it."""
        write_coco_results(path, self.records(), {each["name"]: each["id"] for each in self.data.coco["categories"]})


def facts_of(training: Fold) -> dict[str, Any]:
    """Seconds of a finished training, and figures, parameters and versions of its test, if it was tested.

    Raises:
        DatasetError: it isn't finished.
    """
    record = RunFolder(training.folder).record
    if record is None:
        raise DatasetError(f"{training.folder}: not finished: run the same command again")
    texts = {key: dict(record.record(key).values) if key in record.values else {} for key in ("figures", "versions")}
    return dict(seconds=record.number("seconds", 0), parameters=record.whole("parameters", 0, default=None), **texts)


def _iou_of_films(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["film"], []).append(row["iou"])
    return found


@dataclass(frozen=True)
class FinalModel:
    """The model that was trained on all films.

    Attributes:
        trained: Folder of the training.
        path: File of the export.
        codes: DICOM codes by class, for its card.
    """

    trained: Path
    path: Path
    codes: Mapping[str, Any]

    def write(self, results: RoundResults, files: TrainingFiles, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Export the model with its card, after a comparison with torch.

        Raises:
            CheckpointError: the exported model differs from torch.
        """
        checkpoint = Path((self.trained / "last_checkpoint").read_text(encoding="utf-8").strip())
        model = TorchModel(self.trained / CONFIG, self.trained / checkpoint.name)
        data, found = metrics["data"], metrics["out_of_fold"]
        notice = f"; {IMAGENET_NOTICE}" if IMAGENET in metrics["training"]["start"] else ""
        about = dict(
            **({CODES: self.codes} if self.codes else {}),
            data=f"{data['films']} films, {data['rois']} ROIs, {data['patients']} patients; hipdet fit{notice}",
            metrics=f"out of fold: average IoU {found['avg_iou']:.3f}, acc50 {found['acc50']:.3f}",
            limits=NOT_FOR,
        )
        rois: Any = results.plan.anchors.roi_counts.to_json()
        name = Path(results.plan.base).stem
        card = replace(model.card, config=name, rois=rois, limits=results.limits, about={**model.card.about, **about})
        names = [image["file_name"] for image in files.coco["images"][:COMPARED]]
        films = [read_radiograph(film_below(files.root, film, self.path)) for film in names]
        difference = export_model(model, card, self.path, films)
        return dict(file=self.path.name, bytes=self.path.stat().st_size, differs_from_torch_px=difference)


def write_crops_of(predictions: Path, films: Path, out: Path) -> int:
    """Write the crops of `predictions` with their table; crops of an earlier run that aren't among them are removed."""
    settings = CropSettings()
    wanted = crops_by_film(predictions, settings)
    rows = []
    for film, crops in wanted.items():
        write_crops(film_below(films, film, predictions), crops, out, settings)
        rows += [manifest_row(film, crop, settings) for crop in crops]
    for name in strangers(out, wanted) if out.is_dir() else ():
        (out / name).unlink()
    write_csv(out / "manifest.csv", [COLUMNS, *rows])
    return len(rows)
