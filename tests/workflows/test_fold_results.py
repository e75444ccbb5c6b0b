"""Tables of folds read together, compared with metrics computed by hand."""

import json

import numpy as np
import pytest

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.resumable import RunFolder
from hipdet.workflows.fold_results import Result, summarize_folder


def write_fold(out, variant, fold, rois, record=None):
    folder = out / variant / f"fold{fold}"
    (folder / "test").mkdir(parents=True)
    rows = [dict(file_name=film, annotation_id=number, iou=iou, confidence=score) for film, number, iou, score in rois]
    (folder / "test/test.roi.json").write_text(json.dumps(dict(rois=rows)))
    if record:
        (folder / "record.json").write_text(json.dumps(record))


@pytest.fixture
def out(tmp_path):
    """Two folds of two films with two ROIs; `new` is better by .1, .0, .2, .1 and so on."""
    (tmp_path / "folds").mkdir()
    for fold in (0, 1):
        (tmp_path / f"folds/hips_fold{fold}_test.json").write_text("{}")
    record = dict(seconds=60.0, parameters=10, figures={"coco/bbox_mAP": 0.5})
    write_fold(tmp_path, "base", 0, [("b.png", 3, 0.4, 0.1), ("a.png", 1, 0.8, 0.9)], record)
    write_fold(
        tmp_path, "base", 1, [("c.png", 5, 0.6, 0.5)], dict(record, seconds=180.0, figures={"coco/bbox_mAP": 0.7})
    )
    write_fold(tmp_path, "new", 0, [("a.png", 1, 0.9, 0.8), ("b.png", 3, 0.4, 0.2)])
    write_fold(tmp_path, "new", 1, [("c.png", 5, 0.8, 0.6)])
    write_fold(tmp_path, "unfinished", 0, [("a.png", 1, 0.9, 0.8)])
    return tmp_path


def test_rois_are_in_the_order_of_films(out):
    result = Result.read(out / "base", 2)
    assert result.key == [("a.png", 1), ("b.png", 3), ("c.png", 5)]
    assert result.iou.tolist() == [0.8, 0.4, 0.6]
    assert result.fold.tolist() == [0, 0, 1]
    assert Result.read(out / "unfinished", 2) is None


def test_metrics(out):
    metrics = Result.read(out / "base", 2).metrics()
    assert metrics["avg_iou"] == pytest.approx(0.6)
    assert metrics["folds"] == pytest.approx([0.6, 0.6])
    assert metrics["acc50"] == pytest.approx(2 / 3)
    assert metrics["minutes"] == pytest.approx(2.0)
    assert metrics["coco_map"] == pytest.approx(0.6)
    low, high = metrics["avg_iou_interval"]
    assert 0.4 - 1e-9 <= low < 0.6 < high <= 0.8 + 1e-9
    assert metrics["resampled"] == "films (patients not known)"
    assert "minutes" not in Result.read(out / "new", 2).metrics()


def several_films_of_a_patient(out, films=4, patients=10, info=None):
    """Two folds, each of `patients` with `films` equal films of one ROI; `new` is better by .1 for odd-numbered patients."""
    names = [f"{fold}{patient}{film}.png" for fold in (0, 1) for patient in range(patients) for film in range(films)]
    (out / "folds").mkdir()
    rng = np.random.default_rng(0)
    of_patient = rng.uniform(0.5, 0.9, (2, patients))
    for fold in (0, 1):
        images = [dict(file_name=name, patient=name[:2], source="s") for name in names if name[0] == str(fold)]
        (out / f"folds/hips_fold{fold}_test.json").write_text(json.dumps(dict(images=images, info=info or {})))
        for variant, gain in (("base", 0.0), ("new", 0.1)):
            rois = [
                (
                    image["file_name"],
                    n,
                    of_patient[fold, int(image["file_name"][1])] + gain * (int(image["file_name"][1]) % 2),
                    0.5,
                )
                for n, image in enumerate(images)
            ]
            write_fold(out, variant, fold, rois)
    return of_patient


@pytest.mark.parametrize(
    ("info", "factor", "resampled"),
    [
        ({}, 2.0, "patients"),
        (dict(patients="guessed"), 2.0, "groups (patients not known)"),
        (dict(patients="unknown"), 1.0, "films (patients not known)"),
    ],
)
def test_films_of_a_patient_are_resampled_together(tmp_path, info, factor, resampled):
    of_patient = several_films_of_a_patient(tmp_path, info=info)
    table, _ = summarize_folder(tmp_path, ["base", "new"], tmp_path / "hips.json")
    base, new = json.loads((tmp_path / "summary.json").read_text())["variants"]
    assert base["resampled"] == new["resampled"] == resampled
    assert f"95% bootstrap interval, resampled: {resampled}. " in table.read_text()
    assert (tmp_path / "summary.csv").read_text().splitlines()[1].endswith(f",{resampled}")
    # 80 films are resampled as 20 patients: sqrt(4) times the width
    width = np.diff(base["avg_iou_interval"])[0]
    assert width == pytest.approx(factor * 2 * 1.96 * of_patient.std() / 80**0.5, rel=0.1)
    # a gain of .1 for half of them: standard deviation .05
    assert np.diff(new["gain_interval"])[0] == pytest.approx(factor * 2 * 1.96 * 0.05 / 80**0.5, rel=0.15)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("base/fold0/test/test.roi.json", dict(rois=3), "rois is 3"),
        (
            "base/fold0/test/test.roi.json",
            dict(rois=[dict(iou=1, confidence=1, file_name="a.png")]),
            "no annotation_id",
        ),
        ("base/fold0/record.json", [1], r"found \[1\], expected an object: remove the file and run again"),
        ("base/fold0/record.json", {}, "no figures"),
        ("base/fold0/record.json", dict(figures={}, seconds="long"), "seconds is 'long', expected a number"),
        ("base/fold0/record.json", dict(figures={}, seconds=1, parameters=[1]), r"parameters is \[1\]"),
        ("base/fold1/record.json", dict(figures={"coco/bbox_mAP": "good"}, seconds=1), "coco/bbox_mAP is 'good'"),
        ("folds/hips_fold0_test.json", [], r"found \[\], expected an object"),
        ("folds/hips_fold0_test.json", dict(images=[dict(file_name=3)]), "file_name is 3"),
        ("folds/hips_fold0_test.json", dict(images=[dict(file_name="a", patient=[1])]), r"patient is \[1\]"),
    ],
)
def test_forged_files_are_refused(out, name, content, words):
    (out / name).write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=rf"{name.rpartition('/')[2]}: .*{words}|{name.rpartition('/')[2]}: {words}"):
        summarize_folder(out, ["base"], out / "hips.json")


def test_folds_without_an_roi(out):
    for fold in (0, 1):
        (out / f"base/fold{fold}/test/test.roi.json").write_text('{"rois": []}')
    with pytest.raises(DatasetError, match=r"base: no ROI in test/test\.roi\.json of any fold"):
        summarize_folder(out, ["base"], out / "hips.json")


@pytest.mark.parametrize("content", ["[]", "3", "{", "null"])
def test_forged_inputs_are_refused(tmp_path, content):
    (tmp_path / "inputs.json").write_text(content)
    with pytest.raises(ConfigError, match=r"inputs\.json: .*remove the folder to train again"):
        RunFolder(tmp_path).claim(dict(config="1"))


def test_gain_is_paired(out):
    base, new = Result.read(out / "base", 2), Result.read(out / "new", 2)
    gain, (low, high) = new.gain(base)
    assert gain == pytest.approx(0.1)
    assert -1e-9 <= low < gain < high <= 0.2 + 1e-9
    same, interval = base.gain(base)
    assert (same, *interval) == (0, 0, 0)


def test_gain_between_different_films_is_refused(out):
    other = Result.read(out / "new", 2)
    other.key[0] = ("z.png", 1)
    with pytest.raises(DatasetError, match="new and base were tested on different films"):
        other.gain(Result.read(out / "base", 2))


def test_calibration_bands():
    score = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    result = Result("x", [("f", i) for i in range(5)], np.zeros(5), score / 2, score, [])
    bands = result.calibration(2)
    assert [band["rois"] for band in bands] == [3, 2]  # 0.1 0.3 0.5 | 0.7 0.9
    assert [band["avg_confidence"] for band in bands] == pytest.approx([0.3, 0.8])
    assert [band["avg_iou"] for band in bands] == pytest.approx([0.15, 0.4])
    assert bands[1]["lowest_confidence"] == pytest.approx(0.7)


def test_summary(out):
    table, figure = summarize_folder(out, ["new", "base"], out / "hips.json")
    lines = table.read_text().splitlines()
    assert lines[0] == "# hips.json, 2 folds"
    assert lines[4].startswith("| new | 0.7000 [")
    assert lines[5].startswith("| base | 0.6000 [")
    assert "| -0.1000 [-0.2" in lines[5]
    assert len([line for line in lines if line.startswith("|")]) == 4  # the unfinished one isn't there
    summary = json.loads((out / "summary.json").read_text())
    assert [row["variant"] for row in summary["variants"]] == ["new", "base"]
    assert summary["variants"][1]["worst"][0] == dict(film="b.png", iou=0.4)
    assert (out / "summary.csv").read_text().startswith("variant,avg_iou,acc50")
    assert figure.read_bytes().startswith(b"\x89PNG")
