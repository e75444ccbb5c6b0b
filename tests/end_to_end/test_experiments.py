"""The experiments as one command: a small backbone, few films, two epochs."""

import json
import os
import signal
import time

import pytest
import torch

from tool_runs import SMALL, run_tool, start_tool

pytestmark = pytest.mark.slow

OPTIONS = [
    "--cfg-options",
    *SMALL,
    "train_cfg.max_epochs=3",
    "train_cfg.val_interval=3",
    "default_hooks.logger.interval=1",
]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: --amp works")
NUMBERS = ["1", "7-8"]  # two trainings


def arguments(out, phantoms, *more):
    return [*NUMBERS, "--data-root", phantoms, "--val-fraction", 0.2, "--out", out, *more, *OPTIONS]


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    """A run of one experiment, then of all, which was killed in its second training, and the same again, which ended it."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--data-root", phantoms, "--val-fraction", 0.2, "--out", "out", *OPTIONS]
    alone = run_tool("experiments", 1, *options, cwd=folder)
    assert alone.returncode == 0, alone.stderr
    process = start_tool("experiments", *arguments("out", phantoms), cwd=folder, start_new_session=True)
    log, deadline = folder / "out/seed0/exp7/train.log", time.time() + 300
    while not (log.exists() and "Epoch(train) [2]" in log.read_text()):
        assert process.poll() is None
        assert time.time() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)  # the training that it started ends by itself
    process.wait()
    first = folder / "out/seed0/exp1"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert (first / "record.json").exists()
    assert not (folder / "out/seed0/exp7/record.json").exists()

    again = run_tool("experiments", *arguments("out", phantoms), cwd=folder)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before  # not even touched
    assert log.read_text().count("Epoch(train) [1][1/3]") == 1  # resumed, not started again
    return folder / "out", again


def tables(out):
    """Both tables, without the seconds, which differ from run to run."""
    found = [json.loads((out / f"table{number}.json").read_text()) for number in (2, 3)]
    for table in found:
        for run in table["runs"]:
            assert run.pop("seconds") > 0
    return found


@pytest.mark.ci
def test_one_training_for_each_training_set(finished):
    out, done = finished
    assert sorted(path.name for path in (out / "seed0").iterdir()) == ["exp1", "exp7"]
    table2, table3 = tables(out)
    assert [(row["experiment"], row["tested_on"], row["anchors"]) for row in table2["rows"]] == [
        (1, "gis", 63), (7, "oaih", 294), (8, "gis", 294),
    ]  # fmt: skip
    _, seven, eight = table2["rows"]
    assert seven["val_avg_iou"] == eight["val_avg_iou"]
    assert (seven["test_num_rois"], eight["test_num_rois"]) == (16, 12)
    assert [run["training"] for run in table2["runs"]] == [1, 7]
    assert table2["runs"][0]["shared_patients"] == 0
    assert {"mmdet", "onedl-mmdetection"} & table2["versions"].keys()
    assert table2["data_sets"] == dict(
        cgoa="12 films of cgoa.json", oaih="8 films of oaih.json", gis="6 films of gis.json"
    )
    assert {row["set"] for row in table3["rows"]} == {"all", "train", "val", "test"}
    for number in (2, 3):
        for suffix in (".md", ".csv", ".json"):
            assert str(out.parent) not in (out / f"table{number}").with_suffix(suffix).read_text()
    assert "# Table 2" in done.stdout
    assert "experiment 7 on oaih: average IoU" in done.stdout
    assert "experiment 1 on gis" in done.stdout
    assert done.stdout.count("done before") == 1
    assert "experiment 7, seed 0" in done.stderr  # the progress line


@pytest.mark.ci
def test_metrics_are_those_of_hipdet_test(finished, phantoms, tmp_path):
    out, _ = finished
    trained = out / "seed0/exp7"
    done = run_tool("test", trained / "config.py", trained / "epoch_3.pth", "--work-dir", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "test_report.json").read_text())
    assert report["ann_file"] == "oaih.json"
    row = next(row for row in tables(out)[0]["rows"] if row["experiment"] == 7)
    for name in ("avg_iou", "avg_conf", "min_iou", "acc50", "num_rois"):
        assert row[f"test_{name}"] == pytest.approx(report["figures"][f"roi/{name}"], abs=1e-4), name
    assert row["test_coco_map"] == pytest.approx(report["figures"]["coco/bbox_mAP"], abs=1e-3)


@pytest.mark.ci
def test_other_settings_are_refused_and_further_films_only_tested(finished, phantoms, tmp_path):
    out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("epoch_*.pth")}
    refused = run_tool("experiments", *arguments(out, phantoms), "train_cfg.max_epochs=4", cwd=tmp_path)
    assert refused.returncode == 2
    assert "exp1: holds a training with other settings (config differ" in refused.stderr
    split = run_tool("experiments", *arguments(out, phantoms, "--split", "image"), cwd=tmp_path)
    assert split.returncode == 2
    assert "(films differ" in split.stderr

    elsewhere = f"elsewhere={phantoms}/annotations/oaih.json"
    done = run_tool("experiments", *arguments(out, phantoms, "--data", elsewhere), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = tables(out)[0]["rows"]
    assert [(row["experiment"], row["tested_on"]) for row in rows][:2] == [(1, "gis"), (1, "elsewhere")]
    seven = [row for row in rows if row["experiment"] == 7]
    assert seven[0]["test_avg_iou"] == seven[1]["test_avg_iou"]  # the same films under another name
    assert {path: path.stat().st_mtime_ns for path in out.rglob("epoch_*.pth")} == before


@pytest.mark.ci
def test_two_seeds_on_two_ranks(phantoms, tmp_path):
    more = ["--data-root", phantoms, "--val-fraction", 0.2, "--out", "out", "--seeds", 2, "--processes", 2, *OPTIONS]
    done = run_tool("experiments", 7, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table2, _ = tables(tmp_path / "out")
    (row,) = table2["rows"]
    assert row["test_avg_iou_sd"] > 0
    assert [run["seed"] for run in table2["runs"]] == [0, 1]
    log = (tmp_path / "out/seed1/exp7/train.log").read_text()
    assert "[1][2/3]" in log  # 10 films, a batch of 4 divided between two ranks
    assert " ± " in (tmp_path / "out/table2.md").read_text()


@pytest.mark.ci
def test_real_films_as_the_test_set(shared, finished, phantoms, tmp_path):
    """With finished trainings, which are only tested again."""
    films = shared / "data/fracatlas_hips"
    made = run_tool("convert", "fracatlas", films, "--out", tmp_path / "fracatlas", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    data = f"gis={tmp_path}/fracatlas/hips.json@{films}"
    options = ["--data-root", phantoms, "--val-fraction", 0.2, "--out", finished[0], "--data", data, *OPTIONS]
    done = run_tool("experiments", 1, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = tables(finished[0])[0]["rows"]
    assert (row["tested_on"], row["test_num_images"], row["test_num_rois"]) == ("gis", 100, 200)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["11"], "the paper has experiments 1 to 10"),
        (["0"], "the paper has experiments 1 to 10"),
        (["x"], "expected a number or a range"),
        (["9-7"], "the paper has experiments 1 to 10"),
        (["--data", "gis"], "expected NAME=FILE"),
        (["--seeds", "0"], "at least 1"),
        (["--data-root", "none"], "need the data sets ['cgoa', 'gis', 'oaih']"),
        (["--config", "none.py"], "no such config"),
        pytest.param(["--amp"], "--amp needs a CUDA GPU", marks=NO_GPU),
        (["--processes", "3", "--quick", "--data-root", "PHANTOMS"], "a batch of 16 films can't be divided among 3"),
        (["--val-fraction", "1", "--data-root", "PHANTOMS"], "validation fraction is 1"),
    ],
)
def test_bad_arguments(phantoms, tmp_path, given, words):
    given = [str(phantoms) if word == "PHANTOMS" else word for word in given]
    done = run_tool("experiments", *given, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
