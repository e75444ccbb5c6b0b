"""A published model is used like the checkpoint it was made of."""

import json

import pytest
import torch

from hipdet.checkpoint import read_checkpoint
from tool_runs import SMALL, run_tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    """The published files of the small training, and what the tool said."""
    out = tmp_path_factory.mktemp("published")
    done = run_tool("publish_model.py", trained[0] / "epoch_4.pth", "--out", out, cwd=out)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.pth")), next(out.glob("*.safetensors")), done


def test_small_and_of_the_same_weights(trained, published):
    straight = read_checkpoint(trained[0] / "epoch_4.pth")["state_dict"]
    for path in published[:2]:
        assert path.stem.startswith("hip_ssd_exp3-")
        found = read_checkpoint(path)
        assert found["state_dict"].keys() == straight.keys()
        assert all(torch.equal(found["state_dict"][name], straight[name]) for name in straight)
        assert found["meta"]["measured"][0]["ann_file"] == "cgoa_oaih_val.json"
        assert path.stat().st_size < 0.6 * (trained[0] / "epoch_4.pth").stat().st_size
        assert str(trained[0]).encode() not in path.read_bytes()
    assert " MB" in published[2].stdout


def test_the_test_tool_takes_both(trained, phantoms, published, tmp_path):
    figures = []
    for path in (trained[0] / "epoch_4.pth", *published[:2]):
        options = ["--data-root", phantoms, "--work-dir", tmp_path / path.suffix, "--cfg-options", *SMALL]
        done = run_tool("test.py", "configs/hip_ssd_exp3.py", path, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / path.suffix / "test_report.json").read_text())
        assert report["epoch"] == 4
        figures.append(report["figures"])
    assert figures[0] == figures[1] == figures[2]


def test_mmdets_inferencer_needs_the_file_alone(phantoms, published):
    from mmdet.apis import DetInferencer

    film = sorted(phantoms.glob("gis/images/*.jpg"))[0]
    boxes = []
    for path in published[:2]:
        inferencer = DetInferencer(weights=str(path), device="cpu", show_progress=False)
        assert inferencer.model.dataset_meta["classes"] == ("hip",)
        boxes.append(inferencer(str(film))["predictions"][0]["bboxes"])
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) > 1


def test_training_starts_from_published_weights_and_does_not_resume_from_them(phantoms, published, tmp_path):
    options = ["--data-root", phantoms, "--work-dir", tmp_path / "w", "--cfg-options", *SMALL, "train_cfg.max_epochs=3"]
    path = published[1]
    refused = run_tool("train.py", "configs/hip_ssd_exp3.py", "--resume", path, *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "can't be resumed" in refused.stderr
    done = run_tool("train.py", "configs/hip_ssd_exp3.py", *options, f"load_from={path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Load checkpoint from {path}" in done.stdout + done.stderr


def test_bad_input(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"x")
    for name, words in (("none.pth", "no such checkpoint"), ("x.pth", "x.pth")):
        done = run_tool("publish_model.py", name, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "published").exists()
