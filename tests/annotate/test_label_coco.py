"""The COCO file of an annotator: written and read back, it is the same; other programs read what they should."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_parts import HIPS, SIZE, film, state
from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Entry, FilmState, Project, parse_state
from hipdet.annotate.label_coco import build_label_coco, read_label_coco
from hipdet.annotate.labels import read_old_labels
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Roi, get_films
from hipdet.data.film_status import labelled
from hipdet.data.formats.reader import read_labels
from hipdet.data.validate.check import Expected, validate

PROJECT = Project(("hip", "knee"), annotator="alice")
BEYOND = [150.0, 40.0, 210.0, 100.0]  # over the right edge of the film

number = st.floats(-40, 240).map(lambda value: round(value, 2))
side = st.floats(4, 120).map(lambda value: round(value, 2))


@st.composite
def entries(draw):
    size = draw(st.sampled_from([SIZE, (90, 200), None]))
    boxes = []
    for x, y, width, height in draw(st.lists(st.tuples(number, number, side, side), max_size=3)):
        mark = {"cut": True} if draw(st.booleans()) else {}
        boxes.append({"box": [x, y, x + width, y + height], "label": draw(st.sampled_from(PROJECT.classes)), **mark})
    record = {
        "boxes": boxes,
        "exclude": draw(st.sampled_from([None, "child", "other: lead, apron"])),
        "unsure": draw(st.booleans()),
        "checked": draw(st.booleans()),
        "none": draw(st.booleans()),
    }
    while True:  # boxes off the film and so on: leave out one after the other
        try:
            made = parse_state(record, Project(PROJECT.classes, free_shape=True), size)
            return Entry(made, draw(st.integers(1, 10**6)), size)
        except DatasetError:
            record = {**record, "boxes": record["boxes"][1:], "none": record["none"] and len(record["boxes"]) > 0}


def left_to_right(entry):
    """The order of drawing isn't kept."""
    return Entry(**{**vars(entry), "state": FilmState(**{**vars(entry.state), "rois": frozenset(entry.state.rois)})})


@given(st.dictionaries(st.sampled_from("abcd"), entries()), st.sampled_from([1, 2, None]))
def test_everything_is_read_back(tmp_path_factory, given_entries, rois):
    project = Project(PROJECT.classes, rois, annotator="alice")
    path = tmp_path_factory.getbasetemp() / "alice.json"
    write_json(path, build_label_coco(given_entries, {}, project))
    found = read_label_coco(path, project)
    assert {name: left_to_right(each) for name, each in found.items()} == {
        name: left_to_right(each) for name, each in given_entries.items()
    }


def entry(boxes, size=SIZE, **remarks):
    return Entry(parse_state(state(boxes, **remarks), Project(free_shape=True), size), 3, size)


LABELLED = {
    "beyond.png": entry([HIPS[0], BEYOND]),
    "excluded.png": entry(HIPS, exclude="child", unsure=True),
    "none.png": entry([], none=True),
    "unreadable.png": entry([], None, exclude="other: broken"),
    "unsure.png": entry([], unsure=True),
}


@pytest.fixture
def path(tmp_path):
    write_json(tmp_path / "alice.json", build_label_coco(LABELLED, {}, Project(annotator="alice")))
    return tmp_path / "alice.json"


def test_boxes_of_excluded_films_never_become_labels(path):
    coco, faults = validate(path, expected=Expected.of_classes(["hip"]))
    assert [(fault.kind, fault.film) for fault in faults] == [("film-left-out", "excluded.png")]
    assert {each.file_name: len(each.rois) for each in get_films(coco)} == {
        "beyond.png": 2,
        "excluded.png": 0,
        "none.png": 0,
    }
    assert {each.film: len(each.boxes) for each in read_labels(path)} == {
        "beyond.png": 2,
        "excluded.png": 0,
        "none.png": 0,
    }
    assert [image["file_name"] for image in labelled(coco, path).coco["images"]] == ["beyond.png", "none.png"]


def test_a_box_that_is_cut_is_ignored_and_counts_as_drawn(tmp_path):
    """Also one whose centre isn't on the film; with one whole and one cut hip, a film of two is done."""
    cut = {"box": [170.0, 40.0, 250.0, 120.0], "label": "hip", "cut": True}
    given_state = state([HIPS[0]])
    made = parse_state({**given_state, "boxes": [*given_state["boxes"], cut]}, Project(), SIZE)
    assert made.status(2) == "done"
    assert parse_state(made.record(), Project(), SIZE) == made
    coco = build_label_coco({"1.png": Entry(made, 1, SIZE)}, {}, Project())
    (one,) = get_films(coco)
    assert [roi.box for roi in one.rois] == [tuple(HIPS[0])]
    assert [(roi.box, roi.square) for roi in one.ignored] == [((170, 40, SIZE[0], 120), (170, 40, 250, 120))]
    write_json(tmp_path / "a.json", coco)
    assert not [
        each for each in validate(tmp_path / "a.json", expected=Expected.of_classes(["hip"]))[1] if not each.warning
    ]
    (labels,) = read_labels(tmp_path / "a.json")
    assert [len(labels.boxes), len(labels.ignored)] == [1, 1]
    for wrong in ("yes", 1, None):
        with pytest.raises(DatasetError, match=r"cut is .*, expected true or false"):
            parse_state({**given_state, "boxes": [{**cut, "cut": wrong}]}, Project(), SIZE)


def test_labels_of_an_annotator_are_imported_with_all_they_hold(path, tmp_path):
    """By another annotator, who has to check them."""
    (tmp_path / "films").mkdir()
    for name in LABELLED:
        (tmp_path / "films" / name).write_bytes(film())
    old = read_old_labels(path, FilmFolder(tmp_path / "films", "films"), Project(annotator="bob"))
    assert {name: found for name, (found, _) in old.states.items()} == {
        "beyond.png": FilmState((Roi(tuple(HIPS[0]), "hip"), Roi(tuple(BEYOND), "hip"))),
        "excluded.png": FilmState(tuple(Roi(tuple(box), "hip") for box in HIPS), "child", unsure=True),
        "none.png": FilmState(none=True),
    }
    assert old.notes == ["excluded.png: excluded there, so here too: child"]


def test_annotations_that_were_edited_elsewhere_count(path):
    coco = json.loads(path.read_text())
    coco["annotations"][1]["bbox"] = [140, 40, 40, 40]
    write_json(path, coco)
    found = read_label_coco(path, Project())["beyond.png"].state
    assert [list(roi.box) for roi in found.rois] == HIPS
    films = path.parent / "films"
    films.mkdir()
    (films / "beyond.png").write_bytes(film())
    old = read_old_labels(path, FilmFolder(films, "films"), Project())
    assert [list(roi.box) for roi in old.states["beyond.png"][0].rois] == HIPS


def test_a_file_of_an_older_version_is_read(path):
    """It has neither revisions nor boxes beyond the film; squares that the edge cuts are completed."""
    coco = json.loads(path.read_text())
    for image in coco["images"]:
        for key in ("revision", "drawn"):
            image.pop(key, None)
    del coco["unlabelled"]
    write_json(path, coco)
    found = read_label_coco(path, Project())
    assert {name: (each.revision, each.state.status(2)) for name, each in found.items()} == {
        "beyond.png": (1, "done"),
        "excluded.png": (1, "excluded"),
        "none.png": (1, "done"),
    }
    assert [list(roi.box) for roi in found["beyond.png"].state.rois] == [HIPS[0], BEYOND]
    assert found["excluded.png"].state == FilmState((), "child", unsure=True, checked=True)


def test_a_file_of_another_tool_is_read_as_unchecked(path):
    coco = json.loads(path.read_text())
    for image in coco["images"]:
        for key in image.keys() - {"id", "file_name", "width", "height"}:
            del image[key]
    write_json(path, coco)
    found = read_label_coco(path, Project())
    assert {name: each.state.status(2) for name, each in found.items()} == {
        "beyond.png": "unchecked",
        "excluded.png": "new",  # without boxes: nobody may have looked at them
        "none.png": "new",
        "unreadable.png": "excluded",
        "unsure.png": "new",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coco: coco.clear(), "no images, expected a list"),
        (lambda coco: coco.update(images={}), "images is {}, expected a list"),
        (lambda coco: coco["images"].append(3), "images 4: found 3, expected an object"),
        (lambda coco: coco["images"][0].update(width=10**9), "images 1: size is [1000000000, 120], expected"),
        (lambda coco: coco["images"][0].update(file_name=None), "images 1: file_name is None, expected a text"),
        (lambda coco: coco["images"][0].update(status=[]), "images 1: status is [], expected a text"),
        (lambda coco: coco["images"][0].update(checked="yes"), "images 1: unsure, checked and none are [False, 'yes'"),
        (lambda coco: coco["images"][0].update(drawn=7), "images 1: boxes is 7, expected a list of at most 100"),
        (lambda coco: coco["images"][0].update(revision="3"), "images 1: revision is '3', expected a whole number"),
        (lambda coco: coco["images"][1].update(exclude="boring"), "images 2: exclude is 'boring', expected null"),
        (lambda coco: coco["images"][1].update(file_name="beyond.png"), "film 'beyond.png' is listed twice"),
        (lambda coco: coco["annotations"][0].update(bbox=[1, 2, 3]), "annotations 1: bbox is [1, 2, 3], expected four"),
        (lambda coco: coco["annotations"][0].update(bbox=[1, 2, 3, 10**400]), "annotations 1: bbox is"),
        (lambda coco: coco["annotations"][0].update(category_id=7), "images 1: box {"),
        (lambda coco: coco["annotations"].extend([coco["annotations"][0]] * 100), "images 1: boxes is"),
        (lambda coco: coco["categories"][0].update(name="knee"), "expected a box with one of the labels hip"),
        (lambda coco: coco.update(unlabelled={}), "unlabelled: found {}, expected a list"),
        (lambda coco: coco["unlabelled"][0].update(size=[0, 0]), "unlabelled 1: size is [0, 0], expected null"),
    ],
)
def test_damaged_files(path, change, message):
    coco = json.loads(path.read_text())
    for image in coco["images"]:
        image.pop("drawn", None)
    change(coco)
    path.write_text(json.dumps(coco))
    with pytest.raises(DatasetError) as error:
        read_label_coco(path, Project())
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith("correct or restore the file, use its --classes, or choose another --annotator")
