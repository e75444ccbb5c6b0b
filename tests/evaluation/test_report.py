"""Files of hipdet test that are read back: tables of ROIs and reports, as written, and forged."""

import json

import pytest

from hipdet.core.errors import DatasetError
from hipdet.evaluation.report import CORNERS, FOUND_CORNERS, read_report, read_roi_table
from roi_tables import extra, row

NEEDED = ("image_id", "file_name", "annotation_id", *CORNERS, *FOUND_CORNERS)
FOUND = row(1, 0.8)
DEEP = "[" * 100_000


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_table_comes_back(tmp_path):
    rois, extras = [FOUND, row(1, 0.0, None, annotation_id=2)], [extra(1, (1, 2, 3, 4), 0.3)]
    found = read_roi_table(write(tmp_path / "t.json", dict(rois=rois, extras=extras)), *NEEDED)
    assert found == dict(rois=rois, extras=extras, ignored=[])
    assert read_roi_table(write(tmp_path / "t.json", dict(rois=[dict(iou=1, confidence=0)]))) == dict(
        rois=[dict(iou=1.0, confidence=0.0)], extras=[], ignored=[]
    )  # another program's


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        (DEEP, "nested too deeply"),
        ('{"rois": [], "rois": []}', "'rois' occurs twice"),
        ('{"rois": [{"iou": NaN}]}', "NaN is not a number of JSON"),
        ([], r"found \[\], expected an object: give test\.roi\.json as hipdet test writes it"),
        (dict(roi=[]), "no rois, expected a list"),
        (dict(rois={"a": 1}), "rois is .*, expected a list"),
        (dict(rois=[3]), "rois 1: found 3, expected an object"),
        (dict(rois=[FOUND, {**FOUND, "iou": "much"}]), "rois 2: iou is 'much', expected a number from 0 to 1"),
        (dict(rois=[{**FOUND, "iou": 1.5}]), "iou is 1.5"),
        ('{"rois": [{"image_id": 1e999}]}', "not JSON .'1e999' is too large a number"),
        (dict(rois=[{**FOUND, "iou": True}]), "iou is True"),
        (dict(rois=[{**FOUND, "confidence": None}]), "confidence is None"),
        (dict(rois=[{**FOUND, "image_id": 7.9}]), "image_id is 7.9, expected a whole number"),
        (dict(rois=[{**FOUND, "image_id": [1]}]), r"image_id is \[1\]"),
        (dict(rois=[{**FOUND, "annotation_id": "1"}]), "annotation_id is '1'"),
        (dict(rois=[{**FOUND, "file_name": 3}]), "file_name is 3, expected a text"),
        (dict(rois=[{**FOUND, "file_name": "x" * 2000}]), "file_name is 'x.*, expected a text of at most 1000"),
        (dict(rois=[{**FOUND, "label": {}}]), "label is {}"),
        (dict(rois=[{**FOUND, "x1": 1e30}]), "x1 is 1e.30, expected a number from"),
        (dict(rois=[{**FOUND, "x1": 5}]), "x1 is 5, expected all corners of a box, from left to right"),
        (dict(rois=[{**FOUND, "found_y1": None}]), "found_x1 is 60, expected all corners of a box"),
        (dict(rois=[{key: value for key, value in FOUND.items() if key != "x1"}]), "no x1, expected a number"),
        (dict(rois=[], extras=3), "extras is 3, expected a list"),
        (dict(rois=[], extras=[extra(1, (1, None, 3, 4), 0.5)]), "extras 1: found_y0 is None, expected a number"),
        (dict(rois=[], extras=[extra("1", (1, 2, 3, 4), 0.5)]), "extras 1: image_id is '1'"),
    ],
)
def test_other_tables_are_refused(tmp_path, content, words):
    with pytest.raises(DatasetError, match=rf"t\.json: {words}|t\.json: .*{words}") as raised:
        read_roi_table(write(tmp_path / "t.json", content), *NEEDED)
    assert len(str(raised.value)) < 500


REPORT = dict(experiment="e", ann_file="a.json", checkpoint="c.pth", epoch=3, seed=0, seconds=1.5, parameters=7)
REPORT.update(versions=dict(torch="2"), figures={"roi/avg_iou": 0.5})


def test_a_report_comes_back(tmp_path):
    assert read_report(write(tmp_path / "r.json", REPORT), "parameters") == REPORT
    untrained = dict(REPORT, epoch=None, checkpoint=None)
    assert read_report(write(tmp_path / "r.json", untrained)) == untrained


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read .No such file"),
        (DEEP, "nested too deeply"),
        ([], r"found \[\], expected an object: give a report as hipdet test writes it"),
        ({}, "no figures, expected an object"),
        (dict(figures={}), "no epoch"),
        (dict(figures={}, epoch=1), "no parameters"),
        (dict(REPORT, figures=3), "figures is 3"),
        (dict(REPORT, figures=[["a", 1]]), "figures is "),
        (dict(REPORT, figures=dict(a="1")), "figures: a is '1', expected a number"),
        (json.dumps(dict(REPORT, figures=dict(a=float("nan")))), "NaN is not a number"),
        (dict(REPORT, epoch="3"), "epoch is '3', expected a whole number"),
        (dict(REPORT, epoch=-1), "epoch is -1"),
        (dict(REPORT, seed=[1]), r"seed is \[1\]"),
        (dict(REPORT, parameters=10**4000), "parameters is|not JSON"),
        (dict(REPORT, seconds=-1), "seconds is -1"),
        (dict(REPORT, ann_file=["a"]), "ann_file is"),
        (dict(REPORT, checkpoint=7), "checkpoint is 7"),
        (dict(REPORT, versions="2"), "versions is '2'"),
        (dict(REPORT, versions=dict(torch=2)), "versions: torch is 2"),
    ],
)
def test_other_reports_are_refused(tmp_path, content, words):
    if content is not None:
        write(tmp_path / "r.json", content)
    with pytest.raises(DatasetError, match=rf"r\.json: .*({words})|r\.json: ({words})") as raised:
        read_report(tmp_path / "r.json", "parameters")
    assert len(str(raised.value)) < 500
