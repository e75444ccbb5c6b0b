import copy
import json

import pytest

from hipdet.coco import require_valid, verify_annotations
from hipdet.errors import DatasetError

SOUND = {
    "images": [
        {"id": 1, "file_name": "a/1.jpg", "width": 400, "height": 300},
        {"id": 2, "file_name": "a/2.jpg", "width": 400, "height": 300},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 50], "area": 2500, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [200, 100, 50, 50], "area": 2500, "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "hip"}],
}


def verified(tmp_path, content, classes=("hip",)):
    path = tmp_path / "hips.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return verify_annotations(path, classes)


def changed(place, value):
    """SOUND with one entry replaced; `place` such as ``annotations.0.bbox``; ``...`` deletes it."""
    content = copy.deepcopy(SOUND)
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    parent = content
    for part in parents:
        parent = parent[part]
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("annotations.0.area", 99),  # wrong, but only its sign matters
        ("annotations.0.bbox", [-1, -1, 402, 302]),  # 1 px over every edge: rounding of labelling tools
        ("annotations.0.bbox", [10, 20, 30, 60]),  # not square: clipped, or another class of ROI
        ("annotations.0.iscrowd", ...),
        ("annotations.1.image_id", 1),  # a film without ROI
        ("categories", [{"id": 1, "name": "hip"}, {"id": 2, "name": "ignored"}]),  # further class without boxes
        ("categories.0.supercategory", "joint"),
        ("info", {"year": 2021}),
        ("images.0.file_name", "größe film..1.jpg"),
    ],
)
def test_no_fault(tmp_path, place, value):
    coco, faults = verified(tmp_path, changed(place, value))
    assert faults == []
    assert len(coco["images"]) == 2


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        # ids
        ("annotations.0.id", 0, "annotation id 0, expected a whole number from 1 up"),
        ("annotations.0.id", 2, "annotation id 2 is used 2 times, expected once"),
        ("annotations.0.id", "1", "annotation id '1', expected a whole number"),
        ("annotations.0.id", [1], "annotation id [1], expected a whole number"),
        ("images.0.id", 2, "image id 2 is used 2 times"),
        ("images.0.id", True, "image id True, expected a whole number"),
        ("categories", [{"id": 1, "name": "hip"}, {"id": 1, "name": "knee"}], "category id 1 is used 2 times"),
        ("annotations.0.image_id", 7, "annotation id 1: image_id 7 is no image of this file"),
        ("annotations.0.image_id", {}, "annotation id 1: image_id {} is no image"),
        ("annotations.0.category_id", 7, "annotation id 1 (a/1.jpg): category_id 7 found, expected one of [1]"),
        # boxes
        ("annotations.0.bbox", [1, 2, 3], "bbox is [1, 2, 3], expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, "4"], "expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, None], "expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, 10**400], "expected 4 finite numbers"),
        ("annotations.0.bbox", {"x": 1}, "expected 4 finite numbers"),
        ("annotations.0.bbox", [10, 20, 0, 50], "is 0 wide and 50 high, expected at least 1 px"),
        ("annotations.0.bbox", [60, 70, -50, -50], "is -50 wide and -50 high"),
        ("annotations.0.bbox", [380, 20, 50, 50], "reaches out of the film of 400x300: clip or redraw"),
        ("annotations.0.bbox", [10, -2, 50, 50], "reaches out of the film"),
        # hip at 250..300, 200..250 written by its corners: 250 + 300 > 400
        ("annotations.0.bbox", [250, 200, 300, 250], "probably [x0, y0, x1, y1], write [250, 200, 50, 50]"),
        ("annotations.0.area", 0, "area is 0, expected width x height"),
        ("annotations.0.area", ..., "annotations[0] (id 1) lacks area"),  # CocoDataset would end in a KeyError
        # images
        ("images.0.width", 0, "image id 1: width is 0, expected the pixels"),
        ("images.0.height", -300, "image id 1: height is -300"),
        ("images.0.width", 400.5, "image id 1: width is 400.5"),
        ("images.0.width", None, "image id 1: width is None"),
        ("images.0.file_name", "/data/1.jpg", "'/data/1.jpg' is absolute"),
        ("images.0.file_name", "C:/data/1.jpg", "'C:/data/1.jpg' is absolute"),
        ("images.0.file_name", "a/../../1.jpg", "leads out of the image root"),
        ("images.0.file_name", "a\\1.jpg", "has a backslash"),
        ("images.0.file_name", "  ", "expected the path of a film"),
        ("images.0.file_name", 5, "expected the path of a film"),
        ("images.0.file_name", "a/2.jpg", "image id 2: file_name 'a/2.jpg' is image id 1 too"),
        # classes
        ("categories.0.name", "Hip", "category 'Hip' differs from the expected 'hip' by case or blanks: rename it"),
        ("categories.0.name", "hip ", "category 'hip ' differs from the expected 'hip'"),
        ("categories.0.name", "pelvis", "category 'hip' is missing, found ['pelvis']"),
        ("categories.0.name", None, "category id 1: name is None, expected a text"),
        ("categories", [{"id": 1, "name": "hip"}, {"id": 2, "name": "hip"}], "'hip' stands 2 times"),
        # structure
        ("images", ..., "'images' is missing, expected a list"),
        ("images", {}, "'images' is a dict, expected a list"),
        ("images.0", 5, "images[0] is a int, expected an object"),
        ("images.0.height", ..., "images[0] (id 1) lacks height"),
        ("annotations.1.bbox", ..., "annotations[1] (id 2) lacks bbox"),
        ("categories.0.name", ..., "categories[0] (id 1) lacks name"),
        ("annotations", [], "no ground truth boxes"),
    ],
)
def test_fault(tmp_path, place, value, expected):
    _, faults = verified(tmp_path, changed(place, value))
    assert any(expected in fault for fault in faults), faults
    assert all(fault.startswith("hips.json: ") for fault in faults)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "not JSON"),
        ("{'images': []}", "not JSON"),
        ("[" * 100_000, "not JSON"),  # deeper than Python can go
        (b"\xef\xbb\xbf{}", "not JSON in UTF-8"),  # pycocotools can't read a byte order mark either
        ("ü{}".encode("latin-1"), "not JSON in UTF-8"),
        ("[1]", "holds a list, expected a COCO object"),
        ('{"a": NaN, "b": -Infinity}', "2 x -Infinity, NaN found"),
        (json.dumps(SOUND).replace("[10,", "[1e999,"), "expected 4 finite numbers"),  # infinite without the word
        ({"images": [], "annotations": [], "categories": SOUND["categories"]}, "empty dataset"),
    ],
)
def test_faulty_file(tmp_path, content, expected):
    _, faults = verified(tmp_path, content)
    assert any(expected in fault for fault in faults), faults


def test_boxes_of_an_unexpected_class(tmp_path):
    content = changed("categories", [{"id": 1, "name": "hip"}, {"id": 2, "name": "knee"}])
    content["annotations"][0]["category_id"] = 2
    assert "category 'knee' has boxes but is none of the expected" in str(verified(tmp_path, content)[1])
    assert verified(tmp_path, content, None)[1] == []


def test_crowd_boxes_are_no_ground_truth(tmp_path):
    content = copy.deepcopy(SOUND)
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    assert "no ground truth boxes" in str(verified(tmp_path, content)[1])


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        require_valid(tmp_path / "none.json")


def test_all_faults_are_counted_and_20_shown(tmp_path):
    content = copy.deepcopy(SOUND)
    content["annotations"] = [
        {"id": number, "image_id": 9, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25} for number in range(1, 26)
    ]
    path = tmp_path / "many.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError) as caught:
        require_valid(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 25 faults"
    assert len(lines) == 22
    assert lines[-1].strip() == "... and 5 more"


def test_sound_file_is_returned(tmp_path):
    path = tmp_path / "hips.json"
    path.write_text(json.dumps(SOUND))
    assert require_valid(path, classes=("hip",)) == SOUND
