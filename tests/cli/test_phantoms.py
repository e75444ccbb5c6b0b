import csv
import json

import pytest
from PIL import Image

from hipdet.phantoms.write import make_film
from tool_runs import run_tool


def test_films_table_and_resuming(tmp_path):
    made = run_tool("phantoms", "out", "--films", "oaih=3", "gis=2", "--max-side", 160, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "out/oaih"
    rows = list(csv.DictReader((folder / "hips.csv").open()))
    assert list(rows[0]) == ["image", "x", "y", "side", "picture_side", "implant", "patient"]
    assert [row["image"] for row in rows] == [f"oaih_00000{i}.jpg" for i in (1, 1, 2, 2, 3, 3)]
    expected = make_film("oaih", 2, 0, 160)
    x, y, side = (float(rows[4][key]) for key in ("x", "y", "side"))
    assert [x, y, x + side] == pytest.approx(expected.hips[0, :3], abs=2e-3)
    assert Image.open(folder / "images/oaih_000003.jpg").size == expected.pixels.shape[::-1]
    assert json.loads((folder / "provenance.json").read_text())["max_side"] == 160

    # interrupted: one film is gone, and more are wanted
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "images").iterdir()}
    gone = (folder / "images/oaih_000002.jpg").read_bytes()
    (folder / "images/oaih_000002.jpg").unlink()
    again = run_tool("phantoms", "out", "--films", "oaih=4", "--max-side", 160, "--workers", 1, cwd=tmp_path)
    assert "2 films made, the others existed" in again.stdout
    assert (folder / "images/oaih_000002.jpg").read_bytes() == gone
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "images").iterdir()}
    assert after["oaih_000001.jpg"] == before["oaih_000001.jpg"]
    assert len(list(csv.DictReader((folder / "hips.csv").open()))) == 8
    fewer = run_tool("phantoms", "out", "--films", "oaih=1", "--max-side", 160, cwd=tmp_path)
    assert "0 films made" in fewer.stdout
    assert (
        len(list(csv.DictReader((folder / "hips.csv").open()))) == 8
    )  # the films are still there, and so is their table


def test_damaged_provenance(tmp_path):
    (tmp_path / "out/gis").mkdir(parents=True)
    (tmp_path / "out/gis/provenance.json").write_text("{")
    done = run_tool("phantoms", "out", "--films", "gis=1", cwd=tmp_path)
    assert done.returncode == 2
    assert "provenance.json: not JSON" in done.stderr
    assert "remove the folder or choose another" in done.stderr


def test_other_settings_are_refused(tmp_path):
    for seed, status in ((0, 0), (1, 2)):
        done = run_tool("phantoms", "out", "--films", "gis=1", "--max-side", 64, "--seed", seed, cwd=tmp_path)
        assert done.returncode == status
    assert "remove the folder or choose another" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--films", "gis"], "expected SOURCE=NUMBER"),
        (["--films", "mri=3"], "expected SOURCE=NUMBER"),
        (["--films", "gis=-1"], "expected SOURCE=NUMBER"),
        (["--films", "gis=9999999"], "a number of at most 6 digits"),
        (["--seed", "-1"], "at least 0"),
        (["--max-side", "8"], "at least 32"),
        (["--workers", "0"], "a whole number from 1 to 1024"),
        (["--workers", "9" * 5000], "--workers"),
    ],
)
def test_bad_arguments(tmp_path, arguments, words):
    done = run_tool("phantoms", "out", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()
