"""Train, test and draw as a user does; exact resuming, also after a kill; gradient accumulation and other batch sizes."""

import csv
import json
import os
import shutil
import signal
import time

import pytest
import torch
from PIL import Image

from hipdet.engine.checkpoint import read_checkpoint
from tool_runs import RECIPES, SECOND_IN_CI, SMALL, run_tool, start_tool

pytestmark = pytest.mark.slow


def test_training_reports(trained, recipe):
    work_dir, done = trained
    log = done.stdout + done.stderr
    stages = ("Stage 1 of 3: epochs 1 to 1", "Stage 2 of 3: epochs 2 to 3", "Stage 3 of 3: epochs 4 to 4")
    for words in stages if recipe.name == "hip_ssd_exp3" else ("Stage 1 of 1: epochs 1 to 4",):
        assert words in log
    assert "eta: " in log
    assert 'ROIs with IoU >= 0.5 (the paper\'s "AP50")' in log
    assert "COCO mAP" in log
    report = json.loads((work_dir / "val_report.json").read_text())
    assert report["epoch"] == 4
    assert report["seed"] == 0
    assert report["figures"]["roi/num_rois"] == 8  # 20 films, a fifth for validation, two hips each
    assert "coco/bbox_mAP" in report["figures"]
    assert {"mmdet", "onedl-mmdetection"} & report["versions"].keys()


def test_checkpoints_load_safely(trained, recipe):
    checkpoint = read_checkpoint(trained[0] / "epoch_4.pth")  # weights_only=True
    assert checkpoint["meta"]["dataset_meta"]["classes"] == ("hip",)
    # one state per group, and the groups know their parts: resuming needs them
    first = checkpoint["optimizer"]["param_groups"][0]["prefixes"]
    assert first == (["bbox_head"] if recipe.name == "hip_ssd_exp3" else ["backbone", "bbox_head", "refiner"])


def test_test_writes_metrics_rois_and_a_gallery(trained, recipe, phantoms, tmp_path):
    work_dir, _ = trained
    options = ["--cfg-options", *recipe.small]
    # whoever tests has only the test films
    (tmp_path / "data/annotations").mkdir(parents=True)
    shutil.copy(phantoms / "annotations/gis.json", tmp_path / "data/annotations")
    shutil.copytree(phantoms / "gis", tmp_path / "data/gis")
    arguments = [recipe.config, work_dir / "epoch_4.pth", "--data-root", "data", "--work-dir", "out"]
    done = run_tool("test", *arguments, "--out", "dump.pkl", "--show-dir", "painted", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 films, 12 ROIs" in done.stdout + done.stderr
    out = tmp_path / "out"
    report = json.loads((out / "test_report.json").read_text())
    assert report["ann_file"] == "gis.json"
    assert (report["checkpoint"], report["epoch"]) == ("epoch_4.pth", 4)
    assert len(list(csv.DictReader((out / "test.roi.csv").open()))) == 12
    assert (tmp_path / "dump.pkl").exists()
    assert len(list(out.rglob("painted/*.jpg"))) == 6

    made = run_tool("gallery", out / "test.roi.json", "--data-root", "data", "--films", 4, "--side", 200, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    sheet = Image.open(out / "gallery.png")
    assert sheet.width == 4 * 204
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert (255, 212, 0) in colours  # labels in yellow
    assert (255, 32, 32) in colours  # detections in red

    flipped = run_tool("test", *arguments, "--tta", *options, cwd=tmp_path)
    assert flipped.returncode == 0, flipped.stderr
    averaged = json.loads((out / "test_report.json").read_text())["figures"]
    assert averaged["roi/num_rois"] == 12
    assert averaged["roi/avg_conf"] != report["figures"]["roi/avg_conf"]


def test_the_true_resnet_101_recipe_trains_in_every_stage(phantoms, tmp_path):
    few = ["train_dataloader.batch_size=2", "train_dataloader.dataset.indices=4", "train_cfg.max_epochs=3"]
    options = [*few, "model.backbone.init_cfg=None", "train_cfg.val_interval=3", "default_hooks.checkpoint.interval=3"]
    done = run_tool(
        "train", "configs/hip_ssd_exp3.py", "--data-root", phantoms, "--cfg-options", *options,
        cwd=tmp_path, OMP_NUM_THREADS=2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert all(f"Stage {stage} of 3" in log for stage in (1, 2, 3))
    report = json.loads((tmp_path / "work_dirs/hip_ssd_exp3/val_report.json").read_text())
    # ResNet-101 without its classifier, and the head
    assert report["parameters"] == 42500160 + 4788510


def assert_equal(found, expected, path=""):
    """Bit for bit, through nested containers."""
    assert type(found) is type(expected), path
    if isinstance(found, torch.Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(found, dict):
        assert found.keys() == expected.keys(), path
        for key in found:
            assert_equal(found[key], expected[key], f"{path}/{key}")
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected), path
        for index, (a, b) in enumerate(zip(found, expected)):
            assert_equal(a, b, f"{path}/{index}")
    else:
        assert found == expected, path


@pytest.mark.parametrize("recipe", SECOND_IN_CI, indirect=True)
def test_killed_in_the_third_epoch_and_resumed_equals_straight(trained, recipe, phantoms, tmp_path):
    straight, _ = trained
    options = [
        "--cfg-options",
        *recipe.small,
        "train_cfg.max_epochs=4",
        "train_cfg.val_interval=2",
        "default_hooks.logger.interval=1",
    ]
    arguments = [recipe.config, "--data-root", phantoms, "--work-dir", tmp_path / "killed", *options]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = start_tool("train", *arguments, cwd=tmp_path, stdout=file, stderr=file, start_new_session=True)
        deadline = time.time() + 300
        while "[3][1/4]" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.time() < deadline, log.read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / "killed/epoch_2.pth").exists()
    assert not (tmp_path / "killed/epoch_3.pth").exists()

    done = run_tool("train", *arguments[:5], "--resume", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Epoch(train) [3][1/4]" in done.stdout + done.stderr
    assert "Epoch(train) [2]" not in done.stdout + done.stderr
    found, expected = (read_checkpoint(folder / "epoch_4.pth") for folder in (tmp_path / "killed", straight))
    assert_equal(found["state_dict"], expected["state_dict"])
    assert_equal(found["optimizer"], expected["optimizer"])
    assert_equal(found.get("ema_state_dict"), expected.get("ema_state_dict"))
    assert found["meta"]["iter"] == expected["meta"]["iter"] == 16


def test_resume_from_a_named_epoch(trained, recipe, phantoms, tmp_path):
    straight, _ = trained
    options = ["--cfg-options", *recipe.small, "train_cfg.max_epochs=4", "train_cfg.val_interval=2"]
    done = run_tool(
        "train", recipe.config, "--data-root", phantoms, "--work-dir", tmp_path,
        "--resume", straight / "epoch_3.pth", *options, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, expected = (read_checkpoint(folder / "epoch_4.pth") for folder in (tmp_path, straight))
    assert_equal(found["state_dict"], expected["state_dict"])


SHORT = ["train_cfg.max_epochs=3", "train_cfg.val_interval=3", "default_hooks.logger.interval=1"]


def train(phantoms, folder, *options, flags=()):
    arguments = ["configs/hip_ssd_exp3.py", "--data-root", phantoms, "--work-dir", folder, *flags]
    done = run_tool("train", *arguments, "--cfg-options", *SMALL, *SHORT, *options, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES[:1], indirect=True)
def test_gradient_accumulation(phantoms, trained, tmp_path):
    """Four batches of 4 films make one step: Adam's state has one step of the last stage instead of four."""
    log = train(phantoms, tmp_path / "w", "optim_wrapper.accumulative_counts=4")
    assert "[1][4/4]" in log
    (steps,) = {int(s["step"]) for s in read_checkpoint(tmp_path / "w/epoch_3.pth")["optimizer"]["state"].values()}
    assert steps == 1
    single = read_checkpoint(trained[0] / "epoch_4.pth")["optimizer"]["state"].values()
    assert {int(s["step"]) for s in single} == {4}


@pytest.mark.ci
def test_auto_scale_lr(phantoms, tmp_path):
    """The batch is 4, the config's 16: a quarter of the rate, in every layer group, also after resuming."""
    train(phantoms, tmp_path / "w", flags=["--auto-scale-lr"])
    groups = read_checkpoint(tmp_path / "w/epoch_3.pth")["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.01 / 4, 0.001 / 4, 0.0001 / 4])
    train(phantoms, tmp_path / "w", "train_cfg.max_epochs=6", flags=["--auto-scale-lr", "--resume"])
    groups = read_checkpoint(tmp_path / "w/epoch_6.pth")["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([0.01 / 4, 0.001 / 4, 0.0001 / 4])
