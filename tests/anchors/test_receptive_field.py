"""The pixels that a gradient reaches are the receptive field."""

import pytest
import torch
from mmdet.models import ResNet

from hipdet.anchors.feature_map import Backbone, receptive_field


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
    Of blocks of two pixels: 550.
    """
    assert receptive_field(18, 3) == 275
    assert receptive_field(18, 3, reduction=2) == 550
    assert receptive_field(18, 3, reduction=3) == 825
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((14,)) == 550
    # layer2 alone, with two convolutions of jump 8: 99 + 2 x 2 x 8 = 131
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((28,)) == 262
    # behind a convolution of stride 2: 211 + 2 x 16 + 2 x 16 + 2 x 32 = 339
    assert Backbone(448, stages=3, reduction=2, depth=18).receptive_field((7,)) == 678
