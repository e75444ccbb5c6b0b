import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask

from hipdet.core.boxes import area, as_boxes, iou_matrix, paired_iou, share_matrix, xywh_to_xyxy, xyxy_to_xywh

corner, side = st.floats(-100, 100), st.floats(0.1, 100)
box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
boxes = st.lists(box, min_size=1, max_size=6)


def test_iou_by_hand():
    # 10x10 and the same shifted by 5 along x: intersection 50, union 150
    found = iou_matrix([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10], [10, 0, 20, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(found, [[1 / 3, 1, 0, 0]])


def test_one_pixel_costs_what_the_reference_says():
    # a 1-px diagonal shift of a 50-px box: 49^2 / (2 * 50^2 - 49^2) = 0.924
    assert round(iou_matrix([[0, 0, 50, 50]], [[1, 1, 51, 51]])[0, 0], 3) == 0.924


def test_degenerate():
    assert iou_matrix([[5, 5, 5, 5]], [[5, 5, 5, 5]])[0, 0] == 0
    assert iou_matrix([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert as_boxes([]).shape == (0, 4)
    assert area([[3, 3, 1, 5]])[0] == 0  # negative width


@given(boxes, boxes)
def test_iou_against_pycocotools(a, b):
    expected = mask.iou(xyxy_to_xywh(a), xyxy_to_xywh(b), [False] * len(b))
    np.testing.assert_allclose(iou_matrix(a, b), expected, atol=1e-9)


@given(boxes, boxes)
def test_shares_are_pycocotools_overlap_with_crowds(a, b):
    shares = share_matrix(a, b)
    np.testing.assert_allclose(shares, mask.iou(xyxy_to_xywh(a), xyxy_to_xywh(b), [True] * len(b)), atol=1e-9)
    assert (shares >= iou_matrix(a, b) - 1e-9).all()  # an IoU of a half is a share of a half or more


def test_shares_by_hand():
    # a quarter of the first lies there, all of the second; nothing has no share
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
