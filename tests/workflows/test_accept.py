"""Moving limits: from which films, how far, and what stays."""

from dataclasses import replace

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import DatasetError
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm
from hipdet.inference.review import ReviewLimits, judge, measures
from hipdet.workflows.accept import FEWEST, MOVABLE, CheckedFilm, flag_counts, move_limits

TWO = RoiCounts.of(2, ("hip",))
# of films whose hips are larger: all of the films below are flagged
RANGES = dict(
    score=(0.5, None), ratio=(0.3, 0.4), x=(0.1, 0.5), y=(0.3, 0.7), distance=(1.5, 4.0), tilt=(None, 20.0), size=(None, 1.3),
)  # fmt: skip
LIMITS = ReviewLimits(100, 0.002, 0.4, RANGES)


def detections(number, score=0.9, quarters=0):
    """Two hips of a fifth of the film, which move by a few pixels; the film is 400 x 500 px as it was read."""
    grow = number % 3
    shift = np.tile(np.random.default_rng(number).normal(0, 4, 2), 2)
    boxes = as_boxes([[80, 200, 180 + grow, 300 + grow], [240, 205, 340, 305]]) + shift
    return FilmDetections(boxes, np.array([score, 0.85]), np.zeros(2, np.int64), 400, 500, quarters)


def checked(number, right=True, **options):
    found = detections(number, **options)
    record = judge(found, TWO, LIMITS).record(f"{number}.png", None, ("hip",), {0})
    return CheckedFilm(record, measures(record.upright(("hip",))), right, number)


FILMS = [checked(number) for number in range(100)]


@pytest.mark.parametrize("quarters", range(4))
def test_a_record_gives_back_what_the_network_saw(quarters):
    found = detections(1, quarters=quarters)
    record = judge(found, TWO, LIMITS).record("a.png", None, ("hip",), {0})
    again = record.upright(("hip",))
    np.testing.assert_allclose(again.boxes, found.boxes)
    assert (again.width, again.height, again.quarters) == (400, 500, quarters)
    assert (again.scores.tolist(), again.labels.tolist()) == ([0.9, 0.85], [0, 0])
    film = CheckedFilm(record, measures(again))
    assert film.flags(LIMITS.ranges) == {*record.flags}  # the same rule
    assert ("odd_ratio" in record.flags) is True


def test_contrast_by_hand():
    # each grey once: 12.8 of 256 pixels are a twentieth, which the 13th grey reaches, 12; nineteen twentieths reach 243
    every = ShrunkFilm(np.arange(256, dtype=np.uint8).reshape(16, 16), 16, 16)
    assert every.contrast == (243 - 12) / 255
    assert ShrunkFilm(np.full((4, 4), 7, np.uint8), 4, 4).contrast == 0


def test_limits_move_to_the_share_on_films_that_did_not_set_them():
    before = flag_counts(FILMS, [film.record.flags for film in FILMS])
    assert before == {"all": (100, 100), "right": (100, 100), "wrong": (0, 0)}
    wide, tight = (move_limits(FILMS, LIMITS, share) for share in (0.05, 0.4))
    assert wide[1]["all"][0] <= 5
    assert 5 < tight[1]["all"][0] <= 40
    for limits, _ in (wide, tight):
        moved = {name for name, ends in limits.ranges.items() if ends != RANGES[name]}
        assert moved == {*MOVABLE}  # neither score nor size
        assert replace(limits, ranges=RANGES) == LIMITS
    low, high = wide[0].ranges["ratio"]
    assert tight[0].ranges["ratio"][0] > low
    assert low < 100 / 500 < high < RANGES["ratio"][0]  # around the hips of these films


def test_other_films_than_those_that_are_measured_set_the_limits():
    # one film of a patient of its own lies apart: it is flagged whatever the others are, unless it sets the limits itself
    apart = replace(FILMS[0], values={**FILMS[0].values, "y": np.array([0.95, 0.95])})
    counts = move_limits([apart, *FILMS[1:]], LIMITS, 0.011)[1]
    assert counts["all"] == (1, 100)


def test_wrong_films_do_not_widen_limits():
    far = [replace(film, right=False, values={**film.values, "ratio": np.array([0.9, 0.9])}) for film in FILMS[:20]]
    limits, counts = move_limits([*far, *FILMS[20:]], LIMITS, 0.25)
    assert limits.ranges["ratio"][1] < 0.3
    assert counts["wrong"] == (20, 20)
    assert counts["right"][0] <= 5


def test_a_share_that_cannot_be_had_moves_nothing():
    """Else limits would become so wide that they flag nothing, to make room for flags that don't move."""
    low = [checked(number, score=0.45 if number < 10 else 0.9) for number in range(100)]
    assert sum("low_score" in film.record.flags for film in low) == 10
    with pytest.raises(DatasetError, match=r"a share of 0\.09 can't be had: with wide .* 10 of 100 confirmed films"):
        move_limits(low, LIMITS, 0.09)
    limits, counts = move_limits(low, LIMITS, 0.12)
    assert 10 <= counts["all"][0] <= 12
    assert limits.ranges["score"] == RANGES["score"]


def test_a_model_without_limits():
    with pytest.raises(DatasetError, match="the model has no review limits that could move"):
        move_limits(FILMS, None, 0.05)


def test_a_measure_of_few_values_keeps_its_range():
    single = [replace(film, values={**film.values, "distance": np.zeros(0), "tilt": np.zeros(0)}) for film in FILMS]
    ranges = move_limits(single, LIMITS, 0.05)[0].ranges
    assert (ranges["distance"], ranges["tilt"]) == (RANGES["distance"], RANGES["tilt"])
    assert ranges["x"] != RANGES["x"]


@pytest.mark.parametrize(
    ("films", "words"),
    [
        (
            FILMS[: FEWEST - 1],
            "39 confirmed films, 39 of them right, of 39 patients: expected 40, 20 and 5 or more",
        ),
        (
            [replace(film, unit=film.unit % 4) for film in FILMS],
            "100 confirmed films, 100 of them right, of 4 patients",
        ),
        ([replace(film, right=film.unit < 19) for film in FILMS], "100 confirmed films, 19 of them right, of 100"),
        ([], "0 confirmed films"),
    ],
)
def test_too_few(films, words):
    with pytest.raises(DatasetError, match=words):
        move_limits(films, LIMITS, 0.05)


def test_forty_are_enough():
    assert move_limits(FILMS[:FEWEST], LIMITS, 0.1)[1]["all"][1] == FEWEST
