"""Detectors: exports and checkpoints, and the number of ROIs of each class, from the card, the caller or the command."""

import json
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from fixed_model import CLASSES, SIDE, write_model
from PIL import Image

from hipdet import HipDetector, RoiDetector
from hipdet.annotate.film_state import Project
from hipdet.annotate.proposals import load_detector
from hipdet.cli.predict import _parse_arguments, open_detector
from hipdet.core.classes import RoiCounts
from hipdet.core.configs import read_config
from hipdet.core.errors import CheckpointError, ConfigError, RadiographError
from hipdet.export.torch_model import expected_rois
from hipdet.inference import detector
from hipdet.inference.film_list import read_ahead
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.presence import Presence
from hipdet.inference.review import ReviewLimits
from hipdet.radiographs.grey import ReducedFilm
from hipdet.radiographs.read import read_radiograph
from untrained import noise

LIMITS = ReviewLimits(9, 0.01, 0.0, {"score": (0.99, None), "tilt": (None, 5.0)})  # every film gets flags


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of several shapes as files."""
    folder = tmp_path_factory.mktemp("films")
    for number, size in enumerate([(700, 560), (250, 300)]):
        Image.fromarray(noise(*size, number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def exported(untrained):
    return HipDetector(untrained.onnx)


def boxes(records):
    return np.array([roi.box for record in records for roi in record.rois])


@pytest.mark.parametrize("limits", [None, LIMITS])
def test_the_export_finds_what_torch_finds(untrained, films, limits):
    """The same boxes to 0.05 px of the film, the same flags, turns and sides."""
    there = list(HipDetector(untrained.config, untrained.weights, limits=limits)(films))
    here = list(HipDetector(untrained.onnx, limits=limits)(films))
    assert len(boxes(here)) == 4
    np.testing.assert_allclose(boxes(here), boxes(there), atol=0.05)
    for a, b in zip(here, there):
        assert (a.name, a.width, a.flags, a.turned, a.inverted) == (b.name, b.width, b.flags, b.turned, b.inverted)
        assert [roi.picture_side for roi in a.rois] == [roi.picture_side for roi in b.rois]
        assert all(0 <= x0 < x1 <= a.width and 0 <= y0 < y1 <= a.height for x0, y0, x1, y1 in (r.box for r in a.rois))


def test_both_kinds_of_models_keep_the_side_that_a_film_names(untrained, exported):
    film = ReducedFilm.whole(noise(200, 170, 1), "left")
    for model in (exported.model, HipDetector(untrained.config, untrained.weights).model):
        assert model.preprocess(film).patient_side == "left"


def test_films_of_all_kinds_are_the_same(exported, films):
    path = films / "0.png"
    (a,), (b,), (c,) = exported(path), exported(read_radiograph(path)), exported([str(films / "0*.png")])
    assert a.rois == b.rois == c.rois
    assert (a.name, a.path, b.path, a.width, a.height) == ("0.png", path, None, *Image.open(path).size)
    assert [roi.score for roi in a.rois] == sorted((roi.score for roi in a.rois), reverse=True)
    assert {roi.label for roi in a.rois} == {"hip"}


def test_unreadable_films_are_records(exported, untrained, films, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("L", (1, 1)).save(tmp_path / "one.png")
    places = [films / "0.png", tmp_path, tmp_path / "missing.jpg", films / "1.png"]
    errors = [record.error for record in exported(places)]
    assert errors == [
        None,
        "empty file: copy or download the film again",
        "1x1 px, too small for a radiograph (at least 64 px)",
        "no such file: check the path",
        None,
    ]
    with pytest.raises(RadiographError, match=r"empty\.jpg: empty file"):
        list(HipDetector(untrained.onnx, strict=True)(places))


def test_number_of_rois(untrained, films):
    (one,) = HipDetector(untrained.onnx, rois=1)(films / "0.png")
    assert (len(one.rois), one.flags) == (1, ())
    (many,) = HipDetector(untrained.onnx, rois=4)(films / "0.png")  # the model gives three
    assert (len(many.rois), many.flags) == (3, ("fewer_rois",))


def test_limits_are_read_from_the_folder_of_the_weights(untrained, films, tmp_path):
    weights = tmp_path / "w.pth"
    weights.write_bytes(untrained.weights.read_bytes())
    (tmp_path / "w.review.json").write_text(json.dumps(LIMITS.to_json()))
    assert HipDetector(untrained.config, weights).limits == LIMITS
    (tmp_path / "w.review.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"w\.review\.json: not JSON"):
        HipDetector(untrained.config, weights)


def test_read_ahead_keeps_order_and_a_bounded_store():
    begun, lock = [], threading.Lock()

    def work(item):
        with lock:
            begun.append(item)
        return item * 2

    results = read_ahead(work, range(100), threads=2)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert len(begun) <= 3 + 2  # what was given, and two ahead
    assert list(results) == [2 * item for item in range(3, 100)]


CARD = ModelCard("c", ("hip",), 448, 2)


def test_cards_survive_the_way_through_text():
    assert ModelCard.from_text(CARD.to_text(), "x") == CARD
    card = ModelCard("c", ("a", "b"), 448, 3, LIMITS, dict(data="x"), "0.1")
    assert ModelCard.from_text(card.to_text(), "x") == card


@pytest.mark.parametrize("rois", [3, [1, 2], {"a": 1, "b": [0, 2]}])
def test_cards_hold_numbers_of_rois_of_all_kinds(rois):
    card = ModelCard("c", ("a", "b"), 448, rois)
    assert json.loads(card.to_text())["rois"] == rois
    read = ModelCard.from_text(card.to_text(), "x")
    assert (read, read.rois, read.counts) == (card, rois, RoiCounts.of(rois, ("a", "b")))


def changed_card(**changes):
    return json.dumps({**json.loads(CARD.to_text()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "without hipdet's metadata"),
        ("{", "not JSON"),
        ("[" * 10_000, "nested too deeply"),
        ("[]", r"found \[\], expected an object: export the checkpoint again"),
        ('{"side": NaN}', "NaN is not a number of JSON"),
        (changed_card(side=0), "side is 0, expected a whole number from 32 to 4096"),
        (changed_card(side=1), "side is 1, expected"),
        (changed_card(side=448.5), "side is 448.5, expected"),
        (changed_card(side=10**9), "side is 1000000000, expected"),
        (changed_card(classes=[]), r"classes is \[\], expected names of classes"),
        (changed_card(classes=["hip", "hip"]), "expected names of classes, each once"),
        (changed_card(classes=[3]), "classes is .3., expected a list of texts"),
        (changed_card(classes="hip"), "classes is 'hip', expected a list"),
        (changed_card(config=None), "config is None, expected a text"),
        (changed_card(about=[]), r"about is \[\], expected an object"),
        (changed_card(limits=3), "limits: .*found 3, expected an object"),
        (CARD.to_text().replace('"rois": 2', '"rois": 0'), "number of ROIs 0, expected a number"),
        (CARD.to_text().replace('"rois": 2', '"rois": "2"'), "number of ROIs '2', expected a number"),
        (CARD.to_text().replace('"rois": 2', '"rois": [2, 1]'), r"number of ROIs \[2, 1\], expected a number"),
        (
            CARD.to_text().replace('"rois": 2', '"rois": {"knee": 2}'),
            r"for \['knee'\], expected one for each of \['hip'\]",
        ),
        (CARD.to_text().replace('"rois": 2', '"roi": 2'), "no rois, expected a number of ROIs"),
        (CARD.to_text().replace('"limits": null', '"limits": {"films": 1}'), "limits: .*no ranges, expected an object"),
    ],
)
def test_other_cards_are_refused(text, message):
    with pytest.raises(CheckpointError, match=rf"m\.onnx: .*{message}"):
        ModelCard.from_text(text, "m.onnx")


@pytest.mark.parametrize(
    ("model", "weights", "error", "message"),
    [
        ("none.onnx", None, CheckpointError, r"none\.onnx: no such model"),
        ("cut.onnx", None, CheckpointError, r"cut\.onnx: not a readable ONNX file"),
        ("cut.onnx", "w.pth", CheckpointError, "contains its weights"),
        ("tiny.py", None, CheckpointError, "a config needs weights"),
        (None, "w.pth", CheckpointError, "weights need a config"),
        ("none.py", "cut.pth", ConfigError, "no such config"),
        ("tiny.py", "none.pth", CheckpointError, "no such checkpoint"),
        ("tiny.py", "cut.pth", CheckpointError, r"cut\.pth: (damaged|refused)"),
    ],
)
def test_models_that_cant_be_opened(model, weights, error, message, untrained, tmp_path):
    for name, whole in (("cut.onnx", untrained.onnx), ("cut.pth", untrained.weights)):
        (tmp_path / name).write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "tiny.py").write_bytes(untrained.config.read_bytes())
    with pytest.raises(error, match=message):
        HipDetector(model and tmp_path / model, weights and tmp_path / weights)


def test_weights_of_another_model(untrained):
    with pytest.raises(CheckpointError, match="weights of another model than"):
        HipDetector("configs/hip_roi_small.py", untrained.weights)


def test_no_bundled_model(monkeypatch, tmp_path):
    monkeypatch.setattr(detector, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match="this hipdet has no bundled model"):
        HipDetector()


BY_CLASS_LIMITS = ReviewLimits(9, 0.01, 0.5, {})
FILM = np.zeros((SIDE, SIDE), np.uint8)


def found(model, **options):
    """Labels and scores, and flags, of a film."""
    (film,) = HipDetector(model, **options)([FILM])
    return [(roi.label, round(roi.score, 3)) for roi in film.rois], film.flags


HEARTS, LUNGS = [("heart", 0.9), ("heart", 0.8)], [("lung", 0.7), ("lung", 0.4), ("lung", 0.1)]


@pytest.mark.parametrize(
    ("rois", "expected", "flags"),
    [
        ("3", [*HEARTS, LUNGS[0]], ()),
        ("[1, 2]", HEARTS, ()),
        ('{"heart": 1, "lung": 2}', [HEARTS[0], *LUNGS[:2]], ()),
        ('{"heart": [0, 1], "lung": [1, 2]}', [HEARTS[0], *LUNGS[:2]], ()),
        ('{"heart": 3, "lung": 1}', [*HEARTS, LUNGS[0]], ("fewer_rois",)),
    ],
)
def test_the_card_says_how_many_of_each_class(rois, expected, flags, tmp_path):
    assert found(write_model(tmp_path / "m.onnx", rois)) == (expected, flags)


@pytest.mark.parametrize(
    ("rois", "expected", "flags"),
    [
        (3, [*HEARTS, LUNGS[0]], ()),
        (2, HEARTS, ("more_rois",)),
        ([3, 4], [*HEARTS, LUNGS[0]], ("candidates",)),
        ({"heart": 1, "lung": 1}, [HEARTS[0], LUNGS[0]], ("more_rois",)),  # two hearts
        ({"heart": 2, "lung": 2}, [*HEARTS, LUNGS[0]], ("fewer_rois", "candidates")),  # one less than two of each
        ({"heart": [1, 2], "lung": [0, 2]}, [*HEARTS, LUNGS[0]], ("candidates",)),
        (
            {"heart": 1, "lung": 2},
            [HEARTS[0], LUNGS[0]],
            ("fewer_rois", "more_rois", "candidates"),
        ),  # three in all, as expected
    ],
)
def test_detections_that_score_enough_are_counted_by_class(rois, expected, flags, tmp_path):
    model = write_model(tmp_path / "m.onnx", json.dumps(rois))
    assert found(model, limits=BY_CLASS_LIMITS) == (expected, flags)


@pytest.mark.parametrize(
    ("rois", "expected", "flags"),
    [
        (3, [*HEARTS, LUNGS[0]], ()),
        (4, [*HEARTS, *LUNGS[:2]], ("low_score",)),
        ((3, 4), [*HEARTS, LUNGS[0]], ("candidates",)),  # a range says less
        ({"heart": 2, "lung": 3}, [*HEARTS, *LUNGS], ("low_score",)),
        ({"heart": 1, "lung": (0, 2)}, [HEARTS[0], LUNGS[0]], ("more_rois", "candidates")),
        ({"heart": 3, "lung": 1}, [*HEARTS, LUNGS[0]], ("fewer_rois",)),  # there is no third one
    ],
)
def test_a_number_that_the_user_states_is_given(rois, expected, flags, tmp_path):
    """Whatever they score, and said with a flag."""
    model = write_model(tmp_path / "m.onnx", "5")
    assert found(model, rois=rois, limits=BY_CLASS_LIMITS) == (expected, flags)


def test_candidates_are_what_may_be_an_roi(tmp_path):
    """Half of the limit or more, among the best that a film may have, with limits of classes; sides aren't known."""
    presence = {"heart": Presence(0.85, 30, 0, 20, 0)}
    limits = replace(BY_CLASS_LIMITS, presence=presence)
    model = write_model(tmp_path / "m.onnx", '{"heart": [1, 2], "lung": [0, 3]}')
    (film,) = RoiDetector(model, limits=limits)([FILM])
    assert [(roi.label, round(roi.score, 1), roi.candidate) for roi in (*film.rois, *film.candidates)] == [
        ("heart", 0.9, False),
        ("lung", 0.7, False),
        ("heart", 0.8, True),
        ("lung", 0.4, True),
    ]
    assert ({roi.picture_side for roi in film.candidates}, film.flags) == ({""}, ("candidates",))
    (film,) = RoiDetector(model, limits=replace(limits, lowest_hit=0.05))([FILM])  # no hit is lost altogether
    assert [round(roi.score, 1) for roi in film.candidates] == [0.8, 0.4, 0.1]
    (film,) = RoiDetector(model, limits=None)([FILM])  # without limits, the best are ROIs
    assert (len(film.rois), film.candidates, film.flags) == (5, (), ())


@pytest.mark.parametrize(("head", "asked", "turned"), [(True, True, 90), (True, False, 0), (False, True, 0)])
def test_only_an_orientation_head_tells_that_a_film_lies(head, asked, turned, tmp_path, monkeypatch):
    """Without it, a film is read once, as it is, even if it has flags."""
    monkeypatch.setattr(detector.OnnxModel, "tells_orientation", head)
    found = RoiDetector(write_model(tmp_path / "m.onnx", "2"), limits=LIMITS, find_orientation=asked)
    infer, looks = found.model.infer, []

    def answer(film, quarters, inverted, **options):
        looks.append(quarters)
        told = np.array([*np.roll([0.97, 0.01, 0.01, 0.01], 1 - quarters), 0.01])
        return replace(infer(film, quarters, inverted, **options), orientation=told if head else None)

    monkeypatch.setattr(found.model, "infer", answer)
    (film,) = found([FILM])
    assert (film.turned, looks) == (turned, [0, 1] if turned else [0])
    assert ("turned" in film.flags, "low_score" in film.flags) == (turned > 0, True)


@pytest.mark.parametrize(
    ("rois", "classes", "sides"),
    [
        ("[0, 2]", ("hip",), {"left", "right"}),
        ("2", ("hip",), {"left", "right"}),
        ("[1, 3]", ("rib",), {""}),  # not in pairs
        ("1", ("knee",), {""}),
    ],
)
def test_only_classes_in_pairs_have_sides(rois, classes, sides, tmp_path):
    boxes = [[10, 20, 40, 50], [50, 20, 80, 50]]
    model = write_model(tmp_path / "m.onnx", rois, classes=classes, labels=[0, 0], scores=[0.9, 0.8], boxes=boxes)
    (film,) = RoiDetector(model)([FILM])
    assert {roi.picture_side for roi in film.rois} == sides
    (film,) = RoiDetector(model, rois=2)([FILM])  # the user says that it does
    assert {roi.patient_side for roi in film.rois} == {"left", "right"}


def test_a_detector_of_any_roi_needs_a_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model is named: give an \.onnx file of hipdet export, a folder"):
        RoiDetector()
    assert isinstance(HipDetector(), RoiDetector)
    write_model(tmp_path / "model.onnx", "5")
    assert RoiDetector(tmp_path).model.card.classes == CLASSES  # a folder of hipdet fit
    (tmp_path / "none").mkdir()
    with pytest.raises(CheckpointError, match=r"none/model\.onnx: no such model"):
        RoiDetector(tmp_path / "none")


@pytest.mark.parametrize("rois", [0, 1.5, "2", {"heart": 1}, (2, 1), ()])
def test_other_numbers_are_refused(rois, tmp_path):
    with pytest.raises(ConfigError, match="rois: number"):
        HipDetector(write_model(tmp_path / "m.onnx", "5"), rois=rois)


@pytest.mark.parametrize("rois", ["0", "null", "true", "[1]", '{"heart": 1}', '{"heart": 1, "lung": "2"}'])
def test_a_damaged_card_is_refused_by_name(rois, tmp_path):
    with pytest.raises(CheckpointError, match=r"m\.onnx: hipdet's metadata: rois"):
        HipDetector(write_model(tmp_path / "m.onnx", rois))


def arguments(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
    return _parse_arguments()


@pytest.mark.parametrize(
    ("words", "rois"),
    [
        (["--rois", "2"], 2),
        (["--rois", "1-2"], [1, 2]),
        (["--rois", "heart=1", "lung=0-2"], {"heart": 1, "lung": [0, 2]}),
        ([], 5),
    ],
)
@pytest.mark.parametrize("films_first", [True, False])
def test_rois_on_the_command_line(words, rois, films_first, monkeypatch, tmp_path):
    films = ["a.png", "b=c.png"]
    model = ["--model", write_model(tmp_path / "m.onnx", "5")]
    args = arguments(monkeypatch, *model, *([*films, *words] if films_first else [*words, *films]))
    assert args.films == films
    opened = open_detector(args)
    assert (opened.rois, opened.stated) == (RoiCounts.of(rois, CLASSES), bool(words))


@pytest.mark.parametrize(
    "words", [["0"], ["two"], ["heart=1"], ["heart=1", "lung=x"], ["knee=2"], ["heart=1", "heart=1"]]
)
def test_other_words_are_refused(words, monkeypatch, tmp_path):
    args = arguments(monkeypatch, "a.png", "--model", write_model(tmp_path / "m.onnx", "5"), "--rois", *words)
    with pytest.raises(ConfigError, match="--rois"):
        open_detector(args)


def proposed(tmp_path, project, **model):
    """Labels of the boxes that a model proposes."""
    Image.fromarray(FILM).save(tmp_path / "1.png")
    detect = load_detector(str(write_model(tmp_path / "m.onnx", **model)), project)
    return [(roi.label, round(roi.score, 3)) for film in detect([tmp_path / "1.png"]) for roi in film.rois]


BOTH = '{"heart": 1, "lung": 2}'


@pytest.mark.parametrize(
    ("classes", "rois", "expected"),
    [
        (("lung",), 1, LUNGS[:2]),  # the one best ROI of all is a heart
        (CLASSES, 3, [HEARTS[0], *LUNGS[:2]]),  # the three best of all are two hearts and a lung
        (CLASSES, None, [HEARTS[0], *LUNGS[:2]]),
    ],
)
def test_a_model_of_several_classes_proposes_what_the_project_labels(classes, rois, expected, tmp_path):
    assert proposed(tmp_path, Project(classes, rois), rois=BOTH) == expected


@pytest.mark.parametrize(("classes", "rois", "count"), [(("hip",), 3, 3), (("hip",), None, 2), (("hip", "knee"), 4, 2)])
def test_a_model_of_one_class_proposes_as_many_as_the_project_wants(classes, rois, count, tmp_path):
    model = dict(rois="2", classes=("hip",), labels=[0] * 5)
    assert len(proposed(tmp_path, Project(classes, rois), **model)) == count


def config_with(untrained, path, rois):
    """The config of `untrained`, with a RoiMetric that expects `rois`."""
    metric = f"dict(_delete_=True, type='RoiMetric', ann_file='a.json', rois_per_image={rois!r})"
    path.write_text(f"_base_ = {str(untrained.config)!r}\ntest_evaluator = {metric}\n")
    return path


@pytest.mark.parametrize(("rois", "expected"), [(3, 3), ([1, 2], [1, 2]), ({"hip": 2}, 2), ({"hip": [1, 2]}, [1, 2])])
def test_a_config_counts_as_its_metric_does(rois, expected, untrained, tmp_path):
    assert HipDetector(config_with(untrained, tmp_path / "c.py", rois), untrained.weights).rois == RoiCounts.of(
        expected, ("hip",)
    )


def test_a_config_that_counts_other_classes_is_refused(untrained, tmp_path):
    with pytest.raises(ConfigError, match=r"c\.py: rois_per_image of RoiMetric: numbers of ROIs for \['knee'\]"):
        HipDetector(config_with(untrained, tmp_path / "c.py", {"knee": 2}), untrained.weights)


def test_classes_of_a_config_are_counted_apart(untrained, tmp_path):
    """A checkpoint has its own classes; these weights have one, but the config's numbers of ROIs are used."""
    rois = {"heart": 1, "lung": (1, 2)}
    cfg = read_config(str(config_with(untrained, tmp_path / "c.py", rois)))
    assert RoiCounts.of(expected_rois(cfg), CLASSES) == RoiCounts.of(rois, CLASSES)
