"""The plots exist, have the size of their panels, and differ for different data."""

import json

import numpy as np
import pytest
from PIL import Image

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.core.errors import DatasetError
from hipdet.visualization.plot_data import EvaluatedRois, TrainingLog, find_runs, read_log, read_rois
from hipdet.visualization.plots import (
    band_means,
    panels,
    write_anchor_figure,
    write_calibration,
    write_iou_by_ratio,
    write_iou_histogram,
    write_learning_curves,
)
from roi_sets import rois_of, squares
from roi_tables import row

BLUE, RED = (31, 119, 180), (208, 32, 32)


def rois(iou):
    iou = np.asarray(iou, dtype=np.float64)
    return EvaluatedRois(iou, iou / 2, np.linspace(0.1, 0.3, len(iou)))


def pixels(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("write", [write_iou_histogram, write_iou_by_ratio])
def test_a_panel_for_each_name(tmp_path, write):
    write(tmp_path / "new/one.png", {"a": rois([0.9, 0.2])})
    write(tmp_path / "two.png", {"a": rois([0.9, 0.2]), "b": rois([0.7])})
    one, two = pixels(tmp_path / "new/one.png"), pixels(tmp_path / "two.png")
    assert (one.shape, two.shape) == ((500, 500, 3), (500, 1000, 3))
    assert (np.abs(one - RED) < 60).all(axis=2).any()  # lines are smoothed


def test_a_bar_is_as_high_as_its_share(tmp_path):
    """Of four ROIs one is at 0.1 and three at 0.9: the right bar has three times the pixels of the left."""
    write_iou_histogram(tmp_path / "h.png", {"a": rois([0.11, 0.89, 0.89, 0.89])})
    blue = (pixels(tmp_path / "h.png") == BLUE).all(axis=2)
    left, right = blue[:, :250].sum(), blue[:, 250:].sum()
    assert right == pytest.approx(3 * left, rel=0.1)


def test_many_panels_go_into_rows():
    figure, axes = panels(6)
    assert len(axes) == len(figure.axes) == 6
    assert figure.get_size_inches().tolist() == [20, 10]


def test_calibration(tmp_path):
    band = dict(avg_confidence=0.5, avg_iou=0.6)
    write_calibration(tmp_path / "c.png", {"a": [band, dict(avg_confidence=0.9, avg_iou=0.9)], "b": [band]})
    assert pixels(tmp_path / "c.png").shape == (500, 600, 3)
    for name in ("one.svg", "two.svg"):
        write_calibration(tmp_path / name, {"a": [band]}, {"knee": 0.485})
    drawing = (tmp_path / "one.svg").read_bytes()
    assert b"an ROI of knee from 0.485" in drawing
    assert drawing == (tmp_path / "two.svg").read_bytes()


def test_learning_curves(tmp_path):
    log = TrainingLog({"loss": {1: 9.0, 2: 1.0}, "lr": {1: 0.1, 2: 0.01}}, {"roi/avg_iou": {2: 0.7}})
    write_learning_curves(tmp_path / "two.png", {"a": TrainingLog(log.training)})
    write_learning_curves(tmp_path / "three.png", {"a": log, "b": TrainingLog({"loss": {1: 2.0}})})
    assert pixels(tmp_path / "two.png").shape == (500, 1000, 3)
    assert pixels(tmp_path / "three.png").shape == (500, 1500, 3)
    with pytest.raises(DatasetError, match="a: nothing was logged yet"):
        write_learning_curves(tmp_path / "none.png", {"a": TrainingLog()})
    assert not (tmp_path / "none.png").exists()


YELLOW, ANCHOR_RED = (255, 212, 0), (255, 32, 32)


def colours(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size, np.array([colour for _, colour in picture.convert("RGB").getcolors(1 << 22)])


def near(colour, found):
    """Lines are smoothed: the colour is there but for a few shades."""
    return np.abs(found - np.array(colour)).max(axis=1).min() < 30


@pytest.mark.parametrize("anchors", [AnchorSet((7,), (1.0, 1.5)), AnchorSet((14, 7), (1.0,), (1.0, 2.0))], ids=str)
def test_rois_and_anchors_over_a_film(tmp_path, anchors):
    film = np.full((80, 100), 90, dtype=np.uint8)
    sets = {"a": squares(np.linspace(0.1, 0.3, 50)), "b": squares(np.linspace(0.2, 0.3, 50))}
    write_anchor_figure(tmp_path / "new/anchors.png", sets, anchors, film, np.array([[0.1, 0.2, 0.3, 0.4]]))
    size, found = colours(tmp_path / "new/anchors.png")
    assert size == (1500, 500)
    assert all(near(colour, found) for colour in (YELLOW, ANCHOR_RED, (90, 90, 90)))


def test_without_a_film(tmp_path):
    """Also where all sizes are one, and a histogram has no width."""
    write_anchor_figure(tmp_path / "anchors.png", {"a": squares([0.2] * 5)}, AnchorSet((7,), (1.4,)))
    found = colours(tmp_path / "anchors.png")[1]
    assert near(ANCHOR_RED, found)
    assert not near(YELLOW, found)
    write_anchor_figure(tmp_path / "one.png", {"a": rois_of([[0.1, 0.1, 0.2, 0.2]])}, AnchorSet((1,), (0.1,)))
    assert (tmp_path / "one.png").exists()


def test_the_same_twice(tmp_path):
    for name in "ab":
        write_anchor_figure(tmp_path / f"{name}.png", {"a": squares([0.2, 0.3])}, AnchorSet((7,), (1.4,)))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(rois=rows)))
    return path


def test_folds_are_read_together(tmp_path):
    write(tmp_path / "cv/fold0/test/test.roi.json", [row(1, 0.4, score=0.6), row(1, 0.0, None, annotation_id=2)])
    one = write(tmp_path / "cv/fold1/test/test.roi.json", [row(2, 0.8, label=(0, 0, 10, 40))])
    rois = read_rois(tmp_path / "cv", {"1.png": 200, "2.png": 100})
    assert rois.iou.tolist() == [0.4, 0.0, 0.8]
    assert rois.score.tolist() == [0.6, 0.0, 0.5]
    assert rois.ratio.tolist() == [0.2, 0.2, 0.4]  # 40 of 200, and the longer side of a box that is no square
    assert np.isnan(read_rois(one).ratio).all()


def test_what_can_not_be_read_together(tmp_path):
    for number in (1, 2):
        write(tmp_path / f"{number}/test.roi.json", [row(1, 0.4)])
    with pytest.raises(DatasetError, match=r"annotation 1 of 1\.png was tested in .*1.* and in .*2.*: give one"):
        read_rois(tmp_path)
    with pytest.raises(DatasetError, match=r"1\.png: not in the files of --ann"):
        read_rois(tmp_path / "1", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty: no test\.roi\.json in this folder or below: run hipdet test"):
        read_rois(tmp_path / "empty")


def test_bands_of_ratios():
    ratio, iou = np.array([0.3, 0.1, 0.2, 0.4]), np.array([0.9, 0.5, 0.7, 0.7])
    assert band_means(ratio, iou, 2) == pytest.approx(np.array([[0.15, 0.6], [0.35, 0.8]]))
    assert band_means(ratio, iou, 9).shape == (4, 2)


def write_log(work_dir, rows, started="20260101_000000", end="\n"):
    path = work_dir / started / "vis_data/scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    return work_dir


def trained(epoch, number, loss):
    return dict(lr=0.1 * epoch, loss=loss, epoch=epoch, iter=number, step=number)


def validated(epoch, iou):
    return {"roi/avg_iou": iou, "time": 0.1, "step": epoch}


def test_means_of_epochs_and_validation(tmp_path):
    write_log(tmp_path, [trained(1, 10, 4.0), trained(1, 20, 2.0), trained(2, 30, 1.0), validated(2, 0.7)])
    log = read_log(tmp_path)
    assert log.training["loss"] == {1: 3.0, 2: 1.0}
    assert log.training["lr"] == {1: 0.1, 2: 0.2}
    assert log.validation["roi/avg_iou"] == {2: 0.7}
    assert "epoch" not in log.training


def test_what_was_trained_again_is_used(tmp_path):
    """An interruption in epoch 2, of which steps 30 and 40 were logged, and a last line cut short."""
    write_log(
        tmp_path, [trained(1, 20, 4.0), trained(2, 30, 9.0), trained(2, 40, 9.0), validated(2, 0.1)], end='\n{"loss": 3'
    )
    write_log(tmp_path, [trained(2, 30, 2.0), trained(2, 40, 1.0), validated(2, 0.6)], "20260102_000000")
    log = read_log(tmp_path)
    assert log.training["loss"] == {1: 4.0, 2: 1.5}
    assert log.validation["roi/avg_iou"] == {2: 0.6}


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    write_log(tmp_path, [trained(1, 10, float("nan")), dict(trained(2, 20, 1.0), memory="much")])
    assert read_log(tmp_path).training["loss"] == {2: 1.0}


def test_runs_of_folders(tmp_path):
    for fold in (1, 0):
        write_log(tmp_path / f"fold{fold}", [trained(1, 10, 1.0)])
    (tmp_path / "folds").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["fold0", "fold1"]
    assert find_runs(tmp_path / "fold1") == [tmp_path / "fold1"]
    with pytest.raises(DatasetError, match=r"folds: no .*scalars\.json in it: expected the work dir"):
        find_runs(tmp_path / "folds")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (dict(loss=1), "no step, expected a whole number"),
        (dict(loss=1, step="1"), "step is '1'"),
        (dict(loss=1, step=float("inf")), "step is inf"),
        (dict(loss=1, step=1, epoch=[1]), r"epoch is \[1\]"),
        (dict(loss=1, step=1, epoch=1, iter=0.5), "iter is 0.5"),
        ([1], r"found \[1\], expected an object"),
        (3, "found 3"),
    ],
)
def test_other_lines_are_refused(tmp_path, line, words):
    write_log(tmp_path, [line, trained(1, 10, 1.0)])
    with pytest.raises(DatasetError, match=rf"scalars\.json: line 1: {words}.*: expected a line of mmengine's log"):
        read_log(tmp_path)


@pytest.mark.parametrize("line", [b"no JSON", b"[" * 100_000, b'{"step": "\xff"}', b"{" * 100_000])
def test_lines_that_are_no_json(tmp_path, line):
    path = next(write_log(tmp_path, [trained(1, 10, 1.0)]).rglob("scalars.json"))
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(DatasetError, match="line 1: expected a line of mmengine's log") as raised:
        read_log(tmp_path)
    assert len(str(raised.value)) < 500


def test_numbers_of_thousands_of_digits(tmp_path):
    """JSON has no largest number, but floats do."""
    write_log(tmp_path, [dict(trained(1, 10, 1.0), memory=10**400)])
    assert read_log(tmp_path).training.keys() == {"loss", "lr"}
