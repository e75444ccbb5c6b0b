"""Films of several classes: how many ROIs of each there are, from the card, the caller or the command line."""

import sys

import numpy as np
import pytest
from PIL import Image

from hipdet import HipDetector
from hipdet.annotate.film_state import Project
from hipdet.annotate.proposals import load_detector
from hipdet.cli.predict import open_detector, parse_arguments
from hipdet.core.boxes import as_boxes
from hipdet.core.configs import read_config
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.core.roi_counts import RoiCounts
from hipdet.export.torch_model import expected_rois
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.review import ReviewLimits

CLASSES = ("heart", "lung")
SIDE = 96
# two hearts, three lungs, best first; of them .4 and .1 are noise where a ROI scores .5
LABELS, SCORES = [0, 0, 1, 1, 1], [0.9, 0.8, 0.7, 0.4, 0.1]
LIMITS = ReviewLimits(9, 0.01, 0.5, 0.01, 0, {})


def write_model(path, rois, classes=CLASSES, labels=LABELS, scores=SCORES):
    """An export that finds the same on every film."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    boxes = as_boxes([[10 * n, 10, 10 * n + 8, 30] for n in range(len(labels))]).astype(np.float32)
    found = dict(boxes=boxes, scores=np.array(scores, np.float32), labels=np.array(labels, np.int64))
    nodes = [
        helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(each))
        for name, each in found.items()
    ]
    inputs = [
        helper.make_tensor_value_info("film", kinds.UINT8, [1, 1, SIDE, SIDE]),
        helper.make_tensor_value_info("extent", kinds.FLOAT, [2]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in found.items()
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "found", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    card = ModelCard("chest", classes, SIDE, 2)
    text = card.to_text().replace('"rois": 2', f'"rois": {rois}')  # as any program may have written it
    helper.set_model_props(model, {"hipdet": text})
    onnx.save(model, path)
    return path


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
        ((3, 4), [*HEARTS, LUNGS[0]], ()),
        ({"heart": 1, "lung": 1}, [HEARTS[0], LUNGS[0]], ("more_rois",)),  # two hearts
        ({"heart": 2, "lung": 2}, [*HEARTS, LUNGS[0]], ("fewer_rois",)),  # as many as two hearts and two lungs less one
        ({"heart": [1, 2], "lung": [0, 2]}, [*HEARTS, LUNGS[0]], ()),
        ({"heart": 1, "lung": 2}, [HEARTS[0], LUNGS[0]], ("fewer_rois", "more_rois")),  # three in all, as expected
    ],
)
def test_what_scores_enough_is_counted_by_class(rois, expected, flags, tmp_path):
    model = write_model(tmp_path / "m.onnx", "5")
    assert found(model, rois=rois, limits=LIMITS) == (expected, flags)


@pytest.mark.parametrize("rois", [0, 1.5, "2", {"heart": 1}, (2, 1), ()])
def test_other_numbers_are_refused(rois, tmp_path):
    with pytest.raises(ConfigError, match="rois: number"):
        HipDetector(write_model(tmp_path / "m.onnx", "5"), rois=rois)


@pytest.mark.parametrize("rois", ["0", "null", "true", "[1]", '{"heart": 1}', '{"heart": 1, "lung": "2"}'])
def test_a_damaged_card_is_refused_by_name(rois, tmp_path):
    with pytest.raises(CheckpointError, match=r"m\.onnx: hipdet's metadata can't be read .*rois"):
        HipDetector(write_model(tmp_path / "m.onnx", rois))


def arguments(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
    return parse_arguments()


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
    assert open_detector(args).rois == RoiCounts.of(rois, CLASSES)


@pytest.mark.parametrize(
    "words", [["0"], ["two"], ["heart=1"], ["heart=1", "lung=x"], ["knee=2"], ["heart=1", "heart=1"]]
)
def test_other_words_are_refused(words, monkeypatch, tmp_path):
    args = arguments(monkeypatch, "a.png", "--model", write_model(tmp_path / "m.onnx", "5"), "--rois", *words)
    with pytest.raises(ConfigError, match="--rois"):
        open_detector(args)


def proposed(tmp_path, project, **model):
    """Labels of what a model proposes."""
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
    """The config of `untrained` whose RoiMetric counts `rois`."""
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
    """A checkpoint says its classes; these weights have one, but the numbers of ROIs are read as they are."""
    rois = {"heart": 1, "lung": (1, 2)}
    cfg = read_config(str(config_with(untrained, tmp_path / "c.py", rois)))
    assert RoiCounts.of(expected_rois(cfg), CLASSES) == RoiCounts.of(rois, CLASSES)
