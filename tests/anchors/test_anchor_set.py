import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.task_modules import AnchorGenerator

from hipdet.anchors.anchor_set import AnchorSet, arithmetic_scales
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
def test_boxes_equal_those_of_the_square_generator(anchors):
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


@pytest.mark.parametrize(
    ("arguments", "count", "last"),
    [
        ((0.7, 1.3, 0.3), 3, 1.3),  # experiment 1
        ((0.7, 2.2, 0.75), 3, 2.2),
        ((0.7, 2.2, 0.3), 6, 2.2),
        ((0.7, 2.2, 0.1), 16, 2.2),
        ((0.7, 2.2, 0.05), 31, 2.2),  # np.arange(0.7, 2.2, 0.05) would end at 2.15
        ((1.0, 1.0, 0.5), 1, 1.0),
    ],
)
def test_counts_of_the_paper(arguments, count, last):
    scales = arithmetic_scales(*arguments)
    assert len(scales) == count
    assert scales[-1] == last


def test_experiment_3():
    assert arithmetic_scales(0.7, 2.2, 0.3) == [0.7, 1.0, 1.3, 1.6, 1.9, 2.2]


@given(st.floats(0.1, 2), st.integers(0, 40), st.floats(0.01, 1))
def test_stop_is_included(start, steps, step):
    scales = arithmetic_scales(start, start + steps * step, step)
    assert len(scales) == steps + 1
    assert scales[-1] == pytest.approx(start + steps * step)


@pytest.mark.parametrize(
    "arguments",
    [
        (0.0, 2.2, 0.3),  # an anchor without a size
        (2.2, 0.7, 0.3),  # descending
        (0.7, 2.2, 0.0),  # endless
        (0.7, 2.2, 0.4),  # stop isn't reached
        (0.7, float("nan"), 0.3),
    ],
)
def test_bad_ranges(arguments):
    with pytest.raises(ConfigError, match="scales from start"):
        arithmetic_scales(*arguments)
