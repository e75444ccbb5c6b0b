"""Boxes: IoU, shares, and the side of the picture that an ROI is on, which only its neighbour tells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from hipdet.core.boxes import (
    area,
    as_boxes,
    get_patient_side,
    get_picture_side,
    iou_matrix,
    paired_iou,
    share_matrix,
    sides_of_pairs,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

corner, side = st.floats(-100, 100), st.floats(0.1, 100)
box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
boxes = st.lists(box, min_size=1, max_size=6)


def test_iou_by_hand():
    # 10x10 and the same shifted by 5 along x: intersection 50, union 150
    found = iou_matrix([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10], [10, 0, 20, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(found, [[1 / 3, 1, 0, 0]])


def test_iou_after_a_shift_by_one_pixel():
    # a 1-px diagonal shift of a 50-px box: 49^2 / (2 * 50^2 - 49^2) = 0.924
    assert round(iou_matrix([[0, 0, 50, 50]], [[1, 1, 51, 51]])[0, 0], 3) == 0.924


def test_degenerate():
    assert iou_matrix([[5, 5, 5, 5]], [[5, 5, 5, 5]])[0, 0] == 0
    assert iou_matrix([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert as_boxes([]).shape == (0, 4)
    assert area([[3, 3, 1, 5]])[0] == 0  # negative width


@given(boxes, boxes)
@settings(deadline=None)
def test_iou_against_pycocotools(a, b):
    expected = mask.iou(xyxy_to_xywh(a), xyxy_to_xywh(b), [False] * len(b))
    np.testing.assert_allclose(iou_matrix(a, b), expected, atol=1e-9)


@given(boxes, boxes)
def test_shares_are_pycocotools_overlap_with_crowds(a, b):
    shares = share_matrix(a, b)
    np.testing.assert_allclose(shares, mask.iou(xyxy_to_xywh(a), xyxy_to_xywh(b), [True] * len(b)), atol=1e-9)
    assert (shares >= iou_matrix(a, b) - 1e-9).all()  # an IoU of a half is a share of a half or more


def test_shares_by_hand():
    # a quarter of the first box is inside, all of the second; a box without area has share 0
    found = share_matrix([[0, 0, 10, 10], [6, 6, 7, 7], [5, 5, 5, 5]], [[5, 5, 15, 15]])
    assert found.tolist() == [[0.25], [1], [0]]
    assert share_matrix([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert share_matrix([[0, 0, 1, 1]], []).shape == (1, 0)


@given(boxes)
def test_round_trip(a):
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(a)), as_boxes(a), atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_paired_iou_is_the_diagonal_of_the_matrix(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.concatenate([c := rng.uniform(0, 1, (5, 2)), c + rng.uniform(0, 1, (5, 2))], axis=1) for _ in range(2))
    np.testing.assert_allclose(paired_iou(a, b), np.diag(iou_matrix(a, b)))
    assert paired_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]).tolist() == [0]


def square(x, y, side=40):
    """A square box centred at (x, y)."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


@pytest.mark.parametrize(
    ("boxes", "labels", "sides"),
    [
        ([], [], []),
        ([square(100, 100)], [0], [""]),  # one: neither half of the film says anything
        ([square(100, 100), square(300, 120)], [0, 0], ["left", "right"]),
        ([square(300, 120), square(100, 100)], [0, 0], ["right", "left"]),
        ([square(100, 100), square(200, 200)], [0, 0], ["left", "right"]),  # 45 degrees
        ([square(100, 100), square(200, 201)], [0, 0], ["", ""]),  # steeper: above one another
        ([square(100, 100), square(100, 300)], [0, 0], ["", ""]),
        (
            [square(100, 100), square(121, 100)],
            [0, 0],
            ["left", "right"],
        ),  # 40 wide: each centre beyond the other's edge
        ([square(100, 100), square(120, 100)], [0, 0], ["", ""]),  # one ROI, found twice
        ([square(100, 100, 120), square(159, 100)], [0, 0], ["", ""]),
        ([square(100, 100), square(300, 100)], [0, 1], ["", ""]),  # of two classes
        ([square(100, 100), square(200, 100), square(300, 100)], [0, 0, 0], ["", "", ""]),
        ([square(100, 100), square(200, 100), square(300, 100)], ["lung", "heart", "lung"], ["left", "", "right"]),
    ],
)
def test_sides_by_hand(boxes, labels, sides):
    assert sides_of_pairs(boxes, labels) == sides


PLACES = st.lists(st.tuples(*[st.integers(0, 400)] * 2, st.integers(1, 100), st.sampled_from("ab")), max_size=5)


@given(PLACES, st.integers(-500, 500), st.randoms(use_true_random=False))
def test_sides_do_not_depend_on_the_place_on_the_film_or_the_order(places, shift, random):
    boxes, labels = [square(x, y, side) for x, y, side, _ in places], [label for *_, label in places]
    sides = sides_of_pairs(boxes, labels)
    for label in "ab":
        assert sorted(side for side, each in zip(sides, labels) if each == label and side) in ([], ["left", "right"])
    order = random.sample(range(len(places)), len(places))
    moved = [[edge + shift for edge in boxes[number]] for number in order]
    assert sides_of_pairs(moved, [labels[number] for number in order]) == [sides[number] for number in order]
    mirrored = [[-x1, y0, -x0, y1] for x0, y0, x1, y1 in boxes]
    assert sides_of_pairs(mirrored, labels) == [get_patient_side(side) or "" for side in sides]


def test_the_patient_faces_the_reader():
    assert [get_patient_side(side) for side in ("left", "right", "", None)] == ["right", "left", None, None]
    assert [get_picture_side(side) for side in ("left", "right", "", None)] == ["right", "left", None, None]
