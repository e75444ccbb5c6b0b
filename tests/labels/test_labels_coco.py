import json

from label_text import boxes, read_text


def coco(**changes):
    return {
        "images": [{"id": 0, "file_name": "train\\a.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [10.5, 20, 30, 40.25]}],
        "categories": [{"id": 0, "name": "hip"}],
        **changes,
    }


def test_literal(tmp_path):
    (film,) = read_text(tmp_path, "a.json", coco())
    # ids from 0 are no obstacle; x1 = 10.5 + 30, y1 = 20 + 40.25
    assert [(box.box, box.label, box.place) for box in film.boxes] == [((10.5, 20, 40.5, 60.25), "hip", "annotation 1")]
    assert (film.film, film.name, film.relative) == ("train\\a.jpg", "a.jpg", "train/a.jpg")
    assert (film.width, film.height, film.declared, film.place) == (100, 80, (100, 80), "image 1")
    assert film.file == tmp_path / "a.json"
    assert film.annotator is None


def test_ids_may_be_texts_and_categories_further(tmp_path):
    document = coco(
        images=[{"id": "x", "file_name": "a.jpg"}, {"id": "y", "file_name": "b.jpg", "width": None, "height": 0}],
        annotations=[{"image_id": "y", "category_id": "k", "bbox": [0, 0, 1, 1]}],
        categories=[{"id": "k", "name": " hip "}, {"id": "l", "name": "knee"}],
    )
    films = read_text(tmp_path, "a.json", document)
    assert boxes(films) == {"a.jpg": [], "b.jpg": [(0, 0, 1, 1)]}
    assert [film.declared for film in films] == [None, None]
    assert films[1].boxes[0].label == "hip"


def test_boxes_to_be_ignored_are_apart(tmp_path):
    flags = ({"iscrowd": 1}, {"ignore": 1}, {"ignore": True}, {"iscrowd": 0, "ignore": 0}, {"ignore": None})
    annotations = [
        {"id": n, "image_id": 0, "category_id": 0, "bbox": [n, 2, 3, 4], **each} for n, each in enumerate(flags)
    ]
    (film,) = read_text(tmp_path, "a.json", coco(annotations=annotations))
    assert [box.box for box in film.ignored] == [(0, 2, 3, 6), (1, 2, 4, 6), (2, 2, 5, 6)]
    assert [box.place for box in film.boxes] == ["annotation 4", "annotation 5"]


def test_byte_order_mark(tmp_path):
    assert len(read_text(tmp_path, "a.json", b"\xef\xbb\xbf" + json.dumps(coco()).encode())) == 1
