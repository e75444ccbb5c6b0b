"""The ten configs, and the experiments on other backbones."""

import pytest
from mmengine.config import Config

from hipdet.core.errors import ConfigError
from hipdet.paper.facts import EXPERIMENTS
from hipdet.paper.settings import settings
from tool_runs import REPOSITORY


def load(name):
    return Config.fromfile(REPOSITORY / f"configs/{name}.py")


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_a_config_is_the_difference_and_says_so(number):
    text = (REPOSITORY / f"configs/hip_ssd_exp{number}.py").read_text()
    assert text.splitlines()[0] == f"# Experiment {number} of the paper: {EXPERIMENTS[number]}."
    from_exp3 = load("hip_ssd_exp3")
    from_exp3.merge_from_dict(settings(number, from_exp3))
    assert from_exp3.to_dict() == load(f"hip_ssd_exp{number}").to_dict()


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
