"""Films of one channel against mmdet's own preprocessor on three equal ones."""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample

from hipdet.models import GreyPreprocessor

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


def test_colour_stays_colour():
    colour = dict(inputs=[torch.arange(3 * 32 * 32).reshape(3, 32, 32).float() % 256], data_samples=None)
    expected = DetDataPreprocessor(**SETTINGS)(dict(colour))
    assert torch.equal(GreyPreprocessor(**SETTINGS)(colour)["inputs"], expected["inputs"])
