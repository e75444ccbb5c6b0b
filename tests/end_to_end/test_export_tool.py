"""hipdet export: what it writes, and what it refuses."""

import json

import numpy as np
import pytest

from hipdet.core.errors import CheckpointError
from hipdet.export import export as module
from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from hipdet.inference.detector import HipDetector
from tool_runs import run_tool
from untrained import noise

pytestmark = pytest.mark.slow


def calibration(folder):
    """A table of a test as RoiMetric writes it, and its COCO file."""
    rois, images = [], []
    for number in range(1, 21):
        images.append(dict(id=number, file_name=f"{number}.png", width=200, height=160))
        for side, x in enumerate((40, 130)):
            box = dict(found_x0=x, found_y0=80, found_x1=x + 30 + 0.1 * number, found_y1=110 + 0.1 * number)
            rois.append(dict(image_id=number, file_name=f"{number}.png", annotation_id=2 * number + side, label="hip",
                             iou=0.9, confidence=0.7 + number / 100, **box))  # fmt: skip
    coco = dict(images=images, annotations=[], categories=[dict(id=1, name="hip")])
    (folder / "hips.json").write_text(json.dumps(coco))
    (folder / "test.roi.json").write_text(json.dumps(dict(rois=rois, extras=[])))


def test_tool(untrained, tmp_path):
    """With the comparison left out, as a random network has no order on black borders."""
    calibration(tmp_path)
    (tmp_path / "w.pth").write_bytes(untrained.weights.read_bytes())
    options = ["--calibrate", "test.roi.json", "--ann", "hips.json", "--films", 0, "--about", "data=phantoms, CC0"]
    done = run_tool("export", untrained.config, "w.pth", *options, "--name", "tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "review limits from 20 films" in done.stdout
    exported, beside = HipDetector(tmp_path / "w.onnx"), HipDetector(untrained.config, tmp_path / "w.pth")
    card = exported.model.card
    assert (card.config, card.classes, card.side, card.rois) == ("tiny", ("hip",), 448, 2)
    assert card.about == {"epoch": 0, "data": "phantoms, CC0"}
    assert exported.limits == beside.limits
    assert exported.limits.films == 20
    assert exported.limits.ranges["score"][0] == pytest.approx(0.7, abs=0.05)
    wrong = run_tool("export", untrained.config, "w.pth", "--calibrate", "test.roi.json", cwd=tmp_path)
    assert (wrong.returncode, "--calibrate needs --ann" in wrong.stderr) == (2, True)


def test_a_file_that_differs_is_not_left(untrained, tmp_path, monkeypatch):
    model = TorchModel(untrained.config, untrained.weights)
    true_write = module.write_onnx

    def write_other(graph, path):
        with_other = graph.detector.refiner.vote.bias
        with_other.data += 0.5
        true_write(graph, path)
        with_other.data -= 0.5

    monkeypatch.setattr(module, "write_onnx", write_other)
    with pytest.raises(CheckpointError, match=r"m\.onnx: not written, as its boxes differ by"):
        export_model(model, model.card, tmp_path / "m.onnx", [noise(448, 400, 1)])
    assert list(tmp_path.iterdir()) == []


def test_openvino_runs_it(untrained):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    model = core.compile_model(core.read_model(untrained.onnx), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exported = HipDetector(untrained.onnx).model
    film = exported.prepare(noise(448, 400, 9))
    result = model({"film": film.padded()[None, None], "extent": np.array(film.pixels.shape[::-1], np.float32)})
    np.testing.assert_allclose(result["boxes"], film.to_square(exported.read(film).boxes), atol=0.01)
