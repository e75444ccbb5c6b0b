"""hipdet cross-validate on phantoms: training, test, comparison, resuming, and refusals."""

import json
import shutil

import pytest

from tool_runs import SMALL_ROI, run_tool

pytestmark = pytest.mark.slow

CONFIG = "configs/hip_roi_medium.py"
OPTIONS = ["--cfg-options", *SMALL_ROI, "train_cfg.max_epochs=2"]


def arguments(phantoms, *more):
    return [
        CONFIG,
        "--data-root",
        phantoms,
        "--ann",
        "annotations/oaih.json",
        "--folds",
        2,
        "--out",
        "out",
        *more,
        *OPTIONS,
    ]


@pytest.fixture(scope="module")
def done(phantoms, make_once):
    """A folder with the folds of two variants, and what the command printed; tests only read it."""

    def make(folder):
        once = ["--variant", "once", "model.passes=(4,)"]
        ran = run_tool("cross-validate", *arguments(phantoms, *once, "--jobs", 2), cwd=folder)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return make_once("folds", make)


@pytest.mark.ci
def test_every_roi_once_and_the_variants_beside_each_other(done, phantoms):
    folder, said = done
    assert "| once |" in said
    summary = json.loads((folder / "out/summary.json").read_text())
    truth = json.loads((phantoms / "annotations/oaih.json").read_text())
    assert [row["variant"] for row in summary["variants"]] == ["base", "once"]
    assert all(row["num_rois"] == len(truth["annotations"]) for row in summary["variants"])
    base, once = summary["variants"]
    assert base["gain"] == 0
    assert base["parameters"] == once["parameters"]
    assert once["gain"] == pytest.approx(once["avg_iou"] - base["avg_iou"])
    # same folds and seed: the second pass isn't used in training
    weights = [(folder / f"out/{name}/fold1/epoch_2.pth").stat().st_size for name in ("base", "once")]
    assert weights[0] == pytest.approx(weights[1], rel=0.01)
    assert (folder / "out/calibration.png").stat().st_size > 5000


@pytest.mark.ci
def test_it_resumes(done, phantoms, tmp_path):
    shutil.copytree(done[0] / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out/base/fold1")
    kept = tmp_path / "out/base/fold0/epoch_2.pth"
    before = kept.stat().st_mtime_ns
    again = run_tool("cross-validate", *arguments(phantoms), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert kept.stat().st_mtime_ns == before
    summaries = [json.loads((path / "out/summary.json").read_text()) for path in (done[0], tmp_path)]
    assert summaries[0]["variants"][0]["avg_iou"] == summaries[1]["variants"][0]["avg_iou"]


@pytest.mark.ci
def test_other_settings_are_refused(done, phantoms):
    refused = run_tool("cross-validate", *arguments(phantoms), "randomness.deterministic=True", cwd=done[0])
    assert refused.returncode == 2
    assert "base/fold0: holds a training with other settings (config differ)" in refused.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--ann", "none.json"], "--ann none.json: no such file"),
        (["--folds", 1], "expected at least 2 folds"),
        (["--variant", "../x"], "variant '../x': expected a name of letters"),
        (["--variant", "base", "model.passes=(1,)"], "expected different names"),
        (["--folds", 9], "folds is 9, expected 2 to 4"),
    ],
)
def test_bad_input(phantoms, tmp_path, more, words):
    ran = run_tool("cross-validate", *arguments(phantoms), *more, cwd=tmp_path)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
