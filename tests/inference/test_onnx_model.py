"""OpenVINO gives the same results as onnxruntime.

The bundled model, on synthetic films of a source that no training used, and on real films that it was trained on.
"""

import csv
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hipdet import HipDetector
from hipdet.core.boxes import as_boxes, get_patient_side, iou_matrix
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.evaluation.matching import match
from hipdet.inference.detector import SHIPPED
from hipdet.inference.onnx_model import OnnxModel
from hipdet.phantoms.write import make_film
from places import REPOSITORY
from untrained import noise


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    Image.fromarray(noise(448, 400, 1)).save(folder / "film.png")
    return folder


def boxes(records):
    return np.array([roi.box for record in records for roi in record.rois])


def test_openvino_finds_the_same(untrained, films):
    pytest.importorskip("openvino")
    expected, found = HipDetector(untrained.onnx), HipDetector(untrained.onnx, runtime="openvino", threads=1)
    assert found.model.card == expected.model.card
    assert found.model.fingerprint == expected.model.fingerprint  # so a journal can be resumed
    np.testing.assert_allclose(boxes(found(films)), boxes(expected(films)), atol=0.05)


def test_threads_of_openvino_do_not_disturb_one_another(untrained):
    pytest.importorskip("openvino")
    model = OnnxModel(untrained.onnx, threads=1, runtime="openvino")
    films = [model.preprocess(noise(448, 400 + 8 * number, number)) for number in range(6)]
    expected = [model.infer(film) for film in films]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for found, alone in zip(pool.map(model.infer, films), expected):
                np.testing.assert_array_equal(found.boxes, alone.boxes)
                np.testing.assert_array_equal(found.scores, alone.scores)


def test_openvino_in_bfloat16(untrained, films):
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ConfigError, match="no instructions for it"):
            HipDetector(untrained.onnx, runtime="openvino", precision="bfloat16")
        return
    expected = HipDetector(untrained.onnx)
    found = HipDetector(untrained.onnx, runtime="openvino", precision="bfloat16")
    assert found.model.fingerprint != expected.model.fingerprint  # other boxes: a journal starts again
    (film,) = found(films)
    assert len(film.rois) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(runtime="tensorrt"), "runtime 'tensorrt': expected onnxruntime or openvino"),
        (dict(precision="int8"), "precision 'int8': expected float32 or bfloat16"),
        (dict(precision="bfloat16"), "choose runtime openvino, too"),
    ],
)
def test_unavailable_runtimes_and_precisions(untrained, settings, message):
    with pytest.raises(ConfigError, match=message):
        HipDetector(untrained.onnx, **settings)


def test_a_config_has_its_own_runtime(untrained):
    with pytest.raises(ConfigError, match="a config runs in torch"):
        HipDetector(untrained.config, untrained.weights, runtime="openvino")


def test_damaged_file_in_openvino(untrained, tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "cut.onnx").write_bytes(untrained.onnx.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.onnx: not a readable ONNX file"):
        HipDetector(tmp_path / "cut.onnx", runtime="openvino")


LARGEST = 8_000_000  # bytes


@pytest.fixture(scope="module")
def detector():
    return HipDetector()


def ious(labels, rois):
    """IoU of each label ``[N, 4]`` with its matched ROI; 0 if it has none."""
    overlap = iou_matrix(labels, as_boxes([roi.box for roi in rois]))
    partner = match(overlap)
    return [overlap[row, column] if column >= 0 else 0.0 for row, column in enumerate(partner)]


def test_it_is_small_and_says_what_it_is(detector):
    (path,) = SHIPPED.glob("*.onnx")
    assert path.stat().st_size < LARGEST
    card = detector.model.card
    assert (card.config, card.classes, card.side, card.rois) == ("hips", ("hip",), 448, [1, 2])
    assert card.limits.films == 203
    assert "FracAtlas" in card.about["data"]
    assert "CC BY 4.0" in card.about["data"]
    assert "not for diagnosis" in card.about["limits"]


def test_the_results_have_the_metrics_of_its_card_and_no_others(detector):
    about = detector.model.card.about
    average, least = re.findall(r"0\.\d{3}", about["figures"])
    assert "every hip found at IoU 0.5;" in about["figures"]
    assert "two or three readings" in about["labels"]
    results = (REPOSITORY / "docs/results/index.md").read_text()
    (row,) = re.findall(r"^\| the bundled model's recipe:.*$", results, re.MULTILINE)
    assert [cell.strip(" *") for cell in row.split("|")[2:6]] == [average, "1.000", "1.000", least]
    card = (SHIPPED / "README.md").read_text()
    assert f"average IoU {average} [" in card
    assert f"acc50 1.000, acc75 1.000, minimum IoU {least}**" in card
    presence = detector.model.card.limits.presence["hip"]
    assert f"from a score of {presence.limit:.3f}".replace("0.", ".") in card
    assert f"{presence.hits - presence.lost} of {presence.hits} hits" in card
    assert f"{presence.false_films} of the 89 films without a hip" in card


def test_hips_of_unseen_synthetic_films(detector):
    """No training used source gis: unusual exposures, captions, implants."""
    films = [make_film("gis", index, seed=11, max_side=512) for index in range(24)]
    found = list(detector([film.pixels for film in films]))
    iou = np.array([each for film, record in zip(films, found) for each in ious(film.hips, record.rois)])
    assert len(iou) == 48
    assert iou.mean() > 0.75
    assert (iou >= 0.5).mean() > 0.9


TOLD = (12, 14, 18)  # phantoms: those of 30 that are told in all three directions


def one_hip(number):
    """Half of a phantom film, cut between its hips."""
    film = make_film("gis", number, seed=11, max_side=512)
    cut = round(float((film.hips[:, 0] + film.hips[:, 2]).mean() / 2))
    return np.ascontiguousarray(film.pixels[:, :cut] if number % 2 else film.pixels[:, cut:])


def test_upright_films_of_one_hip_are_not_turned(detector):
    assert [film.turned for film in detector([one_hip(number) for number in (3, 34)])] == [0, 0]


@pytest.mark.parametrize(("quarters", "degrees"), [(1, 270), (2, 180), (3, 90)])
def test_rotated_films_are_recognised(detector, quarters, degrees):
    films = [make_film("gis", number, seed=11, max_side=512).pixels for number in TOLD]
    found = list(detector([np.rot90(film, quarters) for film in films]))
    assert [film.turned for film in found] == [degrees] * len(TOLD)
    assert [film.flags for film in found] == [("turned",)] * len(TOLD)


def test_of_unusual_real_films_only_the_rotated_one_is_turned(detector, shared):
    """Ten with one hip, and one that lies on its side; the model was trained on them."""
    folder = shared / "data/fracatlas_hips_more/images"
    numbers = (813, 875, 932, 1050, 1335, 1337, 1631, 2367, 3362, 3548, 4333)
    found = detector([folder / f"IMG{number:07d}.jpg" for number in numbers])
    assert [number for number, film in zip(numbers, found) if film.turned] == [1050]


def test_hips_of_real_films_and_their_sides(detector, shared):
    """The model was trained on these films: they test reading, decoding and sides, not its accuracy."""
    labels = {}
    with (shared / "data/fracatlas_hips/hips.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            labels.setdefault(row["image"], []).append(row)
    films = sorted(labels)[::10]
    folder = shared / "data/fracatlas_hips/images"
    for name, record in zip(films, detector([folder / name for name in films])):
        corners = np.array([[float(row[key]) for key in ("x", "y", "side")] for row in labels[name]])
        truth = np.column_stack([corners[:, :2], corners[:, :2] + corners[:, 2:]])
        truth = np.minimum(truth.clip(min=0), [record.width, record.height] * 2)
        assert min(ious(truth, record.rois)) > 0.75, name
        for row, column in enumerate(match(iou_matrix(truth, as_boxes([roi.box for roi in record.rois])))):
            assert record.rois[column].picture_side == labels[name][row]["picture_side"]
            assert record.rois[column].patient_side == get_patient_side(labels[name][row]["picture_side"])
