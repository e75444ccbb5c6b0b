"""hipdet convert as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dicom_bytes import film as dicom
from film_sources import dicom_film, film, make_cgoa, make_gis, make_oai_zips, oai_labels, table, write
from hipdet.anchors.rois import Rois
from hipdet.data.coco_file import Roi, get_films
from tool_runs import of_checkout, run_tool, start_tool


def test_cgoa(tmp_path):
    make_cgoa(tmp_path / "CGOA")
    done = run_tool("convert", "cgoa", "CGOA", "--phases", "pre", "post", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:4] == ["cgoa.json", "4", "8", "3"]
    assert lines[2] == "4 films excluded:"
    assert lines[3].split(maxsplit=1) == ["2", "fracture"]
    assert "annotators: 1 films labelled by several, mean IoU 0.833, lowest 0.667 (images/0001_post.jpg)" in lines
    assert run_tool("validate", "CGOA/annotations/cgoa.json", "--data-root", "CGOA", cwd=tmp_path).returncode == 0
    record = json.loads((tmp_path / "CGOA/annotations/cgoa.provenance.json").read_text())
    assert record["options"] == {
        "rois": 2, "origin": "auto", "rotated": "refuse", "disagreement": "exclude", "phases": ["pre", "post"], "crop": [0, 0]
    }  # fmt: skip


def test_cgoa_takes_one_film_of_each_pair(tmp_path):
    make_cgoa(tmp_path / "CGOA")
    done = run_tool("convert", "cgoa", "CGOA", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:4] == ["cgoa.json", "3", "6", "3"]  # films, ROIs, patients
    record = json.loads((tmp_path / "CGOA/annotations/cgoa.provenance.json").read_text())
    assert record["options"]["phases"] == ["one"]


def test_oaih_from_zips_into_the_data_root_of_all(tmp_path):
    pytest.importorskip("pydicom")
    make_oai_zips(tmp_path / "OAI", dicom_film)
    oai_labels(tmp_path / "hips.json", "00100002", "00100004", "00100005")
    arguments = ["oaih", "OAI", "--labels", "hips.json", "--data-root", "data", "--copies", 96]
    done = run_tool("convert", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "series that aren't AP Pelvis: 1 x Bilateral PA Fixed Flexion Knee" in done.stdout
    assert sorted(path.name for path in (tmp_path / "data/oaih_96").glob("[!.]*")) == [
        "9000001_12m_00100002.png", "9000002_12m_00100004.png", "9000002_96m_00100005.png"
    ]  # fmt: skip
    done = run_tool("validate", "data/annotations/oaih.json", "--data-root", "data", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_gis(tmp_path):
    make_gis(tmp_path / "GIS")
    done = run_tool("convert", "gis", "GIS", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 pairs of near duplicates, the closest a again.jpg and a.jpg" in done.stdout
    assert "     1  age 3" in done.stdout


def test_folder_of_any_roi(tmp_path):
    for name in ("P1_a.png", "P2_a.png"):
        write(tmp_path / "hearts" / name, film(200, 180, "PNG"))
    rows = [[name, 50, 60, 120, 130, "Heart"] for name in ("P1_a.png", "P2_a.png")]
    write(tmp_path / "hearts/labels.csv", table("image,x0,y0,x1,y1,label", *rows))
    options = ["--source", "hearts", "--rename", "Heart=heart", "--patient-from", "(P[0-9])", "--rois", 1]
    done = run_tool("convert", "folder", "hearts", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = "hearts/annotations/hearts.json"
    done = run_tool("validate", path, "--data-root", "hearts", "--classes", "heart", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_spacing_of_dicom_films(tmp_path):
    """Of the films as they are stored, and of smaller copies."""
    pytest.importorskip("pydicom")
    pixels = np.random.default_rng(0).integers(0, 255, (180, 200), np.uint8)
    write(tmp_path / "hearts/P1_a.dcm", dicom(pixels, PixelSpacing="0.3\\0.2", ImagerPixelSpacing="0.3\\0.2"))
    write(tmp_path / "hearts/P2_a.png", film(200, 180, "PNG"))
    rows = [[name, 50, 60, 120, 130, "heart"] for name in ("P1_a.dcm", "P2_a.png")]
    write(tmp_path / "hearts/labels.csv", table("image,x0,y0,x1,y1,label", *rows))
    options = ["--source", "hearts", "--patient-from", "(P[0-9])", "--rois", 1]
    for more, expected in (([], [0.2, 0.3]), (["--copies", 100, "--data-root", "data"], [0.4, 0.6])):
        done = run_tool("convert", "folder", "hearts", *options, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        root = "data" if more else "hearts"
        one, other = json.loads((tmp_path / root / "annotations/hearts.json").read_text())["images"]
        assert (one["spacing_mm"], one["spacing_plane"]) == (expected, "detector")
        assert not {"spacing_mm", "spacing_plane"} & set(other)
        checked = [f"{root}/annotations/hearts.json", "--data-root", root, "--classes", "heart", "--strict"]
        done = run_tool("validate", *checked, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


def test_ignored_boxes_of_a_coco_file_stay_ignored(tmp_path):
    """They are rotated upright and scaled as ROIs are, but not counted, not even for --rois."""
    write(tmp_path / "hips/1.jpg", film(200, 300, "JPEG", 6))  # 300x200 upright
    write(tmp_path / "hips/2.jpg", film(300, 200, "JPEG"))
    boxes = [(1, [40, 100, 30, 30], {}), (1, [100, 200, 60, 30], dict(ignore=1)), (2, [10, 20, 40, 40], {})]
    boxes.append((2, [200, 20, 40, 40], dict(iscrowd=1, segmentation=dict(counts=[], size=[200, 300]))))
    labels = dict(
        images=[
            dict(id=1, file_name="1.jpg", width=200, height=300),
            dict(id=2, file_name="2.jpg", width=300, height=200),
        ],
        annotations=[
            dict(id=n, image_id=image, category_id=1, bbox=box, area=box[2] * box[3], **{"iscrowd": 0, **flags})
            for n, (image, box, flags) in enumerate(boxes, 1)
        ],
        categories=[dict(id=1, name="hip")],
    )
    write(tmp_path / "labels.json", json.dumps(labels))
    options = ["--labels", "labels.json", "--source", "hips", "--rois", 1, "--copies", 150, "--data-root", "data"]
    done = run_tool("convert", "folder", "hips", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:4] == ["hips.json", "2", "2", "2"]
    assert "2 boxes to ignore: neither ROI nor background" in done.stdout
    coco = json.loads((tmp_path / "data/annotations/hips.json").read_text())
    # stored (x, y) is (300 - y, x) upright; the copies are half as large
    found = [(a["image_id"], a["bbox"], a["iscrowd"]) for a in coco["annotations"]]
    assert found == [
        (1, [85.0, 20.0, 15.0, 15.0], 0), (1, [35.0, 50.0, 15.0, 30.0], 1),
        (2, [5.0, 10.0, 20.0, 20.0], 0), (2, [100.0, 10.0, 20.0, 20.0], 1),
    ]  # fmt: skip
    assert get_films(coco)[0].ignored == (Roi((35, 50, 50, 80), "hip"),)
    assert len(Rois.of_coco(coco)) == 2
    done = run_tool("validate", "data/annotations/hips.json", "--data-root", "data", "--rois", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("iscrowd is set, so the box is neither an ROI nor background") == 2
    assert "number" not in done.stdout  # of ROIs


def test_only_what_a_conversion_needs_is_imported(tmp_path):
    make_gis(tmp_path / "GIS")
    code = "import sys; from hipdet.cli.main import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, "convert", "folder", "GIS"]
    done = subprocess.run(command, cwd=tmp_path, env=of_checkout(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = [name for name in done.stdout.splitlines()[-1].split() if name.partition(".")[0] == "hipdet"]
    assert len(imported) <= 40
    for package, needed in (
        ("sources", ["folder"]),
        ("formats", ["geometry", "parse", "plain_csv", "reader", "record"]),
    ):
        start = f"hipdet.data.{package}."
        assert sorted(name.removeprefix(start) for name in imported if name.startswith(start)) == needed
    assert "hipdet.radiographs.dicom" not in imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gis", "none"], "error: none: "),
        (["gis", "empty", "--labels", "l.csv"], "error: empty: no films, expected JPEG"),
        (["gis", "GIS", "--labels", "none.csv"], "error: none.csv: no such file or folder: check the path"),
        (["gis", "GIS", "--labels", "l.csv"], "l.csv: columns are ['film', 'hips'], expected image and"),
        (["gis", "GIS", "--exclude", "none.csv"], "none.csv: can't be read: No such file"),
        (["gis", "GIS", "--copies", "7"], "'7': expected upright or a side from 32 to 4096 px"),
        (["gis", "GIS", "--rois", "0"], "'0': expected a number from 1 up, or any"),
        (["gis", "GIS", "--rename", "hip"], "--rename hip=: expected LABEL=CLASS"),
        (["gis", "GIS", "--rois", "3"], "error: GIS: no film is left to convert"),
        (
            ["gis", "GIS", "--data-root", "empty"],
            "GIS is not below the data root empty: move it there, or add --copies",
        ),
        (["gis", "GIS", "--format", "yolo"], "l"),
        (["gis", "GIS", "--workers", "0", "--copies", "64"], "'0': expected a whole number from 1 to 1024"),
        (["gis", "GIS", "--workers", "99999", "--copies", "64"], "'99999': expected a whole number from 1 to 1024"),
        (["gis", "GIS", "--out", ""], "argument --out: an empty path"),
        (["gis", ""], "argument ROOT: an empty path"),
        (["cgoa", "GIS"], "expected a serial number such as 0001"),
        (["cgoa", "GIS", "--crop", "1"], "expected 2 arguments"),
        (["oaih", "GIS"], "error: GIS: no AP Pelvis film by route dicom"),
        (["oaih", "GIS", "--visits", "13m"], "invalid choice: '13m'"),
        (["folder", "GIS", "--patient-from", "("], "not a regular expression"),
        (
            ["folder", "GIS", "--source", "../x"],
            "--source '../x': expected a name without folders, as files are named so",
        ),
        (["folder", "GIS", "--source", "a/b"], "--source 'a/b': expected a name without folders"),
        (["folder", "GIS", "--source", ""], "--source '': expected a name without folders"),
        (
            ["gis", "GIS", "--table", "t.csv"],
            "t.csv: columns film, patient are missing, found ['filename', 'patientid'] separated by ',', expected film, pat",
        ),
        (["gis", "GIS", "--table", "surplus.csv"], "surplus.csv: line 3: 'gone.jpg': no such film"),
        (
            ["folder", "GIS", "--labels", "class.csv", "--classes", "hip", "knee"],
            "box without label: label it (in a CSV, in",
        ),
        (["folder", "GIS", "--classes", ""], "argument --classes: '': expected the name of a class"),
        (["folder", "GIS", "--classes", "hip", " "], "argument --classes: ' ': expected the name of a class"),
        (["fracatlas", "GIS", "--joint", "elbows"], "argument --joint: invalid choice: 'elbows'"),
        (["folder", "GIS", "--classes", "knee"], "label 'hip' found, expected one of knee: add --rename 'hip'=knee"),
    ],
)
def test_bad_input(tmp_path, arguments, message):
    make_gis(tmp_path / "GIS")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "l.csv", "film;hips\n")
    write(tmp_path / "t.csv", "filename,patientid\na.jpg,P1\n")
    write(tmp_path / "surplus.csv", "film,patient\na.jpg,P1\ngone.jpg,P2\n")
    write(tmp_path / "class.csv", "image,x,y,side,class\na.jpg,20,20,50,hip\n")
    before = sorted(tmp_path.rglob("*"))
    done = run_tool("convert", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("kill", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_and_run_again(tmp_path, kill, status):
    """Annotations are written last, and copies that were made are kept."""
    rows = []
    for number in range(60):
        write(tmp_path / f"films/{number:03}.png", film(1500, 1200, "PNG", None, number))
        rows += [[f"{number:03}.png", x, 200, 300, "hip"] for x in (100, 900)]
    write(tmp_path / "films/labels.csv", table("image,x,y,side,label", *rows))
    command = ["convert", "folder", "films", "--copies", "upright", "--workers", 2]
    process = start_tool(*command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    copies = tmp_path / "films/folder_upright"
    deadline = time.time() + 60
    while time.time() < deadline and len(list(copies.glob("[!.]*.png")) if copies.exists() else []) < 5:
        time.sleep(0.02)
    os.killpg(process.pid, kill)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == status
    if kill == signal.SIGINT:
        assert "interrupted" in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "films/annotations").exists()
    made = {path.name: path.stat().st_mtime_ns for path in copies.glob("[!.]*.png")}
    assert 5 <= len(made) < 60
    done = run_tool(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all((copies / name).stat().st_mtime_ns == time_ns for name, time_ns in made.items())
    coco = json.loads((tmp_path / "films/annotations/folder.json").read_text())
    assert len(coco["images"]) == 60


def test_help(tmp_path):
    done = run_tool("convert", "cgoa", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--labels" in done.stdout
    assert "hipdet convert oaih data/OAI" in done.stdout


def test_a_closed_pipe_is_no_error(tmp_path):
    make_cgoa(tmp_path / "CGOA")
    command = f"{sys.executable} -m hipdet convert cgoa CGOA | true"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=of_checkout(), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""


def convert(*arguments, cwd):
    return run_tool("convert", *arguments, cwd=cwd)


def test_fracatlas_from_another_folder(shared, tmp_path):
    done = convert("fracatlas", shared / "data/fracatlas_hips", "--out", "made", "--folds", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        "hips.json", "hips.provenance.json", "fold0_train.json", "fold0_test.json", "fold1_train.json", "fold1_test.json"
    }  # fmt: skip
    record = json.loads((tmp_path / "made/hips.provenance.json").read_text())
    assert (record["films"], record["rois"], record["ratio"]["max"], record["licence"]) == (
        100,
        200,
        0.2371,
        "CC BY 4.0",
    )
    # 100 films with 200 hips; sizes as its README has them: mostly 454 px, one of 2880 px
    line = next(line for line in done.stdout.splitlines() if line.startswith("hips.json"))
    assert line.split()[1:4] == ["100", "200", "68"]
    assert "0.175 / 0.199 / 0.237" in line
    assert "4 boxes reach over the edge of their film" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fracatlas", "none"), "error: none: no such folder"),
        (("phantom", "none"), "error: none: no folder cgoa or oaih or gis or odd found"),
        ((), "the following arguments are required"),
        (("mura", "x"), "invalid choice: 'mura'"),
    ],
)
def test_errors_are_one_message_and_status_2(tmp_path, arguments, expected):
    done = convert(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [("--help",), ("fracatlas", "--help"), ("phantom", "--help")])
def test_help_shows_examples(tmp_path, arguments):
    done = convert(*arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert "examples:\n  hipdet convert fracatlas" in done.stdout
