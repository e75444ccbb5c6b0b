import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hipdet.boxes import as_boxes
from hipdet.evaluation.figures import summarize
from hipdet.evaluation.matching import Detections, evaluate_film, match

LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)


def detections(*rows, labels=None):
    """Rows of (score, box)."""
    return Detections(
        as_boxes([box for _, box in rows]),
        np.array([score for score, _ in rows], dtype=float),
        np.array(labels or [0] * len(rows), dtype=np.int64),
    )


def film(truth, found, k=2, labels=None):
    return evaluate_film(as_boxes(truth), np.array(labels or [0] * len(truth), dtype=np.int64), found, k)


def brute_force_total(iou):
    """The largest total IoU over all ways to give every row a column of its own, or none."""
    rows, columns = iou.shape
    slots = [*range(columns), *[None] * rows]
    return max(
        sum(iou[r, c] for r, c in enumerate(choice) if c is not None)
        for choice in set(itertools.permutations(slots, rows))
    )


@given(st.tuples(st.integers(1, 3), st.integers(0, 3)).flatmap(lambda s: arrays(float, s, elements=st.floats(0, 1))))
@settings(max_examples=200, deadline=None)
def test_match_has_the_best_total(iou):
    partner = match(iou)
    used = [c for c in partner if c >= 0]
    assert len(used) == len(set(used))
    assert all(iou[r, c] > 0 for r, c in enumerate(partner) if c >= 0)
    assert sum(iou[r, c] for r, c in enumerate(partner) if c >= 0) == pytest.approx(brute_force_total(iou))


def test_best_total_beats_greedy():
    # greedy takes .6 and leaves 0; the best total is .5 + .5
    assert match(np.array([[0.6, 0.5], [0.5, 0.0]])).tolist() == [1, 0]


def test_perfect():
    figures = summarize([film([LEFT, RIGHT], detections((0.9, RIGHT), (0.8, LEFT)))])
    assert figures["avg_iou"] == figures["acc50"] == figures["acc75"] == figures["oracle_avg_iou"] == 1
    assert figures["avg_conf"] == pytest.approx(0.85)
    assert figures["min_conf"] == 0.8
    assert figures["extra_per_image"] == figures["missed_per_image"] == figures["below50"] == 0


def test_nothing_found():
    figures = summarize([film([LEFT, RIGHT], detections())])
    assert figures["avg_iou"] == figures["avg_conf"] == figures["acc50"] == figures["min_iou"] == 0
    assert figures["missed_per_image"] == figures["below50"] == 2


def test_by_hand():
    # the left box is found half: 5x10 of 10x10, IoU .5; the right one not; the second detection is nowhere
    result = film([LEFT, RIGHT], detections((0.9, (0, 0, 5, 10)), (0.7, (100, 100, 110, 110))))
    assert [roi.iou for roi in result.rois] == [0.5, 0]
    assert [roi.confidence for roi in result.rois] == [0.9, 0]
    assert (result.extra, result.missed) == (1, 1)
    figures = summarize([result])
    assert figures["avg_iou"] == 0.25
    assert figures["acc50"] == 0.5  # exactly 0.5 is a hit


def test_top_two_by_score_and_the_oracle_beside_them():
    # the good right box has the third score: not among the top 2, seen by the oracle
    found = detections((0.9, LEFT), (0.8, (1, 0, 11, 10)), (0.3, RIGHT))
    result = film([LEFT, RIGHT], found)
    assert [roi.iou for roi in result.rois] == [1, 0]
    assert [roi.oracle_iou for roi in result.rois] == [1, 1]
    assert result.rois[1].oracle_confidence == 0.3
    assert [roi.iou for roi in film([LEFT, RIGHT], found, k=3).rois] == [1, 1]


def test_a_detection_of_another_class_finds_nothing():
    result = film([LEFT, RIGHT], detections((0.9, LEFT), (0.8, RIGHT), labels=[1, 1]), labels=[0, 1])
    assert [roi.iou for roi in result.rois] == [0, 1]


def test_one_box_between_two_rois_counts_once():
    result = film([(0, 0, 10, 10), (2, 0, 12, 10)], detections((0.9, (1, 0, 11, 10))), k=2)
    assert sorted(roi.iou > 0 for roi in result.rois) == [False, True]
    assert all(roi.oracle_iou > 0.8 for roi in result.rois)


@given(st.permutations(range(4)), st.data())
@settings(deadline=None)
def test_order_of_detections_is_moot(order, data):
    rows = [
        (data.draw(st.sampled_from([0.2, 0.5, 0.9])), (x, 0.0, x + 10, 10.0))
        for x in data.draw(st.lists(st.floats(0, 30), min_size=4, max_size=4, unique=True))
    ]
    one, other = (film([LEFT, RIGHT], detections(*found)) for found in (rows, [rows[i] for i in order]))
    assert [(roi.iou, roi.confidence) for roi in one.rois] == [(roi.iou, roi.confidence) for roi in other.rois]


def test_top_of_classes():
    """Of class 0 one and of class 1 two, whatever the scores say across classes."""
    found = Detections(np.arange(20.0).reshape(5, 4), np.array([0.1, 0.9, 0.8, 0.7, 0.6]), np.array([0, 1, 1, 1, 0]))
    top = found.top_of_classes({0: 1, 1: 2})
    assert top.scores.tolist() == [0.9, 0.8, 0.6]
    assert top.labels.tolist() == [1, 1, 0]
    assert found.top(3).labels.tolist() == [1, 1, 1]
    assert len(found.at(found.labels == 2).top_of_classes({0: 1, 1: 2}).scores) == 0
