"""Review: measures, limits and flags; inverted and rotated films are recognised, on drawn films with known detections."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes, turn_boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, DatasetError
from hipdet.export.export import validation_films
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm, shrink
from hipdet.inference.presence import Presence, ValidationFilm
from hipdet.inference.review import (
    FLAGS,
    ReviewLimits,
    best_orientation,
    build_limits,
    centre_contrast,
    film_flags,
    get_sign,
    measures,
)
from hipdet.phantoms.write import make_film
from hipdet.radiographs.read import read_radiograph

TWO = RoiCounts.of(2, ("hip",))
WIDTH, HEIGHT = 400, 500
LEFT, RIGHT = [80, 200, 160, 280], [260, 205, 340, 285]  # squares of 80


def reading(*boxes, scores=None, **changes):
    scores = np.linspace(0.95, 0.9, len(boxes)) if scores is None else np.array(scores, np.float64)
    options = dict(labels=np.zeros(len(boxes), np.int64), width=WIDTH, height=HEIGHT, **changes)
    return FilmDetections(as_boxes(boxes), scores, **options)


def hips(count):
    """Labels of `count` hips."""
    return np.zeros(count, np.int64)


def usual(count=100, seed=0):
    """Films whose hips move by a few pixels, and differ in size by at most 2%."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        shift, grow = generator.normal(0, 4, 2), generator.uniform(0, 1.6)
        boxes = as_boxes([LEFT, RIGHT]) + np.tile(shift, 2) + [[0, 0, 0, 0], [0, 0, grow, grow]]
        yield ValidationFilm(reading(*boxes, scores=generator.uniform(0.8, 0.95, 2)), np.array([0.9, 0.9]), 1)


LIMITS = build_limits(list(usual()))


def test_measures_by_hand():
    found = measures(reading(LEFT, RIGHT))
    # centres (120, 240) and (300, 245); the right one is 100 px from its edge
    assert found["ratio"].tolist() == [80 / 500] * 2
    np.testing.assert_allclose(found["x"], [120 / 400, 100 / 400])
    np.testing.assert_allclose(found["y"], [240 / 500, 245 / 500])
    np.testing.assert_allclose(found["distance"], [np.hypot(180, 5) / 80])
    np.testing.assert_allclose(found["tilt"], [np.degrees(np.arctan(5 / 180))])
    assert found["size"].tolist() == [1]


def test_a_box_that_the_edge_cuts_has_the_size_of_its_other_axis():
    assert measures(reading(LEFT, [340, 205, 400, 285]))["size"].tolist() == [1]
    assert measures(reading(LEFT, [260, 205, 350, 305]))["size"].tolist() == [90 / 80]


def test_measures_without_and_with_one_roi():
    assert all(len(values) == 0 for values in measures(reading()).values())
    assert {name: len(values) for name, values in measures(reading(LEFT)).items()} == dict(
        score=1, ratio=1, x=1, y=1, distance=0, tilt=0, size=0
    )


def test_limits_leave_out_their_share():
    flagged = sum(bool(film_flags(film.found, hips(2), TWO, LIMITS)) for film in usual(1000, seed=1))
    assert 0 < flagged < 100  # nine limits, 1% each, most of them dependent
    scores = np.concatenate([film.found.scores for film in usual()])
    assert LIMITS.ranges["score"][0] <= np.quantile(scores, 0.01)
    assert LIMITS.least_score == pytest.approx(np.quantile(scores, 0.01) / 2, abs=1e-3)  # no misses
    assert LIMITS.lowest_hit <= scores.min() < LIMITS.lowest_hit + 0.001
    assert (LIMITS.films, LIMITS.brightness) == (100, 1)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([1] * 100, 1),
        ([1] * 99 + [-1], 1),
        ([1] * 98 + [-1] * 2, 0),
        (
            [-1] * 60 + [0] * 40,
            -1,
        ),  # a zero says nothing: nine of 112 films of hips kept inverted films from being told
        ([1] * 40 + [0] * 60, 0),
        ([1] * 3 + [None] * 97, 1),
        ([None] * 100, 0),
    ],
)
def test_the_brightness_that_films_have(signs, expected):
    films = [replace(film, brightness=sign) for film, sign in zip(usual(), signs, strict=True)]
    assert build_limits(films).brightness == expected


def test_misses_raise_the_least_score():
    films = [*usual(), ValidationFilm(reading(LEFT, scores=[0.5]), np.array([0.1]))]
    assert build_limits(films).least_score == pytest.approx(LIMITS.least_score + 0.25, abs=5e-3)  # half of .5


@pytest.mark.parametrize(
    ("found", "count", "flags"),
    [
        (reading(LEFT, RIGHT), 2, ()),
        (reading(), 0, ("fewer_rois",)),
        (reading(LEFT), 1, ("fewer_rois",)),
        (reading(LEFT, RIGHT), 3, ("more_rois",)),
        (reading(LEFT, RIGHT, scores=[0.9, 0.6]), 2, ("low_score",)),
        (
            reading(LEFT, [255, 200, 345, 290]),
            2,
            ("unequal_sizes", "odd_ratio", "odd_position"),
        ),  # nearer in their sides
        (reading([80, 100, 160, 180], [260, 105, 340, 185]), 2, ("odd_position",)),  # too high
        (reading(LEFT, [80, 380, 160, 460]), 2, ("odd_position",)),  # above one another
        (reading(LEFT, RIGHT, quarters=1, inverted=True), 2, ("turned", "inverted")),
    ],
)
def test_flags(found, count, flags):
    assert film_flags(found, hips(count), TWO, LIMITS) == flags
    assert set(flags) <= set(FLAGS)


def test_without_limits_only_the_number_is_checked():
    assert film_flags(reading(LEFT, LEFT, scores=[0.1, 0.1]), hips(2), TWO, None) == ()
    assert film_flags(reading(LEFT), hips(1), TWO, None) == ("fewer_rois",)


def test_limits_go_through_json():
    for limits in (LIMITS, build_limits(list(usual()), classes=("hip",))):
        assert ReviewLimits.from_json(json.loads(json.dumps(limits.to_json())), "x") == limits
    assert limits.presence["hip"].hits == 200


def test_limits_of_earlier_versions_are_read():
    """As in the card of the bundled model of 2026-11-26."""
    text = (
        '{"films": 100, "share": 0.01, "least_score": 0.433, "margin": 0.018, "brightness": 1, "ranges": {"score": '
        '[0.865, null], "ratio": [0.164, 0.232], "tilt": [null, 7.331]}}'
    )
    limits = ReviewLimits.from_json(json.loads(text), "x")
    assert limits.least_scores(("hip",)).tolist() == [0.433]
    assert limits.candidate_scores(("hip",)).tolist() == [0.433 / 2]


@pytest.mark.parametrize(
    "change",
    [
        dict(ranges={"smell": [0, 1]}), dict(ranges=3), dict(ranges={"x": [1]}), dict(ranges={"x": [0, "1"]}),
        dict(ranges={"x": [float("nan"), 1]}), dict(ranges={"x": [1, 0]}), dict(ranges={"x": "01"}),
        dict(margin="a"), dict(margin=-1), dict(margin=float("inf")), dict(films=None), dict(films=0), dict(films=2.5),
        dict(share=2), dict(least_score=1.5), dict(brightness=7), dict(brightness=True),
        dict(lowest_hit=2), dict(presence=3), dict(presence={"hip": 0.5}),
        dict(presence={"hip": dict(limit=2, hits=1, lost=0, films=0, false_films=0)}),
        dict(presence={"hip": dict(limit=0.5, hits=1, lost=0, films=0)}),
    ],
)  # fmt: skip
def test_other_json_is_refused(change):
    with pytest.raises(CheckpointError, match=r"m\.onnx: review limits can't be read"):
        ReviewLimits.from_json({**LIMITS.to_json(), **change}, "m.onnx")


def test_films_without_hits():
    with pytest.raises(DatasetError, match="1 validation films without a single hit"):
        build_limits([ValidationFilm(reading(LEFT), np.array([0.2]))])


def table(**row):
    whole = dict(
        image_id=1, file_name="a.jpg", label="hip", iou=0.9, confidence=0.8, found_x0=1, found_y0=2, found_x1=3
    )
    return dict(rois=[{**whole, "found_y1": 5, **row}], extras=[dict(whole, confidence=0.9, found_y1=6)])


def test_tables_of_a_test(tmp_path):
    coco = dict(
        images=[dict(id=9, file_name="a.jpg", width=40, height=30)],
        annotations=[],
        categories=[dict(id=1, name="hip")],
    )
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    (tmp_path / "test.roi.json").write_text(json.dumps(table()))
    (film,) = validation_films([tmp_path / "test.roi.json"], tmp_path / "hips.json")
    assert film.found.boxes.tolist() == [[1, 2, 3, 6], [1, 2, 3, 5]]  # best first
    assert film.iou.tolist() == [0, 0.9]
    assert (film.found.width, film.found.height, film.brightness) == (40, 30, None)
    (tmp_path / "test.roi.json").write_text(json.dumps(table(file_name="b.jpg")))
    with pytest.raises(DatasetError, match=r"b\.jpg isn't in .*hips\.json: name the COCO file"):
        validation_films([tmp_path / "test.roi.json"], tmp_path / "hips.json")
    with pytest.raises(DatasetError, match=r"hips\.json: no rois, expected a list: give test\.roi\.json"):
        validation_films([tmp_path / "hips.json"], tmp_path / "hips.json")


def test_false_alarms_on_films_without_roi_set_limits(tmp_path):
    """Unless an old table doesn't say which films they are on."""
    images = [dict(id=n, file_name=name, width=40, height=30) for n, name in enumerate(("a.jpg", "none.jpg"), 1)]
    coco = dict(images=images, annotations=[], categories=[dict(id=1, name="hip")])
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    content = table(confidence=0.95)
    content["extras"][0].update(image_id=2, file_name="none.jpg")
    path = tmp_path / "test.roi.json"
    path.write_text(json.dumps(content))
    films = validation_films([path], tmp_path / "hips.json")
    assert [(film.found.scores.tolist(), film.iou.tolist()) for film in films] == [([0.95], [0.9]), ([0.9], [0])]
    limits = build_limits(films, classes=("hip",))
    assert limits.least_score == 0.925
    assert limits.presence == {"hip": Presence(0.925, hits=1, lost=0, films=1, false_films=0)}
    coco["images"][1]["absent"] = "unknown"  # there may be a hip without a label
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    assert build_limits(validation_films([path], tmp_path / "hips.json")).least_score == 0.475
    del content["extras"][0]["file_name"]
    path.write_text(json.dumps(content))
    assert len(validation_films([path], tmp_path / "hips.json")) == 1


def test_classes_of_tables(tmp_path):
    """Labels of hits and of others, in the order of the model's classes; unknown if an old table has none."""
    names = ["lung", "heart"]
    categories = [dict(id=number, name=name) for number, name in enumerate(names, 1)]
    coco = dict(images=[dict(id=9, file_name="a.jpg", width=40, height=30)], annotations=[], categories=categories)
    (tmp_path / "chests.json").write_text(json.dumps(coco))
    content = table(label="heart")
    content["extras"][0]["label"] = "lung"
    path = tmp_path / "test.roi.json"

    def labels(**options):
        path.write_text(json.dumps(content))
        (film,) = validation_films([path], tmp_path / "chests.json", **options)
        return film.found.labels.tolist()

    assert labels() == [0, 1]  # the extra is the best
    assert labels(classes=("heart", "lung")) == [1, 0]
    content["extras"][0]["label"] = "heart"
    assert labels() == [1, 1]
    del content["extras"][0]["label"]
    assert labels() == [-1, 1]
    with pytest.raises(DatasetError, match=r"test\.roi\.json: has an ROI of class 'heart', expected one of \['hip'\]"):
        labels(classes=("hip",))


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
