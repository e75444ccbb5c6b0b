"""From label files to a trained detector for other ROIs than hips: one heart, two lungs twice as high as wide, both.

Also films that are recorded as having no ROI, in training and in tests.
"""

import csv
import json

import pytest

from tool_runs import SECOND_IN_CI, run_tool

pytestmark = pytest.mark.slow
FEW = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1", "model.backbone.base_channels=8",
       "model.bbox_head.in_channels=64", "model.bbox_head.feat_channels=16"]  # fmt: skip


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    root = tmp_path_factory.mktemp("chests")
    made = run_tool("phantoms", root, "--films", "chest=40", "--max-side", 160, cwd=root)
    assert made.returncode == 0, made.stderr
    return root / "chest"


def ok(name, *arguments, cwd):
    done = run_tool(name, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("classes", "rois", "generator"),
    [
        pytest.param(("heart",), 1, "SquareAnchorGenerator", marks=pytest.mark.ci),
        pytest.param(("lung",), 2, "AnchorGenerator", marks=pytest.mark.ci),
        (("heart", "lung"), 3, "AnchorGenerator"),
    ],
    ids=["heart", "lungs", "both"],
)
def test_from_labels_to_a_detector(chests, tmp_path, classes, rois, generator):
    with (chests / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in classes]
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    data = tmp_path / "data/annotations"
    converted = ok(
        "convert",
        "folder",
        chests,
        "--labels",
        labels,
        "--rois",
        rois,
        "--source",
        "chest",
        "--out",
        data,
        cwd=tmp_path,
    )
    assert "chest.json" in converted
    ok("split", data / "chest.json", "--val", 0.25, cwd=tmp_path)
    base = ["--base", "configs/hip_ssd_r18_demo.py", "--data-root", chests, "--out", "plan"]
    ok("anchors", data / "chest_train.json", *base, cwd=tmp_path)
    plan = json.loads((tmp_path / "plan/anchor_plan.json").read_text())
    assert plan["classes"] == list(classes)
    assert sum(plan["rois_per_image"].values()) == rois
    assert plan["figures"]["fitted"] >= 0.99

    config = tmp_path / "plan/ssd_chest.py"
    ok("train", config, "--work-dir", "run", "--cfg-options", *FEW, cwd=tmp_path)
    ok("test", config, "run/epoch_1.pth", "--work-dir", "run", "--cfg-options", *FEW, cwd=tmp_path)
    report = json.loads((tmp_path / "run/test_report.json").read_text())
    assert report["figures"]["roi/num_rois"] == 10 * rois  # a quarter of 40 films
    assert report["figures"]["roi/avg_iou"] >= 0
    text = (tmp_path / "run/ssd_chest.py").read_text()
    assert f"type='{generator}'" in text
    found = {row["label"] for row in csv.DictReader((tmp_path / "run/test.roi.csv").open())}
    assert found == set(classes)


def test_two_files_and_no_validation(chests, tmp_path):
    """It trains on both; there are no films to test on, and the tool says so."""
    ok("convert", "folder", chests, "--rois", 3, "--source", "chest", "--out", "data", cwd=tmp_path)
    ok("split", "data/chest.json", "--folds", 2, cwd=tmp_path)
    halves = ["data/chest_fold0_test.json", "data/chest_fold1_test.json"]
    base = ["--base", "configs/hip_ssd_r18_demo.py", "--data-root", chests, "--out", "plan"]
    assert "No file for validation" in ok("anchors", *halves, *base, cwd=tmp_path)
    config = tmp_path / "plan/ssd_chest_fold0_test.py"
    log = ok("train", config, "--work-dir", "run", "--cfg-options", *FEW, "train_dataloader.batch_size=4", cwd=tmp_path)
    assert "[10/10]" in log  # 40 films by 4
    done = run_tool("test", config, "run/epoch_1.pth", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no films to test on" in done.stderr


def emptied(path, films):
    """Remove the boxes of the last `films` films, which then have no ROI."""
    coco = json.loads(path.read_text())
    coco["images"] = coco["images"][:2] + coco["images"][-films:]
    kept = {image["id"] for image in coco["images"][:2]}
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in kept]
    path.write_text(json.dumps(coco))


@pytest.mark.parametrize("recipe", SECOND_IN_CI, indirect=True)
def test_films_without_roi_are_trained_and_tested_on(recipe, phantoms, tmp_path):
    """One film per batch: some batches have no ROI at all."""
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
    metrics = json.loads((tmp_path / "run/val_report.json").read_text())["figures"]
    assert (metrics["roi/num_images"], metrics["roi/num_rois"]) == (3, 4)
    done = run_tool(
        "test", recipe.config, tmp_path / "run/epoch_3.pth", *place, "--cfg-options", *recipe.small,
        "test_dataloader.dataset.ann_file=annotations/cgoa_oaih_val.json",
        f"test_evaluator.0.ann_file={tmp_path}/annotations/cgoa_oaih_val.json",
        f"test_evaluator.1.ann_file={tmp_path}/annotations/cgoa_oaih_val.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 films, 4 ROIs" in done.stdout + done.stderr
