import math

import pytest

from hipdet.data.coco_file import Film, Roi
from hipdet.data.statistics import summarize


def film(name, width, height, patient, *sides):
    return Film(name, width, height, "s", patient, tuple(Roi((0, 0, side, side), "hip") for side in sides))


def test_figures():
    summary = summarize([film("a", 100, 80, "1", 10, 20), film("b", 150, 200, "1", 60)])
    assert (summary.films, summary.rois, summary.patients) == (2, 3, 1)
    # 10/100, 20/100, 60/200
    assert (summary.ratio.minimum, summary.ratio.median, summary.ratio.maximum) == pytest.approx((0.1, 0.2, 0.3))
    # long sides 100 and 200: mean 150, sample s.d. = sqrt(50^2 + 50^2)
    assert (summary.long_side.mean, summary.long_side.sd) == pytest.approx((150, math.sqrt(5000)))


def test_clipped_square_keeps_its_side():
    roi = Roi((0, 10, 15, 30), "hip")  # the left quarter of a square of 20 is outside the film
    assert roi.side == 20
    assert not roi.is_square


def test_nothing():
    summary = summarize([])
    assert summary.films == 0
    assert math.isnan(summary.ratio.median)


def test_one_film_has_no_spread():
    assert summarize([film("a", 100, 80, "1", 10)]).long_side.sd == 0
