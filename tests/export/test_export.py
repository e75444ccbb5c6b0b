"""Exports of models that find many ROIs, and of some that can't give those that are expected.

Two sets of ROIs are compared class by class, whatever their order.
"""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from hipdet.cli.export import films_to_compare
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.engine.checkpoint import model_fingerprint, read_checkpoint, weights_fingerprint
from hipdet.export.export import Difference, difference, export_model, require_own_tables
from hipdet.export.torch_model import TorchModel
from hipdet.inference.detections import FilmDetections
from hipdet.inference.onnx_model import OnnxModel
from hipdet.phantoms.write import make_film
from places import REPOSITORY
from untrained import noise

CONFIG = """
_base_ = [{base!r}]
metainfo = dict(classes={classes!r})
model = dict(bbox_head=dict(num_classes={number}), {changes})
test_evaluator = [dict(type='RoiMetric', ann_file='', rois_per_image={rois!r})]
"""


def random_model(folder, base, classes, rois, changes=""):
    """A model of one of our configs with random weights, read as a user's is."""
    path, weights = folder / "untrained.py", folder / "untrained.pth"
    base = str(REPOSITORY / f"configs/{base}.py")
    path.write_text(CONFIG.format(base=base, classes=classes, number=len(classes), rois=rois, changes=changes))
    torch.manual_seed(0)
    init_default_scope("mmdet")
    detector = MODELS.build(Config.fromfile(path).model)
    for conv in [*detector.bbox_head.conv_reg, *detector.bbox_head.conv_cls]:
        torch.nn.init.normal_(conv.weight, std=0.05)
    torch.save(dict(state_dict=detector.state_dict(), meta=dict(dataset_meta=dict(classes=classes), epoch=0)), weights)
    return TorchModel(path, weights)


def test_the_bundled_model_is_its_config_with_its_weights():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("safetensors")
    folder = REPOSITORY / "hipdet/weights"
    model, exported = (
        TorchModel(REPOSITORY / "configs/hips.py", folder / "hips.safetensors"),
        OnnxModel(folder / "hips.onnx"),
    )
    strips = [np.full(shape, 90, np.uint8) for shape in ((1200, 64), (64, 3000))]  # every anchor is in the padding
    for film in (*(make_film("gis", number, seed=5, max_side=448).pixels for number in range(3)), *strips):
        found = difference(
            model.infer(model.preprocess(film)), exported.infer(exported.preprocess(film)), RoiCounts.of(2, ("hip",))
        )
        assert found.box < 0.01
        assert found.score < 1e-4


@pytest.mark.parametrize(
    ("classes", "rois", "given"),
    [(("tooth",), 7, 7), (("tooth",), [0, 6], 6), (("tooth",), 2, 4), (("jaw", "tooth"), dict(jaw=1, tooth=5), 10)],
)
def test_a_head_without_refiner_gives_as_many_as_are_expected(tmp_path, classes, rois, given):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = random_model(tmp_path, "hip_ssd_r18_demo", classes, rois)
    film = noise(224, 200, 3)
    export_model(model, model.card, tmp_path / "m.onnx", [film])
    exported = OnnxModel(tmp_path / "m.onnx")
    assert len(exported.infer(exported.preprocess(film)).scores) == given


@pytest.mark.parametrize(
    ("base", "changes", "rois", "words"),
    [
        (
            "hip_roi_small",
            "passes=(1,)",
            dict(heart=3, lung=1),
            r"3 ROIs of 'heart' .* model\.passes=\(1,\) gives up to 1",
        ),
        ("hip_roi_small", "passes=(1,)", 3, r"3 ROIs are expected .* gives up to 2 \(model\.passes\)"),
        (
            "hip_ssd_r18_demo",
            "test_cfg=dict(max_per_img=4)",
            dict(heart=2, lung=3),
            r"5 ROIs are expected .* gives up to 4 \(model\.test_cfg\.max_per_img\)",
        ),
    ],
)
def test_more_expected_than_the_model_gives(tmp_path, base, changes, rois, words):
    model = random_model(tmp_path, base, ("heart", "lung"), rois, changes)
    with pytest.raises(ConfigError, match=words):
        export_model(model, model.card, tmp_path / "m.onnx", [])
    assert not (tmp_path / "m.onnx").exists()


CHEST = RoiCounts.of(dict(heart=1, lung=2), ("heart", "lung"))
BOXES = np.array([[10.0, 10, 30, 30], [0, 0, 20, 40], [30, 0, 50, 40], [60, 60, 70, 70]])
SCORES = np.array([0.6, 0.9, 0.89999, 0.3])
LABELS = np.array([0, 1, 1, 1])


def detections(boxes=BOXES, scores=SCORES, labels=LABELS):
    order = np.argsort(-scores, kind="stable")
    return FilmDetections(boxes[order], scores[order], labels[order], 100, 100)


def test_the_same():
    assert difference(detections(), detections(), CHEST) == Difference(0.0, 0.0)


def test_nearly_equal_scores_may_change_places():
    """By rank the first lung would be compared with the second: 30 px."""
    swapped = SCORES + np.array([0, -0.00002, 0, 0])
    found = difference(detections(), detections(scores=swapped), CHEST)
    assert found.box == 0
    assert found.score == pytest.approx(0.00002)
    one = RoiCounts.of(dict(heart=1, lung=1), ("heart", "lung"))  # the better lung is a different one
    assert difference(detections(), detections(scores=swapped), one).box == 0


def test_boxes_scores_and_labels_count():
    moved = BOXES + np.array([[0, 0, 0, 0.5], [0] * 4, [0] * 4, [0] * 4])
    assert difference(detections(), detections(moved), CHEST) == Difference(0.5, 0.0)
    assert difference(detections(), detections(scores=SCORES * 0.5), CHEST).score == pytest.approx(0.45)
    other = difference(detections(), detections(labels=np.array([1, 1, 1, 0])), CHEST)
    assert other.box > 10  # the heart is elsewhere
    assert difference(detections(), detections(labels=np.ones(4, int)), CHEST).box == float("inf")
    none = detections(BOXES[:0], SCORES[:0], LABELS[:0])
    assert difference(none, detections(), CHEST).box == difference(detections(), none, CHEST).box == float("inf")
    assert difference(none, none, CHEST) == Difference(0.0, 0.0)


def test_extra_detections_are_not_compared():
    """A fourth lung, which neither side takes for an ROI."""
    moved = BOXES + np.array([[0] * 4, [0] * 4, [0] * 4, [9.0] * 4])
    assert difference(detections(), detections(moved), CHEST) == Difference(0.0, 0.0)


@given(st.permutations(range(4)), st.floats(0, 3))
def test_order_does_not_matter_and_a_shift_is_found(order, shift):
    order = np.array(order)
    other = detections(BOXES[order] + shift, SCORES[order], LABELS[order])
    assert difference(detections(), other, CHEST).box == pytest.approx(shift)
    assert difference(other, detections(), CHEST).box == pytest.approx(shift)


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


@pytest.fixture(scope="module")
def calibrated(untrained, tmp_path_factory):
    """The small detector, and a folder with tables of tests: `write` makes one with its report."""
    folder = tmp_path_factory.mktemp("tables")

    def write(name, **report):
        (folder / name).mkdir(exist_ok=True)
        table = folder / name / "test.roi.json"
        table.write_text('{"rois": [], "extras": []}')
        content = dict(figures={}, epoch=1, **report)
        (folder / name / "test_report.json").write_text(json.dumps(content))
        return table

    return TorchModel(untrained.config, untrained.weights), write


def test_tables_of_the_model_or_of_folds(calibrated):
    model, write = calibrated
    own = write("own", model=model.settings, weights=model.weights)
    assert require_own_tables([own], model) == ""
    folds = [write(f"fold{number}", model=model.settings, weights=str(number)) for number in (0, 1)]
    assert require_own_tables(folds, model) == ""
    old = write("old")
    assert "old/test.roi.json: no report beside it says which model it is of" in require_own_tables([own, old], model)
    old.with_name("test_report.json").unlink()
    assert "old/test.roi.json: no report beside it" in require_own_tables([old], model)


def test_tables_of_another_model(calibrated):
    model, write = calibrated
    with pytest.raises(DatasetError, match=r"other/test\.roi\.json: measured with another config than .*untrained\.py"):
        require_own_tables([write("other", model="0", weights=model.weights)], model)
    with pytest.raises(DatasetError, match=r"weights/test\.roi\.json: measured with other weights"):
        require_own_tables([write("weights", model=model.settings, weights="0")], model)


def test_fingerprints_are_those_of_a_test(untrained):
    """A published file has the same; initial weights don't count; every number of the weights does."""
    model, content = TorchModel(untrained.config, untrained.weights), read_checkpoint(untrained.weights)
    settings = Config.fromfile(untrained.config).model
    assert model.settings == model_fingerprint(settings) == model_fingerprint(settings.to_dict())
    settings.backbone.init_cfg = dict(type="Pretrained", checkpoint="a.pth")
    assert model.settings == model_fingerprint(settings)
    settings.passes = (7,)
    assert model.settings != model_fingerprint(settings)
    wrapped = {f"module.{name}": value for name, value in content["state_dict"].items()}
    assert model.weights == weights_fingerprint(dict(state_dict=wrapped))
    next(iter(content["state_dict"].values()))[0] += 1
    assert model.weights != weights_fingerprint(content)


def test_weights_that_are_no_numbers(untrained, tmp_path):
    content = torch.load(untrained.weights, weights_only=True)
    name = "bbox_head.conv_cls.0.weight"
    content["state_dict"][name][0] = float("nan")
    torch.save(content, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match=rf"nan\.pth: refused, as numbers of {name} are NaN or infinite"):
        TorchModel(untrained.config, tmp_path / "nan.pth")
