"""hipdet publish and export: published models are used like their checkpoints; what is written, and what is refused."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from hipdet.core.errors import CheckpointError
from hipdet.engine.checkpoint import read_checkpoint
from hipdet.export import export as module
from hipdet.export.export import export_model
from hipdet.export.torch_model import TorchModel
from hipdet.inference.detector import HipDetector
from hipdet.inference.presence import Presence
from places import REPOSITORY
from tool_runs import RECIPES, SECOND_IN_CI, run_tool
from untrained import noise

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    """The published files of the small training, and the finished process."""
    out = tmp_path_factory.mktemp("published")
    done = run_tool("publish", trained[0] / "epoch_4.pth", "--out", out, cwd=out)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.pth")), next(out.glob("*.safetensors")), done


def test_small_and_of_the_same_weights(trained, recipe, published):
    straight = read_checkpoint(trained[0] / "epoch_4.pth")["state_dict"]
    for path in published[:2]:
        assert path.stem.startswith(f"{recipe.name}-")
        found = read_checkpoint(path)
        assert found["state_dict"].keys() == straight.keys()
        assert all(torch.equal(found["state_dict"][name], straight[name]) for name in straight)
        assert found["meta"]["measured"][0]["ann_file"] == "cgoa_oaih_val.json"
        assert path.stat().st_size < 0.6 * (trained[0] / "epoch_4.pth").stat().st_size
    assert " MB" in published[2].stdout
    assert "metrics of cgoa_oaih_val.json" in published[2].stdout


def test_no_path_of_this_machine(trained, phantoms, published):
    straight = read_checkpoint(trained[0] / "epoch_4.pth")["meta"]["cfg"]
    assert str(phantoms) in straight  # there is something to remove
    assert str(trained[0]) in straight
    for path in (*published[:2], next(published[0].parent.glob("*.json"))):
        content = path.read_bytes()
        for folder in (phantoms, trained[0], REPOSITORY):
            assert str(folder).encode() not in content
        card = json.loads(content) if path.suffix == ".json" else read_checkpoint(path)["meta"]
        assert not re.search(r"""['"= ](/|~|[A-Z]:)""", card["cfg"])
        assert "data_root='data'" in card["cfg"]
        assert card["films"] == dict(train=["cgoa_oaih_train.json"], val=["cgoa_oaih_val.json"], test=["gis.json"])


@pytest.mark.parametrize("recipe", SECOND_IN_CI, indirect=True)
def test_the_test_tool_takes_both(trained, recipe, phantoms, published, tmp_path):
    metrics = []
    for path in (trained[0] / "epoch_4.pth", *published[:2]):
        options = ["--data-root", phantoms, "--work-dir", tmp_path / path.suffix, "--cfg-options", *recipe.small]
        done = run_tool("test", recipe.config, path, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / path.suffix / "test_report.json").read_text())
        assert report["epoch"] == 4
        metrics.append(report["figures"])
    assert metrics[0] == metrics[1] == metrics[2]


def test_mmdets_inferencer_needs_the_file_alone(phantoms, published):
    from mmdet.apis import DetInferencer

    film = min(phantoms.glob("gis/images/*.jpg"))
    boxes = []
    for path in published[:2]:
        inferencer = DetInferencer(weights=str(path), device="cpu", show_progress=False)
        assert inferencer.model.dataset_meta["classes"] == ("hip",)
        boxes.append(inferencer(str(film))["predictions"][0]["bboxes"])
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) > 1


def test_a_deployment_with_a_config_of_its_own(trained, recipe, phantoms, published):
    from mmdet.apis import inference_detector, init_detector

    film = min(phantoms.glob("gis/images/*.jpg"))
    found = []
    for path in (trained[0] / "epoch_4.pth", *published[:2]):
        model = init_detector(str(trained[0] / f"{recipe.name}.py"), str(path), device="cpu")
        assert model.dataset_meta["classes"] == ("hip",)
        found.append(inference_detector(model, str(film)).pred_instances.bboxes)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


INSTALL = "from hipdet import mmcv_lite; mmcv_lite.install()"  # and the file names the plugin


@pytest.mark.parametrize("recipe", SECOND_IN_CI, indirect=True)
@pytest.mark.parametrize(("suffix", "first"), [(".pth", INSTALL), (".safetensors", "import hipdet.plugin")])
def test_a_fresh_process(published, tmp_path, suffix, first):
    """Nothing is registered in it yet, unlike in this process."""
    path = next(path for path in published[:2] if path.suffix == suffix)
    code = f"{first}; from mmdet.apis import DetInferencer; model = DetInferencer(weights={str(path)!r}, device='cpu').model"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(model.dataset_meta['classes'])"], cwd=tmp_path, env=env,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["('hip',)"], done.stderr


@pytest.mark.parametrize("recipe", SECOND_IN_CI, indirect=True)
def test_training_starts_from_published_weights_and_does_not_resume_from_them(recipe, phantoms, published, tmp_path):
    small = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=3"]
    options = ["--data-root", phantoms, "--work-dir", tmp_path / "w", *small]
    path = published[1]
    refused = run_tool("train", recipe.config, "--resume", path, *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "can't be resumed" in refused.stderr
    done = run_tool("train", recipe.config, *options, f"load_from={path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Load checkpoint from {path}" in done.stdout + done.stderr


def missing(checkpoint, folder):
    return [folder / "none.pth"]


def damaged(checkpoint, folder):
    (folder / "x.pth").write_bytes(checkpoint.read_bytes()[:100_000])
    return [folder / "x.pth"]


def without_config(checkpoint, folder):
    torch.save(dict(state_dict=torch.load(checkpoint, weights_only=True)["state_dict"]), folder / "bare.pth")
    return [folder / "bare.pth"]


def report_of_another_epoch(checkpoint, folder):
    (folder / "test_report.json").write_text(json.dumps(dict(epoch=3, checkpoint="epoch_4.pth", figures={})))
    return [checkpoint, "--report", folder / "test_report.json"]


def report_that_is_no_json(checkpoint, folder):
    (folder / "test_report.json").write_text("average IoU 0.9")
    return [checkpoint, "--report", folder / "test_report.json"]


def output_that_is_a_file(checkpoint, folder):
    (folder / "file").write_text("")
    return [checkpoint, "--out", folder / "file"]


def output_below_a_file(checkpoint, folder):
    (folder / "file").write_text("")
    return [checkpoint, "--out", folder / "file/published"]


def name_with_a_folder(checkpoint, folder):
    return [checkpoint, "--name", "../hip"]


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (missing, ["none.pth: no such checkpoint"]),
        (damaged, ["x.pth: damaged"]),
        (without_config, ["bare.pth: has no config and classes", "hipdet train"]),
        (report_of_another_epoch, ["test_report.json: measured on epoch_4.pth at epoch 3", "hipdet test"]),
        (report_that_is_no_json, ["test_report.json: not JSON"]),
        (output_that_is_a_file, ["file: File exists"]),
        (output_below_a_file, ["file/published: Not a directory"]),
        (name_with_a_folder, ["'../hip' can't be a model's name", "--name"]),
    ],
)
def test_bad_input(trained, tmp_path, arguments, words):
    work = tmp_path / "work"
    work.mkdir()
    done = run_tool("publish", *arguments(trained[0] / "epoch_4.pth", tmp_path), cwd=work)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(work.iterdir())
    assert not list(tmp_path.glob("hip*"))


def calibration(folder):
    """A table of a test as RoiMetric writes it, and its COCO file: films with two hips, and films without any."""
    rois, images, extras = [], [], []
    for number in range(21, 25):
        images.append(dict(id=number, file_name=f"{number}.png", width=200, height=160))
        box = dict(found_x0=40, found_y0=80, found_x1=70, found_y1=110)
        extras.append(dict(image_id=number, file_name=f"{number}.png", label="hip", confidence=number / 50, **box))
    for number in range(1, 21):
        images.append(dict(id=number, file_name=f"{number}.png", width=200, height=160))
        for side, x in enumerate((40, 130)):
            box = dict(found_x0=x, found_y0=80, found_x1=x + 30 + 0.1 * number, found_y1=110 + 0.1 * number)
            rois.append(dict(image_id=number, file_name=f"{number}.png", annotation_id=2 * number + side, label="hip",
                             iou=0.9, confidence=0.7 + number / 100, **box))  # fmt: skip
    coco = dict(images=images, annotations=[], categories=[dict(id=1, name="hip")])
    (folder / "hips.json").write_text(json.dumps(coco))
    (folder / "test.roi.json").write_text(json.dumps(dict(rois=rois, extras=extras)))


def test_tool(untrained, tmp_path):
    """With the comparison left out, as a random network has no order on black borders."""
    calibration(tmp_path)
    (tmp_path / "w.pth").write_bytes(untrained.weights.read_bytes())
    options = ["--calibrate", "test.roi.json", "--ann", "hips.json", "--films", 0, "--about", "data=phantoms, CC0"]
    done = run_tool("export", untrained.config, "w.pth", *options, "--name", "tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "review limits from 24 films" in done.stdout
    cost = "below it are 0 of 40 hits, at or above it something else on 0 of the 4 films that could have it"
    assert f"hip: an ROI from a score of 0.595; {cost}" in done.stdout  # between .48 and .71
    exported, beside = HipDetector(tmp_path / "w.onnx"), HipDetector(untrained.config, tmp_path / "w.pth")
    card = exported.model.card
    assert (card.config, card.classes, card.side, card.rois) == ("tiny", ("hip",), 448, 2)
    assert card.about == {"epoch": 0, "data": "phantoms, CC0"}
    assert exported.limits == beside.limits
    assert exported.limits.films == 24
    assert exported.limits.presence == {"hip": Presence(0.595, hits=40, lost=0, films=4, false_films=0)}
    assert exported.limits.ranges["score"][0] == pytest.approx(0.64, abs=0.05)  # 2.9 standard deviations below the mean
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
    film = exported.preprocess(noise(448, 400, 9))
    result = model({"film": film.padded()[None, None], "extent": np.array(film.pixels.shape[::-1], np.float32)})
    np.testing.assert_allclose(film.to_film(result["boxes"]), exported.infer(film).boxes, atol=0.01)
