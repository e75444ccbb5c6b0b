import math

import pytest

from hipdet.core.errors import DatasetError
from label_text import boxes, read_text
from label_writers import percent_region

SIZE = (400, 200)


def task(*annotations, image="/data/upload/1/abcd1234-a.jpg"):
    return {"id": 7, "data": {"image": image}, "annotations": list(annotations), "predictions": [{"result": "ignored"}]}


def annotation(*regions, by=1, **more):
    return {"id": 1, "completed_by": by, "result": list(regions), **more}


REGION = percent_region((40, 50, 120, 150), SIZE)


def test_percents_of_width_and_height(tmp_path):
    value = {"x": 10, "y": 25, "width": 20, "height": 50, "rotation": 0, "rectanglelabels": ["hip"]}
    assert REGION["value"] == value  # 40 of 400 px is 10%, 50 of 200 px is 25%
    (film,) = read_text(tmp_path, "a.json", [task(annotation(REGION))])
    expected = [((40, 50, 120, 150), "hip", "task 1, annotation 1, region 1")]
    assert [(box.box, box.label, box.place) for box in film.boxes] == expected
    assert (film.film, film.declared, film.annotator) == ("a.jpg", SIZE, "1")


def test_annotators_stay_apart(tmp_path):
    other = percent_region((44, 50, 124, 150), SIZE)
    tasks = [task(annotation(REGION), annotation(other, by={"id": 5, "email": "x@y.z", "first_name": "X"}))]
    films = read_text(tmp_path, "a.json", tasks)
    assert [(film.name, film.annotator, film.boxes[0].box[0]) for film in films] == [
        ("a.jpg", "1", 40),
        ("a.jpg", "5", 44),
    ]
    assert "x@y.z" not in repr(films)
    for annotator in (5, "5"):
        (film,) = read_text(tmp_path, "a.json", tasks, annotator=annotator)
        assert film.boxes[0].box[0] == 44


def test_an_annotator_labels_a_film_once(tmp_path):
    with pytest.raises(
        DatasetError, match=r"annotation 2: a\.jpg is labelled by annotator 1 in a\.json: task 1, annot"
    ):
        read_text(tmp_path, "a.json", [task(annotation(REGION), annotation(REGION))])


def test_cancelled_annotations_are_left_out(tmp_path):
    tasks = [
        task(annotation(REGION, was_cancelled=True), annotation(by=2)),  # 2 found nothing
        task(annotation(REGION, was_cancelled=True), image="b.jpg"),  # not labelled
        task(image="c.jpg"),  # not labelled
    ]
    films = read_text(tmp_path, "a.json", tasks)
    assert [(film.name, film.annotator, film.boxes, film.declared) for film in films] == [("a.jpg", "2", (), None)]


def test_all_cancelled(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.json: no labelled film, expected at least one"):
        read_text(tmp_path, "a.json", [task(annotation(REGION, was_cancelled=True))])


# x, y is the corner after the turn: for a box that seems to be at 40..120 x 50..150 turned by 90 degrees clockwise about its
# corner (120, 50), the width 100 goes down and the height 80 to the left
TURNED = {"x": 30, "y": 25, "width": 25, "height": 40, "rotation": 90, "rectanglelabels": ["hip"]}


def test_rotation_in_pixels_about_the_corner(tmp_path):
    (film,) = read_text(tmp_path, "a.json", [task(annotation({**REGION, "value": TURNED}))])
    assert film.boxes[0].box == pytest.approx((40, 50, 120, 150), abs=1e-9)


def test_rotation_in_percents_would_be_another_box(tmp_path):
    # 100 x 50 px at (100, 40), cos 0.6 and sin 0.8: corners (100, 40), (160, 120), (120, 150), (60, 70)
    value = {"x": 25, "y": 20, "width": 25, "height": 25, "rotation": math.degrees(math.atan2(4, 3))}
    region = {**REGION, "value": {**value, "rectanglelabels": ["hip"]}}
    (film,) = read_text(tmp_path, "a.json", [task(annotation(region))], rotated="enclose")
    assert film.boxes[0].box == pytest.approx((60, 40, 160, 150), abs=1e-9)
    with pytest.raises(DatasetError, match="task 1, annotation 1, region 1: box is turned"):
        read_text(tmp_path, "a.json", [task(annotation(region))])


def test_label_of_a_separate_control(tmp_path):
    value = {key: REGION["value"][key] for key in ("x", "y", "width", "height", "rotation")}
    box = {**REGION, "id": "r1", "type": "rectangle", "value": value}
    label = {**box, "type": "labels", "value": {**value, "labels": ["hip"]}}
    (film,) = read_text(tmp_path, "a.json", [task(annotation(box, label))])
    assert [each.label for each in film.boxes] == ["hip"]


def test_answers_about_the_film_are_passed_over(tmp_path):
    answers = [{"type": "choices", "value": {"choices": ["good"]}}, {"type": "textarea", "value": {"text": ["x"]}}]
    assert boxes(read_text(tmp_path, "a.json", [task(annotation(*answers, REGION))])) == {"a.jpg": [(40, 50, 120, 150)]}


def minimal(**more):
    sizes = {"original_width": 400, "original_height": 200}
    return {"id": 7, "photo": "/data/upload/1/abcd1234-a.jpg", "annotation_id": 1, "annotator": 1} | {
        "bbox": [{**REGION["value"], **sizes}],
        **more,
    }


def test_json_min(tmp_path):
    films = read_text(tmp_path, "a.json", [minimal(), minimal(annotator=5, bbox=[], quality="good.")])
    assert [(film.name, film.annotator, [box.box for box in film.boxes]) for film in films] == [
        ("a.jpg", "1", [(40, 50, 120, 150)]),
        ("a.jpg", "5", []),
    ]


def test_json_min_rotation(tmp_path):
    region = {**TURNED, "original_width": 400, "original_height": 200}
    (film,) = read_text(tmp_path, "a.json", [minimal(bbox=[region])])
    assert film.boxes[0].box == pytest.approx((40, 50, 120, 150), abs=1e-9)
