"""From films to crops where names, folders and disks are odd: nothing is lost, and each command ends with a line."""

import csv
import json
import os
import re
import resource
import socket
import subprocess
import sys

import numpy as np
import pytest
from fixed_model import write_model
from PIL import Image

from film_bytes import PNG
from hipdet.core.files import path_below, unguarded
from hipdet.inference.review import ReviewLimits
from tool_runs import of_checkout, run_python, run_tool_here

BOXES = [[10, 20, 40, 50], [50, 20, 80, 50]]
NAMES = [b"plain.png", b"caf\xff.png", "h\u00fcfte.png".encode(), b"sub/100%\xfe.png", b"50%.png", b"a\\b.png",
         b"esc\x1b[31m.png", b"line\nend.png", b"=cmd()|x.png", b"n" * 246 + b".png", b"\xff" * 250 + b"/x.png"]  # fmt: skip
ASCII = dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Finds the same two hips on every film."""
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    return write_model(path, "2", classes=("hip",), labels=[0, 0], scores=[0.9, 0.8], boxes=BOXES)


def write_films(root, names):
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            generator = np.random.default_rng(number)
            Image.fromarray(generator.integers(0, 255, (200, 200), np.uint8)).save(file, "PNG")


def run(*arguments, cwd, **environment):
    return run_python("-m", "hipdet", *arguments, cwd=cwd, **environment)


@pytest.mark.parametrize("environment", [{}, ASCII], ids=["utf-8", "ascii"])
def test_names_of_all_kinds(environment, model, tmp_path):
    """Predict, crop and draw, then find each film and crop again; a second run takes all from the journal."""
    write_films(tmp_path / "films", NAMES)
    predict = ["predict", "films", "--model", model, "--threads", 1]
    done = run(*predict, cwd=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{len(NAMES)} of {len(NAMES)} films predicted")
    journal = (tmp_path / "predictions/journal.jsonl").read_bytes()
    assert run(*predict, cwd=tmp_path, **environment).returncode == 0
    assert (tmp_path / "predictions/journal.jsonl").read_bytes() == journal
    rows = json.loads((tmp_path / "predictions/predictions.json").read_bytes().decode())
    films = {os.path.relpath(os.fsencode(path_below(tmp_path / "films", row["file_name"])), os.fsencode(tmp_path / "films"))
             for row in rows}  # fmt: skip
    assert films == {*NAMES}
    names = {row["file_name"] for row in rows}
    assert {"plain.png", "caf%FF.png", "h\u00fcfte.png", "sub/100%25%FE.png", "50%.png", "esc%1B[31m.png"} <= names

    crop = ["crop", "predictions/predictions.json", "--data-root", "films"]
    done = run(*crop, cwd=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    with (tmp_path / "crops/manifest.csv").open(encoding="utf-8", newline="") as file:
        manifest = [{key: unguarded(cell) for key, cell in row.items()} for row in csv.DictReader(file)]
    assert {row["film"] for row in manifest} == names
    assert len(manifest) == 2 * len(NAMES)
    for row in manifest:
        with Image.open(tmp_path / "crops" / row["crop"]) as picture:  # UTF-8, whatever the names of films
            assert picture.size == (88, 88)
        assert re.search(r"_hip_(left|right)\.png$", row["crop"])
    assert "\x1b" not in done.stdout + done.stderr

    drawn = run("gallery", "predictions/predictions.json", "--data-root", "films", "--html", "--out", "g.html",
                cwd=tmp_path, **environment)  # fmt: skip
    assert (drawn.returncode, drawn.stderr) == (0, "")
    page = (tmp_path / "g.html").read_bytes().decode()
    assert all(name in page for name in ("caf%FF.png", "h\u00fcfte.png"))


def test_names_in_a_coco_file(model, tmp_path):
    write_films(tmp_path / "films", NAMES)
    names = ["caf%FF.png", "h\u00fcfte.png", "sub/100%25%FE.png", "a%5Cb.png"]
    coco = dict(
        images=[dict(id=n, file_name=name) for n, name in enumerate(names)], categories=[dict(id=1, name="hip")]
    )
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    done = run("predict", "--ann", "hips.json", "--data-root", "films", "--model", model, cwd=tmp_path, **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "predictions/predictions.json").read_bytes())
    assert [row["file_name"] for row in rows[::2]] == names


def test_what_is_no_film_is_passed_over(model, tmp_path):
    """Pipes would wait forever; links in a circle, broken links and bad films are listed with their reasons."""
    write_films(tmp_path / "films", [b"a.png", b"sub/b.png"])
    os.mkfifo(tmp_path / "films/pipe.png")
    os.mkfifo(tmp_path / "films/sub/0001")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "films/socket.dcm"))
    (tmp_path / "films/loop.png").symlink_to("loop.png")
    (tmp_path / "films/gone.png").symlink_to("missing.png")
    for place in ("films", "films/**/*"):
        done = run("predict", place, "--model", model, "--overwrite", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "passed over: pipes, sockets or devices (3, the first: pipe.png)",
            "gone.png: no such file: check the path",
            "loop.png: can't be read: Too many levels of symbolic links",
        ]
        assert done.stdout.startswith("2 of 4 films predicted")


def test_crops_among_the_films_are_no_films(model, tmp_path):
    write_films(tmp_path / "films", [b"a.png", b"sub/b.png"])
    predict = ["predict", "--model", model, "--threads", 1]
    assert run_tool_here(*predict, "films", cwd=tmp_path).returncode == 0
    crop = ["crop", "predictions/predictions.json", "--data-root", "films", "--out"]
    assert run_tool_here(*crop, "films/sub/crops", cwd=tmp_path).returncode == 0
    for place in ("films", "films/**/*.png", "fil*/**/*.png"):
        done = run_tool_here(*predict, place, cwd=tmp_path)
        assert (done.returncode, done.stdout.startswith("2 of 2 films predicted")) == (0, True)
        where = "films/sub/crops" if "fil*" in place else "sub/crops"
        assert done.stderr == f"passed over: folders with manifest.csv of hipdet crop (1, the first: {where})\n"
    manifest = tmp_path / "films/sub/crops/manifest.csv"
    earlier = [line.rpartition(",")[0] for line in manifest.read_text().splitlines()]  # without candidates
    assert earlier[0].endswith(",patient_side,score")
    manifest.write_text("\n".join(earlier))
    assert run_tool_here(*predict, "films", cwd=tmp_path).stdout.startswith("2 of 2 films predicted")
    asked = run_tool_here(*predict, "films/sub/crops/sub/*.png", cwd=tmp_path)
    assert asked.stdout.startswith("2 of 2 films predicted")
    for out in ("films/../films", "."):
        done = run_tool_here(*crop, out, cwd=tmp_path)
        assert (done.returncode, "is the folder of the films or one above it" in done.stderr) == (2, True)


def test_a_film_has_one_id_however_it_is_spelled(model, tmp_path):
    write_films(tmp_path / "films", [b"a.png", b"sub/b.png"])
    (tmp_path / "again").symlink_to("films")
    spellings = ["films/a.png", "films/sub/../a.png", "./films", tmp_path / "films/a.png", "again/a.png"]
    done = run_tool_here("predict", *spellings, "--model", model, cwd=tmp_path)
    assert done.stdout.startswith("2 of 2 films predicted")


def limited(size, *arguments, cwd):
    """Run a command where no file can be larger than `size` bytes, as on a disk that is full."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    command = [sys.executable, "-m", "hipdet", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=of_checkout(), capture_output=True, text=True, preexec_fn=limit)


@pytest.mark.parametrize("size", [0, 300, 1000, 2000])
def test_a_full_disk(size, model, tmp_path):
    """A line and status 3; the next run continues, and its results are those of an undisturbed one."""
    write_films(tmp_path / "films", [b"%d.png" % number for number in range(6)])
    predict = ["predict", "films", "--model", model, "--threads", 1]
    crop = ["crop", "whole/predictions.json", "--data-root", "films", "--out"]
    for arguments in ([*predict, "--out", "whole"], [*crop, "whole_crops"]):
        assert run_tool_here(*arguments, cwd=tmp_path).returncode == 0
    done = limited(size, *predict, "--out", "cut", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"error: (cut/predictions\.json|journal\.jsonl): .*File too large\n", done.stderr)
    kept = (tmp_path / "cut/journal.jsonl").read_bytes()
    assert kept == (tmp_path / "whole/journal.jsonl").read_bytes()[: len(kept)]
    assert kept == b"" or kept.endswith(b"}\n")
    assert run_tool_here(*predict, "--out", "cut", cwd=tmp_path).returncode == 0

    done = limited(size, *crop, "cut_crops", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"error: cut_crops/.*\.(png|csv): .*\n", done.stderr)
    assert run_tool_here(*crop, "cut_crops", cwd=tmp_path).returncode == 0
    for before, after in (("whole", "cut"), ("whole_crops", "cut_crops")):
        files = {path.name: path.read_bytes() for path in (tmp_path / before).iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / after).iterdir()} == files


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a folder that nobody can write to")
def test_a_folder_that_can_not_be_written_to(model, tmp_path):
    write_films(tmp_path / "films", [b"a.png"])
    assert run_tool_here("predict", "films", "--model", model, cwd=tmp_path).returncode == 0
    for arguments in (
        ["predict", "films", "--model", model],
        ["crop", "predictions/predictions.json", "--data-root", "films"],
    ):
        done = run_tool_here(*arguments, "--out", "/sys/kernel/x", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch(r"error: /sys/kernel/x\S*: .*(not permitted|denied|Read-only).*\n", done.stderr)


def test_a_film_on_which_a_model_never_ends(tmp_path):
    write_films(tmp_path / "films", [b"a.png", b"b.png"])
    endless = write_model(tmp_path / "m.onnx", "2", work="endless")
    done = run("predict", "films", "--model", endless, "--film-timeout", 0.5, cwd=tmp_path)
    assert done.returncode == 2
    reason = "no result after 0.5 s, so it was given up: allow more (--film-timeout)"
    assert done.stderr.splitlines() == [f"{name}.png: {reason}" for name in "ab"]
    assert "next:" not in done.stdout
    with (tmp_path / "predictions/review.csv").open() as file:
        assert [(row["film"], row["error"]) for row in csv.DictReader(file)] == [("a.png", reason), ("b.png", reason)]


def test_crops_of_a_run_that_read_nothing(model, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.png").write_bytes(PNG[:50])
    coco = dict(images=[dict(id=1, file_name="a.png")], categories=[dict(id=1, name="hip")])
    (tmp_path / "hips.json").write_text(json.dumps(coco))
    crop = ["crop", "predictions/predictions.json", "--data-root", "films"]
    assert run_tool_here("predict", "films", "--model", model, cwd=tmp_path).returncode == 2
    done = run_tool_here(*crop, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hipdet predict could read no film (by films.json): review.csv beside it says why" in done.stderr
    assert not (tmp_path / "crops").exists()
    (tmp_path / "predictions/films.json").unlink()  # with --ann there is none, and it isn't known what was read
    done = run_tool_here("predict", "--ann", "hips.json", "--data-root", "films", "--model", model, cwd=tmp_path)
    assert done.returncode == 2
    done = run_tool_here(*crop, cwd=tmp_path)
    assert done.returncode == 0
    assert "predictions.json: no ROI, so no crop: review.csv beside it has" in done.stdout


@pytest.mark.parametrize(
    "options", [["--tight"], ["--tight", "--size", 60], ["--tight", "--margin", 0.1, "--as-stored"]]
)
def test_tight_crops_leave_the_neighbour_out(options, tmp_path):
    """Two long ROIs side by side, on a film of 200 px for a square of 96."""
    boxes = [[10, 5, 30, 90], [35, 5, 55, 90]]
    lungs = write_model(tmp_path / "m.onnx", "2", classes=("lung",), labels=[0, 0], scores=[0.9, 0.8], boxes=boxes)
    film = np.zeros((200, 200), np.uint8)
    film[:, :70] = 100  # between the lungs
    film[:, 70:] = 200
    (tmp_path / "films").mkdir()
    Image.fromarray(film).save(tmp_path / "films/a.png")
    assert run_tool_here("predict", "films", "--model", lungs, cwd=tmp_path).returncode == 0
    done = run_tool_here("crop", "predictions/predictions.json", "--data-root", "films", *options, cwd=tmp_path)
    assert done.returncode == 0
    with (tmp_path / "crops/manifest.csv").open() as file:
        first = next(row for row in csv.DictReader(file) if row["score"] == "0.9")
    crop = np.asarray(Image.open(tmp_path / "crops" / first["crop"]))
    width, height = int(first["x1"]) - int(first["x0"]), int(first["y1"]) - int(first["y0"])
    scale = float(first["scale"])
    assert crop.shape == (round(height * scale), round(width * scale))
    margin = 1.2 if "--margin" in options else 1
    assert (width, height) == (pytest.approx(41.7 * margin, abs=1), pytest.approx(177 * margin, abs=1))
    assert (max(crop.shape) == 60) == ("--size" in options)
    assert crop.max() == 100


def test_one_hip_or_two(tmp_path):
    """What scores less than the limit is a candidate, unless the user knows that each film has two hips."""
    write_films(tmp_path / "films", [b"a.png"])
    limits = ReviewLimits(9, 0.01, 0.85, {}).to_json()
    hips = dict(classes=("hip",), labels=[0, 0], scores=[0.9, 0.8], boxes=BOXES, limits=limits)
    write_model(tmp_path / "model.onnx", "[1, 2]", **hips)
    predict, crop = (
        ["predict", "films", "--model", "."],
        ["crop", "predictions/predictions.json", "--data-root", "films"],
    )

    def rows():
        found = json.loads((tmp_path / "predictions/predictions.json").read_text())
        return [(row["score"], row["candidate"], row["patient_side"], row["flags"]) for row in found]

    assert run_tool_here(*predict, cwd=tmp_path).returncode == 0
    assert rows() == [(0.9, False, "", ["candidates"]), (0.8, True, "", ["candidates"])]
    assert run_tool_here(*crop, cwd=tmp_path).stdout.startswith("1 crops of 1 films")
    assert run_tool_here(*crop, "--candidates", cwd=tmp_path).stdout.startswith("2 crops of 1 films")
    drawn = run_tool_here("gallery", "predictions/predictions.json", "--data-root", "films", "--html", cwd=tmp_path)
    assert (drawn.returncode, "candidate 0.80" in (tmp_path / "predictions/gallery.html").read_text()) == (0, True)
    assert run_tool_here(*predict, "--rois", "hip=2", cwd=tmp_path).returncode == 0  # not from the journal
    assert rows() == [(0.9, False, "right", ["low_score"]), (0.8, False, "left", ["low_score"])]
