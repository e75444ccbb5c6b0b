"""One row for each kind of fault.

mmdet and pycocotools read files without errors completely: nothing is dropped or changed.
"""

import copy
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fuzzing import places
from hipdet.core.errors import DatasetError
from hipdet.data.validate.check import Expected, require_valid, validate
from sound_coco import SOUND, changed

HIPS = Expected.of_classes(("hip",))


def found(tmp_path, content, expected=HIPS):
    path = tmp_path / "hips.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return validate(path, expected=expected)[1]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("annotations.0.area", 2490.5),  # of a mask
        ("annotations.0.bbox", [0, 20, 43, 50]),  # a square that the edge of the film cuts
        ("annotations.0.bbox", [10, 20, 50, 51.5]),  # nearly a square
        ("annotations.0.picture_side", ...),
        ("categories", [{"id": 1, "name": "hip"}, {"id": 2, "name": "ignored"}]),  # further class without boxes
        ("categories.0.supercategory", "joint"),
        ("categories.0.id", 1),
        ("images.0.id", 1),
        ("info", {"year": 2021}),
        ("images.0.file_name", "größe film..1.jpg"),
        ("images.0.patient", 0),
        ("images.0.source", 7),
        ("images.0.spacing_mm", [0.2, 0.1]),
        ("images.0.spacing_mm", None),
        ("images.0.spacing_plane", "detector"),
        ("images.0.spacing_plane", None),
    ],
)
def test_no_fault(tmp_path, place, value):
    assert found(tmp_path, SOUND) == []
    assert found(tmp_path, changed(place, value)) == []


@pytest.mark.parametrize(
    ("place", "value", "kind", "message"),
    [
        # ids
        (
            "annotations.0.id",
            0,
            "id-invalid",
            "annotation 0: id 0, expected a whole number from 1 up: renumber them",
        ),
        ("annotations.0.id", 2, "id-twice", "annotation 2: id used 2 times, expected once"),
        ("annotations.0.id", "1", "id-invalid", "id '1', expected a whole number"),
        ("annotations.0.id", [1], "id-invalid", "id [1], expected a whole number"),
        ("images.0.id", 2, "id-twice", "image 2: id used 2 times"),
        ("images.0.id", True, "id-invalid", "image True: id True"),
        ("images.0.id", -1, "id-invalid", "image -1: id -1"),
        ("categories", [{"id": 1, "name": "hip"}, {"id": 1, "name": "x"}], "id-twice", "category 1: id used 2 times"),
        ("annotations.0.image_id", 7, "image-unknown", "annotation 1: image_id 7, expected the id of an image"),
        ("annotations.0.image_id", "1", "image-unknown", "image_id '1'"),
        ("annotations.0.image_id", {}, "image-unknown", "image_id {}"),
        (
            "annotations.0.category_id",
            7,
            "category-unknown",
            "annotation 1 (a/1.jpg): category_id 7, expected one of [1]",
        ),
        ("annotations.0.category_id", 1.5, "category-unknown", "category_id 1.5"),
        # boxes
        ("annotations.0.bbox", [1, 2, 3], "box-not-numbers", "bbox [1, 2, 3], expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, "4"], "box-not-numbers", "expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, None], "box-not-numbers", "expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, True], "box-not-numbers", "expected 4 finite numbers"),
        ("annotations.0.bbox", [1, 2, 3, 10**400], "box-not-numbers", "expected 4 finite numbers"),
        ("annotations.0.bbox", {"x": 1}, "box-not-numbers", "expected 4 finite numbers"),
        ("annotations.0.bbox", [10, 20, 0, 50], "box-too-small", "0 wide and 50 high, expected at least 1 px"),
        ("annotations.0.bbox", [60, 70, -50, -50], "box-too-small", "-50 wide and -50 high"),
        ("annotations.0.bbox", [380, 20, 50, 50], "box-outside", "reaches 30 px out of the film of 400x300"),
        ("annotations.0.bbox", [10, -2, 50, 50], "box-outside", "reaches 2 px out of the film"),
        # outside the film: 1 px over its edge, and no part on the film
        ("annotations.0.bbox", [400, 20, 1, 1], "box-outside", "reaches 1 px out of the film of 400x300"),
        ("annotations.0.bbox", [20, -1, 1, 1], "box-outside", "reaches 1 px out of the film of 400x300"),
        # hip at 250..300, 200..250 written by its corners: 250 + 300 > 400
        ("annotations.0.bbox", [250, 200, 300, 250], "box-corners", "[x0, y0, x1, y1]: write [250, 200, 50, 50]"),
        ("annotations.0.bbox", [300, 20, 50, 50], "box-twice", "annotation 2 (a/1.jpg): the same box as annotation 1"),
        ("annotations.0.area", 0, "area-invalid", "area 0, expected 2500: write width x height"),
        ("annotations.0.area", "2500", "area-invalid", "area '2500', expected 2500"),
        ("annotations.0.area", ..., "field-missing", "annotations[0] (id 1): area missing"),  # KeyError in CocoDataset
        (
            "annotations.0.iscrowd",
            ...,
            "field-missing",
            "annotations[0] (id 1): iscrowd missing",
        ),  # KeyError in COCOeval
        ("annotations.0.iscrowd", "0", "iscrowd-invalid", "iscrowd is '0', expected 0 or 1"),
        ("annotations.0.iscrowd", 2, "iscrowd-invalid", "iscrowd is 2, expected 0 or 1"),
        ("annotations.0.square", [-5, 20, 50], "square-invalid", "expected 4 finite numbers [x, y, side, side]"),
        (
            "annotations.0.square",
            [-5, 20, 65, 65],
            "square-invalid",
            "expected a square whose part on the film is bbox",
        ),
        ("annotations.0.square", [10, 20, 50, 90], "square-invalid", "a square whose part on the film is bbox"),
        # images
        ("images.0.width", 0, "size-invalid", "image 1 (a/1.jpg): width is 0, expected the pixels of the upright film"),
        ("images.0.height", -300, "size-invalid", "height is -300"),
        ("images.0.width", 400.5, "size-invalid", "width is 400.5"),
        ("images.0.width", None, "size-invalid", "width is None"),
        ("images.0.width", 10**30, "size-invalid", "expected the pixels of the upright film, 1 to 20000: read them"),
        ("images.0.height", 20_001, "size-invalid", "height is 20001"),
        ("images.0.width", 1e30, "size-invalid", "width is 1e+30"),
        ("images.0.width", 400.0, "size-invalid", "width is 400.0"),
        ("annotations.0.area", 10**30, "area-invalid", "area 1000000000000000000000000000000, expected 2500"),
        ("annotations.0.bbox.0", 10**30, "box-outside", "expected a box on the film"),
        ("images.0.file_name", "/data/1.jpg", "name-invalid", "'/data/1.jpg' is absolute"),
        ("images.0.file_name", "C:/data/1.jpg", "name-invalid", "'C:/data/1.jpg' is absolute"),
        ("images.0.file_name", "a/../../1.jpg", "name-invalid", "leads out of the image root"),
        ("images.0.file_name", "a\0.jpg", "name-invalid", r"'a\x00.jpg' has control characters"),
        ("images.0.file_name", "a\x1b[2J.jpg", "name-invalid", r"'a\x1b[2J.jpg' has control characters"),
        ("images.0.file_name", "a\nerror.jpg", "name-invalid", r"image 1 (a\nerror.jpg): file_name 'a\nerror.jpg' has"),
        ("images.0.file_name", "a" * 1001, "name-invalid", "is too long"),
        ("images.0.patient", ["P1"], "name-invalid", "patient is ['P1'], expected a name or a number"),
        ("images.0.patient", True, "name-invalid", "patient is True, expected a name or a number"),
        ("images.0.source", {"a": 1}, "name-invalid", "source is {'a': 1}, expected a name or a number"),
        (
            "images.0.spacing_mm",
            [0.1],
            "spacing-invalid",
            "image 1 (a/1.jpg): spacing_mm is [0.1], expected [x, y] in mm",
        ),
        ("images.0.spacing_mm", "0.1", "spacing-invalid", "spacing_mm is '0.1'"),
        ("images.0.spacing_mm", [0.1, True], "spacing-invalid", "spacing_mm is [0.1, True]"),
        ("images.0.spacing_mm", [0.1, -0.1], "spacing-invalid", "a pixel of at least 0.01, a film of at most 2000"),
        ("images.0.spacing_mm", [5.1, 0.1], "spacing-invalid", "spacing_mm is [5.1, 0.1]"),  # 400 px wide
        (
            "images.0.spacing_plane",
            "table",
            "spacing-invalid",
            "'table', expected one of calibrated, corrected, detector",
        ),
        ("images.0.spacing_plane", [], "spacing-invalid", "spacing_plane is []"),
        ("categories.0.name", "hip\x1b[1m", "class-name", r"name is 'hip\x1b[1m', expected a string without control"),
        ("images.0.file_name", "a\\1.jpg", "name-invalid", "has a backslash"),
        ("images.0.file_name", "  ", "name-invalid", "file_name is '  ', expected the path of a film"),
        ("images.0.file_name", 5, "name-invalid", "file_name is 5"),
        ("images.0.file_name", "a/2.jpg", "film-twice", "image 2 (a/2.jpg): the same file_name as image 1"),
        # classes
        ("categories.0.name", "Hip", "class-name", "category 'Hip': 'Hip', expected 'hip': rename it"),
        ("categories.0.name", "hip ", "class-name", "'hip ', expected 'hip'"),
        ("categories.0.name", "pelvis", "class-missing", "categories ['pelvis'], expected 'hip'"),
        ("categories.0.name", None, "class-name", "category 1: name is None, expected a string"),
        ("categories", [{"id": 1, "name": "hip"}, {"id": 2, "name": "hip"}], "class-twice", "name is used 2 times"),
        # structure
        ("images", ..., "file-not-coco", "'images' is missing, expected a list"),
        ("images", {}, "file-not-coco", "'images' is a dict, expected a list"),
        ("images.0", 5, "record-not-object", "images[0] is of type int, expected an object"),
        ("images.0.height", ..., "field-missing", "images[0] (id 1): height missing"),
        ("annotations.1.bbox", ..., "field-missing", "annotations[1] (id 2): bbox missing"),
        ("categories.0.name", ..., "field-missing", "categories[0] (id 1): name missing"),
        ("annotations", [], "no-boxes", "no ground truth boxes"),
    ],
)
def test_error(tmp_path, place, value, kind, message):
    faults = [fault for fault in found(tmp_path, changed(place, value)) if not fault.warning]
    assert kind in {fault.kind for fault in faults}
    text = next(str(fault) for fault in faults if fault.kind == kind)
    assert message in text
    assert text.startswith("hips.json: ")
    with pytest.raises(DatasetError, match=r"hips\.json: \d+ fault"):
        require_valid(tmp_path / "hips.json", classes=("hip",))


@pytest.mark.parametrize(
    ("place", "value", "kind", "message"),
    [
        ("annotations.0.bbox", [-1, 20, 50, 50], "box-over-edge", "reaches 1 px out of the film of 400x300"),
        ("annotations.0.bbox", [10, 20, 50, 60], "not-square", "50 wide and 60 high, expected a square"),
        ("annotations.0.area", 99, "area-differs", "area 99, expected 2500"),
        ("annotations.0.iscrowd", 1, "box-ignored", "iscrowd is set, so the box is neither an ROI nor background"),
        ("annotations.0.ignore", 1, "box-ignored", "ignore is set, so the box is neither an ROI nor background"),
        ("annotations.0.bbox", [310, 30, 50, 50], "rois-overlap", "annotation 2 (a/1.jpg): IoU 0.47"),
        (
            "annotations.0.bbox",
            [370, 20, 30, 30],
            "sides-swapped",
            "image 1 (a/1.jpg): left ROI at x = 385, right",
        ),
        ("annotations.0.laterality", "left", "side-mirrored", "picture_side and laterality are both 'left'"),
        (
            "annotations.0.picture_side",
            "L",
            "side-unknown",
            "picture_side 'L', laterality 'right', expected left, right or",
        ),
        ("annotations.0.laterality", {}, "side-unknown", "laterality {}, expected left, right or nothing"),
        ("annotations.0.image_id", 2, "too-few-rois", "image 1 (a/1.jpg): 1 ROIs, expected 2: check the film"),
        ("annotations.0.image_id", 2, "too-many-rois", "image 2 (a/2.jpg): 3 ROIs, expected 2"),
        ("annotations", SOUND["annotations"][:2], "no-roi", "image 2 (a/2.jpg): 0 ROIs, expected 2"),
        (
            "images.0.status",
            "unchecked",
            "film-left-out",
            "image 1 (a/1.jpg): unchecked: nobody has looked at its labels",
        ),
        (
            "images.0.exclude",
            "child",
            "film-left-out",
            "image 1 (a/1.jpg): excluded by the annotator: child, expected a finished film",
        ),
        ("images.0.patient", ..., "patient-missing", "1 of 2 images without patient"),
        ("images.0.file_name", "A/2.jpg", "name-case", "differs from 'A/2.jpg' by case only"),
    ],
)
def test_warning(tmp_path, place, value, kind, message):
    if kind == "rois-overlap":  # (50 - 10)(50 - 10) / (2 x 2500 - 1600) = 0.47 isn't enough; 4 px apart it is 0.73
        assert kind not in {fault.kind for fault in found(tmp_path, changed(place, value))}
        value, message = [304, 24, 50, 50], message.replace("0.47", "0.73")
    faults = found(tmp_path, changed(place, value))
    assert all(fault.warning for fault in faults)
    assert message in next(str(fault) for fault in faults if fault.kind == kind)
    require_valid(tmp_path / "hips.json", classes=("hip",))


def test_unlikely_ratio(tmp_path):
    """Ten hips of 50 px in films of 400: the median is 1/8; 17 px are below a third of it, 150 px are three times it."""
    content = copy.deepcopy(SOUND)
    for number in range(3, 7):
        content["images"].append({**SOUND["images"][0], "id": number, "file_name": f"{number}.jpg"})
        for box in SOUND["annotations"][:2]:
            content["annotations"].append({**box, "id": 10 * number + box["id"], "image_id": number})
    assert found(tmp_path, content) == []
    content["annotations"][0].update(bbox=[10, 20, 16, 16], area=256)
    content["annotations"][1].update(bbox=[200, 20, 150, 150], area=22500)
    (fault,) = found(tmp_path, content)
    assert (fault.kind, fault.id, fault.found) == ("ratio-unlikely", "annotation 1", "ratio_ROI/image 0.040")
    assert fault.expected == "near 0.125, the median"


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("", "file-not-json", "not JSON"),
        ("{'images': []}", "file-not-json", "not JSON"),
        ("[" * 100_000, "file-not-json", "nested too deeply"),  # deeper than Python can go
        ("ü{}".encode("latin-1"), "file-not-json", "not UTF-8 (invalid start byte), expected strict JSON in UTF-8"),
        ('{"images": [], "images": []}', "file-not-json", "key 'images' occurs twice in an object"),
        (r'{"info": "\ud800"}', "file-not-json", "not UTF-8"),
        ("[1]", "file-not-coco", "a list, expected an object with images"),
        ('{"a": NaN, "b": -Infinity}', "not-a-number", "NaN is not a number of JSON"),
        (json.dumps(SOUND).replace("[10,", "[1e999,"), "not-a-number", "'1e999' is too large a number"),
        ({"images": [], "annotations": [], "categories": SOUND["categories"]}, "no-images", "empty dataset"),
    ],
)
def test_faulty_file(tmp_path, content, kind, message):
    faults = found(tmp_path, content)
    assert message in next(str(fault) for fault in faults if fault.kind == kind)


def test_far_too_many_boxes_on_a_film(tmp_path):
    """They aren't compared with each other: a million would take terabytes."""
    content = copy.deepcopy(SOUND)
    boxes = [dict(SOUND["annotations"][2], id=n, bbox=[n % 300, n // 300, 50, 50]) for n in range(1, 1002)]
    content["annotations"] = boxes[:1000]
    kinds = Counter(fault.kind for fault in found(tmp_path, content, Expected()))
    assert kinds["rois-overlap"] == 999  # each but the first has one before it
    assert "too-many-boxes" not in kinds
    content["annotations"] = boxes
    faults = found(tmp_path, content, Expected())
    (fault,) = [fault for fault in faults if not fault.warning]
    assert str(fault) == "hips.json: image 2 (a/2.jpg): 1001 boxes, expected at most 1000 on a film: is this one film?"
    assert not [fault for fault in faults if fault.kind == "rois-overlap"]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        require_valid(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="can't be read"):
        require_valid(tmp_path)


def two_classes(*names):
    content = changed("categories", [{"id": number, "name": name} for number, name in enumerate(names, 1)])
    content["annotations"][0]["category_id"] = 2
    return content


def test_boxes_of_an_unexpected_class(tmp_path):
    content = two_classes("hip", "knee")
    assert [fault.kind for fault in found(tmp_path, content)] == ["class-unknown"]
    assert found(tmp_path, content, Expected()) == []


def test_order_of_classes(tmp_path):
    """CocoDataset numbers classes in the order of the file, so the config's names would be swapped."""
    content = two_classes("hip", "knee")
    assert found(tmp_path, content, Expected(("hip", "knee"))) == []
    (fault,) = found(tmp_path, content, Expected(("knee", "hip")))
    assert (fault.kind, fault.warning) == ("class-order", False)
    assert "in the order ['hip', 'knee'], expected ['knee', 'hip']" in str(fault)


def test_other_rois_have_no_expectations(tmp_path):
    content = changed("annotations.0.bbox", [10, 20, 50, 100])
    content["annotations"][0]["area"] = 5000
    content["annotations"].pop(1)
    assert found(tmp_path, content, Expected()) == []


def test_all_errors_are_counted_and_20_shown(tmp_path):
    content = copy.deepcopy(SOUND)
    content["annotations"] = [
        {"id": number, "image_id": 9, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
        for number in range(1, 26)
    ]
    path = tmp_path / "many.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError) as caught:
        require_valid(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 25 faults"
    assert len(lines) == 22
    assert lines[-1].strip() == "... and 5 more"


def test_sound_file_is_returned_and_warnings_are_counted(tmp_path, caplog):
    path = tmp_path / "hips.json"
    path.write_text(json.dumps(SOUND))
    assert require_valid(path, classes=("hip",)) == SOUND
    assert caplog.messages == []
    path.write_text(json.dumps(changed("annotations.0.area", 99)))
    require_valid(path, classes=("hip",))
    assert caplog.messages == ["hips.json: 1 warnings (area-differs); hipdet validate shows them"]


def test_all_faults_are_found_in_one_run(tmp_path):
    content = changed("annotations.0.bbox", [10, 20, 0, 50])
    content["annotations"][1]["image_id"] = 7
    content["images"][1]["file_name"] = "../2.jpg"
    content["categories"][0]["name"] = "Hip"
    kinds = {fault.kind for fault in found(tmp_path, content)}
    assert {"box-too-small", "image-unknown", "name-invalid", "class-name"} <= kinds


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 500), st.floats(-500, 500), st.sampled_from(["", "1", "hip", "Hip", "a/2.jpg"]),
    st.just(10**30), st.just(math.nan), st.just(math.inf), st.lists(st.integers(-5, 400), max_size=5), st.just({}),
)  # fmt: skip


def spoiled(changes):
    content = copy.deepcopy(SOUND)
    for place, value in changes:
        parent = content
        try:
            for key in place[:-1]:
                parent = parent[key]
            if value is ...:
                del parent[place[-1]]
            else:
                parent[place[-1]] = copy.deepcopy(value)  # an example's {} must not be filled by the next change
        except (KeyError, IndexError, TypeError):  # what an earlier change has removed
            continue
    return content


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(sorted(places(SOUND), key=str)), st.one_of(VALUES, st.just(...))), max_size=3
    )
)
# 10**30 + 50 - 10**30 is 0 in floating point: CocoDataset took the box for one outside the film
@example(changes=[(("images", 0, "width"), 10**30), (("annotations", 0, "bbox", 0), 10**30)])
@example(changes=[(("images", 0, "width"), 1e30), (("annotations", 0, "bbox", 0), 1e30)])
@example(changes=[(("annotations", place, "area"), 10**30) for place in range(4)])  # COCOeval's ranges end at 1e10
def test_without_errors_nothing_is_dropped(changes, tmp_path_factory):
    content = spoiled(changes)
    path = tmp_path_factory.mktemp("v") / "hips.json"
    path.write_text(json.dumps(content))
    _, faults = validate(path, expected=Expected(("hip",)))
    if any(not fault.warning for fault in faults):
        return
    options = dict(data_prefix={"img": ""}, test_mode=True, serialize_data=False)
    dataset = CocoDataset(ann_file=str(path), metainfo={"classes": ("hip",)}, **options)
    loaded = {info["img_id"]: info for info in dataset.data_list}
    assert set(loaded) == {image["id"] for image in content["images"]}
    for image in content["images"]:
        expected = [
            np.add(annotation["bbox"], [0, 0, *annotation["bbox"][:2]]).tolist()
            for annotation in content["annotations"]
            if annotation["image_id"] == image["id"] and not annotation.get("ignore")
        ]
        np.testing.assert_allclose([each["bbox"] for each in loaded[image["id"]]["instances"]], expected)
        assert {each["bbox_label"] for each in loaded[image["id"]]["instances"]} <= {0}
    coco = COCO(str(path))
    assert len(coco.getAnnIds()) == len(content["annotations"])
    if any(not annotation["iscrowd"] for annotation in content["annotations"]):
        assert perfect_ap(coco, content) > 1 - 1e-9


def perfect_ap(coco, content):
    """COCO mAP of the labels as detections."""
    keys = ("image_id", "category_id", "bbox")
    found = [{**{key: each[key] for key in keys}, "score": 1.0} for each in content["annotations"]]
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]
