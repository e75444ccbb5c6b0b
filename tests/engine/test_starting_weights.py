"""Weights that a backbone starts from: what is loaded, what may be left over, and every file that is refused.

ImageNet weights of a ResNet-18 from elsewhere, against the embedding that came with them and against mmdet's ResNet.
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from safetensors.torch import save_file

from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.starting_weights import PretrainedWeights
from hipdet.models.backbones import GreyResNet
from places import REPOSITORY

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SOURCE = dict(depth=18, blocks=(2, 2, 2, 2), channel_order="rgb", mean=MEAN, std=STD)
CNTK = dict(
    depth=18, blocks=(2, 2, 2, 3), channel_order="bgr", mean=(103.0625, 115.9029, 123.1518), std=(1.0, 1.0, 1.0)
)
TWO_STAGES = dict(depth=18, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))


class LongResNet(ResNet):
    """The ResNet-18 of the shared weights."""

    arch_settings = {18: (ResNet.arch_settings[18][0], (2, 2, 2, 3))}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def random_weights():
    """All of ResNet-18 with a classifier, under torchvision's names, which are mmdet's."""
    torch.manual_seed(0)
    state = {name: torch.rand_like(value.float()) for name, value in ResNet(depth=18).state_dict().items()}
    return {**state, "fc.weight": torch.zeros(1000, 512)}


@pytest.fixture
def weights(tmp_path):
    torch.save(random_weights(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def configure(checkpoint):
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_roi_imagenet.py")
    for part in (cfg.model.backbone, cfg.model.refiner.backbone):
        assert part.init_cfg.checkpoint.startswith("https://download.pytorch.org/models/resnet18-")
        part.init_cfg.checkpoint = str(checkpoint)
        part.init_cfg.sha256 = digest(checkpoint)
    return cfg


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
        for name in own:
            torch.testing.assert_close(own[name], state[name].to(own[name].dtype))
    assert not detector.refiner.vote.weight.any()  # the rest begins as from scratch


def torchvision_resnet101():
    """Random weights under the names and shapes of torchvision's ``resnet101-63fe2227.pth``."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    norms = {"bn1": 64}
    inside = 64
    for stage, blocks in enumerate((3, 4, 23, 3), 1):
        width = 32 * 2**stage
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (out, kernel) in enumerate(((width, 1), (width, 3), (4 * width, 1)), 1):
                shapes[f"{name}.conv{number}.weight"] = (out, inside if number == 1 else width, kernel, kernel)
                norms[f"{name}.bn{number}"] = out
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, inside, 1, 1)
                norms[f"{name}.downsample.1"] = 4 * width
            inside = 4 * width
    for name, size in norms.items():
        shapes.update({f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")})
    torch.manual_seed(0)
    return {name: 0.02 * torch.randn(shape) + 1 for name, shape in shapes.items()}


def test_the_papers_network_starts_from_a_file_like_torchvisions(tmp_path):
    weights = torchvision_resnet101()
    counted = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    assert (
        sum(value.numel() for name, value in weights.items() if "running" not in name) == 44_549_160
    )  # torchvision's count
    torch.save(weights, tmp_path / "resnet101.pth")
    init_default_scope("mmdet")
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_exp3.py")
    assert cfg.model.backbone.init_cfg.checkpoint.endswith("/resnet101-63fe2227.pth")
    cfg.model.backbone.init_cfg.update(
        checkpoint=str(tmp_path / "resnet101.pth"), sha256=digest(tmp_path / "resnet101.pth")
    )
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    found = backbone.state_dict()
    for name, value in counted.items():
        torch.testing.assert_close(found[name], value, msg=name)
    assert {name for name in found if not name.endswith("num_batches_tracked")} == set(counted)


def test_pretrained_layers_learn_slower(weights):
    cfg = configure(weights)
    detector = MODELS.build(cfg.model)
    groups = build_optim_wrapper(detector, cfg.optim_wrapper).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.002, 0.0002])
    slow = {id(parameter) for parameter in groups[1]["params"]}
    assert slow == {id(p) for part in (detector.backbone, detector.refiner.backbone) for p in part.parameters()}


def started(module, path, source=SOURCE, sha256=None):
    """`module` with the weights of `path`."""
    PretrainedWeights(str(path), sha256 or digest(path), source)(module)
    module.eval()  # returns nothing
    return module


def greys(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("std", [STD, (1.0, 1.0, 1.0), (20.0, 40.0, 80.0)])
def test_the_scale_of_the_network_is_its_own(weights, std):
    """The first convolution makes up for it: the features are those of mmdet's ResNet on normalised films."""
    network = started(GreyResNet(18, mean=MEAN, std=std, out_indices=(3,)), weights)
    expected = started(ResNet(18, out_indices=(3,)), weights)
    film = greys(2, 1, 64, 96)
    mean, scale = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (MEAN, STD))
    with torch.no_grad():
        torch.testing.assert_close(network(film)[0], expected((film - mean) / scale)[0], atol=1e-4, rtol=1e-4)


def test_one_channel_has_the_sum_of_three(weights):
    """By hand, at a pixel whose 7x7 window is inside: sum of w (x - m) / s over planes and window, then normalised."""
    network = started(GreyResNet(**TWO_STAGES, in_channels=1, mean=MEAN, std=STD), weights)
    state, film = random_weights(), greys(1, 1, 32, 32)
    window = film[0, 0, 13:20, 13:20]  # of the output pixel (8, 8): stride 2, padding 3
    planes = torch.stack([(window - mean) / std for mean, std in zip(MEAN, STD)])
    summed = (state["conv1.weight"] * planes).sum((1, 2, 3))
    expected = (summed - state["bn1.running_mean"]) / (state["bn1.running_var"] + 1e-5).sqrt()
    expected = expected * state["bn1.weight"] + state["bn1.bias"]
    normalised = (film - network.mean) / network.std
    with torch.no_grad():
        found = network.bn1(network.conv1(normalised))[0, :, 8, 8]
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-4)  # of values up to 1000


def test_safetensors_of_others_and_half_precision(tmp_path):
    state = {name: value.half() for name, value in random_weights().items() if not name.startswith("fc")}
    save_file(state, tmp_path / "a.safetensors")
    network = started(ResNet(18), tmp_path / "a.safetensors")
    assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"].float())


def without(name):
    return lambda state: state.pop(name)


def added(name):
    return lambda state: state.update({name: torch.zeros(3)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer1.0.conv1.weight"), "1 missing, such as layer1.0.conv1.weight"),
        (added("layer2.0.conv9.weight"), "1 unknown, such as layer2.0.conv9.weight"),
        (added("neck.weight"), "1 unknown, such as neck.weight"),
        (added("bn1.weight"), r"1 of another shape, such as bn1.weight is \(3,\), but \(64,\) in the model"),
        (added("layer4.2.bn1.weight"), r"stages of \[2, 2, 2, 3\] blocks, but init_cfg.source declares \[2, 2, 2, 2\]"),
        (added("fc.bias"), None),
        (added("layer3.1.conv9.weight"), None),  # a stage that the network lacks
    ],
)
def test_what_may_be_left_over(tmp_path, change, words):
    state = random_weights()
    change(state)
    torch.save(state, tmp_path / "a.pth")
    network = ResNet(**TWO_STAGES)
    if words is None:
        started(network, tmp_path / "a.pth")
        assert torch.equal(network.conv1.weight, state["conv1.weight"])
        return
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"a\.pth: .*{words}"):
        started(network, tmp_path / "a.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(depth=34), r"is of a ResNet of depth 18 .* but the backbone has depth 34 .*: set depth=18"),
        (
            dict(depth=18, blocks=(2, 3, 2, 2)),
            r"but the backbone has depth 18 and \[2, 3, 2, 2\]: set .*blocks=\(2, 2, 2",
        ),
        (dict(depth=18, mean=(103.0, 116.0, 123.0)), r"is for means of \[123.675, .*: set mean=\(123.675,"),
        (dict(depth=18, in_channels=1, mean=(0.0, 0.0, 0.0)), r"but the backbone has \[0.0\]: set mean="),
    ],
)
def test_another_network(weights, settings, words):
    with pytest.raises(ConfigError, match=words):
        started(GreyResNet(**settings), weights)


def test_another_file(weights):
    with pytest.raises(
        CheckpointError, match=rf"SHA-256 is {digest(weights)}, but the config declares 12345678: get it"
    ):
        started(ResNet(18), weights, sha256="12345678")


@pytest.mark.parametrize("sha256", ["", "1234567", "XYZ45678", None])
def test_no_sha256(weights, sha256):
    with pytest.raises(ConfigError, match=r"expected 8 to 64 digits of a SHA-256, .*: sha256sum .*resnet18\.pth"):
        PretrainedWeights(str(weights), sha256, SOURCE)


@pytest.mark.parametrize("fault", [dict(channel_order="grb"), dict(mean=(1.0,)), dict(std=(1.0, 1.0, 0.0))])
def test_no_source(weights, fault):
    with pytest.raises(ConfigError, match=r"init_cfg\.source: expected channel_order 'rgb' or 'bgr', three means"):
        PretrainedWeights(str(weights), digest(weights), {**SOURCE, **fault})


def test_no_network_no_file(tmp_path, weights):
    cfg = configure(weights)
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="init_cfg"):
        MODELS.build(cfg.model).init_weights()


def test_the_shared_weights(shared):
    """Their README's embedding: of waves in three planes, computed by another program from the source file."""
    folder = shared / "weights"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    path = folder / "resnet18_imagenet.safetensors"
    check = json.loads((folder / "resnet18_check.json").read_text())
    y, x = np.mgrid[:224, :224]
    waves = [
        np.floor(127.5 + 127.4 * np.sin(2 * np.pi * 3 * x / 224 + c) * np.cos(2 * np.pi * 2 * y / 224 + c / 2))
        for c in range(3)
    ]
    mean = torch.tensor(check["mean_bgr"]).reshape(1, 3, 1, 1)
    colour = started(LongResNet(18, out_indices=(3,)), path, CNTK, "5845621a")
    with torch.no_grad():
        (found,) = colour(torch.tensor(np.stack(waves)).float()[None] - mean)
    torch.testing.assert_close(found.mean((2, 3))[0], torch.tensor(check["embedding"]), atol=0.01, rtol=0)

    grey = started(GreyResNet(18, blocks=CNTK["blocks"], mean=CNTK["mean"], out_indices=(3,)), path, CNTK, "5845621a")
    film = greys(2, 1, 128, 96)
    with torch.no_grad():
        torch.testing.assert_close(grey(film)[0], colour(film - mean)[0], atol=1e-4, rtol=1e-4)
