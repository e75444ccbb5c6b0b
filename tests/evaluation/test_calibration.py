import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.evaluation.metrics import calibration


def test_bands_of_equal_number_by_rising_confidence():
    confidence = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    first, second = calibration(np.array([0.8, 0.0, 0.6, 0.2, 1.0]), confidence, 2)
    assert (first["rois"], second["rois"]) == (3, 2)  # 0.1 0.3 0.5 | 0.7 0.9
    assert first["avg_confidence"] == pytest.approx(0.3)
    assert first["avg_iou"] == pytest.approx(0.8 / 3)
    assert (second["avg_iou"], second["min_iou"], second["lowest_confidence"]) == (0.9, 0.8, 0.7)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.integers(1, 9))
def test_every_roi_is_in_one_band(rois, bands):
    iou, confidence = np.array(rois).T
    found = calibration(iou, confidence, bands)
    assert sum(band["rois"] for band in found) == len(rois)
    assert sum(band["rois"] * band["avg_iou"] for band in found) == pytest.approx(iou.sum())
    means = [band["avg_confidence"] for band in found]
    assert means == pytest.approx(sorted(means))
