"""Films of a patient are drawn together, where the patient is known."""

import numpy as np
import pytest

from hipdet.core.annotations import Group, patients_of
from hipdet.evaluation.metrics import Units, bootstrap_intervals


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
    found = patients_of([known, marked, joined, guessed, {}, dict(info=[1], images=[])])
    assert found == dict(a=("s", "1"), b=("t", "1"), h=("", 1), i=Group("s", "1"), j=Group("s", "1"))
    # films of a joined file speak for themselves
    assert patients_of([dict(joined, info=dict(patients="unknown"))]) == dict(h=("", 1))


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
