from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Film
from hipdet.data.split import Shared, divide, find_leaks, fold_ids, grouped_folds, near_duplicate_groups, split_films


def get_films(patients):
    return [Film(f"{i}.jpg", 10, 10, source, patient, ()) for i, (source, patient) in enumerate(patients)]


PATIENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123456")), min_size=2, max_size=60).filter(
    lambda patients: len(set(patients)) > 1
)


@given(patients=PATIENTS, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_a_patient_is_on_one_side(patients, fraction, seed):
    films = get_films(patients)
    train, val = split_films(films, fraction, seed)
    assert sorted(train + val, key=films.index) == films
    assert train
    assert val
    assert not {(f.source, f.patient) for f in train} & {(f.source, f.patient) for f in val}
    assert train == sorted(train, key=films.index)  # in the given order


@given(patients=PATIENTS, seed=st.integers(0, 9), order=st.randoms())
def test_split_does_not_depend_on_the_order(patients, seed, order):
    films = get_films(patients)
    shuffled = list(films)
    order.shuffle(shuffled)
    assert set(split_films(films, 0.3, seed)[1]) == set(split_films(shuffled, 0.3, seed)[1])


def test_fraction_is_met_and_the_seed_matters():
    films = get_films(("cgoa", str(i // 2)) for i in range(1000))  # 500 patients of 2 films
    train, val = split_films(films, 0.1, seed=0)
    assert (len(train), len(val)) == (900, 100)
    assert val == split_films(films, 0.1, seed=0)[1]
    assert val != split_films(films, 0.1, seed=1)[1]


def test_same_name_in_two_sources_is_two_patients():
    train, val = split_films(get_films([("cgoa", "7"), ("oaih", "7")]), 0.5, 0)
    assert len(train) == len(val) == 1


def test_film_by_film_as_in_the_paper():
    films = get_films(("cgoa", str(i // 2)) for i in range(4290))
    train, val = split_films(films, 0.1, 0, by="image")
    assert (len(train), len(val)) == (3861, 429)
    assert {film.patient for film in train} & {film.patient for film in val}  # it leaks


@pytest.mark.parametrize(
    ("films", "by", "message"),
    [
        (get_films([("a", "1"), ("a", "")]), "patient", r"1\.jpg has no patient.*split by image"),
        (get_films([("a", "1"), ("a", "2")]), "hospital", "split by 'hospital': expected one of patient, image"),
    ],
)
def test_films_that_can_not_be_kept_together(films, by, message):
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
        split_films(get_films(patients), fraction, 0)


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


def images_of(patients):
    return [
        {"id": n, "file_name": f"{n}.jpg", "source": source, "patient": patient}
        for n, (source, patient) in enumerate(patients, 1)
    ]


PARTED_PATIENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123456")), min_size=1, max_size=80)


@settings(deadline=None)
@given(patients=PARTED_PATIENTS, val=st.floats(0.05, 0.5), test=st.floats(0.05, 0.4), seed=st.integers(0, 9))
def test_parts_are_disjoint_whole_and_share_no_patient(patients, val, test, seed):
    images = images_of(patients)
    partition = divide(images, {"val": val, "test": test}, seed)
    ids = [image_id for part in partition.parts.values() for image_id in part]
    assert sorted(ids) == [image["id"] for image in images]
    parts = {name: [image for image in images if image["id"] in set(part)] for name, part in partition.parts.items()}
    assert not find_leaks(parts)
    for source in {source for source, _ in patients}:  # training has films of every source
        assert any(image["source"] == source for image in parts["train"])


@given(patients=PARTED_PATIENTS, seed=st.integers(0, 9), order=st.randoms())
def test_the_split_does_not_depend_on_the_order_of_the_records(patients, seed, order):
    images = images_of(patients)
    shuffled = list(images)
    order.shuffle(shuffled)
    one, other = (divide(each, {"val": 0.3}, seed).parts for each in (images, shuffled))
    assert {name: set(part) for name, part in one.items()} == {name: set(part) for name, part in other.items()}


def test_every_source_in_its_proportion():
    images = images_of([("cgoa", str(n // 2)) for n in range(400)] + [("oaih", str(n // 2)) for n in range(200)])
    parts = divide(images, {"val": 0.1, "test": 0.2}, seed=0).parts
    source = {image["id"]: image["source"] for image in images}
    counts = {name: Counter(source[image_id] for image_id in part) for name, part in parts.items()}
    assert counts == {
        "train": {"cgoa": 280, "oaih": 140}, "val": {"cgoa": 40, "oaih": 20}, "test": {"cgoa": 80, "oaih": 40}
    }  # fmt: skip
    assert divide(images, {"val": 0.1}, 0).parts != divide(images, {"val": 0.1}, 1).parts


def test_partition_is_film_by_film_as_in_the_paper():
    images = images_of([("cgoa", str(n // 2)) for n in range(4290)] + [("oaih", str(n // 2)) for n in range(3008)])
    parts = divide(images, {"val": 0.1}, 0, "image").parts
    assert {name: len(part) for name, part in parts.items()} == {"train": 6568, "val": 730}


def test_a_source_of_one_patient_stays_in_training():
    partition = divide(images_of([("a", "1"), ("a", "1"), ("b", "1"), ("b", "2")]), {"val": 0.5}, 0)
    assert partition.parts["train"][:2] == [1, 2]
    assert partition.notes == ["source 'a' has a single patient left: it stays in train, and val has no film of it"]


@settings(deadline=None)
@given(patients=PARTED_PATIENTS.filter(lambda p: all(len({x for x in p if x[0] == s}) >= 3 for s in {s for s, _ in p})))
def test_folds_divide_every_source(patients):
    images = images_of(patients)
    folds = fold_ids(images, 3, seed=0)
    assert sorted(image_id for fold in folds for image_id in fold) == [image["id"] for image in images]
    by_id = {image["id"]: image for image in images}
    for source in {source for source, _ in patients}:
        assert all(any(by_id[image_id]["source"] == source for image_id in fold) for fold in folds)
    assert not find_leaks({str(n): [by_id[image_id] for image_id in fold] for n, fold in enumerate(folds)})


@pytest.mark.parametrize(
    ("fractions", "by", "message"),
    [
        ({"val": 0}, "patient", "parts are val 0, expected each above 0 and together below 1"),
        ({"val": 1}, "patient", "parts are val 1"),
        ({"val": 0.5, "test": 0.5}, "patient", r"parts are val 0\.5, test 0\.5"),
        ({"val": float("nan")}, "patient", "parts are val nan"),
        ({"val": 0.5}, "moon", "split by 'moon'"),
    ],
)
def test_bad_parts(fractions, by, message):
    with pytest.raises(DatasetError, match=message):
        divide(images_of([("a", "1"), ("a", "2")]), fractions, 0, by)


def test_bad_folds():
    images = images_of([("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("b", "3")])
    with pytest.raises(DatasetError, match="source 'a': folds is 3, expected 2 to 2"):
        fold_ids(images, 3, 0)
    del images[0]["patient"]
    with pytest.raises(DatasetError, match=r"1\.jpg has no patient.*or split by image"):
        fold_ids(images, 2, 0)


def image(name, patient=None, source="s"):
    return {"file_name": name, "source": source, **({"patient": patient} if patient else {})}


def test_patients_and_films_in_several_parts():
    parts = {
        "train": [image("1.jpg", "A"), image("2.jpg", "B"), image("3.jpg", "C"), image("4.jpg")],
        "val": [image("5.jpg", "A"), image("2.jpg", "B"), image("6.jpg", "C", "other")],  # another C
        "test": [image("7.jpg", "A"), image("4.jpg")],
    }
    leaks = find_leaks(parts)
    assert leaks.patients == (
        Shared("s A", "1.jpg", ("train", "val", "test")),
        Shared("s B", "2.jpg", ("train", "val")),
    )
    assert leaks.films == (Shared("2.jpg", "2.jpg", ("train", "val")), Shared("4.jpg", "4.jpg", ("train", "test")))
    assert leaks.without_patient == 2
    assert leaks
    assert not find_leaks({"train": parts["train"]})
