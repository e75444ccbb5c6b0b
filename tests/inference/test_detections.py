"""Sides of detections: single hips, pairs, turned films, DICOM tags; and what is read, by the orientation head's answers."""

import numpy as np
import pytest

from dicom_bytes import film as dicom
from hipdet import HipDetector
from hipdet.core.boxes import as_boxes
from hipdet.inference.detections import FilmDetections, upright
from hipdet.inference.film_list import FilmSource, shrink
from hipdet.inference.review import measures
from hipdet.phantoms.write import make_film
from hipdet.radiographs.grey import ReducedFilm


@pytest.fixture(scope="module")
def detector():
    return HipDetector(threads=1)


@pytest.fixture(scope="module")
def both():
    """A film of two hips."""
    return make_film("gis", 3, seed=11, max_side=400)


def halves(film):
    """Films of one hip each, the left and the right one of the picture."""
    middle = int(film.hips[:, [0, 2]].mean())
    return np.ascontiguousarray(film.pixels[:, :middle]), np.ascontiguousarray(film.pixels[:, middle:])


def sides(record):
    return [(roi.picture_side, roi.patient_side) for roi in record.rois]


PAIR = {("left", "right"), ("right", "left")}
UNKNOWN = ("", "")


def test_a_single_hip_has_no_side(detector):
    films = [half for index in range(6) for half in halves(make_film("cgoa", index, seed=3, max_side=400))]
    alone = [record for record in detector(films) if len(record.rois) == 1]
    assert len(alone) >= 8
    assert {side for record in alone for side in sides(record)} == {UNKNOWN}


def test_two_hips_side_by_side_have_sides(detector, both):
    (record,) = detector(both.pixels)
    assert set(sides(record)) == PAIR
    left = min(record.rois, key=lambda roi: roi.box[0])
    assert (left.picture_side, left.patient_side) == ("left", "right")


def test_on_a_turned_film_no_side_is_known(detector, both):
    (record,) = detector(np.rot90(both.pixels))
    assert (record.turned, sides(record)) == (270, [UNKNOWN] * 2)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")

    def write(pixels, **tags):
        path = folder / "film"
        path.write_bytes(dicom(pixels, WindowCenter="128", WindowWidth="256", **tags))
        return path

    return write


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (dict(ImageLaterality="L"), ("right", "left")),  # the patient's left is at the picture's right
        (dict(ImageLaterality="R"), ("left", "right")),
        (dict(Laterality="R"), ("left", "right")),
        (dict(ImageLaterality="B"), UNKNOWN),
        (dict(ImageLaterality="L", Laterality="R"), UNKNOWN),
        ({}, UNKNOWN),
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [0, 1])
def test_dicom_names_the_side_of_a_single_hip(detector, both, write, side, tags, expected):
    """The film's tags decide, whichever hip it is."""
    (record,) = detector(write(halves(both)[side], **tags))
    assert sides(record) == [expected]


def test_dicom_does_not_name_the_sides_of_two_hips(detector, both, write):
    (record,) = detector(write(both.pixels, ImageLaterality="L"))
    (same,) = detector(write(both.pixels))
    assert record.rois == same.rois
    assert set(sides(record)) == PAIR
    (turned,) = detector(write(np.rot90(both.pixels), ImageLaterality="L"))
    assert (turned.turned, sides(turned)) == (270, [UNKNOWN] * 2)


@pytest.mark.parametrize("calibrated", [True, False])
def test_one_of_two_hips_is_not_a_single_hip(both, write, calibrated):
    """With rois=1 the other hip is left out of the record; the film still shows two."""
    detector = HipDetector(threads=1, rois=1)
    if not calibrated:
        detector.limits = None  # then any detection can be an ROI
    (record,) = detector(write(both.pixels, ImageLaterality="L"))
    assert sides(record) == [UNKNOWN]


@pytest.mark.parametrize("whole", [False, True])
def test_the_patient_side_reaches_the_detector(both, write, whole):
    source = FilmSource("film", write(both.pixels, ImageLaterality="L"))
    film = source.read(None if whole else 100)
    assert (film.patient_side, shrink(film, 100).patient_side) == ("left", "left")
    assert FilmSource("array", pixels=both.pixels).read().patient_side is None
    assert shrink(ReducedFilm.whole(both.pixels), 100).patient_side is None


def reading(*boxes, quarters=0):
    return FilmDetections(as_boxes(boxes), np.full(len(boxes), 0.9), np.zeros(len(boxes), np.int64), 400, 500, quarters)


LEFT, RIGHT, BELOW = [40, 200, 120, 280], [200, 205, 280, 285], [60, 390, 140, 470]


@pytest.mark.parametrize(
    ("found", "shown", "patient_side", "expected"),
    [
        (reading(), 0, "left", []),
        (reading(LEFT), 1, None, [""]),
        (reading(LEFT), 1, "left", ["right"]),
        (reading(RIGHT), 1, "left", ["right"]),
        (reading(RIGHT), 1, "right", ["left"]),
        (reading(LEFT), 2, "left", [""]),  # one of two
        (reading(LEFT, quarters=2), 1, "left", [""]),
        (reading(LEFT, RIGHT), 2, None, ["left", "right"]),
        (reading(RIGHT, LEFT), 3, "left", ["right", "left"]),
        (reading(LEFT, BELOW), 2, None, ["", ""]),
        (reading(LEFT, RIGHT, quarters=1), 2, None, ["", ""]),
    ],
)
def test_sides_of_detections(found, shown, patient_side, expected):
    assert found.picture_sides(shown, patient_side) == expected


@pytest.mark.parametrize("quarters", range(4))
def test_boxes_on_the_film_as_it_is_stored(quarters):
    film = np.zeros((30, 40), bool)
    film[5:12, 8:20] = True
    rotated = np.rot90(film, quarters)
    rows, columns = np.nonzero(rotated)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    found = FilmDetections(as_boxes([box]), np.ones(1), np.zeros(1, np.int64), *rotated.shape[::-1], quarters)
    assert found.stored_boxes().tolist() == [[8, 5, 20, 12]]


@pytest.mark.parametrize(
    ("boxes", "x"),
    [
        ([LEFT], [80 / 400]),
        ([RIGHT], [160 / 400]),  # centre at 240 of 400
        ([LEFT, RIGHT], [80 / 400, 160 / 400]),
        ([LEFT, BELOW], [80 / 400, 300 / 400]),  # centres at 80 and 100: the other one is measured from the right
    ],
)
def test_x_is_measured_from_an_edge_as_before(boxes, x):
    """Limits of models depend on this measure, so it exists even if no side is known."""
    np.testing.assert_allclose(measures(reading(*boxes))["x"], x)


@pytest.mark.parametrize("number", [3, 4])
def test_films_known_to_have_two_rois_get_them(number):
    """Also where only one of the first look's proposals scores enough to be worth a second look."""
    film = make_film("gis", number, seed=11, max_side=400)
    assert [len(found.rois) for found in HipDetector(rois=2, threads=1)(halves(film))] == [2, 2]


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
