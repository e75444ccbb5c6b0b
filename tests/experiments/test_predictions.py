"""Predicted beside measured, from scores that are known."""

import csv
import json

import numpy as np
import pytest

from hipdet.anchors.coverage import best_anchors
from hipdet.anchors.rois import Rois
from hipdet.paper.facts import EXPERIMENTS
from hipdet.paper.scores import Scores
from hipdet.paper.tables import TrainedModel, correlations, predictions, write_predictions
from roi_sets import coco_of, squares

COCO = coco_of(squares(np.random.default_rng(0).uniform(0.1, 0.3, 60)))
ROIS = Rois.of_coco(COCO)
SUBSETS = dict(gis=list(range(1, 41)), more=list(range(41, 61)))  # one ROI a film


def model(number, iou):
    image_id = np.arange(1, 61)
    names = np.array(["gis"] * 40 + ["more"] * 20)
    scores = Scores(np.atleast_2d(iou), np.ones((1, 60)), image_id, names, np.full(60, "left"), ROIS.ratios)
    return TrainedModel(number, scores, [])


def test_a_detector_that_does_what_the_anchors_allow():
    models = {number: model(number, best_anchors(ROIS, EXPERIMENTS[number].anchors)[0]) for number in range(1, 7)}
    shuffled = dict(COCO, annotations=COCO["annotations"][::-1])
    rows = predictions(range(1, 7), models, shuffled, SUBSETS, ["more"])
    assert [(row["experiment"], row["tested_on"]) for row in rows[:3]] == [(1, "gis"), (1, "more"), (2, "gis")]
    for row in rows:
        assert row["avg_iou"] == pytest.approx(row["best_iou"])
        assert row["roi_spearman"] == pytest.approx(1)
        assert row["avg_iou_matched"] >= 0.4
        assert row["avg_iou_forced"] is None or row["avg_iou_forced"] < 0.4
    related = {(each["predictor"], each["tested_on"]): each for each in correlations(rows)}
    assert related["best_iou", "gis"]["pearson"] == pytest.approx(1)
    assert related["best_iou", "more"]["experiments"] == "1 2 3 4 5 6"


def test_a_detector_that_is_always_the_same():
    rows = predictions([3], {3: model(3, np.full(60, 0.8))}, COCO, SUBSETS)
    assert rows[0]["roi_spearman"] is None
    assert correlations(rows) == []  # one experiment


def test_all_ten_are_correlated_on_their_own_test_sets():
    subsets = dict.fromkeys(("gis", "oaih", "cgoa"), SUBSETS["gis"])
    models = {number: model(number, np.linspace(0, 1, 60) / number) for number in (1, 2, 3, 4, 5, 6, 7, 9)}
    groups = {
        (each["tested_on"], each["experiments"])
        for each in correlations(predictions(range(1, 11), models, COCO, subsets))
    }
    assert groups == {("own", "1 2 3 4 5 6 7 8 9 10"), ("gis", "1 2 3 4 5 6")}


def test_files(tmp_path):
    models = {number: model(number, np.linspace(0, 1, 60)) for number in (1, 2, 3)}
    rows = predictions([1, 2, 3], models, COCO, SUBSETS)
    write_predictions(tmp_path / "anchors", rows)
    written = json.loads((tmp_path / "anchors.json").read_text())
    assert written["rows"] == rows
    table = list(csv.DictReader((tmp_path / "anchors.csv").open()))
    assert float(table[1]["matched"]) == rows[1]["matched"]
    text = (tmp_path / "anchors.md").read_text()
    assert f"| 3 | gis | 294 | {rows[2]['in_range']:.3f} |" in text
    assert "## Correlation" in text
