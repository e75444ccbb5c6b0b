"""From a folder of films to crops, as on a hospital server: without torch, mm*, OpenCV or scipy."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from dicom_bytes import film
from film_bytes import JPEG, UPRIGHT
from places import REPOSITORY
from tool_runs import run_python, run_tool, start_tool
from untrained import noise

pytestmark = pytest.mark.slow

BLOCKED = ("torch", "torchvision", "mmengine", "mmcv", "mmdet", "cv2", "scipy", "matplotlib", "pycocotools", "onnx",
           "defusedxml", "filelock", "shapely")  # fmt: skip
LIGHT = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
from hipdet.cli.main import main
main(sys.argv[1:])
"""


def light(name, *arguments, cwd):
    """Run a command with only the base dependencies of hipdet."""
    return run_python("-c", LIGHT, name, *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good films, a DICOM without extension among them, and all kinds of bad ones."""
    root = tmp_path_factory.mktemp("server") / "films"
    for number in range(3):
        path = root / f"ward/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(200, 170, number)).save(path)
    (root / "ward/1.2.840").write_bytes(film(noise(180, 180, 7)))
    bad = {
        "empty.jpg": b"",
        "text.jpg": b"no film",
        "truncated.jpg": JPEG[: len(JPEG) // 2],
        "slice.dcm": film(UPRIGHT, Modality="CT"),
    }
    for name, content in bad.items():
        (root / name).write_bytes(content)
    Image.new("L", (1, 1)).save(root / "one.png")
    Image.new("1", (20_000, 400)).save(root / "wide.png")
    Image.new("1", (20_001, 400)).save(root / "wider.png")
    (root / "x.png").mkdir()
    return root


BAD = ["empty.jpg", "one.png", "slice.dcm", "text.jpg", "truncated.jpg", "wider.png", "x.png"]


def test_a_folder_of_good_and_bad_films(folder, untrained):
    work = folder.parent
    done = light("predict", "films", "--model", untrained.onnx, "--threads", 1, cwd=work)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if ": " in line and "%" not in line]
    assert [line.partition(": ")[0] for line in lines] == BAD
    assert done.stdout.startswith("5 of 12 films predicted: predictions")
    review = list(csv.DictReader((work / "predictions/review.csv").open()))
    assert [row["film"] for row in review[: len(BAD)]] == BAD
    assert all(row["error"] for row in review[: len(BAD)])
    assert not any(row["error"] for row in review[len(BAD) :])

    found = COCO(work / "predictions/films.json").loadRes(str(work / "predictions/predictions.json"))
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in found.dataset["images"]}
    assert sizes["wide.png"] == (20_000, 400)
    assert {name for name in sizes if name != "wide.png"} == {
        f"ward/{name}" for name in ("0.png", "1.png", "1.2.840", "2.png")
    }

    cropped = light(
        "crop", "predictions/predictions.json", "--data-root", "films", "--size", 64, "--depth", 16, cwd=work
    )
    assert cropped.returncode == 0, cropped.stderr
    rows = list(csv.DictReader((work / "crops/manifest.csv").open()))
    assert len(rows) == len(found.dataset["annotations"]) >= 8
    by_box = {(row["film"], row["patient_side"], row["score"]): row for row in rows}
    assert len(by_box) == len(rows)
    for each in found.dataset["annotations"]:
        row = by_box[each["file_name"], each["patient_side"], str(each["score"])]
        crop = np.asarray(Image.open(work / "crops" / row["crop"]))
        assert (crop.shape, crop.dtype) == ((64, 64), np.uint16)
        x0, y0, x1, y1 = (int(row[corner]) for corner in ("x0", "y0", "x1", "y1"))
        x, y, width, height = each["bbox"]
        assert x1 - x0 == y1 - y0 == pytest.approx(1.4 * max(width, height), abs=0.51)
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((x + width / 2, y + height / 2), abs=1.01)
    texts = "".join(path.read_text() for path in [*(work / "predictions").iterdir(), work / "crops/manifest.csv"])
    assert str(work) not in texts
    assert "DOE" not in texts


def test_ids_and_names_of_a_coco_file(folder, untrained, tmp_path):
    images = [
        dict(id=7, file_name="ward/0.png", width=170, height=200),
        dict(id=3, file_name="ward/2.png", width=170, height=200),
    ]
    coco = dict(images=images, annotations=[], categories=[dict(id=5, name="hip")])
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    run = ["predict", "--ann", "hips.json", "--data-root", folder, "--model", untrained.onnx]
    done = light(*run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = COCO(tmp_path / "hips.json").loadRes(str(tmp_path / "predictions/predictions.json")).dataset["annotations"]
    assert [each["image_id"] for each in found] == [7, 7, 3, 3]
    assert {each["category_id"] for each in found} == {5}
    assert not (tmp_path / "predictions/films.json").exists()
    coco["categories"][0]["name"] = "knee"
    (tmp_path / "knees.json").write_text(json.dumps(coco))
    wrong = light(*run[:2], "knees.json", *run[3:], cwd=tmp_path)
    assert (wrong.returncode, "no category 'hip'" in wrong.stderr) == (2, True)


def test_an_interrupted_run_keeps_its_results_and_continues(untrained, tmp_path):
    (tmp_path / "films").mkdir()
    for number in range(150):
        Image.fromarray(noise(450, 400, number)).save(tmp_path / f"films/{number:03d}.png", compress_level=1)
    arguments = ["predict", "films", "--model", untrained.onnx, "--threads", 1]
    journal = tmp_path / "predictions/journal.jsonl"
    with start_tool(*arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    done = journal.read_bytes()
    rows = json.loads((tmp_path / "predictions/predictions.json").read_text())
    films = done.count(b"\n")
    assert 3 <= films < 150
    assert len({row["image_id"] for row in rows}) == films
    finished = run_tool(*arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert journal.read_bytes().startswith(done)
    assert journal.read_bytes().count(b"\n") == 150
    whole = json.loads((tmp_path / "predictions/predictions.json").read_text())
    assert whole[: len(rows)] == rows
    assert {row["image_id"] for row in whole} == set(range(1, 151))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: no such film or folder: check the path"),
        (["a.jpg", "none"], "none: no such film or folder"),
        (["films/*.xyz"], "no film matches this pattern"),
        ([], "expected either films, or a COCO file"),
        (["--ann", "a.json"], "--ann needs --data-root"),
        (["a.jpg", "--model", "a.onnx", "--weights", "b.pth"], "expected either --model, or --config and --weights"),
        (["a.jpg", "--rois", "0"], "--rois: number of ROIs 0, expected a number"),
    ],
)
def test_bad_arguments(arguments, message, untrained, tmp_path):
    if "--model" not in arguments:
        arguments = [*arguments, "--model", untrained.onnx]
    (tmp_path / "a.jpg").touch()
    done = light("predict", *arguments, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "predictions").exists()


def test_importing_the_detector_is_light(untrained, folder):
    code = (
        "import os, sys; before = dict(os.environ); import hipdet; light = dict(os.environ) == before;"
        "light = light and not {'onnxruntime', 'numpy', 'openvino_telemetry'} & set(sys.modules);"
        f"films = list(hipdet.HipDetector({str(untrained.onnx)!r})({str(folder / 'ward')!r}));"
        "heavy = {name.partition('.')[0] for name in sys.modules} & {'torch', 'mmengine', 'mmcv', 'mmdet'};"
        "print(light, len(films), heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "True 4 set()"
