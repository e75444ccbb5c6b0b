"""The closed forms against all anchors, against mmdet's assigner, and what must not change them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules import MaxIoUAssigner
from mmengine.structures import InstanceData

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import (
    SIDE_FACTORS,
    best_anchors,
    contested,
    positives,
    reachable_iou,
    sharing_a_cell,
    size_fit,
)
from hipdet.anchors.rois import Rois
from hipdet.core.boxes import iou_matrix
from roi_sets import anchor_sets, coco_of, roi_sets, rois_of, squares

EXP3 = AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)


@settings(max_examples=300, deadline=None)
@given(roi_sets(), anchor_sets)
def test_best_iou_and_positives_are_those_of_all_anchors(rois, anchors):
    iou = iou_matrix(rois.boxes, anchors.boxes())
    best, _ = best_anchors(rois, anchors)
    np.testing.assert_allclose(best, iou.max(axis=1), atol=1e-9)
    found = positives(rois, anchors)
    assert ((iou > 0.4 + 1e-9).sum(axis=1) <= found).all()
    assert (found <= (iou > 0.4 - 1e-9).sum(axis=1)).all()


@settings(max_examples=200, deadline=None)
@given(roi_sets(), anchor_sets)
def test_reach_is_that_of_all_decoded_boxes(rois, anchors):
    """Every anchor moved and scaled as near to the ROI as the head's bounds let it."""
    best = np.zeros(len(rois))
    boxes, low, high = anchors.boxes(), *SIDE_FACTORS
    cells = np.concatenate([np.full(n * n * len(anchors.scales) * len(anchors.aspects), 1 / n) for n in anchors.grids])
    for i, (box, side) in enumerate(zip(rois.boxes, rois.sides)):
        anchor_sides = boxes[:, 2:] - boxes[:, :2]
        decoded = np.clip(side, low * anchor_sides, high * anchor_sides)
        anchor_centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        reach = cells[:, None] / 2
        centres = np.clip((box[:2] + box[2:]) / 2, anchor_centres - reach, anchor_centres + reach)
        moved = np.concatenate([centres - decoded / 2, centres + decoded / 2], axis=1)
        best[i] = iou_matrix(box, moved).max()
    np.testing.assert_allclose(reachable_iou(rois.sides, anchors), best, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(roi_sets(most=1), anchor_sets)
def test_mmdets_assigner_agrees(rois, anchors):
    assigner = MaxIoUAssigner(pos_iou_thr=0.4, neg_iou_thr=0.4, min_pos_iou=0.0, gt_max_assign_all=False)
    iou = iou_matrix(rois.boxes, anchors.boxes())
    if np.abs(iou - 0.4).min() < 1e-6:  # float32 may round either way
        return
    assigned = assigner.assign(
        InstanceData(priors=torch.tensor(anchors.boxes(), dtype=torch.float32) * 224),
        InstanceData(bboxes=torch.tensor(rois.boxes, dtype=torch.float32) * 224, labels=torch.zeros(1).long()),
    )
    assert int((assigned.gt_inds > 0).sum()) == max(positives(rois, anchors)[0], 1)


@settings(max_examples=100, deadline=None)
@given(roi_sets(), anchor_sets, st.integers(20, 5000))
def test_scaling_films_and_boxes_together_changes_nothing(rois, anchors, side):
    scaled = Rois.of_coco(coco_of(rois, side))
    np.testing.assert_allclose(best_anchors(scaled, anchors)[0], best_anchors(rois, anchors)[0], atol=1e-9)
    np.testing.assert_allclose(size_fit(scaled.sides, anchors), size_fit(rois.sides, anchors), atol=1e-9)
    np.testing.assert_allclose(reachable_iou(scaled.sides, anchors), reachable_iou(rois.sides, anchors), atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(roi_sets(), anchor_sets, st.floats(0.2, 3), st.sampled_from([0.5, 1.0, 3.0]))
def test_more_anchors_never_do_worse(rois, anchors, scale, aspect):
    scales, aspects = sorted({*anchors.scales, scale}), sorted({*anchors.aspects, aspect})
    more = AnchorSet(anchors.grids, tuple(scales), tuple(aspects))
    for measure in (
        lambda a: best_anchors(rois, a)[0],
        lambda a: size_fit(rois.sides, a),
        lambda a: positives(rois, a),
    ):
        assert (measure(more) >= measure(anchors) - 1e-12).all()
    assert (reachable_iou(rois.sides, more) >= reachable_iou(rois.sides, anchors) - 1e-12).all()


def test_literally():
    """A square of 0.2 in the middle of the film, concentric with anchors of 1.3 / 7 = 0.1857 and 1.6 / 7 = 0.2286."""
    rois = rois_of([[0.4, 0.4, 0.6, 0.6]])
    assert best_anchors(rois, EXP3)[0][0] == pytest.approx((1.3 / 7 / 0.2) ** 2)  # 0.8622 against 0.7656
    assert size_fit(rois.sides, EXP3)[0] == pytest.approx((1.3 / 7 / 0.2) ** 2)
    assert reachable_iou(rois.sides, EXP3)[0] == 1  # 0.1857 x 1.077
    # half the film: the largest anchor, 0.3143, grows to 0.4714
    assert reachable_iou(np.array([[0.5, 0.5]]), EXP3)[0] == pytest.approx((0.47142857 / 0.5) ** 2)


def test_the_corner_of_a_cell_is_the_worst_place():
    """ROI and anchor of one cell's side, half a cell apart both ways: 0.25 / 1.75 = 1/7."""
    rois = rois_of([[2 / 7 - 1 / 14, 3 / 7 - 1 / 14, 2 / 7 + 1 / 14, 3 / 7 + 1 / 14]])
    anchors = AnchorSet((7,), (1.0,))
    assert best_anchors(rois, anchors)[0][0] == pytest.approx(1 / 7)
    assert positives(rois, anchors)[0] == 0  # so that one is forced


def test_rois_that_compete():
    # two of one size in a cell, the same two of different sizes, and one alone
    same = [[0.45, 0.45, 0.55, 0.55], [0.46, 0.46, 0.56, 0.56]]
    other = [[0.45, 0.45, 0.55, 0.55], [0.35, 0.35, 0.65, 0.65]]
    rois = rois_of([*same, *other, [0.45, 0.45, 0.55, 0.55]], films=[0, 0, 1, 1, 2])
    assert sharing_a_cell(rois, EXP3).tolist() == [True, True, True, True, False]
    _, which = best_anchors(rois, EXP3)
    assert contested(rois, which).tolist() == [True, True, False, False, False]


def test_neighbouring_cells_are_not_shared():
    rois = rois_of([[0.1, 0.1, 0.3, 0.3], [0.4, 0.1, 0.6, 0.3]], films=[0, 0])
    assert not sharing_a_cell(rois, EXP3).any()
    assert sharing_a_cell(rois, AnchorSet((1,), (0.2,))).all()


def test_a_box_over_the_edge_of_the_square_belongs_to_the_last_cell():
    best, _ = best_anchors(squares([1.0]), AnchorSet((1,), (1.0,)))
    assert best[0] == pytest.approx(1)
