import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.data.formats.geometry import around_circle, box_of_corners, checked_box, turned_corners
from hipdet.data.formats.parse import LabelFault


def test_corners_of_a_turned_box():
    # 3-4-5: cos 0.6, sin 0.8; clockwise as seen, with y downwards: width goes right and down, height left and down
    degrees = math.degrees(math.atan2(4, 3))
    corners = turned_corners((100, 100), 50, 10, degrees)
    assert corners == [pytest.approx(point) for point in [(100, 100), (130, 140), (122, 146), (92, 106)]]
    assert box_of_corners(corners, "enclose") == pytest.approx((92, 100, 130, 146))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, (100, 100, 150, 110)),
        (90, (90, 100, 100, 150)),
        (180, (50, 90, 100, 100)),
        (-90, (100, 50, 110, 100)),
        (270, (100, 50, 110, 100)),
        (360, (100, 100, 150, 110)),
    ],
)
def test_right_angles_are_upright(degrees, expected):
    corners = turned_corners((100, 100), 50, 10, degrees)
    assert box_of_corners(corners, "refuse") == pytest.approx(expected, abs=1e-9)


def test_a_turn_that_moves_no_corner_by_half_a_pixel_is_upright():
    assert box_of_corners(turned_corners((0, 0), 100, 100, 0.2), "refuse") == pytest.approx((0, 0, 100, 100), abs=0.5)
    with pytest.raises(LabelFault, match="box is turned, expected an upright one"):
        box_of_corners(turned_corners((0, 0), 100, 100, 0.4), "refuse")


@given(st.floats(0, 360), st.floats(1, 500), st.floats(1, 500))
def test_enclosing_box_keeps_the_centre_and_grows(degrees, width, height):
    corners = turned_corners((10, 20), width, height, degrees)
    x0, y0, x1, y1 = box_of_corners(corners, "enclose")
    centre = [sum(values) / 4 for values in zip(*corners)]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(centre, abs=1e-6)
    assert (x1 - x0) * (y1 - y0) >= width * height * (1 - 1e-9)
    assert math.hypot(x1 - x0, y1 - y0) <= math.sqrt(2) * math.hypot(width, height) + 1e-6


def test_circle():
    assert around_circle((50, 40), 5) == (45, 35, 55, 45)


@pytest.mark.parametrize("box", [(-5, -5, 5, 5), (95, 70, 130, 100), (-10, -10, 200, 200), (99.5, 79.5, 101, 81)])
def test_over_the_edge_is_left_alone(box):
    assert checked_box(box, (100, 80)) == box


@pytest.mark.parametrize("box", [(100, 0, 110, 10), (0, 80, 10, 90), (-10, 0, 0, 10), (0, -10, 10, 0)])
def test_outside(box):
    with pytest.raises(LabelFault, match=r"box \[.*\] \[x0, y0, x1, y1\] is outside the film of 100x80 px"):
        checked_box(box, (100, 80))
    assert checked_box(box, None) == box


@pytest.mark.parametrize("box", [(5, 5, 5, 10), (5, 5, 10, 5), (5, 5, 4, 10), (5, 5, 10, -5)])
def test_no_area(box):
    with pytest.raises(LabelFault, match=r"wide and .* high, expected more than 0: draw it again"):
        checked_box(box, None)
