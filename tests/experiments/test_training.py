"""What makes a training another one."""

from hipdet.data.coco_file import subset
from hipdet.paper.data import Split, gather
from hipdet.paper.run import fingerprint, without_ids


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
