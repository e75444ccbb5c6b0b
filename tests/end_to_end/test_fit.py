"""hipdet fit on phantoms with tiny settings: killed on the way, carried on, and used."""

import csv
import json
import shutil
import signal
import time
from subprocess import CompletedProcess

import pytest

from hipdet.inference.onnx_model import OnnxModel
from hipdet.workflows.fit_words import IMAGENET_NOTICE
from tool_runs import SMALL_ROI, run_tool, start_tool

pytestmark = pytest.mark.slow

TINY = [
    "--steps", 8, "--folds", 2, "--jobs", 1,
    "--cfg-options", *SMALL_ROI[:-2], "model.orientation_head.in_channels=64",
]  # fmt: skip
MORE = ["--patients", "patient", "--classes", "hip"]
CODES = dict(hip=dict(value="29836001", scheme="SCT", meaning="Hip"))
DEADLINE = 600


def arguments(films, *more):
    codes = ["--codes", films / "codes.json"]
    return [films / "images", "--labels", films / "hips.csv", "--out", "out", *codes, *MORE, *more, *TINY]


@pytest.fixture(scope="module")
def films(phantoms, make_once):
    """12 films with two hips, of which one has a second label file's worth of doubt, and one that no row names."""
    return make_once("fit_films", lambda folder: write_films(folder, phantoms))[0]


def write_films(folder, phantoms):
    shutil.copytree(phantoms / "cgoa/images", folder / "images")
    rows = [
        dict(row, kind="worn" if place < 6 else "")
        for place, row in enumerate(csv.DictReader((phantoms / "cgoa/hips.csv").open()))
    ]
    names = sorted({row["image"] for row in rows})
    write_rows(folder / "hips.csv", [row for row in rows if row["image"] != names[-1]])
    write_rows(folder / "more.csv", rows)
    (folder / "codes.json").write_text(json.dumps(CODES))


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def kill_when(place, films, found, how):
    """Start a fit, and end it as soon as there is a file `found` in its folder."""
    running = start_tool("fit", *arguments(films), cwd=place)
    deadline = time.time() + DEADLINE
    while not list((place / "out").glob(found)):
        assert running.poll() is None, "ended before it could be killed"
        assert time.time() < deadline
        time.sleep(0.1)
    running.send_signal(how)
    assert running.wait(60) != 0


@pytest.fixture(scope="module")
def done(films, make_once):
    """A folder with a fit that was killed twice, and what the last command printed; tests only read it."""
    place, said = make_once("fit", lambda place: fit_killed_twice(place, films))
    return place, CompletedProcess(*said)


def fit_killed_twice(place, films):
    kill_when(place, films, "trainings/fold0/epoch_*.pth", signal.SIGKILL)
    assert not (place / "out/trainings/fold0/record.json").exists()
    kill_when(place, films, "trainings/fold1/epoch_*.pth", signal.SIGINT)
    first = (place / "out/trainings/fold0/record.json").stat().st_mtime_ns
    ran = run_tool("fit", *arguments(films), cwd=place)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (place / "out/trainings/fold0/record.json").stat().st_mtime_ns == first
    return [ran.args, ran.returncode, ran.stdout, ran.stderr]


def read(place, name):
    return json.loads((place / "out" / name).read_text())


def test_one_folder_with_everything(done):
    place, ran = done
    assert "out of fold, 11 films, 22 ROIs: average IoU" in ran.stdout
    metrics = read(place, "metrics.json")
    assert metrics["data"]["unlabelled"] == ["cgoa_000012.jpg"]
    about = OnnxModel(place / "out/model.onnx").card.about
    assert IMAGENET_NOTICE in about["data"]
    assert about["codes"] == CODES
    assert metrics["out_of_fold"]["num_rois"] == 22
    assert metrics["out_of_fold"]["resampled"] == "patients"
    assert metrics["half"]["num_rois"] > 0
    assert metrics["budget"]["folds"] == 2
    assert {row["fold"] for row in metrics["rois"]} == {0, 1}
    kinds = metrics["out_of_fold"]["kinds"]
    assert {name: each["num_rois"] for name, each in kinds.items()} == {"unknown": 16, "worn": 6}
    assert all(0 <= each["recall"] <= 1 and each["false_per_film"] >= 0 for each in kinds.values())
    page = (place / "out/report.html").read_text()
    assert "average IoU" in page
    assert "kind: worn" in page
    assert not list((place / "out/trainings").glob("measured*"))


def test_detections_out_of_fold_are_in_pixels_of_the_films(done):
    """Each is a detection of the test of its film's fold, moved from the copy to the film."""
    place, _ = done
    films, copies = (
        {image["id"]: image for image in read(place, f"data/{name}.json")["images"]} for name in ("fit", "all")
    )
    tested = set()
    for fold in (0, 1):
        table = read(place, f"trainings/fold{fold}/test/test.roi.json")
        for row in [row for row in (*table["rois"], *table["extras"]) if row["found_x0"] is not None]:
            film, copy = films[row["image_id"]], copies[row["image_id"]]
            moved = row["found_x0"] * film["width"] / copy["width"], row["found_y0"] * film["height"] / copy["height"]
            tested.add((film["file_name"], *(round(value, 1) for value in moved)))
    rows = read(place, "out_of_fold.json")
    assert rows
    assert {(row["file_name"], *(round(value, 1) for value in row["bbox"][:2])) for row in rows} <= tested
    assert all(row["width"] == films[row["image_id"]]["width"] for row in rows)
    manifest = list(csv.DictReader((place / "out/crops/manifest.csv").open()))
    given = [row for row in rows if not row.get("candidate")]
    assert len(manifest) == len(given) == read(place, "metrics.json")["crops"]
    assert all((place / "out/crops" / row["crop"]).is_file() for row in manifest)


def test_the_model_is_used_by_its_folder(done, films, tmp_path):
    place, _ = done
    ran = run_tool("predict", films / "images", "--model", place / "out", "--out", tmp_path / "found", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "12 of 12 films predicted" in ran.stdout
    found = json.loads((tmp_path / "found/films.json").read_text())
    assert [each["name"] for each in found["categories"]] == ["hip"]


def test_the_same_command_again_trains_nothing(done, films, phantoms, tmp_path):
    shutil.copytree(done[0] / "out", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/trainings").rglob("*.pth")}
    elsewhere = ["--test", phantoms / "oaih/images", "--test-labels", phantoms / "oaih/hips.csv"]
    ran = run_tool("fit", *arguments(films, *elsewhere), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/trainings").rglob("*.pth")} == before
    test = read(tmp_path, "metrics.json")["test"]
    assert (test["films"], test["num_rois"]) == (8, 16)
    same = read(done[0], "metrics.json")["out_of_fold"]["avg_iou"]
    assert read(tmp_path, "metrics.json")["out_of_fold"]["avg_iou"] == same


@pytest.mark.ci
def test_more_labels_train_from_the_start_and_are_compared(done, films, tmp_path):
    shutil.copytree(done[0] / "out", tmp_path / "out")
    more = [films / "images", "--labels", films / "more.csv", "--out", "out", *MORE, *TINY]
    ran = run_tool("fit", *more, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "other inputs than before (films): trained from the start" in ran.stdout
    metrics, before = read(tmp_path, "metrics.json"), read(tmp_path, "metrics.before.json")
    assert (before["data"]["films"], metrics["data"]["films"]) == (11, 12)
    assert metrics["before"]["common_films"] == 11
    assert metrics["before"]["common_avg_iou_before"] == pytest.approx(before["out_of_fold"]["avg_iou"])


@pytest.mark.ci
def test_too_few_minutes(films, tmp_path):
    """It says how many are needed, and trains nothing."""
    few = [films / "images", "--labels", films / "hips.csv", "--out", "out", *MORE, "--minutes", 0.1, *TINY]
    ran = run_tool("fit", *few, cwd=tmp_path)
    assert ran.returncode == 2
    assert "--minutes 0.1: 2 folds and a final training, each of 8 steps" in ran.stderr
    assert "or --over-budget" in ran.stderr
    assert not (tmp_path / "out/trainings/fold0").exists()
