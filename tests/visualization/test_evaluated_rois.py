import json

import numpy as np
import pytest

from hipdet.core.errors import DatasetError
from hipdet.visualization.plot_data import read_rois
from hipdet.visualization.plots import band_means
from roi_tables import row


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(rois=rows)))
    return path


def test_folds_are_read_together(tmp_path):
    write(tmp_path / "cv/fold0/test/test.roi.json", [row(1, 0.4, score=0.6), row(1, 0.0, None, annotation_id=2)])
    one = write(tmp_path / "cv/fold1/test/test.roi.json", [row(2, 0.8, label=(0, 0, 10, 40))])
    rois = read_rois(tmp_path / "cv", {"1.png": 200, "2.png": 100})
    assert rois.iou.tolist() == [0.4, 0.0, 0.8]
    assert rois.confidence.tolist() == [0.6, 0.0, 0.5]
    assert rois.ratio.tolist() == [0.2, 0.2, 0.4]  # 40 of 200, and the longer side of a box that is no square
    assert np.isnan(read_rois(one).ratio).all()


def test_what_can_not_be_read_together(tmp_path):
    for number in (1, 2):
        write(tmp_path / f"{number}/test.roi.json", [row(1, 0.4)])
    with pytest.raises(DatasetError, match=r"annotation 1 of 1\.png was tested in .*1.* and in .*2.*: name one"):
        read_rois(tmp_path)
    with pytest.raises(DatasetError, match=r"1\.png: not in the files of --ann"):
        read_rois(tmp_path / "1", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty: no test\.roi\.json in it or below"):
        read_rois(tmp_path / "empty")


def test_bands_of_ratios():
    ratio, iou = np.array([0.3, 0.1, 0.2, 0.4]), np.array([0.9, 0.5, 0.7, 0.7])
    assert band_means(ratio, iou, 2) == pytest.approx(np.array([[0.15, 0.6], [0.35, 0.8]]))
    assert band_means(ratio, iou, 9).shape == (4, 2)
