"""Metrics over ROIs and their intervals.

Films of a patient are resampled together if the patient is known.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.annotations import Group, get_patients
from hipdet.evaluation.metrics import Units, bootstrap_intervals, calibration, roi_metrics, summarize
from hipdet.evaluation.report import metrics_table


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
    metrics = roi_metrics(hits_and_misses(misses, rois), np.ones(rois))
    assert f"{metrics['acc50']:.4f}".removeprefix("0") == printed
    assert metrics["below50"] == misses
    assert metrics["num_rois"] == rois


def test_golden():
    metrics = roi_metrics([0.5, 0.75, 0.25, 0.0], [0.9, 0.8, 0.3, 0.0])
    assert metrics == dict(
        avg_iou=0.375, min_iou=0.0, avg_conf=0.5, min_conf=0.0, acc50=0.5, acc75=0.25, below50=2.0, num_rois=4.0
    )


def test_no_rois_is_an_error():
    for call in (lambda: roi_metrics([], []), lambda: summarize([])):
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
    # both hips of a film have the same IoU: resampling films gives intervals sqrt(2) times as wide as resampling hips
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


def image(name, patient=None, source="s", **more):
    return dict(file_name=name, source=source, **({} if patient is None else dict(patient=patient)), **more)


@pytest.mark.parametrize(
    ("patients", "numbers", "resampled"),
    [
        (dict(a="P", b="Q", c="P"), [0, 0, 1, 0], "patients"),
        ({}, [0, 0, 1, 2], "films (patients not known)"),
        (None, [0, 0, 1, 2], "films (patients not known)"),
        (dict(a="P", c="P"), [0, 0, 1, 0], "patients, and films whose patient is not known"),
        (dict(a="b"), [0, 0, 1, 2], "patients, and films whose patient is not known"),  # a patient called as a film is
        (dict(a=Group("", "P"), b=Group("", "Q"), c=Group("", "P")), [0, 0, 1, 0], "groups (patients not known)"),
        (dict(a=Group("", "P"), c=Group("", "P")), [0, 0, 1, 0], "groups and films (patients not known)"),
        (dict(a="P", b=Group("", "P"), c="P"), [0, 0, 1, 0], "patients, and groups whose patient is not known"),
        (dict(a="P", b=Group("", "P")), [0, 0, 1, 2], "patients, and groups and films whose patient is not known"),
    ],
)
def test_units(patients, numbers, resampled):
    units = Units.of(["a", "a", "b", "c"], patients)
    assert units.numbers.tolist() == numbers
    assert units.resampled == resampled


def test_of_a_part():
    units = Units.of(["a", "b"], dict(a="P"))
    assert units.at(np.array([True, False])).resampled == "patients"
    assert units.at(np.array([False, True])).resampled == "films (patients not known)"


def test_patients_of_coco_files():
    known = dict(info=dict(description="x"), images=[image("a", "1"), image("b", "1", "t"), image("c"), image("d", "")])
    marked = dict(info=dict(patients="unknown"), images=[image("e", "e"), image("f", "f")])
    joined = dict(images=[image("g", "g", patients="unknown"), image("h", 1, None)])
    guessed = dict(info=dict(patients="guessed"), images=[image("i", "1"), image("j", "1"), image("k")])
    found = get_patients([known, marked, joined, guessed, {}, dict(info=[1], images=[])])
    assert found == dict(a=("s", "1"), b=("t", "1"), h=("", "1"), i=Group("s", "1"), j=Group("s", "1"))
    # films of a joined file speak for themselves
    assert get_patients([dict(joined, info=dict(patients="unknown"))]) == dict(h=("", "1"))


@pytest.mark.parametrize("films", [1, 4, 9])
def test_equal_films_of_a_patient_are_one(films):
    """`films` equal films of each of 100 patients: as 100 films, sqrt(films) times as wide as if each were a patient."""
    rng = np.random.default_rng(0)
    of_patient = rng.uniform(0.5, 1, 100)
    iou, names = np.repeat(of_patient, films), [f"{n}" for n in range(100 * films)]
    patients = {name: int(name) // films for name in names}
    found = bootstrap_intervals(iou, Units.of(names, patients).numbers)["avg_iou"]
    alone = bootstrap_intervals(of_patient, np.arange(100))["avg_iou"]
    assert found == pytest.approx(alone)
    # the standard error of a mean of 100: 1.96 times it on either side
    error = of_patient.std() / 10
    assert found == pytest.approx((iou.mean() - 1.96 * error, iou.mean() + 1.96 * error), abs=0.1 * error)
    low, high = bootstrap_intervals(iou, Units.of(names).numbers)["avg_iou"]
    assert (found[1] - found[0]) / (high - low) == pytest.approx(films**0.5, rel=0.1)


def test_an_independent_bootstrap_by_patients_agrees():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(40), rng.integers(1, 5, 40))  # of each film
    film = np.repeat(np.arange(len(patient)), 2)  # of each ROI
    iou = np.clip(rng.normal(0.8, 0.1, 40)[patient[film]] + rng.normal(0, 0.03, len(film)), 0, 1)
    units = Units.of(film.tolist(), dict(enumerate(patient.tolist())))
    groups = [iou[patient[film] == one] for one in range(40)]
    means = [np.concatenate([groups[i] for i in rng.integers(0, 40, 40)]).mean() for _ in range(4000)]
    found = bootstrap_intervals(iou, units.numbers)["avg_iou"]
    assert found == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.004)


def test_a_film_each_has_the_numbers_that_films_have_and_a_seed_repeats_them():
    iou, films = np.random.default_rng(1).uniform(0, 1, 60), [f"{n // 2:03}" for n in range(60)]
    patients = {film: f"P{film}" for film in films}
    found = [bootstrap_intervals(iou, Units.of(films, each).numbers, seed=7) for each in (patients, patients, None)]
    assert found[0] == found[1] == found[2] == bootstrap_intervals(iou, films, seed=7)
    assert found[0] != bootstrap_intervals(iou, films, seed=8)


def test_bands_of_equal_number_by_rising_score():
    score = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    first, second = calibration(np.array([0.8, 0.0, 0.6, 0.2, 1.0]), score, 2)
    assert (first["rois"], second["rois"]) == (3, 2)  # 0.1 0.3 0.5 | 0.7 0.9
    assert first["avg_confidence"] == pytest.approx(0.3)
    assert first["avg_iou"] == pytest.approx(0.8 / 3)
    assert (second["avg_iou"], second["min_iou"], second["lowest_confidence"]) == (0.9, 0.8, 0.7)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.integers(1, 9))
def test_every_roi_is_in_one_band(rois, bands):
    iou, score = np.array(rois).T
    found = calibration(iou, score, bands)
    assert sum(band["rois"] for band in found) == len(rois)
    assert sum(band["rois"] * band["avg_iou"] for band in found) == pytest.approx(iou.sum())
    means = [band["avg_confidence"] for band in found]
    assert means == pytest.approx(sorted(means))


def test_table():
    metrics = {
        "roi/num_images": 101,
        "roi/num_rois": 202,
        "roi/avg_iou": 0.8115,
        "roi/below50": 2,
        "coco/bbox_mAP": 0.5,
        "something/else": 1,
    }
    assert metrics_table(metrics).splitlines() == [
        "101 films, 202 ROIs",
        "average IoU                                     0.8115",
        "ROIs with IoU < 0.5                                  2",
        "COCO mAP                                        0.5000",
    ]


def test_nothing_measured():
    assert metrics_table({}) == ""


def test_classes_are_listed_below_their_mean():
    metrics = {"roi/avg_iou": 0.8, "roi/avg_iou/heart": 0.9, "roi/avg_iou/lung": 0.75, "coco/bbox_mAP": 0.5}
    assert [line.split() for line in metrics_table(metrics).splitlines()] == [
        ["average", "IoU", "0.8000"],
        ["heart", "0.9000"],
        ["lung", "0.7500"],
        ["COCO", "mAP", "0.5000"],
    ]
