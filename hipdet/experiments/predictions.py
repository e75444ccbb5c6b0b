"""What the anchors alone predict of every experiment, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr

from hipdet.anchors import Rois
from hipdet.anchors.figures import figures
from hipdet.anchors.overlap import MATCH, best_anchors
from hipdet.experiments.experiment import EXPERIMENTS
from hipdet.experiments.tables import Row, TrainedModel
from hipdet.experiments.write_tables import Cell, markdown, number, text
from hipdet.files import write_csv, write_json, write_text

PREDICTORS = ("in_range", "fitted", "matched", "best_iou", "reachable_iou", "anchors")
ONLY_ANCHORS_DIFFER = range(1, 7)  # experiments of the same training and test films
COLUMNS: dict[str, Cell] = {
    "exp": text("experiment"),
    "tested on": text("tested_on"),
    "anchors": text("anchors"),
    "in range": number("in_range", 3),
    "fit": number("fitted", 3),
    "matched": number("matched", 3),
    "best IoU": number("best_iou", 3),
    "reachable": number("reachable_iou", 3),
    "measured IoU": number("avg_iou"),
    "of matched ROIs": number("avg_iou_matched"),
    "of forced ROIs": number("avg_iou_forced"),
    "rank correlation": number("roi_spearman", 2),
}
CORRELATIONS: dict[str, Cell] = {
    "predictor": text("predictor"),
    "experiments": text("experiments"),
    "tested on": text("tested_on"),
    "Pearson": number("pearson", 2),
    "Spearman": number("spearman", 2),
}
EXPLANATION = (
    "Predicted from the labels of the test set and the anchors, without a network: share of ROIs whose size lies in the "
    "range of the anchors, share with an anchor of their size (fit), share that an anchor overlaps by IoU 0.4 (matched, "
    "the others are matched by force), mean IoU with the best anchor, and mean IoU that regression can reach. Rank "
    "correlation: of an ROI's IoU with its best anchor and with the detection, over the ROIs of the row."
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
        numbers: Experiments.
        models: By number of the training; their ROIs are those of `coco` in the order of annotation ids.
        coco: All films of the run.
        subsets: Image ids by name.
        further: Names of test sets that the paper doesn't have.
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
                experiment=experiment.number, tested_on=tested_on, **asdict(figures(tested, experiment.anchors))
            )
            row.update(avg_iou=float(measured.mean()), roi_spearman=_correlation(spearmanr, best, measured))
            for name, part in (("matched", best >= MATCH), ("forced", best < MATCH)):
                row[f"avg_iou_{name}"] = float(measured[part].mean()) if part.any() else None
            rows.append(row)
    return rows


def correlations(rows: Sequence[Row]) -> list[Row]:
    """How every predictor and the measured average IoU go together over experiments."""
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


def write_predictions(prefix: Path, rows: Sequence[Row]) -> None:
    """Write ``<prefix>.md``, ``.csv`` and ``.json``."""
    related = correlations(rows)
    parts = ["# Anchors: predicted and measured", EXPLANATION, markdown(COLUMNS, rows)]
    if related:
        parts += ["## Correlation with the measured average IoU", markdown(CORRELATIONS, related)]
    keys = list(rows[0])
    write_csv(prefix.with_suffix(".csv"), [keys, *([row[key] for key in keys] for row in rows)])
    write_json(prefix.with_suffix(".json"), dict(rows=list(rows), correlations=related))
    write_text(prefix.with_suffix(".md"), "\n\n".join(parts) + "\n")


def _correlation(method: Any, a: Any, b: Any) -> float | None:
    """None where one of them doesn't vary."""
    if len(a) < 3 or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return None
    return float(method(a, b)[0])
