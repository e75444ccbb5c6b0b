"""Copies of films keep ids, classes and boxes; what isn't known to be absent is an ignored box of the whole film."""

import numpy as np

from film_sources import film, table, write
from hipdet.core.annotations import is_ignored
from hipdet.workflows.fit_data import DataOptions, TrainingFiles, read_data

ROWS = [[f"f{n:02}.png", 20 + n, 15 + n, 40, "knee"] for n in range(12)]
ROWS += [[f"f{n:02}.png", 70, 80, 35, "hip"] for n in (2, 5, 7)]


def data_at(place, labels=("image,x,y,side,label", ROWS), **options):
    for n in range(12):
        write(place / f"films/f{n:02}.png", film(600 if n % 2 else 120, 750 if n % 2 else 150, "PNG", seed=n))
    write(place / "labels.csv", table(labels[0], *labels[1]))
    (place / "scratch").mkdir()
    return read_data(DataOptions(place / "films", {"": place / "labels.csv"}, **options), place / "scratch")


def test_copies_have_the_ids_of_the_films(tmp_path):
    data = data_at(tmp_path, absent="unknown")
    files = TrainingFiles.write(data, tmp_path / "data", 448)
    films, copies = data.coco, files.coco
    assert [each["id"] for each in films["images"]] == [each["id"] for each in copies["images"]]
    assert sorted(each["id"] for each in films["annotations"]) == sorted(each["id"] for each in copies["annotations"])
    size = {image["id"]: image["width"] for image in films["images"]}
    small = {image["id"]: image["width"] for image in copies["images"]}
    assert {size[number]: small[number] for number in size} == {120: 120, 600: 358}
    of_film = {each["id"]: each for each in films["annotations"]}
    for each in copies["annotations"]:
        same = of_film[each["id"]]
        assert (each["image_id"], each["category_id"]) == (same["image_id"], same["category_id"])
        assert is_ignored(each) == is_ignored(same)
        scale = small[each["image_id"]] / size[each["image_id"]]
        np.testing.assert_allclose(each["bbox"], np.multiply(same["bbox"], scale), atol=0.6)


def test_copies_keep_kinds_views_and_squares(tmp_path):
    rows = [[f"f{n:02}.png", -8 if n == 5 else 20 + n, 15 + n, 40, "knee", "child", "frontal"] for n in range(12)]
    data = data_at(tmp_path, ["image,x,y,side,label,kind,view", rows])
    copies = TrainingFiles.write(data, tmp_path / "data", 375).coco
    assert {each["kind"] for each in copies["annotations"]} == {"child"}
    assert {each["view"] for each in copies["images"]} == {"frontal"}
    (over,) = [each for each in copies["annotations"] if "square" in each]
    assert (over["square"], over["bbox"]) == ([-4, 10, 20, 20], [0, 10, 16, 20])  # of a film twice as large


def test_what_is_not_known_to_be_absent(tmp_path):
    data = data_at(tmp_path, absent="unknown")
    ignored = [each for each in data.coco["annotations"] if is_ignored(each)]
    assert len(ignored) == 9
    names = {each["id"]: each["name"] for each in data.coco["categories"]}
    assert {names[each["category_id"]] for each in ignored} == {"hip"}
    assert {tuple(each["bbox"]) for each in ignored} == {(0, 0, 120, 150), (0, 0, 600, 750)}
    assert sum(image.get("absent") == "unknown" for image in data.coco["images"]) == 9


def test_folds_have_every_class_to_train_on(tmp_path):
    data = data_at(tmp_path)
    for count in (2, 3, 5):
        folds = data.folds(count)
        assert sorted(number for fold in folds for number in fold) == [image["id"] for image in data.coco["images"]]
    train, test = data.halves()
    assert not set(train) & set(test)
    assert len(train) + len(test) == 12
