import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, Roi, build_coco, films_of
from hipdet.data.statistics import summarize
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
    assert films_of(coco)[0] == film
    coco["annotations"][1].update(iscrowd=0, ignore=1)
    assert films_of(coco)[0] == film
    assert summarize(films_of(coco)).rois == 3
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
