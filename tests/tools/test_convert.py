import json

import pytest

from tool_runs import run_tool


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
    assert "4 boxes reached over the edge of their film" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fracatlas", "none"), "error: none: no such folder"),
        (("phantom", "none"), "error: none: found none of the folders cgoa, oaih, gis"),
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
