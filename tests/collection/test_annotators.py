import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.boxes import iou_matrix
from hipdet.data.annotators import merge_annotators
from hipdet.data.candidates import Rules
from hipdet.data.coco_file import Roi

LEFT, RIGHT = Roi((10, 20, 30, 40), "hip"), Roi((60, 20, 80, 40), "hip")
LOWER = Roi((60, 24, 80, 44), "hip")  # IoU 320 / 480 with RIGHT
FAR = Roi((60, 34, 80, 54), "hip")  # IoU 120 / 680 with RIGHT
RULES = Rules("s")


def test_one_annotator_is_taken_as_he_is():
    assert merge_annotators("a.jpg", {"RL": (LEFT,)}, RULES).rois == (LEFT,)


def test_mean_box_whatever_the_order():
    merged = merge_annotators("a.jpg", {"RL": (LEFT, RIGHT), "SC": (LOWER, LEFT)}, RULES)
    assert [roi.box for roi in merged.rois] == [(10, 20, 30, 40), (60, 22, 80, 42)]
    assert [(row.first, row.second, row.iou) for row in merged.agreements] == [
        ("RL", "SC", 1), ("RL", "SC", pytest.approx(2 / 3))
    ]  # fmt: skip
    assert merged.disagreement is None


def test_three_annotators_agree_pairwise():
    merged = merge_annotators("a.jpg", {"A": (RIGHT,), "B": (LOWER,), "C": (RIGHT,)}, RULES)
    assert merged.rois[0].box == pytest.approx((60, 20 + 4 / 3, 80, 40 + 4 / 3))
    assert [(row.first, row.second) for row in merged.agreements] == [("A", "B"), ("A", "C"), ("B", "C")]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ((LEFT,), "annotators disagree on the number of ROIs: RL 2, SC 1"),
        ((LEFT, FAR), "annotators RL and SC disagree on a ROI: IoU 0.176"),
        ((LEFT, Roi((0, 80, 9, 89), "hip")), "annotators RL and SC disagree on a ROI: IoU 0.000"),
        ((LEFT, Roi(RIGHT.box, "cup")), "annotators RL and SC disagree on a ROI: IoU 0.000"),  # another class
    ],
)
def test_disagreement(second, reason):
    readings = {"RL": (LEFT, RIGHT), "SC": second}
    assert merge_annotators("a.jpg", readings, RULES).disagreement == reason
    first = merge_annotators("a.jpg", readings, Rules("s", disagreement="first"))
    assert (first.rois, first.disagreement) == ((LEFT, RIGHT), None)
    assert len(first.agreements) >= 2  # reported all the same


def test_a_threshold_of_ones_own():
    readings = {"RL": (RIGHT,), "SC": (LOWER,)}
    assert merge_annotators("a.jpg", readings, Rules("s", min_agreement=0.7)).disagreement


BOX = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(5, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[2])
)


@given(boxes=st.lists(BOX, max_size=4), shift=st.integers(0, 3))
def test_squares_stay_squares_and_every_roi_is_reported(boxes, shift):
    first = tuple(Roi(box, "hip") for box in boxes)
    second = tuple(Roi(tuple(edge + shift for edge in box), "hip") for box in boxes)
    merged = merge_annotators("a.jpg", {"A": first, "B": second}, RULES)
    assert all(roi.is_square for roi in merged.rois)
    named = [row.first_box for row in merged.agreements] + [row.second_box for row in merged.agreements]
    assert {roi.box for roi in (*first, *second)} <= set(named)
    for row in merged.agreements:
        if row.second_box:
            assert row.iou == iou_matrix([row.first_box], [row.second_box])[0, 0]
