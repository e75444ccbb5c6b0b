"""The closed forms are compared with all anchors and with mmdet's assigner, also under changes that must not matter.

The paper's experiments 1 to 6 are computed on ratios 0.100, 0.101, ... 0.300, each ROI in the middle of its film.

The dynamic programme is compared with every choice of intervals.
"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules import MaxIoUAssigner
from mmengine.structures import InstanceData

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import (
    ASPECT_FIT,
    SIDE_FACTORS,
    AnchorMetrics,
    best_anchors,
    best_cover,
    contested,
    fitted_share,
    may_fit,
    positives,
    reachable_iou,
    sharing_a_cell,
    size_fit,
    tightest_cover,
)
from hipdet.anchors.rois import Rois
from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import DatasetError
from hipdet.paper.facts import EXPERIMENTS
from roi_sets import anchor_sets, build_label_coco, roi_sets, rois_of, squares

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
    scaled = Rois.of_coco(build_label_coco(rois, side))
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


RATIOS = np.arange(100, 301) / 1000
MIDDLE = rois_of(np.stack([0.5 - RATIOS / 2, 0.5 - RATIOS / 2, 0.5 + RATIOS / 2, 0.5 + RATIOS / 2], axis=1))
# An ROI fits an anchor whose side is within a factor sqrt(0.7) = 0.83666:
#   1: anchors of 17.5%, 25%, 32.5%, ... leave no gap (17.5 / 25 = 0.7): 0.1464 .. -> .147 to .300, 154 of 201
#   2: 10%, 20.71%, 31.43%: to .119 (20), .174 to .247 (74), from .263 (38), 132 in all
#   6: 5% .. 15.71%: to 0.18782, 88
GOLDEN = {  # anchors, smallest, largest, in range, with an anchor of their size
    1: (63, 0.175, 1.3, 126 / 201, 154 / 201),
    2: (147, 0.1, 0.314286, 1.0, 132 / 201),
    3: (294, 0.1, 0.314286, 1.0, 1.0),
    4: (784, 0.1, 0.314286, 1.0, 1.0),
    5: (1519, 0.1, 0.314286, 1.0, 1.0),
    6: (6076, 0.05, 0.157143, 58 / 201, 88 / 201),
}


@pytest.mark.parametrize("number", GOLDEN)
def test_the_papers_experiments(number):
    found = AnchorMetrics.of(MIDDLE, EXPERIMENTS[number].anchors)
    values = (found.anchors, found.smallest, found.largest, found.in_range, found.fitted)
    assert values == pytest.approx(GOLDEN[number], abs=1e-6)


def test_in_the_middle_of_a_cell_the_best_iou_is_the_fit():
    found = AnchorMetrics.of(MIDDLE, EXPERIMENTS[3].anchors)
    assert found.best_iou == pytest.approx(float(size_fit(MIDDLE.sides, EXPERIMENTS[3].anchors).mean()))
    assert (found.matched, found.reachable_iou) == (1, 1)
    assert found.contested == found.sharing_a_cell == 0


def test_anywhere_on_the_film():
    """Why experiment 1 is worse: most of its ROIs are matched by force (20,000 draws: three standard errors are 0.01)."""
    anywhere = squares(np.random.default_rng(1).uniform(0.1, 0.3, 20_000))
    matched = {number: AnchorMetrics.of(anywhere, EXPERIMENTS[number].anchors).matched for number in (1, 3)}
    assert matched == pytest.approx({1: 0.42, 3: 0.77}, abs=0.015)
    assert AnchorMetrics.of(anywhere, EXPERIMENTS[3].anchors).positives == 4
    assert AnchorMetrics.of(anywhere, EXPERIMENTS[1].anchors).positives == 1  # forced


def test_concentric_boxes_of_other_aspects():
    """The bound of `may_fit`: at the best size IoU is 1 / (2 sqrt(k) - 1)."""
    tall = np.array([[0.1, 0.1 * ASPECT_FIT]])
    sizes = np.linspace(0.05, 0.3, 5001)
    best = max(size_fit(tall, AnchorSet((1,), (float(size),)))[0] for size in sizes)
    assert best == pytest.approx(0.7, abs=1e-4)
    just, beyond = (rois_of([[0, 0, 0.1, 0.1 * ASPECT_FIT * factor]]) for factor in (0.999, 1.001))
    assert (may_fit(just, (1.0,)), may_fit(beyond, (1.0,))) == (1, 0)
    assert may_fit(beyond, (1.0, 2.0)) == 1


def test_share_counts_rois():
    assert fitted_share(squares([0.2, 0.2, 0.9, 0.9]), EXPERIMENTS[3].anchors) == 0.5


def test_no_roi():
    with pytest.raises(DatasetError, match="no ROI"):
        AnchorMetrics.of(rois_of([]), EXPERIMENTS[3].anchors)


values = st.lists(st.integers(0, 100), min_size=1, max_size=8).map(lambda found: np.array(found) / 100)


@settings(max_examples=300, deadline=None)
@given(values, st.integers(1, 60), st.integers(1, 3))
def test_no_choice_of_intervals_holds_more(found, width, most):
    width = width / 100 + 1e-9
    covers = best_cover(found, width, most)
    for count, (share, middles) in enumerate(covers, 1):
        brute = max(
            np.mean([any(start <= value <= start + width for start in starts) for value in found])
            for starts in itertools.combinations_with_replacement(found, count)
        )
        assert share == pytest.approx(brute)
        held = (np.abs(found[:, None] - middles[None, :]) <= width / 2 + 1e-9).any(axis=1)
        assert held.mean() == pytest.approx(share)
        assert (np.diff(middles) > 0).all()
    assert len(covers) == most or covers[-1][0] == 1


def test_tightest():
    """Two groups, 0 .. 1 and 10 .. 12, and an outlier: two intervals of width 2 hold 6 of 7."""
    found = [0, 0.5, 1, 10, 11, 12, 100]
    assert tightest_cover(found, 6 / 7, 2) == pytest.approx([0.5, 11], abs=1e-6)
    assert tightest_cover(found, 1.0, 3) == pytest.approx([0.5, 11, 100], abs=1e-6)
    assert tightest_cover(found, 1.0, 1) == pytest.approx([50])


def test_one_value():
    assert tightest_cover([3.0, 3.0], 1.0, 2) == pytest.approx([3.0])
