"""The paper's Tables 2 and 3 with our metrics next to the published ones, and what the anchors alone predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr

from hipdet.anchors.coverage import MATCH, AnchorMetrics, best_anchors
from hipdet.anchors.rois import Rois
from hipdet.core.files import write_json, write_text
from hipdet.core.tables import Cell, Row, interval_cell, markdown, number_cell, text_cell, write_rows
from hipdet.paper import facts
from hipdet.paper.facts import EXPERIMENTS
from hipdet.paper.scores import Scores

OURS_AND_PAPERS = ("avg_iou", "avg_conf", "min_iou", "acc50", "below50", "num_images", "num_rois")
INTERVALS = tuple(f"{name}_{end}" for name in ("avg_iou", "acc50") for end in ("low", "high", "sd"))
METRICS = (*OURS_AND_PAPERS, *INTERVALS, "resampled")


@dataclass(frozen=True)
class TrainedModel:
    """One training, with all its seeds, tested on every film of the run.

    Attributes:
        training: Number of the first experiment that uses it.
        scores: Scores of all ROIs of the run.
        records: What :mod:`hipdet.paper.run` recorded of each seed: ``seconds``, ``parameters``, ``coco``, ...
    """

    training: int
    scores: Scores
    records: Sequence[Mapping[str, Any]]

    def metrics(self, name: str, image_ids: Sequence[int]) -> Row:
        """Metrics on the subset `name`, whose films are `image_ids`."""
        metrics = self.scores.metrics(self.scores.within(image_ids))
        kept = {key: metrics[key] for key in METRICS if key in metrics}
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
        numbers: Numbers of the experiments.
        models: Trained models by number of the training.
        subsets: Image ids by name.
        further: Names of test sets that aren't in the paper.
    """
    rows = []
    for number in numbers:
        experiment = EXPERIMENTS[number]
        model = models[experiment.training]
        val = model.metrics(f"{experiment.pool}_val", subsets[f"{experiment.pool}_val"])
        for tested_on in (experiment.tested_on, *further):
            published = facts.TEST[number] if tested_on == experiment.tested_on else {}
            test = model.metrics(tested_on, subsets[tested_on])
            row: Row = dict(
                experiment=number,
                trained_on=experiment.pool,
                tested_on=tested_on,
                grid=",".join(map(str, experiment.anchors.grids)),
                scales=len(experiment.anchors.scales),
                anchors=experiment.anchors.per_image,
            )
            for part, ours, theirs in (("val", val, facts.VALIDATION[number]), ("test", test, published)):
                row.update({f"{part}_{name}": value for name, value in ours.items()})
                row.update({f"paper_{part}_{name}": value for name, value in theirs.items()})
            rows.append(row)
    return rows


def table3(number: int, model: TrainedModel, subsets: Mapping[str, Sequence[int]]) -> list[Row]:
    """Experiment `number` in detail: all films, train, val and test; then the parts of all films and of the test films."""
    experiment = EXPERIMENTS[number]
    parts = dict(
        train=subsets[f"{experiment.pool}_train"],
        val=subsets[f"{experiment.pool}_val"],
        test=subsets[experiment.tested_on],
    )
    parts = dict(all=[image_id for ids in parts.values() for image_id in ids], **parts)
    rows = []
    for name, image_ids in parts.items():
        metrics = model.scores.metrics(model.scores.within(image_ids))
        published = facts.DETAIL[name] if number == facts.DETAIL_OF else {}
        rows.append(_detail(number, name, "", metrics) | {f"paper_{key}": value for key, value in published.items()})
    for name in ("all", "test"):
        found = model.scores.breakdown(model.scores.within(parts[name]))
        rows += [_detail(number, name, part, metrics) for part, metrics in found.items()]
    return rows


def runs(numbers: Sequence[int], models: Mapping[int, TrainedModel]) -> list[Row]:
    """One row per training and seed: its films, epochs, parameters and seconds."""
    trainings = dict.fromkeys(EXPERIMENTS[number].training for number in numbers)
    kept = ("seed", "epochs", "train_images", "val_images", "shared_patients", "parameters", "seconds", "checkpoint")
    return [
        dict(training=number, anchors=EXPERIMENTS[number].anchors.per_image, **{key: record[key] for key in kept})
        for number in trainings
        for record in models[number].records
    ]


def _detail(number: int, name: str, part: str, metrics: Mapping[str, Any]) -> Row:
    return dict(experiment=number, set=name, part=part, **{key: metrics[key] for key in METRICS if key in metrics})


PREDICTORS = ("in_range", "fitted", "matched", "best_iou", "reachable_iou", "anchors")
ONLY_ANCHORS_DIFFER = range(1, 7)  # experiments with the same training and test films
COLUMNS: dict[str, Cell] = {
    "exp": text_cell("experiment"),
    "tested on": text_cell("tested_on"),
    "anchors": text_cell("anchors"),
    "in range": number_cell("in_range", 3),
    "fit": number_cell("fitted", 3),
    "matched": number_cell("matched", 3),
    "best IoU": number_cell("best_iou", 3),
    "reachable": number_cell("reachable_iou", 3),
    "measured IoU": number_cell("avg_iou"),
    "of matched ROIs": number_cell("avg_iou_matched"),
    "of forced ROIs": number_cell("avg_iou_forced"),
    "rank correlation": number_cell("roi_spearman", 2),
}
CORRELATIONS: dict[str, Cell] = {
    "predictor": text_cell("predictor"),
    "experiments": text_cell("experiments"),
    "tested on": text_cell("tested_on"),
    "Pearson": number_cell("pearson", 2),
    "Spearman": number_cell("spearman", 2),
}
EXPLANATION = (
    "Predicted from the labels of the test set and the anchors, without a network: share of ROIs whose size is in the "
    "range of the anchors, share with an anchor of their size (fit), share with an anchor at IoU 0.4 or more (matched; "
    "the others are matched by force), mean IoU with the best anchor, and mean IoU that regression can reach. Rank "
    "correlation: between an ROI's IoU with its best anchor and its IoU with the detection, over the ROIs of the row."
)


def predictions(
    numbers: Sequence[int],
    models: Mapping[int, TrainedModel],
    coco: Mapping[str, Any],
    subsets: Mapping[str, Sequence[int]],
    further: Sequence[str] = (),
) -> list[Row]:
    """One row per experiment and test set: its own, then those of `further`.

    Args:
        numbers: Numbers of the experiments.
        models: Trained models by number of the training; their ROIs are those of `coco`, in the order of annotation ids.
        coco: All films of the run.
        subsets: Image ids by name.
        further: Names of test sets that aren't in the paper.
    """
    rois = Rois.of_coco(dict(coco, annotations=sorted(coco["annotations"], key=lambda annotation: annotation["id"])))
    rows = []
    for experiment in (EXPERIMENTS[each] for each in numbers):
        scores = models[experiment.training].scores
        for tested_on in (experiment.tested_on, *further):
            mask = scores.within(subsets[tested_on])
            tested = rois.at(mask)
            measured = scores.iou[:, mask].mean(axis=0)
            best, _ = best_anchors(tested, experiment.anchors)
            row: Row = dict(
                experiment=experiment.number,
                tested_on=tested_on,
                **asdict(AnchorMetrics.of(tested, experiment.anchors)),
            )
            row.update(avg_iou=float(measured.mean()), roi_spearman=_correlation(spearmanr, best, measured))
            for name, part in (("matched", best >= MATCH), ("forced", best < MATCH)):
                row[f"avg_iou_{name}"] = float(measured[part].mean()) if part.any() else None
            rows.append(row)
    return rows


def correlations(rows: Sequence[Row]) -> list[Row]:
    """Correlation of each predictor with the measured average IoU over experiments."""
    found = []
    own = [row for row in rows if row["tested_on"] == EXPERIMENTS[row["experiment"]].tested_on]
    groups = [("own", own)] if {row["experiment"] for row in own} - set(ONLY_ANCHORS_DIFFER) else []
    for tested_on in dict.fromkeys(row["tested_on"] for row in rows):
        same = [row for row in rows if row["tested_on"] == tested_on and row["experiment"] in ONLY_ANCHORS_DIFFER]
        groups.append((tested_on, same))
    for tested_on, group in groups:
        measured = [row["avg_iou"] for row in group]
        for predictor in PREDICTORS if len(group) > 2 else ():
            predicted = [row[predictor] for row in group]
            found.append(
                dict(
                    predictor=predictor,
                    experiments=" ".join(str(row["experiment"]) for row in group),
                    tested_on=tested_on,
                    pearson=_correlation(pearsonr, predicted, measured),
                    spearman=_correlation(spearmanr, predicted, measured),
                )
            )
    return found


def write_anchor_table(prefix: Path, rows: Sequence[Row]) -> None:
    """Write ``<prefix>.md``, ``.csv`` and ``.json``."""
    related = correlations(rows)
    parts = ["# Anchors: predicted and measured", EXPLANATION, markdown(COLUMNS, rows)]
    if related:
        parts += ["## Correlation with the measured average IoU", markdown(CORRELATIONS, related)]
    _write(prefix, rows, dict(rows=list(rows), correlations=related), parts)


def _correlation(method: Any, a: Any, b: Any) -> float | None:
    """None if there are fewer than three values or one side doesn't vary."""
    if len(a) < 3 or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return None
    return float(method(a, b)[0])


FOOTNOTE = (
    "Metrics over all ROIs of the set, from the two detections with the highest scores of each film. [low, high]: "
    "95% bootstrap interval (a point if every ROI is a hit); the last column is what it resamples. acc50: share of ROIs with "
    'IoU >= 0.5, which the paper prints as "AP50"; COCO AP50 is the usual one. "paper": as published, on its own data.'
)
TABLE2: dict[str, Cell] = {
    "exp": text_cell("experiment"),
    "trained on": text_cell("trained_on"),
    "tested on": text_cell("tested_on"),
    "grid": text_cell("grid"),
    "scales": text_cell("scales"),
    "anchors": text_cell("anchors"),
    "val avg IoU": number_cell("val_avg_iou"),
    "paper": number_cell("paper_val_avg_iou"),
    "val avg conf": number_cell("val_avg_conf"),
    "paper ": number_cell("paper_val_avg_conf"),
    "test avg IoU": interval_cell("test_avg_iou"),
    "paper  ": number_cell("paper_test_avg_iou"),
    "test avg conf": number_cell("test_avg_conf"),
    "paper   ": number_cell("paper_test_avg_conf"),
    "test min IoU": number_cell("test_min_iou"),
    "paper    ": number_cell("paper_test_min_iou"),
    "test acc50": interval_cell("test_acc50"),
    "paper     ": number_cell("paper_test_acc50"),
    "test COCO AP50": number_cell("test_coco_ap50"),
    "test COCO mAP": number_cell("test_coco_map"),
    "resampled": text_cell("test_resampled"),
}
TABLE3: dict[str, Cell] = {
    "exp": text_cell("experiment"),
    "set": text_cell("set"),
    "part": text_cell("part"),
    "images": number_cell("num_images", 0),
    "ROIs": number_cell("num_rois", 0),
    "avg IoU": interval_cell("avg_iou"),
    "paper": number_cell("paper_avg_iou"),
    "avg conf": number_cell("avg_conf"),
    "paper ": number_cell("paper_avg_conf"),
    "min IoU": number_cell("min_iou"),
    "paper  ": number_cell("paper_min_iou"),
    "IoU < 0.5": number_cell("below50", 0),
    "paper   ": number_cell("paper_below50", 0),
    "acc50": interval_cell("acc50"),
    "paper    ": number_cell("paper_acc50"),
    "resampled": text_cell("resampled"),
}
RUNS: dict[str, Cell] = {
    "training": text_cell("training"),
    "seed": text_cell("seed"),
    "epochs": text_cell("epochs"),
    "training films": text_cell("train_images"),
    "validation films": text_cell("val_images"),
    "of them with a patient in training": text_cell("shared_patients"),
    "anchors": text_cell("anchors"),
    "parameters": text_cell("parameters"),
    "seconds": number_cell("seconds", 0),
}


def write_paper_table(
    prefix: Path,
    title: str,
    columns: Mapping[str, Cell],
    shown: Sequence[Row],
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    runs: Sequence[Row],
) -> None:
    """Write ``<prefix>.md`` (rows `shown`), ``.csv`` (all metrics of all `rows`) and ``.json`` (also `facts`, `runs`)."""
    known = "\n".join(f"* {name}: {_words(value)}" for name, value in facts.items())
    parts = [f"# {title}", markdown(columns, shown), FOOTNOTE, "## Trainings", markdown(RUNS, runs), known]
    _write(prefix, rows, dict(facts, rows=list(rows), runs=list(runs)), parts)


def _write(prefix: Path, rows: Sequence[Row], content: Mapping[str, Any], parts: Sequence[str]) -> None:
    write_rows(prefix.with_suffix(".csv"), rows)
    write_json(prefix.with_suffix(".json"), content)
    write_text(prefix.with_suffix(".md"), "\n\n".join(parts) + "\n")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
