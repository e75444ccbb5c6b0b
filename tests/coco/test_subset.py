from dataclasses import replace

import pytest

from hipdet.core.annotations import patients_of
from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Film, Roi, append, build_coco, films_of, subset

FILMS = [
    Film("a.jpg", 90, 60, "s", "P1", (Roi((1, 2, 11, 12), "hip", "left", True), Roi((50, 2, 60, 12), "hip"))),
    Film("b.jpg", 80, 60, "s", "P2", (), {"visit": "12m"}),
    Film("c.jpg", 80, 60, "s", "P3", (Roi((1, 2, 11, 12), "hip"),)),
]


def test_built_and_loaded_films_are_the_same():
    assert films_of(build_coco(FILMS, ["hip"], {})) == FILMS


def test_crowds_are_no_rois():
    coco = build_coco(FILMS, ["hip"], {})
    coco["annotations"][0]["iscrowd"] = 1
    assert len(films_of(coco)[0].rois) == 1


def test_ids_stay_in_a_subset_and_count_anew_in_a_union():
    coco = build_coco(FILMS, ["hip"], {"year": 2026})
    part = subset(coco, [3, 1])
    assert [image["id"] for image in part["images"]] == [1, 3]
    assert [annotation["id"] for annotation in part["annotations"]] == [1, 2, 3]
    assert part["info"] == {"year": 2026}
    whole = dict(images=[], annotations=[], categories=[])
    for name in ("one", "two"):
        append(whole, subset(coco, [3]), name)
    assert [(image["id"], image["file_name"]) for image in whole["images"]] == [(1, "c.jpg"), (2, "c.jpg")]
    assert [(each["id"], each["image_id"]) for each in whole["annotations"]] == [(1, 1), (2, 2)]
    with pytest.raises(DatasetError, match=r"three: classes are \['knee'\], those of the other data sets \['hip'\]"):
        append(whole, build_coco([], ["knee"], {}), "three")


def test_a_union_keeps_that_patients_are_not_known():
    coco = build_coco(FILMS, ["hip"], {"patients": "unknown"})
    whole = dict(images=[], annotations=[], categories=[])
    append(whole, coco, "one")
    append(whole, build_coco([replace(FILMS[0], file_name="d.jpg")], ["hip"], {}), "two")
    assert patients_of([coco]) == {}
    assert patients_of([whole]) == {"d.jpg": ("s", "P1")}
    # joined with others again, and divided
    whole["info"] = {"patients": "unknown", "year": 2026}
    again = dict(images=[], annotations=[], categories=[])
    append(again, whole, "both")
    assert again["images"] == whole["images"]
    assert subset(whole, [1, 4])["info"] == whole["info"]
    known = subset(whole, [4])
    assert known["info"] == {"year": 2026}
    assert patients_of([known]) == {"d.jpg": ("s", "P1")}
    assert subset(coco, [1])["info"] == coco["info"]
