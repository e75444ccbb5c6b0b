"""With anchors of any grid in a config, the model builds, and its maps have the cells that the plan expects.

The receptive field is compared with the pixels that a gradient reaches.
"""

import pytest
import torch
from mmdet.models import ResNet
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.feature_map import Backbone, anchor_settings, image_side, receptive_field
from hipdet.core.errors import ConfigError
from places import REPOSITORY


def demo():
    return Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py")


@pytest.mark.parametrize(
    ("grids", "backbone", "expected"),
    [
        ((7,), Backbone(), (4, [0])),
        ((4, 2, 1), Backbone(), (4, [1, 2, 3])),
        ((14,), Backbone(), (3, [0])),
        ((14, 7), Backbone(), (3, [0, 1])),
        ((28,), Backbone(), (2, [0])),
        ((14,), Backbone(448), (4, [0])),
        # hip_roi_*: 448 px reduced to 224, of which three stages make 14 cells of 16 px, and two 28
        ((14,), Backbone(448, stages=3, reduction=2), (3, [0])),
        ((7,), Backbone(448, stages=3, reduction=2), (3, [1])),
        ((28, 14), Backbone(448, stages=3, reduction=2), (2, [0, 1])),
        ((7,), Backbone(stages=3), (3, [1])),
    ],
)
def test_feature_map(grids, backbone, expected):
    assert backbone.feature_map(grids) == expected


@pytest.mark.parametrize("grids", [(3,), (56,), (28, 4, 3)])
def test_grids_that_no_map_has(grids):
    with pytest.raises(ConfigError, match=r"a ResNet of 4 stages offers \[1, 2, 4, 7, 14, 28\]"):
        Backbone().feature_map(grids)


def test_grids_of_a_reduced_film():
    with pytest.raises(
        ConfigError, match=r"\[56\] on 448 px reduced by 2: a ResNet of 3 stages offers \[1, 2, 4, 7, 14, 28\]"
    ):
        Backbone(448, stages=3, reduction=2).feature_map((56,))


def test_all_grids():
    assert Backbone().grids == [1, 2, 4, 7, 14, 28]
    assert Backbone(448).grids == [1, 2, 4, 7, 14, 28, 56]
    assert Backbone(448, stages=3, reduction=2).grids == [1, 2, 4, 7, 14, 28]
    assert Backbone(448, stages=2).grids == [1, 2, 4, 7, 14, 28, 56]
    assert [each.coarsest for each in (Backbone(), Backbone(448), Backbone(stages=3))] == [7, 14, 14]
    assert image_side({}) == 224
    assert image_side({"image_size": (448, 448)}) == 448


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hip_ssd_exp3", Backbone(224, 4, 1, 101)),
        ("hip_ssd_exp6", Backbone(224, 3, 1, 101)),
        ("hip_roi_medium", Backbone(448, 3, 2, 18)),
        ("hip_ssd_r18_demo", Backbone(224, 4, 1, 18)),
    ],
)
def test_of_configs(name, expected):
    assert Backbone.of(Config.fromfile(REPOSITORY / f"configs/{name}.py")) == expected


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


@pytest.mark.parametrize("grids", [(7,), (14,), (28,)])
def test_maps_of_a_reduced_film(grids):
    """The second look's detector: the maps have the cells, and the anchors the strides, of the unreduced film."""
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_roi_small.py")
    cfg.merge_from_dict(anchor_settings(AnchorSet(grids, (1.5,)), cfg))
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        anchors, *_ = model.bbox_head.flat(*model.bbox_head(model.extract_feat(torch.zeros(1, 1, 448, 448))))
    assert len(anchors) == grids[0] ** 2
    stride = 448 / grids[0]
    assert anchors[0].tolist() == [stride / 2 - 0.75 * stride, stride / 2 - 0.75 * stride, 1.25 * stride, 1.25 * stride]


def test_every_stage_of_the_training_has_something_to_unfreeze():
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    changed = anchor_settings(AnchorSet((28,), (1.0,)), cfg)
    groups = [group["prefixes"] for group in changed["optim_wrapper"]["paramwise_cfg"]["groups"]]
    assert groups == [["bbox_head"], ["backbone.layer2"], ["backbone.conv1", "backbone.bn1", "backbone.layer1"]]
    assert changed["model"]["bbox_head"]["in_channels"] == 512


def test_a_base_that_ends_early_ends_earlier():
    changed = anchor_settings(AnchorSet((28,), (1.0,)), Config.fromfile(REPOSITORY / "configs/hip_ssd_exp6.py"))
    assert changed["model"]["backbone"]["num_stages"] == 2
    assert changed["model"]["bbox_head"]["in_channels"] == 512  # layer2 of a ResNet-101


def reached(depth, stage, downsamples=0):
    backbone = ResNet(
        depth,
        num_stages=stage,
        out_indices=(stage - 1,),
        strides=(1, 2, 2, 2)[:stage],
        dilations=(1,) * stage,
        base_channels=2,
        style="pytorch",
        norm_cfg=dict(type="BN"),
    )
    backbone.eval()  # mmdet's returns None
    width = backbone.feat_dim
    strides = [1, *[2] * downsamples, 1]
    head = torch.nn.Sequential(*[torch.nn.Conv2d(width, width, 3, stride=stride, padding=1) for stride in strides])
    for module in (backbone, head):
        for parameter in module.parameters():  # nothing cancels
            torch.nn.init.constant_(parameter, 0.01)
    for module in backbone.modules():
        if isinstance(module, torch.nn.MaxPool2d):  # a maximum has a gradient at one pixel only
            module.forward = lambda x: torch.nn.functional.avg_pool2d(x, 3, 2, 1)
    film = torch.ones(1, 3, 1024, 1024, dtype=torch.float64, requires_grad=True)
    found = head.double()(backbone.double()(film)[0])
    middle = found.shape[-1] // 2
    found[0, 0, middle, middle].backward()
    rows = (film.grad[0, 0].abs().sum(dim=1) > 0).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(
    ("depth", "stage", "downsamples"), [(18, 2, 0), (18, 3, 0), (18, 4, 0), (50, 2, 0), (50, 3, 0), (18, 3, 1)]
)
def test_gradient(depth, stage, downsamples):
    assert receptive_field(depth, stage, downsamples) == reached(depth, stage, downsamples)


def test_literally():
    # 435 px behind layer4 of a ResNet-18 (as published), and two 3x3 convolutions at stride 32: 2 x 2 x 32 more
    assert receptive_field(18, 4) == 435 + 128
    assert receptive_field(101, 4) > 1000


def test_on_a_reduced_film():
    """Layer by layer, of a ResNet-18: field + (kernel - 1) x jump, where jump is the stride so far.

    7x7 stride 2: 7; pooling: 7 + 2 x 2 = 11, jump 4; layer1: 11 + 4 x 2 x 4 = 43; layer2: 43 + 2 x 4 + 3 x 2 x 8 = 99,
    jump 8; layer3: 99 + 2 x 8 + 3 x 2 x 16 = 211, jump 16; the head's two: 211 + 2 x 2 x 16 = 275.
    On blocks of two pixels: 550.
    """
    assert receptive_field(18, 3) == 275
    assert receptive_field(18, 3, reduction=2) == 550
    assert receptive_field(18, 3, reduction=3) == 825
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((14,)) == 550
    # layer2 alone, with two convolutions of jump 8: 99 + 2 x 2 x 8 = 131
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((28,)) == 262
    # behind a convolution of stride 2: 211 + 2 x 16 + 2 x 16 + 2 x 32 = 339
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((7,)) == 678
