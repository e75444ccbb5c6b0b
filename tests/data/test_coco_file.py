"""COCO dictionaries of films, and the rule for which films have finished labels."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.annotations import get_patients
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, append, build_coco, get_films, subset
from hipdet.data.film_status import is_done, labelled, left_out
from hipdet.data.statistics import Summary
from hipdet.data.validate.check import Expected, validate

pycocotools_coco = pytest.importorskip("pycocotools.coco")

FILMS = [
    Film("a/1.jpg", 400, 300, "cgoa", "p1", (Roi((10.5, 20, 60.5, 70), "hip", "left", False),)),
    Film(
        "a/2.jpg", 300, 400, "cgoa", "p2", (Roi((0, 0, 100 / 3, 100 / 3), "hip"), Roi((5, 5, 9, 9), "hip", None, True))
    ),
]

# Written out by hand: w = 60.5 - 10.5, h = 70 - 20, area = 50 x 50; 100 / 3 = 33.333 and 33.333 squared = 1111.089.
GOLDEN = {
    "info": {"description": "golden"},
    "images": [
        {"id": 1, "file_name": "a/1.jpg", "width": 400, "height": 300, "source": "cgoa", "patient": "p1"},
        {"id": 2, "file_name": "a/2.jpg", "width": 300, "height": 400, "source": "cgoa", "patient": "p2"},
    ],
    "annotations": [
        {
            "id": 1, "image_id": 1, "category_id": 1, "bbox": [10.5, 20.0, 50.0, 50.0], "area": 2500.0, "iscrowd": 0,
            "picture_side": "left", "laterality": "right", "implant": False,
        },
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0.0, 0.0, 33.333, 33.333], "area": 1111.089, "iscrowd": 0},
        {
            "id": 3, "image_id": 2, "category_id": 1, "bbox": [5.0, 5.0, 4.0, 4.0], "area": 16.0, "iscrowd": 0,
            "implant": True,
        },
    ],
    "categories": [{"id": 1, "name": "hip"}],
}  # fmt: skip


def test_golden():
    assert build_coco(FILMS, ["hip"], {"description": "golden"}) == GOLDEN


def test_ignored_boxes_come_after_the_rois_and_come_back():
    film = replace(FILMS[0], ignored=(Roi((1, 2, 11, 22), "hip"),))
    coco = build_coco([film, FILMS[1]], ["hip"], {})
    assert [(a["id"], a["image_id"], a["iscrowd"]) for a in coco["annotations"]] == [
        (1, 1, 0), (2, 1, 1), (3, 2, 0), (4, 2, 0)
    ]  # fmt: skip
    assert get_films(coco)[0] == film
    coco["annotations"][1].update(iscrowd=0, ignore=1)
    assert get_films(coco)[0] == film
    assert Summary.of(get_films(coco)).rois == 3
    with pytest.raises(DatasetError, match="label 'knee' found"):
        build_coco([replace(film, ignored=(Roi((1, 2, 3, 4), "knee"),))], ["hip"], {})


def test_same_films_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_json(tmp_path / name, build_coco(FILMS, ["hip"], {}))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_unknown_label():
    film = Film("a.jpg", 9, 9, "s", "p", (Roi((0, 0, 5, 5), "knee"),))
    with pytest.raises(DatasetError, match=r"a\.jpg: label 'knee' found, expected one of \['hip'\]"):
        build_coco([film], ["hip"], {})


def test_pycocotools_loads_it(tmp_path):
    path = tmp_path / "hips.json"
    write_json(path, build_coco(FILMS, ["hip"], {}))
    coco = pycocotools_coco.COCO(str(path))
    assert coco.getImgIds() == [1, 2]
    assert [a["bbox"] for a in coco.loadAnns(coco.getAnnIds(imgIds=[2]))] == [[0, 0, 33.333, 33.333], [5, 5, 4, 4]]


@st.composite
def films(draw):
    made = []
    for number in range(draw(st.integers(1, 6))):
        width, height = draw(st.integers(10, 5000)), draw(st.integers(10, 5000))
        rois = []
        for _ in range(draw(st.integers(1, 2))):
            side = draw(st.floats(1.01, min(width, height)))
            x, y = draw(st.floats(0, width - side)), draw(st.floats(0, height - side))
            rois.append(Roi((x, y, x + side, y + side), "hip", draw(st.sampled_from([None, "left", "right"]))))
        if len(rois) == 2 and max(abs(a - b) for a, b in zip(rois[0].box, rois[1].box)) < 0.01:
            rois.pop()  # the same box twice is a fault
        made.append(Film(f"films/{number}.png", width, height, "s", draw(st.text(max_size=4)), tuple(rois)))
    return made


@settings(max_examples=60, deadline=None)
@given(films=films())
def test_what_is_built_has_no_faults(films, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "built.json"
    built = build_coco(films, ["hip"], {})
    write_json(path, built)
    coco, faults = validate(path, expected=Expected(("hip",)))
    assert [fault for fault in faults if not fault.warning] == []
    assert coco == json.loads(json.dumps(built))
    for annotation, roi in zip(coco["annotations"], (roi for film in films for roi in film.rois)):
        x, y, w, h = annotation["bbox"]
        assert (x, y, x + w, y + h) == pytest.approx(roi.box, abs=2e-3)


SUBSET_FILMS = [
    Film("a.jpg", 90, 60, "s", "P1", (Roi((1, 2, 11, 12), "hip", "left", True), Roi((50, 2, 60, 12), "hip"))),
    Film("b.jpg", 80, 60, "s", "P2", (), {"visit": "12m"}),
    Film("c.jpg", 80, 60, "s", "P3", (Roi((1, 2, 11, 12), "hip"),)),
]


def test_built_and_loaded_films_are_the_same():
    assert get_films(build_coco(SUBSET_FILMS, ["hip"], {})) == SUBSET_FILMS


def test_crowds_are_no_rois():
    coco = build_coco(SUBSET_FILMS, ["hip"], {})
    coco["annotations"][0]["iscrowd"] = 1
    assert len(get_films(coco)[0].rois) == 1


def test_ids_stay_in_a_subset_and_are_renumbered_in_a_union():
    coco = build_coco(SUBSET_FILMS, ["hip"], {"year": 2026})
    part = subset(coco, [3, 1])
    assert [image["id"] for image in part["images"]] == [1, 3]
    assert [annotation["id"] for annotation in part["annotations"]] == [1, 2, 3]
    assert part["info"] == {"year": 2026}
    whole = dict(images=[], annotations=[], categories=[])
    for name in ("one", "two"):
        append(whole, subset(coco, [3]), name)
    assert [(image["id"], image["file_name"]) for image in whole["images"]] == [(1, "c.jpg"), (2, "c.jpg")]
    assert [(each["id"], each["image_id"]) for each in whole["annotations"]] == [(1, 1), (2, 2)]
    with pytest.raises(DatasetError, match=r"three: classes are \['knee'\], expected \['hip'\] as in the other files"):
        append(whole, build_coco([], ["knee"], {}), "three")


def test_a_union_keeps_that_patients_are_not_known():
    coco = build_coco(SUBSET_FILMS, ["hip"], {"patients": "unknown"})
    whole = dict(images=[], annotations=[], categories=[])
    append(whole, coco, "one")
    append(whole, build_coco([replace(SUBSET_FILMS[0], file_name="d.jpg")], ["hip"], {}), "two")
    assert get_patients([coco]) == {}
    assert get_patients([whole]) == {"d.jpg": ("s", "P1")}
    # joined with others again, and divided
    whole["info"] = {"patients": "unknown", "year": 2026}
    again = dict(images=[], annotations=[], categories=[])
    append(again, whole, "both")
    assert again["images"] == whole["images"]
    assert subset(whole, [1, 4])["info"] == whole["info"]
    known = subset(whole, [4])
    assert known["info"] == {"year": 2026}
    assert get_patients([known]) == {"d.jpg": ("s", "P1")}
    assert subset(coco, [1])["info"] == coco["info"]


def film(name, width, height, patient, *sides):
    return Film(name, width, height, "s", patient, tuple(Roi((0, 0, side, side), "hip") for side in sides))


def test_statistics():
    summary = Summary.of([film("a", 100, 80, "1", 10, 20), film("b", 150, 200, "1", 60)])
    assert (summary.films, summary.rois, summary.patients) == (2, 3, 1)
    # 10/100, 20/100, 60/200
    assert (summary.ratio.minimum, summary.ratio.median, summary.ratio.maximum) == pytest.approx((0.1, 0.2, 0.3))
    # long sides 100 and 200: mean 150, sample s.d. = sqrt(50^2 + 50^2)
    assert (summary.long_side.mean, summary.long_side.sd) == pytest.approx((150, math.sqrt(5000)))


def test_clipped_square_keeps_its_side():
    roi = Roi((0, 10, 15, 30), "hip")  # the left quarter of a square of 20 is outside the film
    assert roi.side == 20
    assert not roi.is_square


def test_statistics_of_no_films():
    summary = Summary.of([])
    assert summary.films == 0
    assert math.isnan(summary.ratio.median)


def test_one_film_has_no_spread():
    assert Summary.of([film("a", 100, 80, "1", 10)]).long_side.sd == 0


HIP = Roi((20, 40, 60, 80), "hip")


@pytest.mark.parametrize(
    ("image", "reason", "asked"),
    [
        ({}, None, None),
        ({"status": "done"}, None, None),
        ({"status": "done", "unsure": True}, None, None),  # a second opinion is wanted; the labels are used meanwhile
        ({"status": "annotated"}, None, None),  # another tool's status
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


def test_only_the_status_confirms_that_there_is_no_roi():
    assert is_done({"status": "done"})
    assert not is_done({})


def build_label_coco(*statuses):
    films = [
        Film(f"{n}.png", 200, 120, "", f"P{n}", (HIP,) if boxes else (), {"status": status} if status else {})
        for n, (status, boxes) in enumerate(statuses, 1)
    ]
    return build_coco(films, ["hip"], {"description": "x"})


def test_a_file_with_finished_labels_only_is_unchanged():
    coco = build_label_coco(("done", True), (None, True), ("done", False))
    found = labelled(coco, "a.json")
    assert found.coco is coco
    assert str(found) == ""


def test_films_left_out_and_the_message():
    coco = build_label_coco(
        ("done", True), ("unchecked", True), ("incomplete", True), ("unchecked", True), ("excluded", False)
    )
    found = labelled(coco, "a.json")
    assert [image["file_name"] for image in found.coco["images"]] == ["1.png"]
    assert [each["image_id"] for each in found.coco["annotations"]] == [1]
    assert str(found) == "4 films are left out: 2 unchecked, 1 incomplete, 1 excluded by the annotator"
    asked = labelled(coco, "a.json", unfinished=True)
    assert asked.left_out == {"5.png": "excluded by the annotator"}
    assert [image.get("taken") for image in asked.coco["images"]] == [None, True, True, True]
    assert labelled(asked.coco, "b.json") == labelled(asked.coco, "b.json", unfinished=True)  # taken films stay taken
    assert "taken" not in coco["images"][1]


def test_nothing_left_is_an_error():
    with pytest.raises(
        DatasetError, match=r"a\.json: 1 films are left out: 1 unchecked, and no box is left.*--with-unfinished"
    ):
        labelled(build_label_coco(("unchecked", True), ("done", False)), "a.json")


def test_squares_over_the_edge_and_kinds_come_back():
    roi = Roi((-9, 20, 31, 60), "hip", kind="child").on_film(300, 200)
    assert (roi.box, roi.square, roi.side) == ((0, 20, 31, 60), (-9, 20, 31, 60), 40)
    film = replace(FILMS[0], rois=(roi,), ignored=(Roi((280, 150, 380, 250), "hip").on_film(300, 200, math.inf),))
    coco = build_coco([film], ["hip"], {})
    first, second = coco["annotations"]
    assert (first["bbox"], first["square"], first["kind"]) == ([0, 20, 31, 40], [-9, 20, 40, 40], "child")
    assert (second["bbox"], second["square"], second["iscrowd"]) == ([280, 150, 20, 50], [280, 150, 100, 100], 1)
    assert get_films(coco)[0] == film


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((10, 20, 50, 60), None),  # on the film
        ((-14, 20, 26, 60), (-14, 20, 26, 60)),  # by .35
        ((-15, 20, 25, 60), None),  # too far: as if it were cut
        ((-9, 20, 31, 70), None),  # no square
        ((-9, -9, 31, 31), (-9, -9, 31, 31)),  # its part on the film is a square, too
        ((-0.004, 20, 39.996, 60), None),  # rounding
    ],
)
def test_which_squares_are_kept(box, square):
    roi = Roi(box, "hip").on_film(300, 200)
    assert roi.square == square
    assert roi.box == tuple(np.clip(box, 0, [300, 200] * 2))
    assert roi.on_film(300, 200) == roi
