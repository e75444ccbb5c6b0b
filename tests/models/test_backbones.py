"""Films of one channel against mmdet's own preprocessor on three equal ones.

A ResNet that normalises greys itself, against mmdet's behind mmdet's preprocessor.
"""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from hipdet.models.backbones import GreyPreprocessor, GreyResNet
from places import REPOSITORY

SETTINGS = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32
)  # fmt: skip


def batch(shapes, channels, dtype):
    generator = torch.Generator().manual_seed(0)
    films = [torch.randint(0, 256, (1, *shape), generator=generator).to(dtype) for shape in shapes]
    samples = [DetDataSample(metainfo=dict(img_shape=shape)) for shape in shapes]
    return dict(inputs=[film.expand(channels, -1, -1).clone() for film in films], data_samples=samples)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "shapes", [[(64, 64)] * 3, [(64, 64), (32, 96)], [(50, 70)] * 2], ids=["one", "several", "odd"]
)
def test_equals_mmdets_on_three_channels(shapes, channels, dtype):
    expected = DetDataPreprocessor(**SETTINGS)(batch(shapes, 3, dtype), training=True)
    found = GreyPreprocessor(**SETTINGS)(batch(shapes, channels, dtype), training=True)
    assert torch.equal(found["inputs"], expected["inputs"])
    for mine, theirs in zip(found["data_samples"], expected["data_samples"]):
        assert mine.metainfo == theirs.metainfo
    if len(set(shapes)) == 1:  # as collate_films gives them
        data = batch(shapes, channels, dtype)
        data["inputs"] = torch.stack(data["inputs"])
        assert torch.equal(GreyPreprocessor(**SETTINGS)(data, training=True)["inputs"], expected["inputs"])


def test_colour_stays_colour():
    colour = dict(inputs=[torch.arange(3 * 32 * 32).reshape(3, 32, 32).float() % 256], data_samples=None)
    expected = DetDataPreprocessor(**SETTINGS)(dict(colour))
    assert torch.equal(GreyPreprocessor(**SETTINGS)(colour)["inputs"], expected["inputs"])


def test_any_backbone_behind_it():
    """MobileNetV2 instead of the ResNet: it trains, and its exported graph gives its predictions."""
    pytest.importorskip("onnx")
    from hipdet.export.graph import DetectorGraph

    init_default_scope("mmdet")
    torch.manual_seed(0)
    cfg = Config.fromfile(REPOSITORY / "configs/hip_ssd_r18_demo.py")
    backbone = dict(type="MobileNetV2", widen_factor=0.25, out_indices=(7,))
    preprocessor = dict(type="GreyPreprocessor", **SETTINGS)
    cfg.model.bbox_head.in_channels = 1280
    detector = MODELS.build({**cfg.model, "backbone": backbone, "data_preprocessor": preprocessor})
    data = batch([(224, 224)] * 2, 1, torch.uint8)
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[40.0, 60, 90, 110]]), labels=torch.zeros(1).long())
    losses = detector.train()(**detector.data_preprocessor(data, training=True), mode="loss")
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())
    graph = DetectorGraph(detector.eval(), 224)
    with torch.no_grad():
        boxes, scores, _ = graph(data["inputs"][0][None], torch.tensor([224.0, 224.0]))
        prepared = detector.data_preprocessor(data)
        (found, _) = detector.predict(prepared["inputs"], prepared["data_samples"], rescale=False)
    torch.testing.assert_close(boxes, found.pred_instances.bboxes[: len(boxes)], atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, found.pred_instances.scores[: len(scores)], atol=1e-5, rtol=0)


RESNET_SETTINGS = dict(depth=18, base_channels=8, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def test_equals_mmdets_on_three_normalised_channels():
    torch.manual_seed(0)
    grey, colour = GreyResNet(**RESNET_SETTINGS), ResNet(**RESNET_SETTINGS)
    colour.load_state_dict(grey.state_dict())  # the same names: a checkpoint fits both
    films = torch.randint(0, 256, (2, 1, 64, 96))
    three = [film.expand(3, -1, -1) for film in films]
    for bgr_to_rgb in (False, True):
        preprocessor = DetDataPreprocessor(mean=MEAN, std=STD, bgr_to_rgb=bgr_to_rgb)
        expected = colour(preprocessor(dict(inputs=three, data_samples=None))["inputs"])
        for inputs in (list(films), three):
            (found,) = grey(DetDataPreprocessor()(dict(inputs=inputs, data_samples=None))["inputs"])
            torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)


def test_standardised_films():
    """Brightness and contrast make no difference: 3 * film + 20 is the same, but for the noise that FAINT guards against."""
    torch.manual_seed(0)
    network, plain = GreyResNet(**RESNET_SETTINGS, standardise=True), GreyResNet(**RESNET_SETTINGS)
    network.eval()
    plain.eval()
    film = torch.rand(1, 1, 64, 64) * 70
    spread = film.std()
    (found,) = network(film)
    (brighter,) = network(film * 3 + 20)
    torch.testing.assert_close(brighter, found, atol=0.2 * found.std().item(), rtol=0.2)
    # by hand: the means of ImageNet's three means, 114.495, and of its three deviations, 57.63; the guard is 4 grey values
    plain.load_state_dict(network.state_dict())
    by_hand = (film - film.mean()) * (57.63 / (spread + 4)) + 114.495
    torch.testing.assert_close(plain(by_hand)[0], found, atol=1e-4, rtol=1e-4)


def test_one_channel_equals_three_that_are_normalised_alike():
    """The first convolution of one channel has the sum of the weights of three; means and deviations are averages."""
    torch.manual_seed(0)
    three = GreyResNet(**RESNET_SETTINGS, mean=[114.495] * 3, std=[57.634] * 3)
    one = GreyResNet(**RESNET_SETTINGS, in_channels=1)
    weights = three.state_dict()
    weights["conv1.weight"] = weights["conv1.weight"].sum(1, keepdim=True)
    one.load_state_dict(weights)
    film = torch.randint(0, 256, (2, 1, 64, 96)).float()
    (expected,) = three(film)
    for films in (film, film.expand(-1, 3, -1, -1)):
        torch.testing.assert_close(one(films)[0], expected, atol=1e-4, rtol=1e-4)


def test_a_blank_film_is_no_division_by_zero():
    (found,) = GreyResNet(**RESNET_SETTINGS, standardise=True)(torch.full((2, 1, 32, 32), 7.0))
    assert found.isfinite().all()


def test_other_means():
    film = torch.full((1, 1, 32, 32), 5.0)
    first = GreyResNet(**RESNET_SETTINGS)
    second = GreyResNet(**RESNET_SETTINGS, mean=[5.0] * 3, std=[1.0] * 3)
    second.load_state_dict(first.state_dict())
    first.eval()
    second.eval()
    assert second(film)[0].abs().max() == 0  # BatchNorm without offsets keeps 0
    assert first(film)[0].abs().max() > 0
