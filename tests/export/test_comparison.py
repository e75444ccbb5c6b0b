"""Two sets of ROIs are compared class by class, whatever their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hipdet.cli.export import films_to_compare
from hipdet.core.roi_counts import RoiCounts
from hipdet.export.export import Difference, difference
from hipdet.inference.detections import FilmDetections

CHEST = RoiCounts.of(dict(heart=1, lung=2), ("heart", "lung"))
BOXES = np.array([[10.0, 10, 30, 30], [0, 0, 20, 40], [30, 0, 50, 40], [60, 60, 70, 70]])
SCORES = np.array([0.6, 0.9, 0.89999, 0.3])
LABELS = np.array([0, 1, 1, 1])


def reading(boxes=BOXES, scores=SCORES, labels=LABELS):
    order = np.argsort(-scores, kind="stable")
    return FilmDetections(boxes[order], scores[order], labels[order], 100, 100)


def test_the_same():
    assert difference(reading(), reading(), CHEST) == Difference(0.0, 0.0)


def test_nearly_equal_scores_may_change_places():
    """By rank the first lung would be compared with the second: 30 px."""
    swapped = SCORES + np.array([0, -0.00002, 0, 0])
    found = difference(reading(), reading(scores=swapped), CHEST)
    assert found.box == 0
    assert found.score == pytest.approx(0.00002)
    one = RoiCounts.of(dict(heart=1, lung=1), ("heart", "lung"))  # the better lung is another one
    assert difference(reading(), reading(scores=swapped), one).box == 0


def test_boxes_scores_and_labels_count():
    moved = BOXES + np.array([[0, 0, 0, 0.5], [0] * 4, [0] * 4, [0] * 4])
    assert difference(reading(), reading(moved), CHEST) == Difference(0.5, 0.0)
    assert difference(reading(), reading(scores=SCORES * 0.5), CHEST).score == pytest.approx(0.45)
    other = difference(reading(), reading(labels=np.array([1, 1, 1, 0])), CHEST)
    assert other.box > 10  # the heart is elsewhere
    assert difference(reading(), reading(labels=np.ones(4, int)), CHEST).box == float("inf")
    none = reading(BOXES[:0], SCORES[:0], LABELS[:0])
    assert difference(none, reading(), CHEST).box == difference(reading(), none, CHEST).box == float("inf")
    assert difference(none, none, CHEST) == Difference(0.0, 0.0)


def test_what_a_film_does_not_have_is_not_compared():
    """A fourth lung, which neither side takes for an ROI."""
    moved = BOXES + np.array([[0] * 4, [0] * 4, [0] * 4, [9.0] * 4])
    assert difference(reading(), reading(moved), CHEST) == Difference(0.0, 0.0)


@given(st.permutations(range(4)), st.floats(0, 3))
def test_order_is_moot_and_a_shift_is_found(order, shift):
    order = np.array(order)
    other = reading(BOXES[order] + shift, SCORES[order], LABELS[order])
    assert difference(reading(), other, CHEST).box == pytest.approx(shift)
    assert difference(other, reading(), CHEST).box == pytest.approx(shift)


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (("hip",), "pelvis phantoms"),
        (("heart", "left lung", "right lung"), "chest phantoms"),
        (("lung",), "chest phantoms"),
        (("knee",), "noise"),
        (("hip", "knee"), "noise"),
    ],
)
def test_drawn_films(classes, kind):
    count, films, found = films_to_compare(["2"], classes)
    films = list(films)
    assert (count, found, len(films)) == (2, kind, 2)
    assert [(max(film.shape), film.dtype, film.ndim) for film in films] == [(512, np.uint8, 2)] * 2
    assert min(film.std() for film in films) > 20
    again = list(films_to_compare(["2"], classes)[1])
    assert all(np.array_equal(a, b) for a, b in zip(films, again))


def test_films_of_ones_own(tmp_path):
    (tmp_path / "a").mkdir()
    for number, name in enumerate(("a/1.png", "a/2.png", "b.png")):
        Image.new("L", (80, 64), 50 * number).save(tmp_path / name)
    count, films, kind = films_to_compare([str(tmp_path / "a"), str(tmp_path / "b.png")], ("knee",))
    assert (count, kind) == (None, "films")
    assert [film[0, 0] for film in films] == [0, 50, 100]
