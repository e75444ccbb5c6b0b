import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_parts import HIPS, SIZE, state
from hipdet.annotate.film_state import FilmState, Project, is_reason, parse_state, squared
from hipdet.core.boxes import clipped
from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Roi

HIP = Roi((20, 40, 60, 80), "hip")


def test_a_state_sent_to_the_page_and_back_is_the_same():
    there = FilmState((HIP, Roi((140, 40, 180, 80), "hip")), None, True, True)
    assert parse_state(there.record(), Project(), SIZE) == there
    none = FilmState(checked=True, none=True)
    assert parse_state(none.record(), Project(), SIZE) == none


@pytest.mark.parametrize(
    ("given_state", "rois", "status"),
    [
        (FilmState(), 2, "new"),
        (FilmState(checked=True), 2, "new"),  # all squares deleted again
        (FilmState(checked=True, none=True), 2, "done"),
        (FilmState(checked=True, none=True), None, "done"),
        (FilmState(none=True), 2, "unchecked"),  # of imported labels
        (FilmState((), "child", checked=True, none=True), 2, "excluded"),
        (FilmState((HIP,)), 1, "unchecked"),
        (FilmState((HIP,), checked=True), 2, "incomplete"),
        (FilmState((HIP,), checked=True), 1, "done"),
        (FilmState((HIP,), checked=True), None, "done"),
        (FilmState((HIP, HIP), checked=True), 1, "incomplete"),  # one too many
        (FilmState((HIP,), "child", checked=True), 1, "excluded"),
    ],
)
def test_status(given_state, rois, status):
    assert given_state.status(rois) == status


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "boxes is None, expected a list"),
        (state(HIPS * 51), "expected a list of at most 100"),
        (state([HIPS[0]] * 2), "the same box is listed twice"),
        (state([[20, 40, 60]]), "expected four finite numbers"),
        (state([[20, 40, math.inf, 80]]), "expected four finite numbers"),
        (state([[20, 40, "60", 80]]), "expected four finite numbers"),
        (state([[20, 40, 10**400, 80]]), "expected four finite numbers"),
        (state(["box"]), "expected four finite numbers"),
        (state([[20, 40, 60, 90]]), "40 px wide and 50 px high, expected a square"),
        (state([[-50, 40, -10, 80]]), "its centre is not on the film of 200x120"),
        (state([[20, 100, 70, 150]]), "its centre is not on the film"),
        (state([[20, 40, 20.5, 40.5]]), "less than 1 px"),
        (state([[60, 80, 20, 40]]), "less than 1 px"),
        (state(HIPS, label="knee"), "expected a box with one of the labels hip"),
        (state(exclude="boring"), "exclude is 'boring', expected null, one hip"),
        (state(exclude=["child"]), "exclude is ['child']"),
        (state(unsure=1), "expected true or false"),
        (state(none="yes"), "unsure, checked and none are [False, True, 'yes'], expected true or false"),
        (state(HIPS, none=True), "none is true with 2 boxes, expected it only for a readable film without boxes"),
    ],
)
def test_invalid_states(record, message):
    with pytest.raises(DatasetError) as error:
        parse_state(record, Project(), SIZE)
    assert message in str(error.value)


def test_a_film_that_cannot_be_read_can_only_be_excluded():
    assert parse_state(state(exclude="other"), Project(), None).exclude == "other"
    with pytest.raises(DatasetError, match="on a film that can't be read"):
        parse_state(state(HIPS), Project(), None)
    with pytest.raises(DatasetError, match="none is true with a film that can't be read"):
        parse_state(state(none=True), Project(), None)


def test_free_shapes_are_accepted_with_the_option():
    assert parse_state(state([[20, 40, 60, 90]]), Project(free_shape=True), SIZE).rois[0].box == (20, 40, 60, 90)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("child", True),
        ("other: twisted", True),
        ("other: ", False),
        ("Child", False),
        ("other: a\nb", False),
        ("other: " + "x" * 200, False),
        (7, False),
    ],
)
def test_reasons(text, good):
    assert is_reason(text) is good


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((20, 40, 60, 80), (20, 40, 60, 80)),
        ((20, 40, 60, 90), (15, 40, 65, 90)),  # around its centre
        ((0, 40, 30, 80), (-10, 40, 30, 80)),  # cut by the left edge: the right one is true
        ((180, 40, 200, 80), (180, 40, 220, 80)),
        ((40, 0, 80, 30), (40, -10, 80, 30)),
        ((40, 100, 80, 120), (40, 100, 80, 140)),
    ],
)
def test_squares_around_boxes(box, square):
    assert squared(box, SIZE) == square


@given(st.floats(0, 200), st.floats(0, 120), st.floats(4, 100))
def test_a_clipped_square_is_restored(cx, cy, side):
    """A square that one edge of the film cuts is restored, unless two opposite edges or a corner cut it."""
    box = (cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)
    cut = clipped(box, *SIZE)
    again = squared(cut, SIZE)
    assert math.isclose(again[2] - again[0], again[3] - again[1], abs_tol=0.021)
    if not ((box[0] < 0 or box[2] > 200) and (box[1] < 0 or box[3] > 120)) and min(cut[0], cut[1]) > 1:
        assert again == pytest.approx(box, abs=0.011)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", "a b", "x" * 65])
def test_annotators_whose_name_is_no_file_name(name):
    with pytest.raises(DatasetError, match="--annotator"):
        Project(annotator=name)


@pytest.mark.parametrize("classes", [("hip", "hip"), (), ("",), ("hip\n",), ("\x1b[31m",), ("\udcff",)])
def test_classes_have_different_printable_names(classes):
    with pytest.raises(DatasetError, match="expected different names, none of them empty, of printable characters"):
        Project(classes=classes)
