"""Which side of the picture a ROI is on, by those beside it alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.boxes import patient_side, picture_side_of, sides_of_pairs


def square(x, y, side=40):
    """About (x, y)."""
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
def test_the_place_on_the_film_and_the_order_say_nothing(places, shift, random):
    boxes, labels = [square(x, y, side) for x, y, side, _ in places], [label for *_, label in places]
    sides = sides_of_pairs(boxes, labels)
    for label in "ab":
        assert sorted(side for side, each in zip(sides, labels) if each == label and side) in ([], ["left", "right"])
    order = random.sample(range(len(places)), len(places))
    moved = [[edge + shift for edge in boxes[number]] for number in order]
    assert sides_of_pairs(moved, [labels[number] for number in order]) == [sides[number] for number in order]
    mirrored = [[-x1, y0, -x0, y1] for x0, y0, x1, y1 in boxes]
    assert sides_of_pairs(mirrored, labels) == [patient_side(side) or "" for side in sides]


def test_the_patient_faces_the_reader():
    assert [patient_side(side) for side in ("left", "right", "", None)] == ["right", "left", None, None]
    assert [picture_side_of(side) for side in ("left", "right", "", None)] == ["right", "left", None, None]
