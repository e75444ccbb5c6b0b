"""The facts of Table 2 word for word, the ten configs, and the experiments on other backbones."""

import pytest
from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from hipdet.core.errors import ConfigError
from hipdet.paper.facts import DETAIL, DETAIL_OF, EXPERIMENTS, TEST, VALIDATION, settings
from places import REPOSITORY

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


def test_the_papers_tables_agree():
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


def load(name):
    return Config.fromfile(REPOSITORY / f"configs/{name}.py")


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_a_config_has_the_anchors_and_films_of_its_experiment(number):
    experiment, cfg = EXPERIMENTS[number], load(f"hip_ssd_exp{number}")
    generator = TASK_UTILS.build(cfg.model.bbox_head.anchor_generator)
    side = cfg.image_size[0]
    assert tuple(side // stride for stride, _ in generator.strides) == experiment.anchors.grids
    assert tuple(generator.scales.tolist()) == pytest.approx(experiment.anchors.scales)
    for part, file in zip(("train", "val", "test"), experiment.annotation_files):
        assert cfg[f"{part}_dataloader"].dataset.ann_file == file
        evaluators = cfg.get(f"{part}_evaluator", [])  # training has none
        assert [each.ann_file for each in evaluators] == [f"data/{file}"] * len(evaluators)


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_a_config_is_experiment_3_with_the_settings_of_its_own(number):
    """What ``hipdet experiments`` trains is what the config says."""
    from_exp3 = load("hip_ssd_exp3")
    from_exp3.merge_from_dict(settings(number, from_exp3))
    assert from_exp3.to_dict() == load(f"hip_ssd_exp{number}").to_dict()


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_a_config_says_which_experiment_it_is(number):
    text = (REPOSITORY / f"configs/hip_ssd_exp{number}.py").read_text()
    assert text.splitlines()[0] == f"# Experiment {number} of the paper: {EXPERIMENTS[number]}."


def test_one_map_of_14x14_comes_from_layer3():
    cfg = load("hip_ssd_exp6")
    assert (cfg.model.backbone.num_stages, cfg.model.backbone.out_indices) == (3, (2,))
    assert cfg.model.bbox_head.in_channels == 1024
    prefixes = [prefix for group in cfg.optim_wrapper.paramwise_cfg.groups for prefix in group.prefixes]
    assert "backbone.layer3" in prefixes
    assert "backbone.layer4" not in prefixes


def test_on_a_small_backbone():
    cfg = load("hip_ssd_r18_demo")
    cfg.merge_from_dict(settings(6, cfg))
    assert cfg.model.bbox_head.in_channels == 128
    assert cfg.model.bbox_head.dropout == 0.1  # the rest stays
    assert cfg.test_evaluator[1].rois_per_image == 2
    assert cfg.test_evaluator[1].ann_file == "data/annotations/gis.json"


def test_three_levels_on_a_map_of_seven():
    assert load("hip_ssd_exp1").model.bbox_head.downsamples == [1, 2, 3]  # 7 -> 4 -> 2 -> 1


@pytest.mark.parametrize("number", [0, 11])
def test_no_such_experiment(number):
    with pytest.raises(ConfigError, match="experiments 1 to 10"):
        settings(number, load("hip_ssd_exp3"))
