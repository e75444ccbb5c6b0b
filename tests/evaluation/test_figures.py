"""Figures over ROIs and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.evaluation.metrics import bootstrap_intervals, roi_figures, summarize


def hits_and_misses(misses, rois, iou=0.9):
    overlap = np.full(rois, iou)
    overlap[:misses] = 0.4999
    return overlap


# Tables 2 and 3: every printed "AP50" is a whole number of misses of all ROIs (paper.md, "What AP50 is")
@pytest.mark.parametrize(
    ("misses", "rois", "printed"),
    [
        (3, 202, ".9851"),
        (2, 202, ".9901"),
        (1, 202, ".9950"),
        (33, 6016, ".9945"),
        (132, 8580, ".9846"),
        (2, 14798, ".9999"),
        (0, 1460, "1.0000"),
    ],
)
def test_the_papers_hit_rates(misses, rois, printed):
    figures = roi_figures(hits_and_misses(misses, rois), np.ones(rois))
    assert f"{figures['acc50']:.4f}".removeprefix("0") == printed
    assert figures["below50"] == misses
    assert figures["num_rois"] == rois


def test_golden():
    figures = roi_figures([0.5, 0.75, 0.25, 0.0], [0.9, 0.8, 0.3, 0.0])
    assert figures == dict(
        avg_iou=0.375, min_iou=0.0, avg_conf=0.5, min_conf=0.0, acc50=0.5, acc75=0.25, below50=2.0, num_rois=4.0
    )


def test_no_rois_is_an_error():
    for call in (lambda: roi_figures([], []), lambda: summarize([])):
        with pytest.raises(ValueError, match="no ground-truth"):
            call()


def slow_bootstrap(iou, image_ids, resamples, seed):
    """The same interval image by image, with a generator of its own."""
    rng = np.random.default_rng(seed)
    films = [iou[image_ids == image] for image in np.unique(image_ids)]
    means = [
        np.concatenate([films[i] for i in rng.integers(0, len(films), len(films))]).mean() for _ in range(resamples)
    ]
    return np.percentile(means, [2.5, 97.5])


def test_interval_agrees_with_an_independent_bootstrap():
    rng = np.random.default_rng(3)
    image_ids = np.repeat(np.arange(60), rng.integers(1, 4, 60))  # 1 to 3 ROIs a film
    iou = np.clip(rng.normal(0.8, 0.1, 60)[image_ids] + rng.normal(0, 0.02, len(image_ids)), 0, 1)
    found = bootstrap_intervals(iou, image_ids)
    low, high = slow_bootstrap(iou, image_ids, 4000, seed=1)
    assert found["avg_iou"] == pytest.approx((low, high), abs=0.004)  # 2000 resamples; the interval is 0.05 wide
    assert found["acc50"] == pytest.approx(slow_bootstrap((iou >= 0.5) * 1.0, image_ids, 4000, 2), abs=0.01)


def test_rois_of_a_film_stay_together():
    # both hips of a film alike: resampling films gives intervals sqrt(2) times as wide as resampling hips
    rng = np.random.default_rng(0)
    per_film = rng.uniform(0.5, 1, 400)
    low, high = bootstrap_intervals(np.repeat(per_film, 2), np.repeat(np.arange(400), 2))["avg_iou"]
    single_low, single_high = bootstrap_intervals(np.repeat(per_film, 2), np.arange(800))["avg_iou"]
    assert (high - low) / (single_high - single_low) == pytest.approx(2**0.5, rel=0.12)


@given(iou=st.lists(st.floats(0, 1), min_size=1, max_size=30), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_intervals_hold_the_mean_and_are_repeatable(iou, seed):
    image_ids = np.arange(len(iou)) // 2
    found = bootstrap_intervals(iou, image_ids, seed)
    for name, (low, high) in found.items():
        assert 0 <= low <= high <= 1
        values = np.array(iou) if name == "avg_iou" else np.array(iou) >= 0.5
        assert values.min() - 1e-9 <= low
        assert high <= values.max() + 1e-9
    assert found == bootstrap_intervals(iou, image_ids, seed)


def test_seeds_are_averaged_before_resampling():
    iou = np.array([[0.9, 0.9, 0.4, 0.4], [0.7, 0.7, 0.6, 0.6]])
    image_ids = [1, 1, 2, 2]
    found = bootstrap_intervals(iou, image_ids)
    assert found["avg_iou"] == pytest.approx((0.5, 0.8))  # films have 0.8 and 0.5
    assert found["acc50"] == (0.5, 1.0)


def test_nothing_to_resample():
    assert bootstrap_intervals([0.5, 0.7], [1, 1])["avg_iou"] == pytest.approx((0.6, 0.6))
    assert bootstrap_intervals([0.9] * 6, [1, 1, 2, 2, 3, 3])["acc50"] == (1, 1)
