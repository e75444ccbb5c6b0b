"""The tables from scores with known metrics; predicted and measured values from known scores."""

import csv
import json

import numpy as np
import pytest

from hipdet.anchors.coverage import best_anchors
from hipdet.anchors.rois import Rois
from hipdet.paper import facts as paper
from hipdet.paper.facts import EXPERIMENTS
from hipdet.paper.scores import Scores
from hipdet.paper.tables import (
    TABLE2,
    TABLE3,
    TrainedModel,
    correlations,
    predictions,
    runs,
    table2,
    table3,
    write_anchor_table,
    write_paper_table,
)
from roi_sets import build_label_coco, squares

# the paper's own counts: experiment -> (misses, ROIs of the test set)
MISSES = {1: (3, 202), 2: (2, 202), 3: (2, 202), 4: (1, 202), 5: (2, 202), 6: (1, 202)}
MISSES.update({7: (33, 6016), 8: (3, 202), 9: (132, 8580), 10: (2, 202)})
SIZES = dict(cgoa=4290, oaih=3008, gis=101)  # films, each with two hips


def subsets():
    """Image ids as :func:`hipdet.paper.data.gather` numbers and splits the paper's films."""
    cgoa, oaih, gis = range(1, 4291), range(4291, 7299), range(7299, 7400)
    parts = dict(cgoa=cgoa, oaih=oaih, gis=gis)
    for name, val in (("cgoa", 429), ("oaih", 301)):
        parts[f"{name}_train"], parts[f"{name}_val"] = parts[name][val:], parts[name][:val]
    for part in ("train", "val"):
        parts[f"cgoa_oaih_{part}"] = [*parts[f"cgoa_{part}"], *parts[f"oaih_{part}"]]
    return {name: list(ids) for name, ids in parts.items()}


def model(number, misses=0, tested_on="gis", means=None, seeds=1):
    """Scores with `misses` ROIs at IoU 0.45 in the test set, and the given mean IoU in train, val and test."""
    parts, image_id = subsets(), np.repeat(np.arange(1, 7400), 2)
    iou = np.full(len(image_id), 0.9)
    if means:
        for name, mean in zip(("cgoa_oaih_train", "cgoa_oaih_val", "gis"), means):
            iou[np.isin(image_id, parts[name])] = mean
    rows = np.flatnonzero(np.isin(image_id, parts[tested_on]))
    iou[rows[:misses]] = 0.45
    source = np.repeat(["cgoa", "oaih", "gis"], [2 * size for size in SIZES.values()])
    scores = Scores(
        np.tile(iou, (seeds, 1)),
        np.full((seeds, len(iou)), 0.8),
        image_id,
        source,
        np.tile(["left", "right"], len(iou) // 2),
        np.full(len(iou), 0.2),
    )
    record = dict(training=number, seed=0, epochs=120, train_images=6568, val_images=730, shared_patients=0)
    record.update(parameters=47288670, seconds=60.0, checkpoint="epoch_120.pth")
    record["coco"] = {name: dict(coco_map=0.7, coco_ap50=0.99) for name in parts}
    return TrainedModel(number, scores, [dict(record, seed=seed) for seed in range(seeds)])


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_the_papers_counts_print_the_papers_metrics(number, tmp_path):
    experiment = EXPERIMENTS[number]
    misses, rois = MISSES[number]
    models = {experiment.training: model(experiment.training, misses, experiment.tested_on)}
    rows = table2([number], models, subsets())
    assert (rows[0]["test_below50"], rows[0]["test_num_rois"]) == (misses, rois)
    write_paper_table(tmp_path / "table2", "Table 2", TABLE2, rows, rows, {}, runs([number], models))
    line = next(line for line in (tmp_path / "table2.md").read_text().splitlines() if line.startswith(f"| {number} |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    at = list(TABLE2).index("test acc50")
    ours, printed = cells[at].split(" ")[0], cells[at + 1]
    assert ours == printed == f"{paper.TEST[number]['acc50']:.4f}"
    assert cells[list(TABLE2).index("anchors")] == str(experiment.anchors.per_image)


def test_table_3_of_the_papers_counts(tmp_path):
    found = table3(3, model(3, misses=2, means=(0.9260, 0.8571, 0.8115 + 2 * (0.8115 - 0.45) / 200)), subsets())
    rows = {row["set"]: row for row in found if not row["part"]}
    assert list(rows) == ["all", "train", "val", "test"]
    for name, row in rows.items():
        for key in ("num_images", "num_rois", "below50", "avg_iou", "acc50"):
            assert f"{row[key]:.4f}" == f"{paper.DETAIL[name][key]:.4f}", (name, key)
            assert row[f"paper_{key}"] == paper.DETAIL[name][key]
    parts = {(row["set"], row["part"]) for row in found if row["part"]}
    assert ("all", "data set oaih") in parts
    assert ("test", "picture side left") in parts
    assert ("test", "ratio 0.20 to 0.25") in parts
    write_paper_table(tmp_path / "table3", "Table 3", TABLE3, found, found, {}, [])
    assert "| 3 | test |  | 101 | 202 | 0.8115 [" in (tmp_path / "table3.md").read_text()


def test_the_papers_table_3_is_compared_with_experiment_3_only():
    assert not any(key.startswith("paper") for row in table3(8, model(7), subsets()) for key in row)


def test_further_test_sets_have_rows_without_the_paper():
    rows = table2([1, 3], {1: model(1), 3: model(3)}, subsets(), ["oaih"])
    assert [(row["experiment"], row["tested_on"]) for row in rows] == [(1, "gis"), (1, "oaih"), (3, "gis"), (3, "oaih")]
    assert "paper_test_avg_iou" in rows[0]
    assert "paper_test_avg_iou" not in rows[1]
    assert rows[1]["test_num_rois"] == 6016


def test_files_hold_the_same(tmp_path):
    models = {3: model(3, misses=1, seeds=2)}
    rows = table2([3], models, subsets())
    write_paper_table(tmp_path / "table2", "Table 2", TABLE2, rows, rows, dict(seeds=[0, 1]), runs([3], models))
    written = json.loads((tmp_path / "table2.json").read_text())
    assert written["rows"] == rows
    assert written["seeds"] == [0, 1]
    assert [run["seed"] for run in written["runs"]] == [0, 1]
    (line,) = csv.DictReader((tmp_path / "table2.csv").open())
    assert float(line["test_acc50"]) == rows[0]["test_acc50"] == 201 / 202
    assert rows[0]["test_resampled"] == line["test_resampled"] == "films (patients not known)"  # no patients were given
    text = (tmp_path / "table2.md").read_text()
    assert "| films (patients not known) |" in text
    assert "0.9950 ± 0.0000 [0.98" in text
    assert "* seeds: 0, 1" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| 3 | cgoa_oaih") or "exp |" in line}
    assert widths == {len(TABLE2) + 1}


COCO = build_label_coco(squares(np.random.default_rng(0).uniform(0.1, 0.3, 60)))
ROIS = Rois.of_coco(COCO)
SUBSETS = dict(gis=list(range(1, 41)), more=list(range(41, 61)))  # one ROI a film


def predicted_model(number, iou):
    image_id = np.arange(1, 61)
    names = np.array(["gis"] * 40 + ["more"] * 20)
    scores = Scores(np.atleast_2d(iou), np.ones((1, 60)), image_id, names, np.full(60, "left"), ROIS.ratios)
    return TrainedModel(number, scores, [])


def test_a_detector_that_does_what_the_anchors_allow():
    models = {
        number: predicted_model(number, best_anchors(ROIS, EXPERIMENTS[number].anchors)[0]) for number in range(1, 7)
    }
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
    rows = predictions([3], {3: predicted_model(3, np.full(60, 0.8))}, COCO, SUBSETS)
    assert rows[0]["roi_spearman"] is None
    assert correlations(rows) == []  # one experiment


def test_all_ten_are_correlated_on_their_own_test_sets():
    subsets = dict.fromkeys(("gis", "oaih", "cgoa"), SUBSETS["gis"])
    models = {number: predicted_model(number, np.linspace(0, 1, 60) / number) for number in (1, 2, 3, 4, 5, 6, 7, 9)}
    groups = {
        (each["tested_on"], each["experiments"])
        for each in correlations(predictions(range(1, 11), models, COCO, subsets))
    }
    assert groups == {("own", "1 2 3 4 5 6 7 8 9 10"), ("gis", "1 2 3 4 5 6")}


def test_files(tmp_path):
    models = {number: predicted_model(number, np.linspace(0, 1, 60)) for number in (1, 2, 3)}
    rows = predictions([1, 2, 3], models, COCO, SUBSETS)
    write_anchor_table(tmp_path / "anchors", rows)
    written = json.loads((tmp_path / "anchors.json").read_text())
    assert written["rows"] == rows
    table = list(csv.DictReader((tmp_path / "anchors.csv").open()))
    assert float(table[1]["matched"]) == rows[1]["matched"]
    text = (tmp_path / "anchors.md").read_text()
    assert f"| 3 | gis | 294 | {rows[2]['in_range']:.3f} |" in text
    assert "## Correlation" in text
