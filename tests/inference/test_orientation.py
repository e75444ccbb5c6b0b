"""Films that are rotated, upside down or inverted, with detections that are given."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes, turn_boxes
from hipdet.core.classes import RoiCounts
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm, shrink
from hipdet.inference.orientation import best_orientation, centre_contrast, get_sign, upright
from hipdet.inference.review import (
    ReviewLimits,
)
from hipdet.phantoms.write import make_film
from hipdet.radiographs.read import read_radiograph

TWO = RoiCounts.of(2, ("hip",))
FILM_WIDTH, FILM_HEIGHT = 400, 300
HIPS = as_boxes([[80, 150, 140, 210], [260, 150, 320, 210]])
ODD_LIMITS = ReviewLimits(
    films=100,
    share=0.01,
    least_score=0.5,
    margin=0.02,
    brightness=1,
    ranges={"score": (0.8, None), "y": (0.5, 0.7), "tilt": (None, 8.0), "x": (0.1, 0.5), "distance": (2.0, 4.0)},
)


def drawn():
    """Bright heads in grey hips on a dark film."""
    film = np.full((FILM_HEIGHT, FILM_WIDTH), 30, np.uint8)
    for x0, y0, x1, y1 in HIPS.astype(int):
        film[y0:y1, x0:x1] = 90
        film[y0 + 15 : y1 - 15, x0 + 15 : x1 - 15] = 200
    return film


def best(film, upright, scores, hips=HIPS):
    """The chosen detections on a film that `upright` quarters set upright; `scores` by the quarters that are left."""
    width, height = film.shape[::-1] if upright % 2 == 0 else film.shape
    looks = []

    def look(quarters, inverted):
        looks.append((quarters, inverted))
        lacks = (upright - quarters) % 4
        boxes = turn_boxes(hips, -lacks, width, height)
        found = np.full(len(boxes), scores.get(lacks, 0.6))
        size = (width, height) if lacks % 2 == 0 else (height, width)
        return FilmDetections(boxes, found, np.zeros(len(boxes), np.int64), *size, quarters, inverted)

    result = best_orientation(ShrunkFilm(film, *film.shape[::-1]), look, TWO, ODD_LIMITS)
    return result, looks


def test_usual_films_take_one_forward_pass():
    found, looks = best(drawn(), 0, {0: 0.9})
    assert (found.quarters, found.inverted, looks) == (0, False, [(0, False)])


def test_inverted_films_are_recognised_by_their_greys():
    found, looks = best(255 - drawn(), 0, {0: 0.9})
    assert (found.quarters, found.inverted, looks) == (0, True, [(0, False), (0, True)])


@pytest.mark.parametrize("upright", [1, 3])
def test_films_rotated_by_90_degrees(upright):
    """Hips are above one another: the better of the two directions is chosen, however small the difference."""
    found, looks = best(np.rot90(drawn(), -upright), upright, {0: 0.9, 2: 0.89, 1: 0.9, 3: 0.9})
    assert (found.quarters, found.inverted) == (upright, False)
    assert len(looks) == 3
    np.testing.assert_allclose(found.boxes, HIPS)
    np.testing.assert_allclose(found.stored_boxes(), turn_boxes(HIPS, -upright, FILM_WIDTH, FILM_HEIGHT))
    assert found.picture_sides(2) == ["", ""]  # it may have been turned the wrong way


def test_rotated_and_inverted_films():
    found, _ = best(np.rot90(255 - drawn(), -1), 1, {0: 0.9, 2: 0.8, 1: 0.9, 3: 0.9})
    assert (found.quarters, found.inverted) == (1, True)


@pytest.mark.parametrize(("as_it_is", "turned", "quarters"), [(0.85, 0.9, 2), (0.85, 0.86, 0), (0.9, 0.85, 0)])
def test_upside_down_films_need_the_margin(as_it_is, turned, quarters):
    """The hips stand too high (y), and upright they don't."""
    found, _ = best(np.rot90(drawn(), 2), 2, {2: as_it_is, 0: turned})
    assert found.quarters == quarters


def test_an_unusual_film_that_turning_doesnt_explain_stays_as_it_is():
    low = HIPS - [0, 60, 0, 60]  # y = .4, and .6 upside down; scores are equal
    found, looks = best(drawn(), 0, {0: 0.7, 2: 0.7}, low)
    assert found.quarters == 0
    assert len(looks) == 4


def read_as(readings, limits=ODD_LIMITS, counts=TWO):
    """The chosen turn of a grey film; `readings` are boxes ``[N, 4]`` and scores ``[N]`` by quarters."""

    def look(quarters, inverted):
        boxes, scores = readings.get(quarters, ([], []))
        size = (FILM_WIDTH, FILM_HEIGHT) if quarters % 2 == 0 else (FILM_HEIGHT, FILM_WIDTH)
        return FilmDetections(as_boxes(boxes), np.array(scores, float), np.zeros(len(boxes), np.int64), *size, quarters)

    return best_orientation(
        ShrunkFilm(np.full((FILM_HEIGHT, FILM_WIDTH), 90, np.uint8), FILM_WIDTH, FILM_HEIGHT), look, counts, limits
    ).quarters


HIGH = HIPS - [0, 60, 0, 60]  # y = .4: odd_position
ABOVE = as_boxes([[80, 60, 140, 120], [80, 180, 140, 240]])


def test_detections_below_the_least_score_turn_no_film():
    """One hip, with the same score both ways; upside down there is more noise, but its place is usual."""
    assert read_as({0: (HIGH, [0.9, 0.1]), 2: (HIPS, [0.9, 0.45])}) == 0  # mean scores .5 and .675 with the noise


@pytest.mark.parametrize(("turned", "quarters"), [([0.9, 0.85], 2), ([0.9, 0.45], 0)])
def test_a_candidate_may_be_an_roi_on_the_rotated_film(turned, quarters):
    """One hip is enough for no flag where a film may have one or two; upside down, the other scores too little."""
    counts = RoiCounts.of((1, 2), ("hip",))
    assert read_as({0: (HIPS, [0.9, 0.4]), 2: (HIPS, turned)}, counts=counts) == quarters
    assert read_as({0: (HIPS[:1], [0.9]), 2: (HIPS, turned)}, counts=counts) == 0  # nothing asks for a second look


@pytest.mark.parametrize(
    ("scores", "quarters"),
    [
        ([0.9, 0.7], 0),  # low_score is left
        ([0.9, 0.45], 0),  # fewer_rois is left
        ([0.9, 0.85], 2),
    ],
)
def test_a_turn_must_remove_the_flags(scores, quarters):
    assert read_as({0: (HIGH, [0.6, 0.55]), 2: (HIPS, scores)}) == quarters


def test_sizes_that_no_turn_changes_keep_no_film_upside_down():
    limits = replace(
        ODD_LIMITS, ranges={**ODD_LIMITS.ranges, "size": (None, 1.1), "ratio": (0.16, 1.0)}
    )  # 60 / 400 = .15
    larger = np.array([[0, 0, 0, 0], [0, 0, 10, 10]])
    assert read_as({0: (HIGH + larger, [0.6, 0.6]), 2: (HIPS + larger, [0.9, 0.9])}, limits) == 2


def test_the_best_turn_without_flags_is_chosen():
    """A quarter turn scores more but shows the hips too high."""
    narrow = as_boxes([[40, 220, 100, 280], [200, 220, 260, 280]])  # on the film of 300x400: y = .625
    assert read_as({0: (HIGH, [0.6, 0.6]), 1: (narrow - [0, 120, 0, 120], [0.99, 0.99]), 2: (HIPS, [0.9, 0.9])}) == 2


@pytest.mark.parametrize(
    ("as_it_is", "upside_down", "quarters"),
    [
        ([0.4, 0.3], [0.9], 0),  # nothing, and one of two: by chance
        ([0.4, 0.3], [0.9, 0.85], 2),
        ([0.6], [0.9], 2),
    ],
)
def test_where_nothing_is_found_one_of_two_is_no_reason_to_turn(as_it_is, upside_down, quarters):
    one_or_two = RoiCounts.of((1, 2), ("hip",))
    readings = {0: (HIGH[: len(as_it_is)], as_it_is), 2: (HIPS[: len(upside_down)], upside_down)}
    assert read_as(readings, counts=one_or_two) == quarters


def test_a_rotated_film_is_set_upright_only_if_all_rois_are_found():
    """Above one another on an upright film: one hip and something else."""
    assert read_as({0: (ABOVE, [0.9, 0.6]), 1: (HIPS[:1], [0.95]), 3: (HIPS, [0.9, 0.4])}) == 0
    assert read_as({0: (ABOVE, [0.9, 0.6]), 1: (HIPS[:1], [0.95]), 3: (HIPS, [0.9, 0.6])}) == 3


def test_of_several_classes_each_must_be_there():
    """Two hearts aren't a heart and a lung."""
    counts = RoiCounts.of({"heart": 1, "lung": (1, 2)}, ("heart", "lung"))
    wanted = np.array([0, 1])

    def turned(labels):
        def look(quarters, inverted):
            boxes, score, found = (HIPS, 0.9, labels) if quarters == 2 else (HIGH, 0.6, wanted)
            size = (FILM_WIDTH, FILM_HEIGHT) if quarters % 2 == 0 else (FILM_HEIGHT, FILM_WIDTH)
            found = found if quarters % 2 == 0 else found[:1]
            return FilmDetections(boxes[: len(found)], np.full(len(found), score), found, *size, quarters)

        film = ShrunkFilm(np.full((FILM_HEIGHT, FILM_WIDTH), 90, np.uint8), FILM_WIDTH, FILM_HEIGHT)
        return best_orientation(film, look, counts, ODD_LIMITS).quarters

    assert turned(wanted) == 2
    assert turned(np.array([0, 0])) == 0


def test_contrast_by_hand():
    contrast = centre_contrast(drawn(), HIPS)
    # the middle is 200 and the rest 90; of the film all but the two middles is darker
    np.testing.assert_allclose(contrast, [110, 1 - 2 * 30 * 30 / (FILM_WIDTH * FILM_HEIGHT) - 0.5])
    assert (get_sign(contrast), get_sign(centre_contrast(255 - drawn(), HIPS)), get_sign(np.array([1, -1]))) == (
        1,
        -1,
        0,
    )
    assert centre_contrast(drawn(), HIPS[:0]).tolist() == [0, 0]
    assert centre_contrast(drawn(), HIPS + 1000).tolist() == [0, 0]


@pytest.mark.parametrize("source", ["cgoa", "oaih", "gis"])
def test_middles_of_phantom_hips_are_bright(source):
    films = [make_film(source, index, seed=3, max_side=256) for index in range(6)]
    signs = [get_sign(centre_contrast(film.pixels, film.hips)) for film in films]
    assert signs.count(1) >= 5
    assert -1 not in signs
    assert 1 not in [get_sign(centre_contrast(255 - film.pixels, film.hips)) for film in films]


def test_middles_of_real_hips_are_bright(shared):
    root = shared / "data/fracatlas_hips"
    boxes = {}
    for row in csv.DictReader((root / "hips.csv").open(encoding="utf-8")):
        x, y, side = float(row["x"]), float(row["y"]), float(row["side"])
        boxes.setdefault(row["image"], []).append([x, y, x + side, y + side])
    signs = []
    for name, hips in list(boxes.items())[::4]:
        film = shrink(read_radiograph(root / "images" / name), 448)
        signs.append(get_sign(centre_contrast(film.pixels, film.to_square(hips))))
    assert signs == [1] * 25


def answered(answers):
    """What `upright` chooses, and what it read; `answers` ``[5]`` of the head by version ``(quarters, inverted)``."""
    looks = []

    def look(quarters, inverted):
        looks.append((quarters, inverted))
        empty = as_boxes([]), np.zeros(0), np.zeros(0, np.int64)
        return FilmDetections(*empty, 40, 30, quarters, inverted, np.array(answers[quarters, inverted]))

    found = upright(look)
    return (found.quarters, found.inverted), looks


SURE = [0.97, 0.01, 0.01, 0.01, 0.01]


@pytest.mark.parametrize(
    ("answers", "expected", "reads"),
    [
        ({(0, False): SURE}, (0, False), 1),
        ({(0, False): [0.4, 0.1, 0.4, 0.1, 0.4]}, (0, False), 1),  # unsure: films are upright
        ({(0, False): [0.01, 0.97, 0.01, 0.01, 0.01], (1, False): SURE}, (1, False), 2),
        ({(0, False): [0.01, 0.01, 0.97, 0.01, 0.99], (2, True): SURE}, (2, True), 2),
        # both answers: it should be turned upside down, so neither is believed
        ({(0, False): [0.1, 0.0, 0.9, 0.0, 0.0], (2, False): [0.1, 0.0, 0.9, 0.0, 0.0]}, (0, False), 2),
        # the second answer is the surer one: a quarter on is upright
        ({(0, False): [0.0, 0.55, 0.45, 0, 0], (1, False): [0.01, 0.99, 0, 0, 0], (2, False): SURE}, (2, False), 3),
    ],
)
def test_the_orientation_heads_answers(answers, expected, reads):
    found, looks = answered(answers)
    assert (found, len(looks)) == (expected, reads)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_sure_head_turns_every_film_upright(quarters, inverted):
    """Its answers follow from the film: it needs so many more turns after each turn."""
    answers = {
        (turned, changed): [*np.roll(SURE[:4], (quarters - turned) % 4), 0.01 if changed == inverted else 0.99]
        for turned in range(4)
        for changed in (False, True)
    }
    found, looks = answered(answers)
    assert found == (quarters, inverted)
    assert len(looks) == (1 if found == (0, False) else 2)
