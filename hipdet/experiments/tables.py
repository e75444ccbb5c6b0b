"""Tables 2 and 3 of the paper with our figures beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hipdet.experiments import paper
from hipdet.experiments.experiment import EXPERIMENTS
from hipdet.experiments.scores import Scores

Row = dict[str, Any]
OURS_AND_PAPERS = ("avg_iou", "avg_conf", "min_iou", "acc50", "below50", "num_images", "num_rois")
INTERVALS = tuple(f"{name}_{end}" for name in ("avg_iou", "acc50") for end in ("low", "high", "sd"))
FIGURES = (*OURS_AND_PAPERS, *INTERVALS, "resampled")


@dataclass(frozen=True)
class TrainedModel:
    """One training, with all its seeds, tested on every film of the run.

    Attributes:
        training: Number of the first experiment that uses it.
        scores: Of every ROI of the run.
        records: What :mod:`hipdet.experiments.training` noted of each seed: ``seconds``, ``parameters``, ``coco``, ...
    """

    training: int
    scores: Scores
    records: Sequence[Mapping[str, Any]]

    def figures(self, name: str, image_ids: Sequence[int]) -> Row:
        """Figures on the subset `name`, whose films are `image_ids`."""
        figures = self.scores.figures(self.scores.within(image_ids))
        kept = {key: figures[key] for key in FIGURES if key in figures}
        coco = [record["coco"][name] for record in self.records]
        return {**kept, **{key: sum(c[key] for c in coco) / len(coco) for key in coco[0]}}


def table2(
    numbers: Sequence[int],
    models: Mapping[int, TrainedModel],
    subsets: Mapping[str, Sequence[int]],
    further: Sequence[str] = (),
) -> list[Row]:
    """One row per experiment, and one more for each of the `further` test sets.

    Args:
        numbers: Experiments.
        models: By number of the training.
        subsets: Image ids by name.
        further: Names of test sets that the paper doesn't have.
    """
    rows = []
    for number in numbers:
        experiment = EXPERIMENTS[number]
        model = models[experiment.training]
        val = model.figures(f"{experiment.pool}_val", subsets[f"{experiment.pool}_val"])
        for tested_on in (experiment.tested_on, *further):
            published = paper.TEST[number] if tested_on == experiment.tested_on else {}
            test = model.figures(tested_on, subsets[tested_on])
            row: Row = dict(
                experiment=number,
                trained_on=experiment.pool,
                tested_on=tested_on,
                grid=",".join(map(str, experiment.anchors.grids)),
                scales=len(experiment.anchors.scales),
                anchors=experiment.anchors.per_image,
            )
            for part, ours, theirs in (("val", val, paper.VALIDATION[number]), ("test", test, published)):
                row.update({f"{part}_{name}": value for name, value in ours.items()})
                row.update({f"paper_{part}_{name}": value for name, value in theirs.items()})
            rows.append(row)
    return rows


def table3(number: int, model: TrainedModel, subsets: Mapping[str, Sequence[int]]) -> list[Row]:
    """Experiment `number` in detail: train, val, test and all of them; then all and the test films part by part."""
    experiment = EXPERIMENTS[number]
    parts = dict(
        train=subsets[f"{experiment.pool}_train"],
        val=subsets[f"{experiment.pool}_val"],
        test=subsets[experiment.tested_on],
    )
    parts = dict(all=[image_id for ids in parts.values() for image_id in ids], **parts)
    rows = []
    for name, image_ids in parts.items():
        figures = model.scores.figures(model.scores.within(image_ids))
        published = paper.DETAIL[name] if number == paper.DETAIL_OF else {}
        rows.append(_detail(number, name, "", figures) | {f"paper_{key}": value for key, value in published.items()})
    for name in ("all", "test"):
        found = model.scores.breakdown(model.scores.within(parts[name]))
        rows += [_detail(number, name, part, figures) for part, figures in found.items()]
    return rows


def runs(numbers: Sequence[int], models: Mapping[int, TrainedModel]) -> list[Row]:
    """One row per training and seed: how it was made."""
    trainings = dict.fromkeys(EXPERIMENTS[number].training for number in numbers)
    kept = ("seed", "epochs", "train_images", "val_images", "shared_patients", "parameters", "seconds", "checkpoint")
    return [
        dict(training=number, anchors=EXPERIMENTS[number].anchors.per_image, **{key: record[key] for key in kept})
        for number in trainings
        for record in models[number].records
    ]


def _detail(number: int, name: str, part: str, figures: Mapping[str, Any]) -> Row:
    return dict(experiment=number, set=name, part=part, **{key: figures[key] for key in FIGURES if key in figures})
