"""Review: measures, limits and flags, with given detections."""

import json

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, DatasetError
from hipdet.export.export import validation_films
from hipdet.inference.detections import FilmDetections
from hipdet.inference.presence import Presence, ValidationFilm
from hipdet.inference.review import (
    FLAGS,
    ReviewLimits,
    build_limits,
    film_flags,
    measures,
)

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
        yield ValidationFilm(reading(*boxes, scores=generator.uniform(0.8, 0.95, 2)), np.array([0.9, 0.9]))


LIMITS = build_limits(list(usual()), 0.01)


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
    assert 0 < flagged < 100  # eleven limits, 1% each, most of them dependent
    scores = np.concatenate([film.found.scores for film in usual()])
    assert LIMITS.ranges["score"][0] <= np.quantile(scores, 0.01)
    assert LIMITS.least_score == pytest.approx(np.quantile(scores, 0.01) / 2, abs=1e-3)  # no misses
    assert LIMITS.lowest_hit <= scores.min() < LIMITS.lowest_hit + 0.001
    assert LIMITS.films == 100


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
    """As in the card of the bundled model of 2026-11-26; its `margin` and `brightness` have no use any more."""
    text = (
        '{"films": 100, "share": 0.01, "least_score": 0.433, "margin": 0.018, "brightness": 1, "ranges": {"score": '
        '[0.865, null], "ratio": [0.164, 0.232], "tilt": [null, 7.331]}}'
    )
    limits = ReviewLimits.from_json(json.loads(text), "x")
    assert limits.least_scores(("hip",)).tolist() == [0.433]
    assert limits.candidate_scores(("hip",)).tolist() == [0.433 / 2]
    assert limits.ranges == {"score": (0.865, None), "ratio": (0.164, 0.232), "tilt": (None, 7.331)}
    assert ReviewLimits.from_json({**LIMITS.to_json(), "margin": 0.018, "brightness": -1}, "x") == LIMITS
    assert not {"margin", "brightness"} & set(LIMITS.to_json())


@pytest.mark.parametrize(
    "change",
    [
        dict(ranges={"smell": [0, 1]}), dict(ranges=3), dict(ranges={"x": [1]}), dict(ranges={"x": [0, "1"]}),
        dict(ranges={"x": [float("nan"), 1]}), dict(ranges={"x": [1, 0]}), dict(ranges={"x": "01"}),
        dict(films=None), dict(films=0), dict(films=2.5), dict(share=2), dict(share=float("inf")), dict(least_score="a"),
        dict(least_score=1.5), dict(least_score=-1), dict(least_score=True),
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
    assert (film.found.width, film.found.height) == (40, 30)
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
