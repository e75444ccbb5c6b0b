import json
import math

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.formats.parse import load_label_file
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


# x, y is the corner after the rotation: the box at 40..120 x 50..150 is rotated by 90 degrees clockwise about its
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
    with pytest.raises(DatasetError, match="task 1, annotation 1, region 1: box is rotated"):
        read_text(tmp_path, "a.json", [task(annotation(region))])


def test_label_of_a_separate_control(tmp_path):
    value = {key: REGION["value"][key] for key in ("x", "y", "width", "height", "rotation")}
    box = {**REGION, "id": "r1", "type": "rectangle", "value": value}
    label = {**box, "type": "labels", "value": {**value, "labels": ["hip"]}}
    (film,) = read_text(tmp_path, "a.json", [task(annotation(box, label))])
    assert [each.label for each in film.boxes] == ["hip"]


def test_answers_about_the_film_are_skipped(tmp_path):
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


RECT = {"name": "rect", "x": 10, "y": 20.5, "width": 30, "height": 40}


def via(*regions, name="a.jpg"):
    return {f"{name}1234": {"filename": name, "size": 1234, "regions": list(regions), "file_attributes": {}}}


def region(shape=RECT, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def test_version_2(tmp_path):
    (film,) = read_text(tmp_path, "a.json", via(region(side="left")))
    expected = [((10, 20.5, 40, 60.5), "left", "film 1, region 1")]
    assert [(box.box, box.label, box.place) for box in film.boxes] == expected
    # the name isn't the key, which has the size in bytes at its end; a size in pixels isn't declared
    assert (film.film, film.declared, film.place) == ("a.jpg", None, "film 1")


def test_version_1(tmp_path):
    document = via()
    document["a.jpg1234"]["regions"] = {"0": region(side="left"), "1": region({**RECT, "x": 60}, side="right")}
    document["a.jpg1234"] |= {"fileref": "", "base64_img_data": "UEFUSUVOVA=="}
    films = read_text(tmp_path, "a.json", document)
    assert boxes(films) == {"a.jpg": [(10, 20.5, 40, 60.5), (60, 20.5, 90, 60.5)]}


def test_project(tmp_path):
    document = {"_via_settings": {}, "_via_img_metadata": via(), "_via_attributes": {}}
    assert boxes(read_text(tmp_path, "a.json", document)) == {"a.jpg": []}


def test_circle(tmp_path):
    circle = {"name": "circle", "cx": 50, "cy": 40, "r": 5}
    assert boxes(read_text(tmp_path, "a.json", via(region(circle)))) == {"a.jpg": [(45, 35, 55, 45)]}


@pytest.mark.parametrize(
    ("attributes", "attribute", "label"),
    [
        ({}, None, None),
        ({"side": ""}, None, None),
        ({"side": "left"}, None, "left"),
        ({"side": "left", "note": "x"}, "side", "left"),
        ({"note": "x"}, "side", None),
        ({"side": {"left": True}}, None, "left"),  # a checkbox
        ({"side": {"left": False}}, None, None),
    ],
)
def test_label(tmp_path, attributes, attribute, label):
    (film,) = read_text(tmp_path, "a.json", via(region(**attributes)), attribute=attribute)
    assert film.boxes[0].label == label


HEAD = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"


def row(count, number, shape, name="a.jpg", attributes="{}"):
    quoted = json.dumps(shape).replace('"', '""')
    return f'{name},1234,"{{}}",{count},{number},"{quoted}","{attributes}"\n'


@pytest.mark.parametrize("mark", ["", "#"])  # version 2 and 1
def test_csv_holds_json_in_columns(tmp_path, mark):
    rows = row(2, 0, RECT) + row(2, 1, {**RECT, "x": 60}, attributes='{""side"":""left""}') + row(0, 0, {}, "b.jpg")
    films = read_text(tmp_path, "a.csv", mark + HEAD + rows)
    assert boxes(films) == {"a.jpg": [(10, 20.5, 40, 60.5), (60, 20.5, 90, 60.5)], "b.jpg": []}
    assert [(box.label, box.place) for box in films[0].boxes] == [(None, "line 2"), ("left", "line 3")]
    assert [film.place for film in films] == ["line 2", "line 4"]


def test_csv_cut_short(tmp_path):
    with pytest.raises(DatasetError, match=r"line 2: 1 rows for a\.jpg, region_count says 2: export the labels again"):
        read_text(tmp_path, "a.csv", HEAD + row(2, 0, RECT))


def labelme(points, shape_type="rectangle", **changes):
    shapes = [{"label": "hip", "points": points, "shape_type": shape_type, "flags": {}}]
    return {
        "version": "5.4.1",
        "shapes": shapes,
        "imagePath": "..\\films\\a.jpg",
        "imageData": "UEFUSUVOVA==",
        "imageHeight": 80,
        "imageWidth": 100,
        **changes,
    }


@pytest.mark.parametrize(
    ("points", "shape_type", "expected"),
    [
        ([[10.5, 20], [30, 50.25]], "rectangle", (10.5, 20, 30, 50.25)),
        ([[30, 50.25], [10.5, 20]], "rectangle", (10.5, 20, 30, 50.25)),  # corners in any order
        ([[30, 20], [10.5, 50.25]], "rectangle", (10.5, 20, 30, 50.25)),
        ([[-3.5, -2], [104, 81]], "rectangle", (-3.5, -2, 104, 81)),  # may leave the film
        ([[10, 20], [30, 20], [30, 50], [10, 50]], "rectangle", (10, 20, 30, 50)),  # X-AnyLabeling
        (
            [[50, 40], [53, 44]],
            "circle",
            (45, 35, 55, 45),
        ),  # centre, and a point of the rim 3 right and 4 down: radius 5
    ],
)
def test_shapes(tmp_path, points, shape_type, expected):
    (film,) = read_text(tmp_path, "a.json", labelme(points, shape_type))
    assert [(box.box, box.label, box.place) for box in film.boxes] == [(expected, "hip", "shape 1")]
    assert (film.film, film.name, film.relative) == ("..\\films\\a.jpg", "a.jpg", None)
    assert film.declared == (100, 80)


@pytest.mark.parametrize("size", [{"imageHeight": None, "imageWidth": None}, {"imageHeight": None}, {"imageWidth": 0}])
def test_null_sizes(tmp_path, size):
    (film,) = read_text(tmp_path, "a.json", labelme([[1, 2], [3, 4]], **size))
    assert film.declared is None


def test_picture_in_the_label_file_is_never_kept(tmp_path):
    (film,) = read_text(tmp_path, "a.json", labelme([[1, 2], [3, 4]]))
    assert "UEFUSUVOVA" not in repr(film)
    assert "imageData" not in load_label_file(tmp_path / "a.json", "a.json").document


def test_turned_boxes(tmp_path):
    # a square on its tip, with diagonals of 28: the axis-aligned box around it has them as its sides
    points = [[50, 40], [64, 54], [50, 68], [36, 54]]
    document = labelme(points, "rotation")
    assert read_text(tmp_path, "a.json", document, rotated="enclose")[0].boxes[0].box == (36, 40, 64, 68)


def test_no_shape_is_a_film_without_roi(tmp_path):
    assert read_text(tmp_path, "a.json", labelme([], shapes=[]))[0].boxes == ()


def coco(**changes):
    return {
        "images": [{"id": 0, "file_name": "train\\a.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [10.5, 20, 30, 40.25]}],
        "categories": [{"id": 0, "name": "hip"}],
        **changes,
    }


def test_literal(tmp_path):
    (film,) = read_text(tmp_path, "a.json", coco())
    # ids may start at 0; x1 = 10.5 + 30, y1 = 20 + 40.25
    assert [(box.box, box.label, box.place) for box in film.boxes] == [((10.5, 20, 40.5, 60.25), "hip", "annotation 1")]
    assert (film.film, film.name, film.relative) == ("train\\a.jpg", "a.jpg", "train/a.jpg")
    assert (film.declared, film.place) == ((100, 80), "image 1")
    assert film.file == tmp_path / "a.json"
    assert film.annotator is None


def test_ids_may_be_strings_and_categories_unused(tmp_path):
    document = coco(
        images=[{"id": "x", "file_name": "a.jpg"}, {"id": "y", "file_name": "b.jpg", "width": None, "height": 0}],
        annotations=[{"image_id": "y", "category_id": "k", "bbox": [0, 0, 1, 1]}],
        categories=[{"id": "k", "name": " hip "}, {"id": "l", "name": "knee"}],
    )
    films = read_text(tmp_path, "a.json", document)
    assert boxes(films) == {"a.jpg": [], "b.jpg": [(0, 0, 1, 1)]}
    assert [film.declared for film in films] == [None, None]
    assert films[1].boxes[0].label == "hip"


def test_ignored_boxes_are_kept_apart(tmp_path):
    flags = ({"iscrowd": 1}, {"ignore": 1}, {"ignore": True}, {"iscrowd": 0, "ignore": 0}, {"ignore": None})
    annotations = [
        {"id": n, "image_id": 0, "category_id": 0, "bbox": [n, 2, 3, 4], **each} for n, each in enumerate(flags)
    ]
    (film,) = read_text(tmp_path, "a.json", coco(annotations=annotations))
    assert [box.box for box in film.ignored] == [(0, 2, 3, 6), (1, 2, 4, 6), (2, 2, 5, 6)]
    assert [box.place for box in film.boxes] == ["annotation 4", "annotation 5"]


def test_byte_order_mark(tmp_path):
    assert len(read_text(tmp_path, "a.json", b"\xef\xbb\xbf" + json.dumps(coco()).encode())) == 1
