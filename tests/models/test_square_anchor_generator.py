import pytest
import torch

from hipdet.core.errors import ConfigError
from hipdet.models.square_anchor_generator import SquareAnchorGenerator

EXP3 = dict(start=0.7, stop=2.2, step=0.3)


def priors(strides, scales, size=224):
    generator = SquareAnchorGenerator(strides=strides, scales=scales)
    return torch.cat(generator.grid_priors([(size // s, size // s) for s in strides], device="cpu"))


def test_experiment_3():
    anchors = priors([32], EXP3)
    assert anchors.shape == (294, 4)  # 7 * 7 * 6
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    sides = anchors[:, 2:] - anchors[:, :2]
    # order: row, column, scale
    expected = torch.tensor([[16 + 32.0 * (i // 6 % 7), 16 + 32.0 * (i // 42)] for i in range(294)])
    torch.testing.assert_close(centres, expected, atol=3e-5, rtol=0)
    torch.testing.assert_close(sides[:, 0], sides[:, 1])
    # 0.7 * 32 = 22.4 ... 2.2 * 32 = 70.4
    torch.testing.assert_close(sides[:6, 0], torch.tensor([22.4, 32.0, 41.6, 51.2, 60.8, 70.4]), atol=3e-5, rtol=0)


def test_first_and_last_anchor_literally():
    anchors = priors([32], EXP3)
    # centre 16, side 22.4: 16 - 11.2 .. 16 + 11.2; the last: centre 208, side 70.4, not clipped at 224
    torch.testing.assert_close(anchors[0], torch.tensor([4.8, 4.8, 27.2, 27.2]))
    torch.testing.assert_close(anchors[-1], torch.tensor([172.8, 172.8, 243.2, 243.2]))


@pytest.mark.parametrize(
    ("strides", "scales", "count"),
    [
        ([56, 112, 224], dict(start=0.7, stop=1.3, step=0.3), 63),
        ([32], dict(start=0.7, stop=2.2, step=0.75), 147),
        ([32], dict(start=0.7, stop=2.2, step=0.1), 784),
        ([32], dict(start=0.7, stop=2.2, step=0.05), 1519),
        ([16], dict(start=0.7, stop=2.2, step=0.05), 6076),
        ([32], [1.0], 49),
    ],
)
def test_counts(strides, scales, count):
    assert len(priors(strides, scales)) == count


@pytest.mark.parametrize("scales", [[], [1.0, 0.0], [-1.0], dict(start=1.0, stop=0.5, step=0.1)])
def test_bad_scales(scales):
    with pytest.raises(ConfigError, match="scales"):
        SquareAnchorGenerator(strides=[32], scales=scales)
