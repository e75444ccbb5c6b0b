"""Detections in two views of a film are mapped back, paired and averaged."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from hipdet.models.mirror_averaging import averaged, find_pairs, unmirrored


def found(*rois):
    """Detections of ``(x0, y0, x1, y1, score, label)``."""
    rows = torch.tensor(rois, dtype=torch.float64).reshape(-1, 6)
    return InstanceData(bboxes=rows[:, :4], scores=rows[:, 4], labels=rows[:, 5].long())


def rows_of(instances):
    return torch.cat([instances.bboxes, instances.scores[:, None], instances.labels[:, None]], dim=1).tolist()


def test_the_mirror_image_of_a_box():
    # 100 px wide: 10..30 from the left is 70..90 in the mirror
    mirrored = found((70, 5, 90, 45, 0.9, 0), (0, 0, 100, 10, 0.5, 2))
    assert rows_of(unmirrored(mirrored, 100)) == [[10, 5, 30, 45, 0.9, 0], [0, 0, 100, 10, 0.5, 2]]
    swapped = unmirrored(mirrored, 100, (1, 0, 2))
    assert swapped.labels.tolist() == [1, 2]
    assert swapped.bboxes.equal(unmirrored(mirrored, 100).bboxes)
    assert len(unmirrored(found(), 100, (1, 0)).scores) == 0


def test_pairs_are_averaged_and_the_others_kept():
    first = found((0, 0, 40, 40, 0.9, 0), (100, 0, 140, 40, 0.4, 0))
    second = found((204, 0, 244, 40, 0.6, 0), (2, 2, 42, 42, 0.3, 0))
    # the lone .6, then (.9 + .3) / 2 = .6 after it would tie: both are .6, pairs come first
    assert rows_of(averaged(first, second, 0.5)) == pytest.approx(
        torch.tensor(
            [[1, 1, 41, 41, 0.6, 0], [204, 0, 244, 40, 0.6, 0], [100, 0, 140, 40, 0.4, 0]], dtype=torch.float64
        )
    )


def test_one_to_one_and_the_best_overlap_first():
    # IoU with (0, 0, 40, 40): 36/44 = .82 of the first, 30/50 = .6 of the second; the other one has 26/54 = .48, 20/60 = .33
    first = found((0, 0, 40, 40, 0.9, 0), (10, 0, 50, 40, 0.8, 0))
    second = found((10, 0, 50, 40, 0.7, 0), (4, 0, 44, 40, 0.6, 0))
    pairs = [index.tolist() for index in find_pairs(first, second, 0.5)]
    assert pairs == [[1, 0], [0, 1]]  # IoU 1, then .82
    assert rows_of(averaged(first, second, 0.5)) == pytest.approx(
        torch.tensor([[2, 0, 42, 40, 0.75, 0], [10, 0, 50, 40, 0.75, 0]], dtype=torch.float64)[[1, 0]]
    )


@pytest.mark.parametrize(
    ("second", "same_roi", "count"),
    [
        ((0, 0, 40, 40, 0.5, 1), 0.5, 2),  # another class
        ((20, 0, 60, 40, 0.5, 0), 0.5, 2),  # IoU 20/60
        ((20, 0, 60, 40, 0.5, 0), 1 / 3, 1),
        ((40, 0, 80, 40, 0.5, 0), 0.0, 2),  # beside each other: never the same
    ],
)
def test_what_is_the_same_roi(second, same_roi, count):
    assert len(averaged(found((0, 0, 40, 40, 0.9, 0)), found(second), same_roi).scores) == count


def test_nothing_found():
    one = found((0, 0, 40, 40, 0.9, 3))
    assert rows_of(averaged(one, found(), 0.5)) == rows_of(averaged(found(), one, 0.5)) == rows_of(one)
    assert rows_of(averaged(found(), found(), 0.5)) == []


ROI = st.tuples(
    st.integers(0, 80),
    st.integers(0, 80),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 100),
    st.integers(0, 2),
).map(lambda roi: (roi[0], roi[1], roi[0] + roi[2], roi[1] + roi[3], roi[4] / 100, roi[5]))
LOOKS = st.lists(ROI, max_size=6).map(lambda rois: found(*rois))


@settings(max_examples=150, deadline=None)
@given(LOOKS, LOOKS, st.floats(0.05, 0.95))
def test_any_two_views(first, second, same_roi):
    rows, columns = find_pairs(first, second, same_roi)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    assert first.labels[rows].equal(second.labels[columns])
    together = averaged(first, second, same_roi)
    assert len(together.scores) == len(first.scores) + len(second.scores) - len(rows)
    assert together.scores.tolist() == sorted(together.scores.tolist(), reverse=True)
    # no score, side or place outside the range of the detections
    if len(together.scores):
        every = torch.cat([first.bboxes, second.bboxes])
        assert (together.bboxes >= every.amin(0)).all()
        assert (together.bboxes <= every.amax(0)).all()
    # the order of the views doesn't matter
    turned = averaged(second, first, same_roi)
    assert turned.scores.sum().item() == pytest.approx(together.scores.sum().item())


@settings(max_examples=50, deadline=None)
@given(st.lists(ROI, max_size=6, unique=True), st.integers(140, 300))
def test_a_view_that_mirrors_the_other_exactly_changes_nothing(rois, width):
    plain = found(*rois)
    mirrored = unmirrored(plain, width, (1, 0, 2))
    again = averaged(plain, unmirrored(mirrored, width, (1, 0, 2)), 0.5)
    assert sorted(rows_of(again)) == sorted(rows_of(plain))
