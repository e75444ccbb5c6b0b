"""hipdet annotate and agree from the command line, and the way from labels to training files."""

import csv
import json
import os
import signal
import socket
import sys

import pytest

from annotation_parts import HIPS, film, films_in, open_and_end, open_session, start_tool, state
from hipdet.annotate.film_state import Project
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.inference.crops import COLUMNS
from tool_runs import run_tool

pytestmark = pytest.mark.slow


def stop(process):
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=120)
    assert (process.returncode, complaints) == (0, "")
    return said


def label(folder, annotator="alice", **changes):
    """Label films by name of their file without extension."""
    session = open_session(folder, Project(annotator=annotator))
    for name, change in changes.items():
        assert session.change(f"{name.lstrip('_')}.png", change)["revision"] == 1
    session.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "no such folder: check the path"),
        (["empty"], "no films, expected JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM files"),
        (["films", "--rois", "0"], "--rois 0: expected a number from 1 to 50, or any"),
        (["films", "--rois", "\u00b2"], "--rois \u00b2: expected a number from 1 to 50, or any"),
        (["films", "--rois", "9" * 5000], "999 ... ("),
        (["films", "--out", ""], "argument --out: an empty path"),
        (["films", "--annotator", "../alice"], "--annotator '../alice': expected letters"),
        (["films", "--classes", "hip", "hip"], "--classes hip hip: expected different names"),
        (["films", "--labels", "none.xml"], "none.xml: no such file or folder: check the path"),
        (["films", "--model", "none.onnx"], "error: "),
        (["films", "--port", "99999"], "--port 99999: expected 1 to 65535, or 0 for a free one"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    films_in(tmp_path / "films", 1)
    (tmp_path / "empty").mkdir()
    done = run_tool("annotate", *arguments, "--no-browser", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port(tmp_path):
    films_in(tmp_path / "films", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_tool("annotate", "films", "--no-browser", "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert f"error: --port {port}: can't be used: choose another, or 0 for a free one" in done.stderr


def test_a_session_says_what_it_has_and_ends_on_interrupt(tmp_path):
    films_in(tmp_path / "films", 3)
    label(tmp_path / "films", _1=state(HIPS), _2=state(exclude="child"))
    process, address = start_tool(tmp_path / "films", "--annotator", "alice")
    other, _ = start_tool(tmp_path / "films", "--annotator", "bob")
    again = run_tool("annotate", "films", "--annotator", "alice", "--no-browser", cwd=tmp_path)
    assert (again.returncode, "another hipdet annotate is writing it" in again.stderr) == (2, True)
    assert address.startswith("http://127.0.0.1:")
    assert "1 done, 1 excluded, 1 new" in stop(process)
    assert "3 new" in stop(other)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in folders are POSIX")
def test_crops_and_pipes_among_the_films_are_passed_over(tmp_path):
    films = films_in(tmp_path / "films", 1)
    for folder in ("crops/a", "other"):
        films_in(films / folder, 1)
    (films / "crops/manifest.csv").write_text(",".join(COLUMNS) + "\n")
    (films / "other/manifest.csv").write_text("film,patient\n")  # of another program
    os.mkfifo(films / "pipe.png")
    os.mkfifo(films / "pipe")
    status, said, complaints = open_and_end(films)
    assert (status, complaints) == (0, "")
    assert "note: passed over: folders with manifest.csv of hipdet crop (1, the first: crops)" in said
    assert "note: passed over: pipes, sockets or devices (1, the first: pipe.png)" in said
    assert "2 films: 2 new" in said
    (films / "crops").rename(tmp_path / "crops")
    status, said, _ = open_and_end(tmp_path / "crops")
    assert (status, "1 films: 1 new" in said) == (0, True)  # the folder itself was asked for
    only = tmp_path / "only"
    only.mkdir()
    (tmp_path / "crops").rename(only / "crops")
    status, _, complaints = open_and_end(only)
    assert status == 2
    assert "passed over: folders with manifest.csv of hipdet crop (1, the first: crops)" in complaints


def test_old_labels_are_imported_once(tmp_path):
    films_in(tmp_path / "films", 2)
    label(tmp_path / "films", "old", _1=state(HIPS), _2=state(HIPS[:1]))
    labels = tmp_path / "films/labels/old.json"
    process, _ = start_tool(tmp_path / "films", "--labels", labels, "--annotator", "new")
    stop(process)
    coco = json.loads((tmp_path / "films/labels/new.json").read_text())
    assert [(image["file_name"], image["status"]) for image in coco["images"]] == [
        ("1.png", "unchecked"),
        ("2.png", "unchecked"),
    ]
    assert len(coco["annotations"]) == 3
    process, _ = start_tool(tmp_path / "films", "--labels", labels, "--annotator", "new")
    stop(process)
    assert len((tmp_path / "films/labels/new.journal").read_text().splitlines()) == 2


def test_a_coco_file_that_cannot_be_written_is_reported_at_the_end(tmp_path):
    films_in(tmp_path / "films", 1)
    (tmp_path / "films/labels/alice.json").mkdir(parents=True)  # nothing can take its place
    process, _ = start_tool(tmp_path / "films", "--annotator", "alice")
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 3
    assert complaints.startswith("error: alice.json is not up to date: ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("locale", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}])
def test_odd_names_on_the_terminal(tmp_path, locale, monkeypatch):
    """Names are UTF-8 in every locale; what could steer the terminal is escaped."""
    films = films_in(tmp_path / "films", 1)
    odd = films / os.fsdecode(b"\xff\x1b[31m\n.png")
    for path in (odd, films / os.fsdecode("é.png".encode()), films / "a/x.png", films / "b/x.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(film())
    label(films, "alice", **{"%FF%1B[31m%0A": state(HIPS), "é": state(HIPS)})
    odd.write_bytes(film()[:900])
    labels(tmp_path / "old.json", films=["c/x.png"])  # of which there are two
    for key, value in locale.items():
        monkeypatch.setenv(key, value)
    status, said, complaints = open_and_end(films, "--annotator", "alice", "--labels", tmp_path / "old.json")
    assert (status, complaints) == (0, "")
    assert "2 done, 3 new" in said
    assert "%FF%1B[31m%0A.png: can't be read: " in said
    coco = json.loads((films / "labels/alice.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["%FF%1B[31m%0A.png", "é.png"]
    assert "c/x.png: old.json: label fits 2 films" in said
    assert not {"\x1b", "\x9b"} & {*said}


def test_the_way_to_training(tmp_path):
    """Two annotators, agreement, conversion with the exclusions, validation, split."""
    films_in(tmp_path / "films", 6)
    moved = [[edge + 2 for edge in box] for box in HIPS]
    for name, boxes in (("alice", HIPS), ("bob", moved)):
        done = {f"_{number}": state(boxes) for number in range(1, 6)}
        label(tmp_path / "films", name, **done, _6=state(HIPS[:1], exclude="one hip"))
    pair = ["films/labels/alice.json", "films/labels/bob.json"]
    agreement = run_tool("agree", *pair, cwd=tmp_path)
    assert "mean iou                             0.8223" in agreement.stdout  # 38 x 38 of 2 x 1600 - 38 x 38
    converted = run_tool(
        "convert", "folder", "films", "--labels", f"alice={pair[0]}", f"bob={pair[1]}", "--rois", 2,
        "--exclude", "films/labels/alice.exclude.csv", cwd=tmp_path,
    )  # fmt: skip
    assert converted.returncode == 0, converted.stderr
    valid = run_tool("validate", "films/annotations/folder.json", "--data-root", "films", "--strict", cwd=tmp_path)
    assert "1 files, 5 films: 0 errors, 0 warnings" in valid.stdout
    assert "6.png,one hip" in (tmp_path / "films/annotations/folder.exclusions.csv").read_text()
    split = run_tool("split", "films/annotations/folder.json", "--val", "0.2", cwd=tmp_path)
    assert split.returncode == 0, split.stderr
    coco = json.loads((tmp_path / "films/annotations/folder_train.json").read_text())
    assert len(coco["images"]) == 4
    assert coco["annotations"][0]["bbox"] == [21, 41, 40, 40]  # the mean of the two


def labels(path, shift=0.0, films=("1.png", "2.png")):
    boxes = [(20 + shift, 40, 60 + shift, 80), (140, 40, 180, 80)]
    records = [Film(name, 200, 120, "s", name, tuple(Roi(box, "hip") for box in boxes)) for name in films]
    write_json(path, build_coco(records, ["hip"], {}))


def test_a_table_and_files(tmp_path):
    labels(tmp_path / "alice.json")
    labels(tmp_path / "bob.json", shift=8)
    done = run_tool("agree", "alice.json", "bob.json", "--out", "out", "--show", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "mean iou                             0.8333" in lines  # 32 / 48 and 1
    assert "2 films to look at again (IoU below 0.85, found by one only, or a remark)" in lines
    assert lines[-3:] == ["  1.png  0.667", "  ... and 1 more", "written to out"]
    with (tmp_path / "out/agreement.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["film"], row["found_by"], row["iou"], row["centre_px"]) for row in rows][:2] == [
        ("1.png", "both", "0.6667", "8.0"),
        ("1.png", "both", "1.0", "0.0"),
    ]
    content = json.loads((tmp_path / "out/agreement.json").read_text())
    assert content["look_again"] == ["1.png", "2.png"]


def test_no_film_in_common_and_no_file(tmp_path):
    labels(tmp_path / "alice.json")
    labels(tmp_path / "bob.json", films=["3.png"])
    done = run_tool("agree", "alice.json", "bob.json", cwd=tmp_path)
    assert (done.returncode, "have no film in common" in done.stderr) == (2, True)
    done = run_tool("agree", "alice.json", "none.json", cwd=tmp_path)
    assert (done.returncode, "none.json" in done.stderr) == (2, True)
