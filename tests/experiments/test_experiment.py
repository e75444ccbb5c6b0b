"""The facts of Table 2, literally."""

import pytest

from hipdet.paper.facts import DETAIL, DETAIL_OF, EXPERIMENTS, TEST, VALIDATION

SIX = (0.7, 1.0, 1.3, 1.6, 1.9, 2.2)
# experiment: anchors, grids, number of scales, trained on, tested on, first with the same training
TABLE_2 = {
    1: (63, (4, 2, 1), 3, ("cgoa", "oaih"), "gis", 1),
    2: (147, (7,), 3, ("cgoa", "oaih"), "gis", 2),
    3: (294, (7,), 6, ("cgoa", "oaih"), "gis", 3),
    4: (784, (7,), 16, ("cgoa", "oaih"), "gis", 4),
    5: (1519, (7,), 31, ("cgoa", "oaih"), "gis", 5),
    6: (6076, (14,), 31, ("cgoa", "oaih"), "gis", 6),
    7: (294, (7,), 6, ("cgoa",), "oaih", 7),
    8: (294, (7,), 6, ("cgoa",), "gis", 7),
    9: (294, (7,), 6, ("oaih",), "cgoa", 9),
    10: (294, (7,), 6, ("oaih",), "gis", 9),
}


@pytest.mark.parametrize("number", TABLE_2)
def test_table_2(number):
    experiment = EXPERIMENTS[number]
    anchors = experiment.anchors
    found = (
        anchors.per_image,
        anchors.grids,
        len(anchors.scales),
        experiment.trained_on,
        experiment.tested_on,
        experiment.training,
    )
    assert found == TABLE_2[number]


def test_scales():
    assert EXPERIMENTS[1].anchors.scales == (0.7, 1.0, 1.3)
    assert EXPERIMENTS[2].anchors.scales == (0.7, 1.45, 2.2)
    assert EXPERIMENTS[3].anchors.scales == EXPERIMENTS[10].anchors.scales == SIX
    assert (EXPERIMENTS[5].anchors.scales[1], EXPERIMENTS[6].anchors.scales[-2:]) == (0.75, (2.15, 2.2))


def test_files_and_words():
    experiment = EXPERIMENTS[9]
    assert experiment.annotation_files == (
        "annotations/oaih_train.json",
        "annotations/oaih_val.json",
        "annotations/cgoa.json",
    )
    assert str(EXPERIMENTS[4]) == "grid 7, 16 scales 0.7 .. 2.2 by 0.1, 784 anchors; CGOA+OAIH -> GIS"


def test_the_papers_tables_hang_together():
    assert set(TEST) == set(VALIDATION) == set(EXPERIMENTS)
    for number, experiment in EXPERIMENTS.items():  # one training, one validation row
        assert VALIDATION[number] == VALIDATION[experiment.training]
    for key in ("avg_iou", "avg_conf", "min_iou", "acc50"):
        assert DETAIL["test"][key] == TEST[DETAIL_OF][key]
    parts = [DETAIL[name] for name in ("train", "val", "test")]
    for key in ("num_images", "num_rois", "below50"):
        assert sum(part[key] for part in parts) == DETAIL["all"][key]
    # "all" is the mean over ROIs of the three sets
    for key in ("avg_iou", "avg_conf"):
        mean = sum(part[key] * part["num_rois"] for part in parts) / DETAIL["all"]["num_rois"]
        assert round(mean, 4) == DETAIL["all"][key]
