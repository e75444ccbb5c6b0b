import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from hipdet.core.errors import DatasetError
from hipdet.data.formats.geometry import (
    around_circle,
    box_of_corners,
    checked_box,
    decide_frame,
    turn_upright,
    turned_corners,
)
from hipdet.data.formats.parse import LabelFault

STORED = (50, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("block", [(3, 5, 11, 8), (0, 0, 1, 1), (49, 29, 50, 30), (0, 29, 50, 30), (20, 10, 40, 12)])
def test_as_pillow_turns_a_marked_block(orientation, block):
    x0, y0, x1, y1 = block
    pixels = np.zeros(STORED[::-1], np.uint8)
    pixels[y0:y1, x0:x1] = 255
    film = Image.fromarray(pixels)
    film.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(film))
    rows, columns = np.nonzero(upright)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)  # edges, so one more than the last pixel
    assert turn_upright(block, STORED, orientation) == expected
    assert (upright > 0).sum() == (x1 - x0) * (y1 - y0)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        # the raw film is 50 wide and 30 high, the box 10.25 from the left, 4.5 from the top, 20 wide and 8 high; so it is
        # 50 - 30.25 = 19.75 from the right and 30 - 12.5 = 17.5 from the bottom
        (1, (10.25, 4.5, 30.25, 12.5)),
        (2, (19.75, 4.5, 39.75, 12.5)),  # mirrored left to right
        (3, (19.75, 17.5, 39.75, 25.5)),  # turned by 180 degrees
        (4, (10.25, 17.5, 30.25, 25.5)),  # mirrored top to bottom
        (5, (4.5, 10.25, 12.5, 30.25)),  # x and y swapped
        (6, (17.5, 10.25, 25.5, 30.25)),  # the raw bottom is the left
        (7, (17.5, 19.75, 25.5, 39.75)),  # the raw bottom is the left, the raw right the top
        (8, (4.5, 19.75, 12.5, 39.75)),  # the raw right is the top
        (None, (10.25, 4.5, 30.25, 12.5)),
        (0, (10.25, 4.5, 30.25, 12.5)),  # what some scanners write
        (9, (10.25, 4.5, 30.25, 12.5)),
    ],
)
def test_literal_turns(orientation, expected):
    assert turn_upright((10.25, 4.5, 30.25, 12.5), STORED, orientation) == expected


EIGHTHS = st.integers(-800, 8000).map(lambda number: number / 8)  # exact in binary, so turns are too
SIDES = st.integers(1, 3000)


@given(EIGHTHS, EIGHTHS, SIDES, SIDES, SIDES, SIDES, st.integers(1, 8))
def test_turning_back_gives_the_same_box(x, y, w, h, width, height, orientation):
    box = (x, y, x + w, y + h)
    upright = turn_upright(box, (width, height), orientation)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    size = (height, width) if orientation >= 5 else (width, height)
    assert turn_upright(upright, size, back) == box
    assert upright[0] < upright[2]
    assert upright[1] < upright[3]
    sides = (upright[2] - upright[0], upright[3] - upright[1])
    assert sides == ((h, w) if orientation >= 5 else (w, h))


TALL, WIDE, SQUARE = (30, 50), (50, 30), (40, 40)


@pytest.mark.parametrize(
    ("declared", "stored", "upright", "orientation", "name", "warning"),
    [
        (WIDE, WIDE, WIDE, 1, "upright", None),
        (WIDE, WIDE, WIDE, None, "upright", None),
        (None, WIDE, WIDE, 1, "upright", None),  # one frame only: nothing to decide
        (WIDE, WIDE, WIDE, 0, "upright", None),
        (WIDE, WIDE, TALL, 6, "raw", None),  # equal to the stored size only
        (TALL, WIDE, TALL, 6, "upright", None),  # equal to the upright size only
        (WIDE, WIDE, TALL, 8, "raw", None),
        (WIDE, WIDE, TALL, 5, "raw", None),
        (TALL, WIDE, TALL, 7, "upright", None),
        (SQUARE, SQUARE, SQUARE, 6, "upright", "the size 40x40 is the same in both frames"),
        (WIDE, WIDE, WIDE, 3, "upright", "the size 50x30 is the same in both frames"),
        (WIDE, WIDE, WIDE, 2, "upright", "the size 50x30 is the same in both frames"),
        (WIDE, WIDE, WIDE, 4, "upright", "the size 50x30 is the same in both frames"),
        (None, WIDE, TALL, 6, "upright", "no size is declared"),
        (None, WIDE, WIDE, 3, "upright", "no size is declared"),
    ],
)
def test_frame(declared, stored, upright, orientation, name, warning):
    frame = decide_frame("a.jpg", declared, stored, upright, orientation)
    assert frame.name == name
    if warning is None:
        assert frame.warning is None
    else:
        assert frame.warning == (
            f"a.jpg: EXIF orientation is {orientation} and {warning}, so it is unknown whether its boxes were drawn in the "
            "upright or the raw frame: assumed to be upright, check the film"
        )


@pytest.mark.parametrize("orientation", [1, 6])
def test_declared_size_of_another_film(orientation):
    expected = r"^a\.jpg: label file says 100x60, found 30x50 upright, 50x30 stored: label the film in this size"
    with pytest.raises(DatasetError, match=expected):
        decide_frame("a.jpg", (100, 60), WIDE, TALL, orientation)


def test_swapped_size_without_orientation():
    """A film whose pixels were rotated after it was labelled."""
    with pytest.raises(DatasetError, match="label file says 30x50, found 50x30 upright"):
        decide_frame("a.jpg", TALL, WIDE, WIDE, 1)


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
def test_right_angles_are_axis_aligned(degrees, expected):
    corners = turned_corners((100, 100), 50, 10, degrees)
    assert box_of_corners(corners, "refuse") == pytest.approx(expected, abs=1e-9)


def test_a_rotation_that_moves_no_corner_by_half_a_pixel_is_accepted():
    assert box_of_corners(turned_corners((0, 0), 100, 100, 0.2), "refuse") == pytest.approx((0, 0, 100, 100), abs=0.5)
    with pytest.raises(LabelFault, match="box is rotated, expected an axis-aligned one"):
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
