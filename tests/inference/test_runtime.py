"""Exports in OpenVINO as in onnxruntime."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hipdet import HipDetector
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.inference.onnx_model import OnnxModel
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
    assert found.model.fingerprint == expected.model.fingerprint  # so that a journal goes on
    np.testing.assert_allclose(boxes(found(films)), boxes(expected(films)), atol=0.05)


def test_threads_of_openvino_do_not_disturb_one_another(untrained):
    pytest.importorskip("openvino")
    model = OnnxModel(untrained.onnx, threads=1, runtime="openvino")
    films = [model.prepare(noise(448, 400 + 8 * number, number)) for number in range(6)]
    expected = [model.read(film) for film in films]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for found, alone in zip(pool.map(model.read, films), expected):
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
    assert found.model.fingerprint != expected.model.fingerprint  # other boxes: a journal starts anew
    (film,) = found(films)
    assert len(film.rois) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(runtime="tensorrt"), "runtime 'tensorrt': expected onnxruntime or openvino"),
        (dict(precision="int8"), "precision 'int8': expected float32 or bfloat16"),
        (dict(precision="bfloat16"), "name runtime openvino too"),
    ],
)
def test_what_is_not_there(untrained, settings, message):
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
