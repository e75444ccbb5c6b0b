import numpy as np
import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.core.errors import ConfigError
from hipdet.models.square_anchor_generator import SquareAnchorGenerator

SIDE = 224


def of_mmdet(generator):
    maps = [(SIDE // stride[1], SIDE // stride[0]) for stride in generator.strides]
    return torch.cat(generator.grid_priors(maps, device="cpu")).numpy()


@pytest.mark.parametrize(
    "anchors",
    [
        AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3),
        AnchorSet.equal_steps((4, 2, 1), 0.7, 1.3, 0.3),
        AnchorSet((14, 7), (1.0, 1.5)),
    ],
)
def test_they_are_those_of_the_square_generator_in_its_order(anchors):
    strides = [SIDE // grid for grid in anchors.grids]
    generator = SquareAnchorGenerator(strides=strides, scales=list(anchors.scales))
    np.testing.assert_allclose(anchors.boxes() * SIDE, of_mmdet(generator), atol=1e-4)


def test_aspects_are_mmdets_ratios():
    anchors = AnchorSet((7,), (1.0, 2.0), (0.5, 2.0))
    generator = AnchorGenerator(strides=[32], scales=[1.0, 2.0], ratios=[0.5, 2.0], center_offset=0.5)
    ours, theirs = anchors.boxes() * SIDE, of_mmdet(generator)
    # mmdet runs through the aspects first
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(theirs, axis=0), atol=1e-4)
    # twice as high as wide and of the area of a cell: 32 / sqrt(2) x 32 * sqrt(2)
    assert list(anchors.shapes())[1] == (
        7,
        pytest.approx(22.627 / 224, abs=1e-5),
        pytest.approx(45.255 / 224, abs=1e-5),
    )


def test_numbers_and_words():
    anchors = AnchorSet((14, 7), (1.0, 2.0), (1.0, 2.0))
    assert anchors.per_image == len(anchors.boxes()) == (14 * 14 + 7 * 7) * 4
    assert anchors.ratio_range == (1 / 14, 2 / 7)
    assert str(anchors) == "grid 14,7, 2 scales 1.0 2.0, aspects 1 2, 980 anchors"
    assert str(AnchorSet((7,), (1.4,))) == "grid 7, 1 scale 1.4, 49 anchors"
    assert AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3).steps == (0.7, 2.2, 0.3)
    assert AnchorSet((7,), (0.7, 1.0, 1.4)).steps is None
    assert AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3).worst_fit == pytest.approx(0.7)  # 0.7 / 1.0
    assert AnchorSet((14, 7), (1.0, 1.5)).worst_fit == pytest.approx(1 / 1.5)  # 1/14, 1.5/14, 1/7, 1.5/7
    assert AnchorSet((7,), (1.0,)).worst_fit == 1
    assert AnchorSet((7,), (1.4,)).steps is None


@pytest.mark.parametrize(
    ("grids", "scales", "aspects", "words"),
    [
        ((), (1.0,), (1.0,), "grids must be positive"),
        ((0,), (1.0,), (1.0,), "grids must be positive"),
        ((7, 14), (1.0,), (1.0,), "the finest first"),
        ((6.5,), (1.0,), (1.0,), "whole numbers"),
        ((7,), (), (1.0,), "scales must be positive"),
        ((7,), (0.0,), (1.0,), "scales must be positive"),
        ((7,), (float("nan"),), (1.0,), "scales must be positive"),
        ((7,), (1.0,), (float("inf"),), "aspects must be positive"),
    ],
)
def test_bad_sets(grids, scales, aspects, words):
    with pytest.raises(ConfigError, match=words):
        AnchorSet(grids, scales, aspects)
