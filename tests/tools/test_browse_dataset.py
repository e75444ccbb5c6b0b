"""hipdet browse as users run it."""

import json

import numpy as np
import pytest
from PIL import Image

from page_films import page_films
from tool_runs import run_tool_here


def run(cwd, *arguments):
    return run_tool_here("browse", *arguments, cwd=cwd)


def test_labels_of_phantoms(phantoms, tmp_path):
    done = run(tmp_path, phantoms / "annotations/gis.json", "--data-root", phantoms, "--side", 100, "--columns", 3)
    assert done.returncode == 0, done.stderr
    assert "gis.json: 6 films, 0 errors, 0 warnings" in done.stdout
    sheet = np.asarray(Image.open(tmp_path / "gis.png").convert("RGB"))
    assert sheet.shape[1] == 3 * 104
    assert (sheet == (255, 212, 0)).all(axis=2).sum() > 6 * 2 * 20
    assert not (sheet == (255, 32, 32)).all(axis=2).any()


def test_real_films(shared, tmp_path):
    films = shared / "data/fracatlas_hips"
    assert run_tool_here("convert", "fracatlas", films, "--out", "ann", cwd=tmp_path).returncode == 0
    done = run(tmp_path, "ann/hips.json", "--data-root", films, "--films", 2, "--html")
    assert done.returncode == 0, done.stderr
    found = page_films(tmp_path / "hips.html")
    assert len(found) == 2
    assert {mark["text"] for film in found for mark in film["marks"]} == {"left", "right"}


def test_faults_first_and_films_that_are_not_there(phantoms, tmp_path):
    coco = json.loads((phantoms / "annotations/gis.json").read_text())
    coco["images"][3]["file_name"] = "gis/gone.jpg"
    coco["images"][4]["file_name"] = "../away.jpg"
    coco["annotations"].pop()
    (tmp_path / "odd.json").write_text(json.dumps(coco))
    done = run(tmp_path, "odd.json", "--data-root", phantoms, "--faults", "--html")
    assert done.returncode == 0, done.stderr
    films = page_films(tmp_path / "odd.html")
    assert [film["name"] for film in films[:2]] == ["gis/gone.jpg", "../away.jpg"]
    assert films[0]["flags"] == ["film-missing", "can't be read"]
    assert films[1]["flags"] == ["name-invalid", "can't be read"]
    assert films[2]["flags"] == ["too-few-rois"]
    assert [film["flags"] for film in films[3:]] == [[]] * 3
    assert str(phantoms) not in (tmp_path / "odd.html").read_text()


def test_augmented(phantoms, tmp_path):
    arguments = [phantoms / "annotations/gis.json", "--data-root", phantoms, "--side", 100, "--films", 2, "--draws", 3]
    for name in "ab":
        config = "configs/hip_roi_medium.py"
        done = run(tmp_path, *arguments, "--augmented", config, "--out", f"{name}.png")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width == 4 * 104


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.json"], "none.json: no such file"),
        (["list.json"], "list.json: no film to draw; the first fault"),
        (["list.json", "--augmented", "c.py", "--html"], "--augmented draws sheets: leave out --html"),
        (["list.json", "--augmented", "c.py", "--draws", 0], "expected at least 1 draw"),
        (["list.json", "--augmented", "c.py"], "c.py: no such config"),
    ],
)
def test_what_can_not_be_done(tmp_path, arguments, words):
    (tmp_path / "list.json").write_text("[]")
    done = run(tmp_path, *arguments, "--data-root", ".")
    assert done.returncode == 2
    assert words in done.stderr
