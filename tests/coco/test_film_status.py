"""The one rule of which films are labels."""

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.film_status import is_done, labelled, left_out

HIP = Roi((20, 40, 60, 80), "hip")


@pytest.mark.parametrize(
    ("image", "reason", "asked"),
    [
        ({}, None, None),
        ({"status": "done"}, None, None),
        ({"status": "done", "unsure": True}, None, None),  # somebody else should look: the labels stand meanwhile
        ({"status": "annotated"}, None, None),  # a word of another tool
        ({"status": ["unchecked"]}, None, None),
        ({"status": "incomplete"}, "incomplete: its ROIs aren't all drawn", None),
        ({"status": "unchecked"}, "unchecked: nobody has looked at its labels", None),
        ({"status": "unchecked", "taken": True}, None, None),
        ({"status": "excluded", "exclude": "child"}, *["excluded by the annotator: child"] * 2),
        ({"status": "excluded"}, *["excluded by the annotator"] * 2),
        ({"exclude": "child"}, *["excluded by the annotator: child"] * 2),
        ({"status": "excluded", "taken": True}, *["excluded by the annotator"] * 2),  # its boxes aren't in the file
    ],
)
def test_why_a_film_is_left_out(image, reason, asked):
    assert left_out(image) == reason
    assert left_out(image, unfinished=True) == asked


def test_only_a_word_says_that_there_is_none():
    assert is_done({"status": "done"})
    assert not is_done({})


def coco_of(*statuses):
    films = [
        Film(f"{n}.png", 200, 120, "", f"P{n}", (HIP,) if boxes else (), {"status": status} if status else {})
        for n, (status, boxes) in enumerate(statuses, 1)
    ]
    return build_coco(films, ["hip"], {"description": "x"})


def test_a_file_in_which_all_are_labels_is_left_as_it_is():
    coco = coco_of(("done", True), (None, True), ("done", False))
    found = labelled(coco, "a.json")
    assert found.coco is coco
    assert str(found) == ""


def test_what_is_left_and_what_is_told():
    coco = coco_of(("done", True), ("unchecked", True), ("incomplete", True), ("unchecked", True), ("excluded", False))
    found = labelled(coco, "a.json")
    assert [image["file_name"] for image in found.coco["images"]] == ["1.png"]
    assert [each["image_id"] for each in found.coco["annotations"]] == [1]
    assert str(found) == "4 films are left out: 2 unchecked, 1 incomplete, 1 excluded by the annotator"
    asked = labelled(coco, "a.json", unfinished=True)
    assert asked.left_out == {"5.png": "excluded by the annotator"}
    assert [image.get("taken") for image in asked.coco["images"]] == [None, True, True, True]
    assert labelled(asked.coco, "b.json") == labelled(asked.coco, "b.json", unfinished=True)  # asked once is enough
    assert "taken" not in coco["images"][1]


def test_nothing_left_is_an_error():
    with pytest.raises(
        DatasetError, match=r"a\.json: 1 films are left out: 1 unchecked, and no box is left.*--with-unfinished"
    ):
        labelled(coco_of(("unchecked", True), ("done", False)), "a.json")
