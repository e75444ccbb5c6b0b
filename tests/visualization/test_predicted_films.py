import json

import pytest

from hipdet.core.errors import DatasetError
from hipdet.visualization.film_pictures import predicted_films, read_predictions
from hipdet.visualization.tiles import Mark


def found(image_id=1, bbox=(10, 20, 30, 40), score=0.9, **more):
    return dict(image_id=image_id, category_id=1, bbox=list(bbox), score=score, **more)


def coco(labels=((1, (10, 20, 30, 30)),), films=2):
    return dict(
        images=[dict(id=i, file_name=f"{i}.png", width=100, height=90, source="gis") for i in range(1, films + 1)],
        annotations=[
            dict(id=number, image_id=image_id, category_id=1, bbox=list(bbox), area=1, iscrowd=0)
            for number, (image_id, bbox) in enumerate(labels, 1)
        ],
        categories=[dict(id=1, name="hip")],
    )


def test_names_and_flags_of_the_predictions_themselves():
    predictions = [
        found(7, file_name="b.dcm", flags=["low score"]),
        found(3, score=0.4, file_name="a/a.jpg", flags="sideways, inverted"),
        found(7, score=0.5, bbox=(1, 2, 3, 4), file_name="b.dcm", flags=["low score", "unequal"]),
    ]
    b, a = predicted_films(predictions)
    assert (b.file_name, a.file_name) == ("b.dcm", "a/a.jpg")
    assert b.marks == (Mark((10, 20, 40, 60), True, "0.90"), Mark((1, 2, 4, 6), True, "0.50"))
    assert (b.iou, b.score, b.flags) == (None, 0.5, ("low score", "unequal"))
    assert (a.flags, a.score, a.roi_side()) == (("sideways", "inverted"), 0.4, 40)


def test_the_best_two_of_a_film():
    predictions = [found(score=score, file_name="a.png") for score in (0.1, 0.9, 0.5)]
    for rois, expected in ((2, ["0.90", "0.50"]), (0, ["0.90", "0.50", "0.10"])):
        (film,) = predicted_films(predictions, rois=rois)
        assert [mark.text for mark in film.marks] == expected


def test_films_of_a_coco_file_without_labels():
    first, second = predicted_films([found(2)], coco(labels=()))
    assert (first.file_name, first.flags, first.score) == ("1.png", ("nothing found",), None)
    assert (second.file_name, second.source, second.iou, second.flags) == ("2.png", "gis", None, ())


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_ignored_boxes_and_what_is_found_there_are_left_out(flag):
    labelled = coco(((1, (10, 20, 30, 30)), (1, (60, 20, 30, 30))), 1)
    labelled["annotations"][1][flag] = 1
    (film,) = predicted_films([found(bbox=(10, 20, 30, 30)), found(bbox=(60, 20, 30, 30), score=0.8)], labelled)
    assert [mark.text for mark in film.marks] == ["1.00 (0.90)", ""]
    assert "extra" not in film.flags


def test_labels_are_compared_with():
    # label 10..40 x 20..50 in the detection 10..40 x 20..60: 900 / 1200; film 3 has a detection and no label
    labels = ((1, (10, 20, 30, 30)), (1, (60, 20, 30, 30)), (2, (10, 20, 30, 30)))
    first, second, third = predicted_films([found(flags=["x"]), found(3)], coco(labels, 3))
    assert [mark.text for mark in first.marks] == ["0.75 (0.90)", "not found", ""]
    assert (first.iou, first.score, first.flags) == (0.0, 0.9, ("missed", "x"))
    assert (second.iou, second.score, second.flags) == (0.0, None, ("missed", "nothing found"))
    assert (third.iou, third.flags, [mark.text for mark in third.marks]) == (None, ("extra",), ["extra (0.90)"])
    assert (third.file_name, third.source, third.score) == ("3.png", "gis", 0.9)


def test_another_class_is_no_hit():
    content = coco()
    content["categories"].append(dict(id=2, name="knee"))
    first, _ = predicted_films([dict(found(), category_id=2)], content)
    assert [mark.text for mark in first.marks] == ["not found", "extra (0.90)"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": []}, "found a dict, expected COCO results"),
        ([3], "detection 0: expected whole numbers image_id and category_id"),
        ([found("1")], "whole numbers image_id"),
        (
            [found(), found(bbox=(1, 2, 3))],
            r"detection 1: expected a bbox \[x, y, width, height\] of numbers in place of",
        ),
        ([found(bbox=(1, 2, -3, 4))], "a bbox"),
        ([found(bbox=(1, 2, 3, "4"))], "a bbox"),
        ([found(score=None)], "a score in place of None"),
        ([found(score=float("nan"))], "a score in place of nan"),
    ],
)
def test_faulty_predictions_are_refused(tmp_path, content, words):
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=words) as raised:
        read_predictions(tmp_path / "p.json")
    assert "p.json" in str(raised.value)


def test_films_that_are_not_known():
    with pytest.raises(DatasetError, match="image_id 1 have no file_name: give the COCO file with --ann"):
        predicted_films([found()])
    with pytest.raises(DatasetError, match="image_id 9, which the COCO file of --ann lacks"):
        predicted_films([found(9)], coco())
