"""Joining data sets and splitting them for the experiments; which changes make another training."""

import json

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import subset
from hipdet.data.validate.check import Expected, validate
from hipdet.paper.data import DataSet, Split, gather, write_data_root
from hipdet.paper.facts import EXPERIMENTS
from hipdet.paper.run import fingerprint, without_ids

POOLS = {experiment.pool: experiment.trained_on for experiment in EXPERIMENTS.values()}.values()


# CGOA has 4290 and OAIH 3008 films, 6568 for training and 730 for validation; all 101 of GIS are for testing
def paper_sized(data_set, split):
    films = gather([data_set("cgoa", 4290, per_patient=2), data_set("oaih", 3008), data_set("gis", 101)], POOLS, split)
    return films, {name: len(ids) for name, ids in films.subsets.items()}


def test_split_by_image_has_the_papers_numbers_and_leaks(data_set):
    films, sizes = paper_sized(data_set, Split("image"))
    assert (sizes["cgoa_oaih_train"], sizes["cgoa_oaih_val"], sizes["gis"]) == (6568, 730, 101)
    assert (sizes["cgoa_val"], sizes["oaih_val"]) == (429, 301)
    # a validation film's pair is in training with a chance of 0.9: 386 of 429, s.d. 9
    assert 429 * 0.82 < films.shared_patients["cgoa"] == films.shared_patients["cgoa_oaih"] < 429 * 0.98
    assert films.shared_patients["oaih"] == 0


def test_split_by_patient_keeps_pairs_together(data_set):
    films, sizes = paper_sized(data_set, Split("patient"))
    assert sizes["cgoa_val"] in (428, 430)  # pairs only: 429 can't be
    assert sizes["oaih_val"] == 301
    assert sizes["cgoa_oaih_train"] + sizes["cgoa_oaih_val"] == 7298
    assert films.shared_patients == dict(cgoa_oaih=0, cgoa=0, oaih=0)


def test_pools_agree_and_the_seed_matters(data_set):
    sets = [data_set("cgoa", 40, per_patient=2), data_set("oaih", 30), data_set("gis", 5)]
    films = gather(sets, POOLS, Split(seed=1))
    for part in ("train", "val"):
        both = films.subsets[f"cgoa_{part}"] + films.subsets[f"oaih_{part}"]
        assert films.subsets[f"cgoa_oaih_{part}"] == both
    assert films.subsets == gather(sets, POOLS, Split(seed=1)).subsets
    assert films.subsets["cgoa_val"] != gather(sets, POOLS, Split(seed=2)).subsets["cgoa_val"]


def test_ids_and_names_are_unique_and_a_further_set_changes_nothing(data_set):
    sets = [data_set("cgoa", 10), data_set("oaih", 10), data_set("gis", 3)]
    films = gather(sets, POOLS, Split())
    assert [image["id"] for image in films.coco["images"]] == list(range(1, 24))
    assert [a["id"] for a in films.coco["annotations"]] == list(range(1, 47))
    assert films.coco["images"][10]["file_name"] == "oaih/images/oaih0.png"
    assert films.coco["annotations"][20]["image_id"] == 11
    more = gather([*sets, data_set("fracatlas", 4)], POOLS, Split())
    assert more.coco["images"][:23] == films.coco["images"]
    assert {name: ids for name, ids in more.subsets.items() if name != "fracatlas"} == films.subsets


def test_data_root(data_set, tmp_path):
    sets = [data_set("cgoa", 10), data_set("gis", 3)]
    (tmp_path / "gis/images").mkdir()
    (tmp_path / "gis/images/gis0.png").write_text("x")
    films = gather(sets, [("cgoa",)], Split())
    for _ in range(2):  # again: the same bytes
        write_data_root(films, sets, tmp_path / "root")
        coco, faults = validate(tmp_path / "root/annotations/cgoa_train.json", expected=Expected(("hip",)))
        assert not faults
    assert [image["id"] for image in coco["images"]] == films.subsets["cgoa_train"]
    assert (tmp_path / "root/gis/images/gis0.png").read_text() == "x"
    text = (tmp_path / "root/annotations/everything.json").read_text()
    assert str(tmp_path) not in text
    assert len(json.loads(text)["images"]) == 13
    # the films have moved
    moved = [sets[0], DataSet.at("gis", sets[1].annotations, tmp_path / "cgoa")]
    write_data_root(films, moved, tmp_path / "root")
    assert (tmp_path / "root/gis").resolve() == tmp_path / "cgoa"


def test_patients_that_are_not_known(data_set, tmp_path):
    sets = [data_set("cgoa", 20), data_set("oaih", 20), data_set("gis", 3)]
    coco = json.loads(sets[1].annotations.read_text())
    coco["info"] = {"patients": "unknown"}
    sets[1].annotations.write_text(json.dumps(coco))
    films = gather(sets, [("cgoa", "oaih"), ("cgoa",)], Split())
    assert films.shared_patients == dict(cgoa_oaih="unknown", cgoa=0)
    write_data_root(films, sets, tmp_path / "root")
    marked = {
        path.stem: json.loads(path.read_text()).get("info") for path in (tmp_path / "root/annotations").glob("*.json")
    }
    assert marked["oaih"] == marked["cgoa_oaih_val"] == marked["everything"] == {"patients": "unknown"}
    assert marked["cgoa_train"] is marked["gis"] is None


def test_a_data_set_of_films_whose_patients_are_known_and_of_others(data_set, tmp_path):
    """A part with known patients only isn't marked; guessed patients aren't known either."""
    mixed, guessed = data_set("cgoa", 20), data_set("gis", 3)
    coco = json.loads(mixed.annotations.read_text())
    coco["images"][0]["patients"] = "unknown"
    coco["info"] = {"patients": "unknown"}
    mixed.annotations.write_text(json.dumps(coco))
    coco = json.loads(guessed.annotations.read_text())
    guessed.annotations.write_text(json.dumps({**coco, "info": {"patients": "guessed"}}))
    films = gather([mixed, guessed], [("cgoa",)], Split())
    assert films.shared_patients == dict(cgoa="unknown")
    write_data_root(films, [mixed, guessed], tmp_path / "root")
    infos = {
        path.stem: json.loads(path.read_text()).get("info") for path in (tmp_path / "root/annotations").glob("*.json")
    }
    assert infos["cgoa"] == infos["everything"] == {"patients": "unknown"}
    assert infos["gis"] == {"patients": "guessed"}
    assert {infos["cgoa_train"] is None, infos["cgoa_val"] is None} == {True, False}  # one of them has the marked film


def test_unfinished_films_are_left_out(data_set, caplog):
    cgoa = data_set("cgoa", 20)
    coco = json.loads(cgoa.annotations.read_text())
    coco["images"][3]["status"] = "unchecked"
    cgoa.annotations.write_text(json.dumps(coco))
    films = gather([cgoa], [("cgoa",)], Split())
    assert len(films.coco["images"]) == 19
    assert caplog.messages[-1] == "cgoa.json: 1 films are left out: 1 unchecked"


def test_films_are_above_annotations_or_in_a_given_folder(tmp_path):
    assert DataSet.at("gis", tmp_path / "a/annotations/gis.json").films == tmp_path / "a"
    assert DataSet.at("gis", tmp_path / "a/gis.json").films == tmp_path / "a"
    assert DataSet.at("gis", tmp_path / "a/gis.json", tmp_path / "b").films == tmp_path / "b"


def other_class(coco):
    coco["categories"][0]["name"] = "knee"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(patients=False), r"images/oaih0\.png has no patient.*split by image"),
        (dict(change=other_class), r"oaih\.json: classes are \['knee'\], expected \['hip'\] as in the other files"),
        (dict(change=lambda coco: coco["annotations"][0].update(id=0)), r"oaih\.json: 1 fault"),
        (dict(per_patient=99), "10 films of 1 patients can't be split"),
    ],
)
def test_faults(data_set, options, message):
    with pytest.raises(DatasetError, match=message):
        gather([data_set("cgoa", 10), data_set("oaih", 10, **options)], [("cgoa",), ("oaih",)], Split())


def test_without_patients_by_image(data_set):
    films = gather([data_set("cgoa", 10, patients=False)], [("cgoa",)], Split("image"))
    assert films.shared_patients == dict(cgoa=0)
    assert len(films.subsets["cgoa_val"]) == 1


def films_of_training(data_sets):
    films = gather(data_sets, [("oaih",)], Split())
    part = subset(films.coco, films.subsets["oaih_train"])
    return fingerprint(part), fingerprint(without_ids(part))


def test_other_data_sets_change_numbers_only(data_set):
    oaih, gis, cgoa = data_set("oaih", 12), data_set("gis", 3), data_set("cgoa", 5)
    numbered, found = films_of_training([oaih, gis])
    other_numbers, same = films_of_training([cgoa, oaih, gis])
    assert numbered != other_numbers
    assert found == same


def test_a_box_changes_it(data_set):
    coco = gather([data_set("oaih", 12)], [], Split()).coco
    before = fingerprint(without_ids(coco))
    coco["annotations"][3]["bbox"][0] += 0.5
    assert fingerprint(without_ids(coco)) != before
