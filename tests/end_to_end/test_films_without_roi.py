"""Films that are recorded as having no ROI, in training and in tests."""

import json

import pytest

from tool_runs import run_tool

pytestmark = pytest.mark.slow


def emptied(path, films):
    """Take the boxes of the last `films` films away: they were looked at and have none."""
    coco = json.loads(path.read_text())
    coco["images"] = coco["images"][:2] + coco["images"][-films:]
    kept = {image["id"] for image in coco["images"][:2]}
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in kept]
    path.write_text(json.dumps(coco))


def test_they_are_trained_and_tested_on(recipe, phantoms, tmp_path):
    """One film a batch: some batches hold no ROI at all."""
    (tmp_path / "annotations").mkdir()
    for part, films in (("train", 3), ("val", 1)):
        source = phantoms / f"annotations/cgoa_oaih_{part}.json"
        path = tmp_path / "annotations" / source.name
        path.write_text(source.read_text())
        emptied(path, films)
    for name in ("cgoa", "oaih"):
        (tmp_path / name).symlink_to(phantoms / name)
    steps = ["train_cfg.max_epochs=3", "train_cfg.val_interval=3", "default_hooks.logger.interval=1"]
    options = ["--cfg-options", *recipe.small, *steps, "train_dataloader.batch_size=1"]
    place = ["--data-root", tmp_path, "--work-dir", tmp_path / "run"]
    done = run_tool("train", recipe.config, *place, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert "[1][5/5]" in log  # 2 films with hips and 3 without
    losses = [line.split("loss: ")[1].split()[0] for line in log.splitlines() if "Epoch(train)" in line]
    assert len(losses) == 15
    assert all(0 < float(loss) < 1e4 for loss in losses)
    figures = json.loads((tmp_path / "run/val_report.json").read_text())["figures"]
    assert (figures["roi/num_images"], figures["roi/num_rois"]) == (3, 4)
    done = run_tool(
        "test", recipe.config, tmp_path / "run/epoch_3.pth", *place, "--cfg-options", *recipe.small,
        "test_dataloader.dataset.ann_file=annotations/cgoa_oaih_val.json",
        f"test_evaluator.0.ann_file={tmp_path}/annotations/cgoa_oaih_val.json",
        f"test_evaluator.1.ann_file={tmp_path}/annotations/cgoa_oaih_val.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 films, 4 ROIs" in done.stdout + done.stderr
