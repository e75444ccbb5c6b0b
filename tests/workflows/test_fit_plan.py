"""The plan of hipdet fit follows from sizes and counts."""

from dataclasses import replace

import numpy as np
import pytest
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from hipdet.core.errors import ConfigError
from hipdet.engine.checkpoint import get_weights, read_checkpoint
from hipdet.workflows.fit_plan import LARGE_FROM, plan_fit, portable_text
from roi_sets import squares


@pytest.mark.parametrize(
    ("sizes", "pixels", "side", "reduction"),
    [
        (np.linspace(0.1, 0.3, 80), 2000, 448, 2),  # hips
        (np.linspace(0.5, 0.9, 80), 2000, 448, 4),
        (np.linspace(0.2, 0.3, 80), 450, 448, 4),  # knees: 20 px of a film that is reduced to 112 px
        (np.linspace(0.15, 0.3, 80), 2000, 448, 2),
        (np.linspace(0.04, 0.08, 80), 2000, 448, 1),
        (np.linspace(0.025, 0.05, 80), 2000, 640, 1),
        (np.linspace(0.02, 0.05, 80), 2000, 896, 1),
        (np.linspace(0.025, 0.05, 80), 450, 448, 1),  # the films have no more pixels
    ],
)
def test_the_first_look_is_as_coarse_as_the_rois_allow(sizes, pixels, side, reduction):
    rois = squares(sizes)
    plan = plan_fit(replace(rois, long_sides=np.full(len(rois.long_sides), float(pixels))))
    assert (plan.side, plan.reduction) == (side, reduction)


def test_every_part_of_the_config_has_the_size(tmp_path):
    rois = squares(np.linspace(0.025, 0.05, 80))
    plan = plan_fit(replace(rois, long_sides=np.full(len(rois.long_sides), 2000.0)))
    cfg = plan.config(tmp_path, "all.json", {"train_cfg.max_epochs": 7})
    text = portable_text(cfg, plan.reasons)
    assert cfg.image_size == (plan.side, plan.side)
    assert cfg.train_cfg.max_epochs == 7
    assert "448" not in str(cfg.train_dataloader) + str(cfg.test_dataloader)
    assert text.count(str(tmp_path)) == 0


@pytest.mark.parametrize("settings", [{}, {"load_from": None}])
def test_the_config_says_what_it_started_from(settings, tmp_path):
    """Its own ``load_from`` is None: a path of this machine."""
    plan = plan_fit(squares(np.full(60, 0.2)))
    text = portable_text(plan.config(tmp_path, "all.json", settings), plan.reasons)
    assert "\nload_from = None\n" in text
    assert ("# It started from phantoms.safetensors" in text) == (not settings)


@pytest.mark.parametrize(
    ("size", "rois_a_film", "pixels", "copies"),
    # 1.3 sizes of 448 px in crops of 64 px with at most 2 px a pixel; 40,000 px a film: 8.8 or 5.25 crops beside background
    [(0.2, 2, 64, 4), (0.21, 1, 64, 9), (0.23, 1, 80, 5), (0.5, 1, 80, 5), (0.9, 3, 80, 2), (0.05, 5, 64, 2)],
)
def test_crops_of_the_second_look(size, rois_a_film, pixels, copies, tmp_path):
    rois = squares(np.full(60, size), films=np.arange(60) // rois_a_film)
    plan = plan_fit(rois)
    assert (plan.pixels, plan.copies) == (pixels, copies)
    refiner = plan.config(tmp_path, "all.json").model.refiner
    assert (refiner.pixels, refiner.copies, refiner.mixing) == (pixels, copies, 7)
    assert (refiner.backbone.standardise, refiner.backbone.in_channels) == (True, 1)


@pytest.mark.parametrize(
    ("options", "slower"), [({}, [1, 0.1]), ({"load_from": "other.pth"}, [1, 0.1]), ({"load_from": None}, [1, 1])]
)
def test_only_pretrained_weights_learn_slower(options, slower, tmp_path):
    cfg = plan_fit(squares(np.full(60, 0.2))).config(tmp_path, "all.json", options)
    assert [group.get("lr_mult", 1) for group in cfg.optim_wrapper.paramwise_cfg.groups] == slower


@pytest.mark.parametrize("sizes", [(0.1, 0.3), (0.2, 0.3), (0.5, 0.9)])
def test_the_synthetic_weights_fit_the_planned_network(sizes, tmp_path):
    """But for what depends on the anchors, the first layers of both looks and all of the second begin with them."""
    cfg = plan_fit(squares(np.linspace(*sizes, 80))).config(tmp_path, "all.json")
    weights = get_weights(read_checkpoint(cfg.load_from))
    init_default_scope("mmdet")
    network = MODELS.build(cfg.model).state_dict()
    differ = {name for name in network if name not in weights or weights[name].shape != network[name].shape}
    assert all(name.startswith("bbox_head.conv_") for name in differ)
    assert any(name.startswith("refiner.mixing") for name in network)


@pytest.mark.parametrize(
    ("aspect", "rois_a_film", "stretch", "one_size"),
    [(1.0, 2, 1.3, "half"), (1.8, 2, 1.0, "half"), (1.0, 1, 1.3, False)],
)
def test_only_squares_are_stretched_and_only_several_share_a_size(aspect, rois_a_film, stretch, one_size, tmp_path):
    rois = squares(np.full(80, 0.2), films=np.arange(80) // rois_a_film)
    boxes = rois.boxes * (1, 1 / aspect, 1, 1 / aspect)
    plan = plan_fit(replace(rois, boxes=boxes))
    cfg = plan.config(tmp_path, "all.json")
    pipelines = (cfg.train_pipeline, cfg.train_dataloader.dataset.pipeline)
    found = [step.max_stretch for steps in pipelines for step in steps if step.type == "RandomSimilarity"]
    assert (found, cfg.model.one_size) == ([stretch, stretch], one_size)


def test_large_networks_for_many_films():
    few, many = (plan_fit(squares(np.linspace(0.1, 0.3, count))) for count in (LARGE_FROM - 1, LARGE_FROM))
    assert (few.record()["base"], many.record()["base"]) == ("hip_roi_resnet18", "hip_roi_large")


def test_a_folder_that_a_config_can_not_hold(tmp_path):
    with pytest.raises(ConfigError, match="mmengine substitutes variables"):
        plan_fit(squares([0.2] * 50)).config(tmp_path / "{{x}}", "all.json")
