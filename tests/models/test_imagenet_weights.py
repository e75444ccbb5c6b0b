"""The ImageNet variant: torchvision's file goes into both networks, whose stages end before it does."""

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from hipdet.core.errors import CheckpointError
from tool_runs import REPOSITORY


def configure(checkpoint):
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_roi_imagenet.py")
    for part in (cfg.model.backbone, cfg.model.refiner.backbone):
        assert part.init_cfg.checkpoint.startswith("https://download.pytorch.org/models/resnet18-")
        part.init_cfg.checkpoint = str(checkpoint)
    return cfg


@pytest.fixture
def weights(tmp_path):
    """All of ResNet-18 with a classifier, under torchvision's names, which are mmdet's."""
    torch.manual_seed(0)
    state = ResNet(depth=18).state_dict()
    state["fc.weight"] = torch.zeros(1000, 512)
    torch.save({name: torch.rand_like(value.float()) for name, value in state.items()}, tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def test_both_networks_begin_with_the_weights(weights):
    detector = MODELS.build(configure(weights).model)
    detector.init_weights()
    state = torch.load(weights, weights_only=True)
    for network, last in (
        (detector.backbone, "layer3.1.conv2.weight"),
        (detector.refiner.backbone, "layer2.1.conv2.weight"),
    ):
        own = network.state_dict()
        assert last in own
        assert all(torch.equal(own[name], state[name].to(own[name].dtype)) for name in own)
    assert not detector.refiner.vote.weight.any()  # the rest begins as from scratch


def test_pretrained_layers_learn_slower(weights):
    cfg = configure(weights)
    detector = MODELS.build(cfg.model)
    groups = build_optim_wrapper(detector, cfg.optim_wrapper).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.002, 0.0002])
    slow = {id(parameter) for parameter in groups[1]["params"]}
    assert slow == {id(p) for part in (detector.backbone, detector.refiner.backbone) for p in part.parameters()}


def test_no_network_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="init_cfg"):
        MODELS.build(configure(tmp_path / "none.pth").model).init_weights()
