from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.data.split import divide, find_leaks, fold_ids


def images_of(patients):
    return [
        {"id": n, "file_name": f"{n}.jpg", "source": source, "patient": patient}
        for n, (source, patient) in enumerate(patients, 1)
    ]


PATIENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123456")), min_size=1, max_size=80)


@settings(deadline=None)
@given(patients=PATIENTS, val=st.floats(0.05, 0.5), test=st.floats(0.05, 0.4), seed=st.integers(0, 9))
def test_parts_are_disjoint_whole_and_share_no_patient(patients, val, test, seed):
    images = images_of(patients)
    partition = divide(images, {"val": val, "test": test}, seed)
    ids = [image_id for part in partition.parts.values() for image_id in part]
    assert sorted(ids) == [image["id"] for image in images]
    parts = {name: [image for image in images if image["id"] in set(part)] for name, part in partition.parts.items()}
    assert not find_leaks(parts)
    for source in {source for source, _ in patients}:  # training has films of every source
        assert any(image["source"] == source for image in parts["train"])


@given(patients=PATIENTS, seed=st.integers(0, 9), order=st.randoms())
def test_the_order_of_the_records_is_moot(patients, seed, order):
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


def test_film_by_film_as_in_the_paper():
    images = images_of([("cgoa", str(n // 2)) for n in range(4290)] + [("oaih", str(n // 2)) for n in range(3008)])
    parts = divide(images, {"val": 0.1}, 0, "image").parts
    assert {name: len(part) for name, part in parts.items()} == {"train": 6568, "val": 730}


def test_a_source_of_one_patient_stays_in_training():
    partition = divide(images_of([("a", "1"), ("a", "1"), ("b", "1"), ("b", "2")]), {"val": 0.5}, 0)
    assert partition.parts["train"][:2] == [1, 2]
    assert partition.notes == ["source 'a' has a single patient left: it stays in train, and val has no film of it"]


@settings(deadline=None)
@given(patients=PATIENTS.filter(lambda p: all(len({x for x in p if x[0] == s}) >= 3 for s in {s for s, _ in p})))
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
