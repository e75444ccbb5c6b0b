import csv
import json

import pytest

from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco
from tool_runs import run_tool

pytestmark = pytest.mark.slow


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
