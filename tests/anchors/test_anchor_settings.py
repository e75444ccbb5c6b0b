"""Anchors of any grid in a config: the model builds, and its maps have the cells that the plan counted on."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.anchors import AnchorSet
from hipdet.anchors.settings import all_grids, anchor_settings, coarsest_of_backbone, feature_map, image_side
from hipdet.errors import ConfigError
from tool_runs import REPOSITORY


def demo():
    return Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py")


@pytest.mark.parametrize(
    ("grids", "side", "expected"),
    [
        ((7,), 224, (4, [0])),
        ((4, 2, 1), 224, (4, [1, 2, 3])),
        ((14,), 224, (3, [0])),
        ((14, 7), 224, (3, [0, 1])),
        ((28,), 224, (2, [0])),
        ((14,), 448, (4, [0])),
    ],
)
def test_feature_map(grids, side, expected):
    assert feature_map(grids, side) == expected


@pytest.mark.parametrize("grids", [(3,), (56,), (28, 4, 3)])
def test_grids_that_no_map_has(grids):
    with pytest.raises(ConfigError, match=r"a ResNet offers \[1, 2, 4, 7, 14, 28\]"):
        feature_map(grids)


def test_all_grids():
    assert all_grids() == [1, 2, 4, 7, 14, 28]
    assert all_grids(448) == [1, 2, 4, 7, 14, 28, 56]
    assert (coarsest_of_backbone(), coarsest_of_backbone(448)) == (7, 14)
    assert image_side({}) == 224
    assert image_side({"image_size": (448, 448)}) == 448


@pytest.mark.parametrize(
    "anchors",
    [
        AnchorSet((1,), (0.5,)),
        AnchorSet((4,), (1.0, 1.5)),
        AnchorSet((7,), (1.0, 1.5), (1.0, 2.0)),
        AnchorSet((14, 7), (1.0, 1.4)),
        AnchorSet((28,), (1.0,), (0.5,)),
    ],
    ids=str,
)
def test_the_model_has_these_anchors(anchors):
    init_default_scope("mmdet")
    cfg = demo()
    cfg.merge_from_dict(anchor_settings(anchors, cfg))
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        scores, _ = model.bbox_head(model.backbone(torch.zeros(1, 3, 224, 224)))
    assert [score.shape[-1] for score in scores] == list(anchors.grids)
    priors = torch.cat(
        model.bbox_head.prior_generator.grid_priors([score.shape[-2:] for score in scores], device="cpu")
    )
    assert len(priors) == anchors.per_image
    found = {tuple(side) for side in (priors[:, 2:] - priors[:, :2]).div(224).round(decimals=4).tolist()}
    expected = torch.tensor([shape[1:] for shape in anchors.shapes()]).round(decimals=4).tolist()
    assert found == {tuple(side) for side in expected}


def test_every_stage_of_the_training_has_something_to_thaw():
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    changed = anchor_settings(AnchorSet((28,), (1.0,)), cfg)
    groups = [group["prefixes"] for group in changed["optim_wrapper"]["paramwise_cfg"]["groups"]]
    assert groups == [["bbox_head"], ["backbone.layer2"], ["backbone.conv1", "backbone.bn1", "backbone.layer1"]]
    assert changed["model"]["bbox_head"]["in_channels"] == 512


def test_a_base_that_ends_early():
    with pytest.raises(ConfigError, match="needs a ResNet with 4 stages"):
        anchor_settings(AnchorSet((28,), (1.0,)), Config.fromfile(REPOSITORY / "configs/hip_ssd_exp6.py"))
