import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hipdet.core.boxes import Detections, as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.evaluation.matching import evaluate_film, match
from hipdet.evaluation.metrics import presence_metrics, summarize
from hipdet.evaluation.report import extra_rows

LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)


def detections(*rows, labels=None):
    """Rows of (score, box)."""
    return Detections(
        as_boxes([box for _, box in rows]),
        np.array([score for score, _ in rows], dtype=float),
        np.array(labels or [0] * len(rows), dtype=np.int64),
    )


def labelled(boxes, labels=None):
    return as_boxes(boxes), np.array(labels or [0] * len(boxes), dtype=np.int64)


def film(truth, found, k=2, labels=None, ignored=()):
    return evaluate_film(*labelled(truth, labels), found, k, labelled(ignored))


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
    metrics = summarize([film([LEFT, RIGHT], detections((0.9, RIGHT), (0.8, LEFT)))])
    assert metrics["avg_iou"] == metrics["acc50"] == metrics["acc75"] == metrics["oracle_avg_iou"] == 1
    assert metrics["avg_conf"] == pytest.approx(0.85)
    assert metrics["min_conf"] == 0.8
    assert metrics["extra_per_image"] == metrics["missed_per_image"] == metrics["below50"] == 0


def test_nothing_found():
    metrics = summarize([film([LEFT, RIGHT], detections())])
    assert metrics["avg_iou"] == metrics["avg_conf"] == metrics["acc50"] == metrics["min_iou"] == 0
    assert metrics["missed_per_image"] == metrics["below50"] == 2


def test_by_hand():
    # half of the left box is found: 5x10 of 10x10, IoU .5; the right one is missed; the second detection hits nothing
    result = film([LEFT, RIGHT], detections((0.9, (0, 0, 5, 10)), (0.7, (100, 100, 110, 110))))
    assert [roi.iou for roi in result.rois] == [0.5, 0]
    assert [roi.score for roi in result.rois] == [0.9, 0]
    assert (result.extra, result.missed) == (1, 1)
    metrics = summarize([result])
    assert metrics["avg_iou"] == 0.25
    assert metrics["acc50"] == 0.5  # exactly 0.5 is a hit


def test_top_two_by_score_and_the_oracle():
    # the good right box has the third score: not among the top 2, but the oracle has it
    found = detections((0.9, LEFT), (0.8, (1, 0, 11, 10)), (0.3, RIGHT))
    result = film([LEFT, RIGHT], found)
    assert [roi.iou for roi in result.rois] == [1, 0]
    assert [roi.oracle_iou for roi in result.rois] == [1, 1]
    assert result.rois[1].oracle_score == 0.3
    assert [roi.iou for roi in film([LEFT, RIGHT], found, k=3).rois] == [1, 1]


def test_a_detection_of_another_class_finds_nothing():
    result = film([LEFT, RIGHT], detections((0.9, LEFT), (0.8, RIGHT), labels=[1, 1]), labels=[0, 1])
    assert [roi.iou for roi in result.rois] == [0, 1]


def test_one_box_between_two_rois_is_used_once():
    result = film([(0, 0, 10, 10), (2, 0, 12, 10)], detections((0.9, (1, 0, 11, 10))), k=2)
    assert sorted(roi.iou > 0 for roi in result.rois) == [False, True]
    assert all(roi.oracle_iou > 0.8 for roi in result.rois)


@given(st.permutations(range(4)), st.data())
@settings(deadline=None)
def test_order_of_detections_does_not_matter(order, data):
    rows = [
        (data.draw(st.sampled_from([0.2, 0.5, 0.9])), (x, 0.0, x + 10, 10.0))
        for x in data.draw(st.lists(st.floats(0, 30), min_size=4, max_size=4, unique=True))
    ]
    one, other = (film([LEFT, RIGHT], detections(*found)) for found in (rows, [rows[i] for i in order]))
    assert [(roi.iou, roi.score) for roi in one.rois] == [(roi.iou, roi.score) for roi in other.rois]


def taken(counts, found):
    """Indices in `found` of the top detections of a film with `counts` ROIs of classes a and b."""
    top = film([], found, RoiCounts.of(counts, ("a", "b"))).top
    return [found.scores.tolist().index(score) for score in top.scores]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (3, [1, 2, 3]),
        ([1, 3], [1, 2, 3]),  # the upper end
        (dict(a=1, b=2), [1, 2, 4]),
        (dict(a=[0, 1], b=[1, 3]), [1, 2, 3, 4]),
        (dict(a=5, b=1), [1, 4, 0]),
    ],
)
def test_best_of_each_class_and_best_of_all(counts, expected):
    scores, classes = np.array([0.1, 0.9, 0.8, 0.7, 0.6]), np.array([0, 1, 1, 1, 0])
    assert taken(counts, Detections(np.arange(20.0).reshape(5, 4), scores, classes)) == expected


@given(st.permutations(range(6)), st.data())
@settings(deadline=None)
def test_equal_scores_go_by_class_and_box(order, data):
    """One number for all classes gives exactly what `top` gives; numbers by class don't depend on the input order either."""
    boxes = as_boxes([(x, 0, x + 10, 10) for x in (0, 4, 9, 15, 22, 30)])
    scores = np.array(data.draw(st.lists(st.sampled_from([0.2, 0.5]), min_size=6, max_size=6)))
    one = Detections(boxes, scores, np.array([0, 1, 0, 1, 0, 1]))
    for counts in (3, dict(a=1, b=2)):
        first, second = (film([], found, RoiCounts.of(counts, ("a", "b"))).top for found in (one, one.at(order)))
        assert all(np.array_equal(getattr(first, n), getattr(second, n)) for n in ("boxes", "scores", "labels"))
    top = film([], one, RoiCounts.of(3, ("a", "b"))).top
    assert all(np.array_equal(getattr(top, name), getattr(one.top(3), name)) for name in ("boxes", "scores", "labels"))


# 10 x 10 at x = 40; shares of a detection of 10 x 10 shifted by s: (10 - s) / 10
IGNORED = (40, 0, 50, 10)


@pytest.mark.parametrize(
    ("box", "extra"),
    [
        (IGNORED, 0),
        ((45, 0, 55, 10), 0),  # half of it lies there; IoU 1/3
        ((46, 0, 56, 10), 1),  # 0.4 of it
        ((42, 2, 48, 8), 0),  # all of it, IoU .36
        ((40, 0, 50, 20), 0),  # IoU .5, so half of it, too
        ((40, 0, 50, 21), 1),
        ((100, 0, 110, 10), 1),
    ],
)
def test_a_detection_on_an_ignored_box_is_neither_hit_nor_extra(box, extra):
    result = film([LEFT], detections((0.9, LEFT), (0.8, box)), ignored=[IGNORED])
    assert [roi.iou for roi in result.rois] == [1]
    assert (result.extra, result.missed) == (extra, 0)
    assert len(extra_rows(dict(id=1, file_name="a.png"), result, {0: "hip"})) == extra


def test_an_roi_wins_over_an_ignored_box():
    result = film([LEFT], detections((0.9, LEFT)), ignored=[(-5, -5, 15, 15)])
    assert ([roi.iou for roi in result.rois], result.extra, result.ignored) == ([1], 0, frozenset())
    # not a hit: .4 of the ROI
    missed = film([LEFT], detections((0.9, (0, 0, 4, 10))), ignored=[(-5, -5, 15, 15)])
    assert (missed.missed, missed.extra) == (1, 0)


def test_an_ignored_detection_is_one_of_the_best():
    """The second stage doesn't know the labels: it would get this detection and not the right hip."""
    found = detections((0.9, IGNORED), (0.8, LEFT), (0.7, RIGHT))
    result = film([LEFT, RIGHT], found, k=2, ignored=[IGNORED])
    assert [roi.iou for roi in result.rois] == [1, 0]
    assert (result.extra, result.missed) == (0, 1)


def test_ignored_boxes_are_of_their_class():
    """As in pycocotools."""
    other = detections((0.9, IGNORED), labels=[1])
    assert film([LEFT], other, ignored=[IGNORED]).extra == 1


def slow_presence(films, classes, least):
    """Recall, IoU by label and false ROIs, counted one by one; pairs are those of the largest total, by trying all."""
    counts = dict(recall=[], label_iou=[], false_per_film=[], **{f"recall/{name}": [] for name in classes})
    for truth, labels, found, ignored, known in films:
        top = sorted(zip(found.scores, found.labels, found.boxes.tolist()), key=lambda each: (-each[0], each[2]))[:2]
        overlap = [[slow_iou(box, each[2]) * (label == each[1]) for each in top] for box, label in zip(truth, labels)]
        totals = {}
        for choice in itertools.permutations([*range(len(top)), *[None] * len(truth)], len(truth)):
            pairs = [(d, g) for g, d in enumerate(choice) if d is not None]
            chosen = tuple((d, g) for d, g in pairs if overlap[g][d] >= 0.5)
            totals[chosen] = max(totals.get(chosen, 0), sum(overlap[g][d] for d, g in pairs))
        (hits, most), *others = sorted(totals.items(), key=lambda each: -each[1])
        assume(not others or others[0][1] < most - 1e-9)  # two ways that are as good
        hits = dict(hits)
        for g, label in enumerate(labels):
            given = any(hit == g and top[d][0] >= least[label] for d, hit in hits.items())
            counts["recall"].append(given)
            counts[f"recall/{classes[label]}"].append(given)
            counts["label_iou"].append(max(overlap[g], default=0))
        false = [
            each for d, each in enumerate(top)
            if d not in hits and each[0] >= least[each[1]]
            and not any(slow_share(each[2], box) >= 0.5 and each[1] == label for box, label in zip(*ignored))
        ]  # fmt: skip
        if known:
            counts["false_per_film"].append(len(false))
    return {name: sum(values) / len(values) for name, values in counts.items() if values}


def slow_common(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def slow_area(a):
    return (a[2] - a[0]) * (a[3] - a[1])


def slow_iou(a, b):
    return slow_common(a, b) / (slow_area(a) + slow_area(b) - slow_common(a, b))


def slow_share(a, b):
    return slow_common(a, b) / slow_area(a)


CLASSES = ("heart", "lung")
PLACES = st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(4, 8), st.integers(4, 8)).map(
    lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3])
)
LABELLED_BOXES = st.lists(st.tuples(PLACES, st.integers(0, 1)), max_size=2)
SCORED_BOXES = st.lists(
    st.tuples(st.integers(1, 99), PLACES, st.integers(0, 1)), max_size=3, unique_by=lambda each: each[0]
)


@given(st.lists(st.tuples(LABELLED_BOXES, SCORED_BOXES, LABELLED_BOXES, st.booleans()), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_presence_metrics_agree_with_counting(drawn):
    films, results = [], []
    for truth, found, ignored, known in drawn:
        boxes = detections(*((score / 100, box) for score, box, _ in found), labels=[label for *_, label in found])
        truth, ignored = ([[each[part] for each in pairs] for part in (0, 1)] for pairs in (truth, ignored))
        films.append((*truth, boxes, ignored, known))
        result = evaluate_film(*labelled(*truth), boxes, 2, labelled(*ignored))
        results.append(replace(result, absence_known=known))
    for least in ([0.3, 0.6], [0.0, 0.0]):
        expected = slow_presence(films, CLASSES, least)
        assert presence_metrics(results, CLASSES, least) == pytest.approx(expected)
    assert presence_metrics(results) == pytest.approx({k: v for k, v in expected.items() if "/" not in k})


def test_presence_by_hand():
    """Two labels: one with an ROI, one with a candidate; a false ROI on a film without any, and one on an ignored box."""
    films = [
        film([LEFT, RIGHT], detections((0.9, LEFT), (0.4, (20, 0, 30, 8)))),
        film([], detections((0.8, LEFT), (0.3, RIGHT))),
        film([], detections((0.8, LEFT)), ignored=[LEFT]),
    ]
    assert presence_metrics(films, least_score=0.5) == pytest.approx(
        dict(recall=0.5, label_iou=0.9, false_per_film=1 / 3)
    )
    unknown = [replace(each, absence_known=False) for each in films]
    assert presence_metrics(unknown, least_score=0.5) == pytest.approx(dict(recall=0.5, label_iou=0.9))
    assert presence_metrics(films[1:]) == dict(false_per_film=1)
