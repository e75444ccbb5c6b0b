"""A ResNet that normalises greys itself, against mmdet's behind mmdet's preprocessor."""

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.backbones import ResNet

from hipdet.models.backbones import GreyResNet

SETTINGS = dict(depth=18, base_channels=8, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def test_equals_mmdets_on_three_normalised_channels():
    torch.manual_seed(0)
    grey, colour = GreyResNet(**SETTINGS), ResNet(**SETTINGS)
    colour.load_state_dict(grey.state_dict())  # the same names: a checkpoint fits both
    films = torch.randint(0, 256, (2, 1, 64, 96))
    three = [film.expand(3, -1, -1) for film in films]
    for bgr_to_rgb in (False, True):
        preprocessor = DetDataPreprocessor(mean=MEAN, std=STD, bgr_to_rgb=bgr_to_rgb)
        expected = colour(preprocessor(dict(inputs=three, data_samples=None))["inputs"])
        for inputs in (list(films), three):
            (found,) = grey(DetDataPreprocessor()(dict(inputs=inputs, data_samples=None))["inputs"])
            torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)


def test_other_means():
    film = torch.full((1, 1, 32, 32), 5.0)
    first = GreyResNet(**SETTINGS)
    second = GreyResNet(**SETTINGS, mean=[5.0] * 3, std=[1.0] * 3)
    second.load_state_dict(first.state_dict())
    first.eval()
    second.eval()
    assert second(film)[0].abs().max() == 0  # BatchNorm without offsets keeps 0
    assert first(film)[0].abs().max() > 0
