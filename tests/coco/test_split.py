from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Film
from hipdet.data.split import grouped_folds, near_duplicate_groups, split_films


def films_of(patients):
    return [Film(f"{i}.jpg", 10, 10, source, patient, ()) for i, (source, patient) in enumerate(patients)]


PATIENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123456")), min_size=2, max_size=60).filter(
    lambda patients: len(set(patients)) > 1
)


@given(patients=PATIENTS, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_a_patient_is_on_one_side(patients, fraction, seed):
    films = films_of(patients)
    train, val = split_films(films, fraction, seed)
    assert sorted(train + val, key=films.index) == films
    assert train
    assert val
    assert not {(f.source, f.patient) for f in train} & {(f.source, f.patient) for f in val}
    assert train == sorted(train, key=films.index)  # in the given order


@given(patients=PATIENTS, seed=st.integers(0, 9), order=st.randoms())
def test_split_does_not_depend_on_the_order(patients, seed, order):
    films = films_of(patients)
    shuffled = list(films)
    order.shuffle(shuffled)
    assert set(split_films(films, 0.3, seed)[1]) == set(split_films(shuffled, 0.3, seed)[1])


def test_fraction_is_met_and_the_seed_matters():
    films = films_of(("cgoa", str(i // 2)) for i in range(1000))  # 500 patients of 2 films
    train, val = split_films(films, 0.1, seed=0)
    assert (len(train), len(val)) == (900, 100)
    assert val == split_films(films, 0.1, seed=0)[1]
    assert val != split_films(films, 0.1, seed=1)[1]


def test_same_name_in_two_sources_is_two_patients():
    train, val = split_films(films_of([("cgoa", "7"), ("oaih", "7")]), 0.5, 0)
    assert len(train) == len(val) == 1


def test_film_by_film_as_in_the_paper():
    films = films_of(("cgoa", str(i // 2)) for i in range(4290))
    train, val = split_films(films, 0.1, 0, by="image")
    assert (len(train), len(val)) == (3861, 429)
    assert {film.patient for film in train} & {film.patient for film in val}  # it leaks


@pytest.mark.parametrize(
    ("films", "by", "message"),
    [
        (films_of([("a", "1"), ("a", "")]), "patient", r"1\.jpg has no patient.*split by image"),
        (films_of([("a", "1"), ("a", "2")]), "hospital", "split by 'hospital': expected one of patient, image"),
    ],
)
def test_what_can_not_be_kept_together(films, by, message):
    with pytest.raises(DatasetError, match=message):
        split_films(films, 0.5, 0, by)


@pytest.mark.parametrize(
    ("patients", "fraction", "message"),
    [
        ([("a", "1"), ("a", "2")], 0, "fraction is 0, expected"),
        ([("a", "1"), ("a", "2")], 1, "fraction is 1, expected"),
        ([("a", "1"), ("a", "2")], float("nan"), "fraction is nan, expected"),
        ([("a", "1"), ("a", "1")], 0.5, "2 films of 1 patients"),  # one patient can't be on both sides
        ([], 0.5, "0 films of 0 patients"),
    ],
)
def test_impossible_split(patients, fraction, message):
    with pytest.raises(DatasetError, match=message):
        split_films(films_of(patients), fraction, 0)


@given(
    groups=st.lists(st.integers(0, 30), min_size=5, max_size=80).filter(lambda g: len(set(g)) >= 5),
    folds=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_folds_keep_groups_whole_and_are_balanced(groups, folds, seed):
    numbers = grouped_folds(groups, folds, seed)
    assert set(numbers) == set(range(folds))
    of_group = defaultdict(set)
    for group, fold in zip(groups, numbers):
        of_group[group].add(fold)
    assert all(len(found) == 1 for found in of_group.values())
    sizes = Counter(numbers).values()
    # the smallest fold always gets the next group, so folds differ by no more than the largest group
    assert max(sizes) - min(sizes) <= max(Counter(groups).values())


@pytest.mark.parametrize("folds", [1, 0, -1, 4])
def test_impossible_folds(folds):
    with pytest.raises(DatasetError, match=f"folds is {folds}, expected 2 to 3"):
        grouped_folds(["a", "b", "c"], folds, 0)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([5, 1, 3, 9], [1, 1, 1, 9]),  # 1-3-5 are chained, 5 to 9 is too far
        ([10, 13, 12], [10, 10, 10]),  # 10 and 13 differ by 3 but 12 links them
        ([10, 13], [10, 13]),
        ([4, 4], [4, 4]),
    ],
)
def test_near_duplicates(numbers, expected):
    assert near_duplicate_groups(numbers) == expected


@given(numbers=st.lists(st.integers(0, 300), min_size=30, max_size=60, unique=True), seed=st.integers(0, 9))
def test_near_duplicates_share_a_fold(numbers, seed):
    groups = near_duplicate_groups(numbers)
    if len(set(groups)) < 2:
        return
    fold = dict(zip(numbers, grouped_folds(groups, 2, seed)))
    assert all(fold[a] == fold[b] for a in numbers for b in numbers if abs(a - b) <= 2)
