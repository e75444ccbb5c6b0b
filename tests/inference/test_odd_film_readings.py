"""How inverted, lying and upside-down films are told, on drawn films whose readings are known."""

import csv

import numpy as np
import pytest

from hipdet.boxes import as_boxes, turn_boxes
from hipdet.inference.inversion import centre_contrast, sign_of
from hipdet.inference.odd_films import best_reading
from hipdet.inference.reading import Reading
from hipdet.inference.review import ReviewLimits
from hipdet.inference.shrunk_film import ShrunkFilm, shrink
from hipdet.phantom import make_film
from hipdet.radiograph import read_radiograph

WIDTH, HEIGHT = 400, 300
HIPS = as_boxes([[80, 150, 140, 210], [260, 150, 320, 210]])
LIMITS = ReviewLimits(
    films=100,
    share=0.01,
    least_score=0.5,
    margin=0.02,
    brightness=1,
    ranges={"score": (0.8, None), "y": (0.5, 0.7), "tilt": (None, 8.0), "x": (0.1, 0.5), "distance": (2.0, 4.0)},
)


def drawn():
    """Bright heads in grey hips on a dark film."""
    film = np.full((HEIGHT, WIDTH), 30, np.uint8)
    for x0, y0, x1, y1 in HIPS.astype(int):
        film[y0:y1, x0:x1] = 90
        film[y0 + 15 : y1 - 15, x0 + 15 : x1 - 15] = 200
    return film


def best(film, upright, scores, hips=HIPS):
    """The reading that counts of a film which `upright` quarters set upright; `scores` by quarters that it still lacks."""
    width, height = film.shape[::-1] if upright % 2 == 0 else film.shape
    looks = []

    def look(quarters, inverted):
        looks.append((quarters, inverted))
        lacks = (upright - quarters) % 4
        boxes = turn_boxes(hips, -lacks, width, height)
        found = np.full(len(boxes), scores.get(lacks, 0.6))
        size = (width, height) if lacks % 2 == 0 else (height, width)
        return Reading(boxes, found, np.zeros(len(boxes), np.int64), *size, quarters, inverted)

    result = best_reading(ShrunkFilm(film, *film.shape[::-1]), look, 2, LIMITS)
    return result, looks


def test_ordinary_films_are_looked_at_once():
    found, looks = best(drawn(), 0, {0: 0.9})
    assert (found.quarters, found.inverted, looks) == (0, False, [(0, False)])


def test_inverted_films_are_told_by_their_greys():
    found, looks = best(255 - drawn(), 0, {0: 0.9})
    assert (found.quarters, found.inverted, looks) == (0, True, [(0, False), (0, True)])


@pytest.mark.parametrize("upright", [1, 3])
def test_lying_films(upright):
    """Hips above one another: of the two ways to set it upright the better one counts, however little better it is."""
    found, looks = best(np.rot90(drawn(), -upright), upright, {0: 0.9, 2: 0.89, 1: 0.9, 3: 0.9})
    assert (found.quarters, found.inverted) == (upright, False)
    assert len(looks) == 3
    np.testing.assert_allclose(found.boxes, HIPS)
    np.testing.assert_allclose(found.stored_boxes(), turn_boxes(HIPS, -upright, WIDTH, HEIGHT))
    assert found.picture_sides(2) == ["", ""]  # it may have been turned the wrong way


def test_lying_and_inverted():
    found, _ = best(np.rot90(255 - drawn(), -1), 1, {0: 0.9, 2: 0.8, 1: 0.9, 3: 0.9})
    assert (found.quarters, found.inverted) == (1, True)


@pytest.mark.parametrize(("as_it_is", "turned", "quarters"), [(0.85, 0.9, 2), (0.85, 0.86, 0), (0.9, 0.85, 0)])
def test_upside_down_films_need_the_margin(as_it_is, turned, quarters):
    """The hips stand too high (y), and upright they don't."""
    found, _ = best(np.rot90(drawn(), 2), 2, {2: as_it_is, 0: turned})
    assert found.quarters == quarters


def test_an_odd_film_that_turning_doesnt_explain_stays_as_it_is():
    low = HIPS - [0, 60, 0, 60]  # y = .4, and .6 upside down; scores say nothing
    found, looks = best(drawn(), 0, {0: 0.7, 2: 0.7}, low)
    assert found.quarters == 0
    assert len(looks) == 4


def test_contrast_by_hand():
    contrast = centre_contrast(drawn(), HIPS)
    # the middle is 200 and the rest 90; of the film all but the two middles is darker
    np.testing.assert_allclose(contrast, [110, 1 - 2 * 30 * 30 / (WIDTH * HEIGHT) - 0.5])
    assert (sign_of(contrast), sign_of(centre_contrast(255 - drawn(), HIPS)), sign_of(np.array([1, -1]))) == (1, -1, 0)
    assert centre_contrast(drawn(), HIPS[:0]).tolist() == [0, 0]
    assert centre_contrast(drawn(), HIPS + 1000).tolist() == [0, 0]


@pytest.mark.parametrize("source", ["cgoa", "oaih", "gis"])
def test_middles_of_phantom_hips_are_bright(source):
    films = [make_film(source, index, seed=3, max_side=256) for index in range(6)]
    signs = [sign_of(centre_contrast(film.pixels, film.hips)) for film in films]
    assert signs.count(1) >= 5
    assert -1 not in signs
    assert 1 not in [sign_of(centre_contrast(255 - film.pixels, film.hips)) for film in films]


def test_middles_of_real_hips_are_bright(shared):
    root = shared / "data/fracatlas_hips"
    boxes = {}
    for row in csv.DictReader((root / "hips.csv").open(encoding="utf-8")):
        x, y, side = float(row["x"]), float(row["y"]), float(row["side"])
        boxes.setdefault(row["image"], []).append([x, y, x + side, y + side])
    signs = []
    for name, hips in list(boxes.items())[::4]:
        film = shrink(read_radiograph(root / "images" / name), 448)
        signs.append(sign_of(centre_contrast(film.pixels, film.to_square(hips))))
    assert signs == [1] * 25
