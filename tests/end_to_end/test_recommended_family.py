"""The members of the recommended family beside medium, which differ from it in size and in where they begin."""

import json

import pytest

from hipdet.engine.checkpoint import read_checkpoint
from tool_runs import SMALL_ROI, run_tool

pytestmark = pytest.mark.slow

OFFLINE = ["model.backbone.init_cfg=None", "model.refiner.backbone.init_cfg=None"]
FAMILY = {"hip_roi_small": SMALL_ROI, "hip_roi_large": SMALL_ROI, "hip_roi_imagenet": [*SMALL_ROI, *OFFLINE]}
GROUPS = {
    "hip_roi_small": [["backbone", "bbox_head", "refiner"]],
    "hip_roi_large": [["backbone", "bbox_head", "refiner"]],
    "hip_roi_imagenet": [["bbox_head", "refiner.stem", "refiner.vote"], ["backbone", "refiner.backbone"]],
}


@pytest.mark.parametrize("name", FAMILY)
def test_train_carry_on_and_test(name, phantoms, tmp_path):
    config = f"configs/{name}.py"
    for epochs, resume in ((2, []), (3, ["--resume"])):
        options = ["--cfg-options", *FAMILY[name], f"train_cfg.max_epochs={epochs}", "train_cfg.val_interval=3"]
        place = ["--data-root", phantoms, "--work-dir", tmp_path / "run"]
        done = run_tool("train", config, *place, *resume, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "Epoch(train) [2]" not in done.stdout + done.stderr
    checkpoint = read_checkpoint(tmp_path / "run/epoch_3.pth")
    assert [group["prefixes"] for group in checkpoint["optimizer"]["param_groups"]] == GROUPS[name]
    arguments = [config, tmp_path / "run/epoch_3.pth", *place, "--cfg-options", *FAMILY[name]]
    done = run_tool("test", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/test_report.json").read_text())["figures"]["roi/num_rois"] == 12


def test_without_a_network_the_way_out_is_named(phantoms, tmp_path):
    missing = [
        f"{part}.init_cfg.checkpoint={tmp_path}/resnet18.pth" for part in ("model.backbone", "model.refiner.backbone")
    ]
    arguments = ["--data-root", phantoms, "--work-dir", tmp_path / "run", "--cfg-options", *missing]
    done = run_tool("train", "configs/hip_roi_imagenet.py", *arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert "resnet18.pth" in done.stderr
    assert "model.backbone.init_cfg.checkpoint=FILE" in done.stderr
    assert "Traceback" not in done.stderr
