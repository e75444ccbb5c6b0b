"""The figures are there, of the size of their panels, and different data look different."""

import numpy as np
import pytest
from PIL import Image

from hipdet.core.errors import DatasetError
from hipdet.visualization.plot_data import EvaluatedRois, TrainingLog
from hipdet.visualization.plots import (
    panels,
    write_calibration,
    write_iou_by_ratio,
    write_iou_histogram,
    write_learning_curves,
)

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


def test_learning_curves(tmp_path):
    log = TrainingLog({"loss": {1: 9.0, 2: 1.0}, "lr": {1: 0.1, 2: 0.01}}, {"roi/avg_iou": {2: 0.7}})
    write_learning_curves(tmp_path / "two.png", {"a": TrainingLog(log.training)})
    write_learning_curves(tmp_path / "three.png", {"a": log, "b": TrainingLog({"loss": {1: 2.0}})})
    assert pixels(tmp_path / "two.png").shape == (500, 1000, 3)
    assert pixels(tmp_path / "three.png").shape == (500, 1500, 3)
    with pytest.raises(DatasetError, match="a: nothing was logged yet"):
        write_learning_curves(tmp_path / "none.png", {"a": TrainingLog()})
    assert not (tmp_path / "none.png").exists()
