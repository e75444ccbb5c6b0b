"""Films that are labelled in any format, in the upright or the raw frame, are converted to the same annotations."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from film_bytes import encoded
from film_sources import film, table, voc, write
from hipdet.core.boxes import iou_matrix
from hipdet.core.errors import DatasetError
from hipdet.core.stored_files import StoredFile
from hipdet.data.annotators import merge_annotators
from hipdet.data.candidates import Candidate, Exclusion, Found, Rules
from hipdet.data.coco_file import Roi
from hipdet.data.collect import LabelSource, collect, default_labels, upright_rois, with_sides
from hipdet.data.convert import Output, convert_found
from hipdet.data.formats.record import FilmLabels, LabelBox
from hipdet.data.match import FilmIndex, find_films, match_labels
from hipdet.data.sources.folder import find_folder
from hipdet.data.validate.check import validate
from hipdet.radiographs.grey import RadiographHeader
from label_writers import NO_SIZE, TEN, WHOLE, WRITERS, items, raw_box

FLAT = RadiographHeader("JPEG", (180, 120))
TURNED = RadiographHeader("JPEG", (120, 180), 6)  # upright 180x120 too


def rois(boxes, declared, header=FLAT, rules=None, crop=(0, 0)):
    drawn = tuple(LabelBox(box, "hip", f"line {line}") for line, box in enumerate(boxes, 2))
    labels = FilmLabels("a.jpg", declared, drawn, Path("l.csv"))
    film = Candidate(StoredFile("f/a.jpg", Path("a.jpg")), "P", "a", crop=crop)
    return upright_rois(labels, header, film, rules or Rules("s"))


@pytest.mark.parametrize(
    ("box", "declared", "header", "expected"),
    [
        ((10, 20, 30, 40), (180, 120), FLAT, (10, 20, 30, 40)),
        ((10, 20, 30, 40), (180, 120), TURNED, (10, 20, 30, 40)),
        # raw x of 6 is the upright y; raw y = 20..40 of 180 is the upright x = 140..160
        ((10, 20, 30, 40), (120, 180), TURNED, (140, 10, 160, 30)),
        ((-4, 20, 16, 40), (180, 120), FLAT, (0, 20, 16, 40)),  # a fifth of the side over the edge
        ((165, 105, 185, 125), (180, 120), FLAT, (165, 105, 180, 120)),
    ],
)
def test_boxes(box, declared, header, expected):
    assert [roi.box for roi in rois([box], declared, header).rois] == [expected]


def test_boxes_are_sorted_from_left_to_right():
    found = rois([(100, 1, 110, 11), (10, 50, 20, 60)], None).rois
    assert [roi.box[0] for roi in found] == [10, 100]


def test_warning_only_where_there_are_boxes():
    assert "EXIF orientation is 6" in rois([(1, 1, 9, 9)], None, TURNED).warning
    assert rois([], None, TURNED).warning is None


def test_labels_of_a_smaller_copy():
    scaled = Rules("s", scaled_labels=True)
    assert [roi.box for roi in rois([(10, 20, 30, 40)], (90, 60), rules=scaled).rois] == [(20, 40, 60, 80)]
    # sides of a copy are rounded: 535x456 of 1080x920 (0.49537, 0.49565)
    (roi,) = rois([(100, 100, 200, 200)], (535, 456), RadiographHeader("DICOM", (1080, 920)), scaled).rois
    assert roi.box == pytest.approx([edge * 2000 / 991 for edge in (100, 100, 200, 200)])
    for declared, rules in (((90, 60), Rules("s")), ((90, 80), scaled)):
        with pytest.raises(DatasetError, match=r"f/a\.jpg: label file says .*found 180x120 upright"):
            rois([(1, 1, 9, 9)], declared, rules=rules)


@pytest.mark.parametrize(
    ("box", "crop", "message"),
    [
        ((-8, 20, 12, 40), (0, 0), r"f/a\.jpg: box \[-8, 20, 12, 40\] reaches 8 px out of the film of 180x120"),
        ((500, 20, 520, 40), (0, 0), "reaches 340 px out of the film"),
        ((10, 20, 10.5, 40), (0, 0), r"is less than 1 px wide or high: draw it again \(l\.csv, line 2\)"),
        ((10, 20, 30, 40), (60, 60), r"120 px high, expected more than the 60 \+ 60 px to be cropped"),
    ],
)
def test_unusable_boxes(box, crop, message):
    with pytest.raises(DatasetError, match=message):
        rois([box], None, crop=crop)


def test_sides():
    left, right, below = (Roi((x, y, x + 10, y + 10), "hip") for x, y in ((10, 0), (100, 0), (20, 80)))
    assert [(roi.picture_side, roi.patient_side) for roi in with_sides((right, left))] == [
        ("right", "left"),
        ("left", "right"),
    ]
    for unknown in ((right,), (left,), (left, below), (left, below, right), (left, replace(right, label="knee"))):
        assert with_sides(unknown) == unknown


def test_the_side_of_a_label_stays():
    alone = Roi((10, 0, 20, 10), "hip", "right")
    assert with_sides((alone,)) == (alone,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rois=0), "rois is 0, expected at least 1"),
        (dict(disagreement="vote"), "disagreement is 'vote', expected 'exclude' or 'first'"),
        (dict(min_agreement=2), "min_agreement is 2, expected an IoU"),
        (dict(classes=("hip", "hip")), "expected every name once"),
    ],
)
def test_bad_rules(options, message):
    with pytest.raises(DatasetError, match=message):
        Rules("s", **options)


def test_classes_of_labels():
    rules = Rules("s", ("hip", "cup"), {"prosthesis": "cup"})
    assert [rules.get_class(label) for label in ("hip", "HIP", "prosthesis")] == ["hip", "hip", "cup"]
    assert Rules("s").get_class(None) == "hip"
    assert Rules("s", ()).get_class("lung") == "lung"
    with pytest.raises(DatasetError, match="box without label"):
        rules.get_class(None)
    with pytest.raises(DatasetError, match="label 'knee' found, expected one of hip, cup"):
        rules.get_class("knee")


def test_labels_beside_the_films_are_found(tmp_path):
    path = write(tmp_path / "labels.csv", "")
    assert default_labels(tmp_path, []) == {"": path}


def test_folders_are_annotators(tmp_path):
    for name in ("RL", "SC"):
        write(tmp_path / f"labels/{name}/a.xml", "")
    assert default_labels(tmp_path, []) == {name: tmp_path / "labels" / name for name in ("RL", "SC")}
    write(tmp_path / "labels/classes.txt", "")  # now it is one folder of labels
    assert default_labels(tmp_path, []) == {"": tmp_path / "labels"}


def test_given_label_paths(tmp_path):
    assert {name: str(path) for name, path in default_labels(tmp_path, ["a=x", "b=y/z"]).items()} == {
        "a": "x",
        "b": "y/z",
    }
    assert {name: str(path) for name, path in default_labels(tmp_path, ["x"]).items()} == {"": "x"}


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ([], [], r"label files named labels or labels\.\*: found none, expected one: add --labels PATH"),
        (["labels.csv", "labels.json"], [], r"found labels\.csv, labels\.json, expected one"),
        ([], ["x", "y"], "labels are x y, expected NAME=PATH with a different NAME"),
        ([], ["a=x", "a=y"], "expected NAME=PATH"),
    ],
)
def test_bad_labels(tmp_path, files, given, message):
    for name in files:
        write(tmp_path / name, "")
    with pytest.raises(DatasetError, match=message):
        default_labels(tmp_path, given)


def test_a_film_labelled_twice_by_one(tmp_path):
    write(tmp_path / "f/a.jpg", film(90, 60))
    for folder in ("one", "two"):
        write(tmp_path / f"labels/{folder}/a.xml", voc("a.jpg", 90, 60, (10, 10, 30, 30), (50, 10, 70, 30)))
    found = Found(tuple(find_films(tmp_path / "f", "s")))
    collected = collect(found, LabelSource({"": tmp_path / "labels"}), Rules("s"))
    (fault,) = collected.faults
    assert str(fault.reason) == "labelled twice, the second time in a.xml: remove one"
    both = LabelSource({name: tmp_path / "labels" / name for name in ("one", "two")})
    assert len(collect(found, both, Rules("s")).films) == 1


def test_every_fault_shows_in_one_run(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"{name}.jpg", film(90, 60))
    write(tmp_path / "b.jpg", (tmp_path / "b.jpg").read_bytes()[:-9])
    rows = [
        ["a.jpg", 80, 10, 20, "hip"],
        ["b.jpg", 10, 10, 20, "hip"],
        ["c.jpg", 10, 10, 20, "knee"],
        ["d.jpg", 10, 10, 20, "hip"],
    ]
    labels = write(tmp_path / "labels.csv", table("image,x,y,side,label", *rows))
    collected = collect(Found(tuple(find_films(tmp_path, "s"))), LabelSource({"": labels}), Rules("s", rois=1))
    assert [(fault.name, fault.reason.split(":")[0].split(" [")[0]) for fault in collected.faults] == [
        ("a.jpg", "box"), ("b.jpg", "cut short (the JPEG has no end marker)"),
        ("c.jpg", "label 'knee' found, expected one of hip"),
    ]  # fmt: skip
    assert [film.file_name for film, _ in collected.films] == ["d.jpg"]


def candidate(name, *others):
    return Candidate(StoredFile(name, "unused"), "P", "short", others)


FILMS = [
    candidate("a/1.jpg"), candidate("b/1.jpg"), candidate("b/c/1.jpg"), candidate("2.dcm"), candidate("3.jpg"),
    candidate("3.png"), candidate("12m/0.C.2/9000001/001", "00100002", "00100002_1x1.jpg"), candidate("1.2.840"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("film", "folder", "expected"),
    [
        ("a/1.jpg", (), ["a/1.jpg"]),
        ("C:\\films\\a\\1.jpg", (), ["a/1.jpg"]),
        ("/home/me/a/1.jpg", (), ["a/1.jpg"]),
        ("c/1.jpg", (), ["b/c/1.jpg"]),
        ("1.jpg", ("labels", "b"), ["b/1.jpg"]),  # the label file is in a folder of the same name
        ("1.jpg", (), ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]),  # can't be distinguished
        ("x/1.jpg", (), ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]),
        ("2.png", (), ["2.dcm"]),  # exported to be labelled
        ("2", (), ["2.dcm"]),  # YOLO
        ("3.jpg", (), ["3.jpg"]),
        ("3", (), ["3.jpg", "3.png"]),
        ("00100002_1x1.jpg", (), ["12m/0.C.2/9000001/001"]),
        ("00100002.png", (), ["12m/0.C.2/9000001/001"]),
        ("1.2.840", (), ["1.2.840"]),
        ("1.2.840.png", (), ["1.2.840"]),
        ("1.2", (), []),
        ("4.jpg", (), []),
    ],
)
def test_find(film, folder, expected):
    assert [each.name for each in FilmIndex(FILMS).find(film, folder)] == expected


def test_a_name_with_blanks_around_it():
    films = [candidate(name) for name in (" 1.jpg", "1.jpg", "a/ 2.jpg", "b/2.jpg ", "3.jpg ")]
    found = {
        film: [each.name for each in FilmIndex(films).find(film)] for film in ("1.jpg", "2.jpg", "3.jpg", " 1.jpg")
    }
    assert found == {"1.jpg": ["1.jpg"], "2.jpg": ["a/ 2.jpg", "b/2.jpg "], "3.jpg": ["3.jpg "], " 1.jpg": [" 1.jpg"]}


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.sampled_from("123")), min_size=1, unique=True)
)
def test_a_full_path_finds_its_film(paths):
    films = [candidate("/".join(path) + ".jpg") for path in paths]
    for each in films:
        assert FilmIndex(films).find(each.name) == [each]
        assert FilmIndex(films).find("C:\\somewhere\\" + each.name.replace("/", "\\")) == [each]


def test_labels_by_their_film(tmp_path):
    labels = [
        FilmLabels(name, None, (), tmp_path / "l.csv") for name in ("3.jpg", "1.jpg", "4.jpg", "old.jpg", "3.jpg")
    ]
    matches = match_labels(labels, FilmIndex(FILMS), FilmIndex([Exclusion("x/old.jpg", "blurred")]))
    assert {film: len(found) for film, found in matches.of_film.items()} == {"3.jpg": 2}
    assert [each.film for each in matches.without_film] == ["4.jpg"]
    (fault,) = matches.faults
    assert fault.reason == "l.csv: label fits 3 films (a/1.jpg, b/1.jpg, b/c/1.jpg), expected one: add the folder"


def test_labels_of_a_film_that_is_left_out_are_not_those_of_another_of_its_name(tmp_path):
    films, excluded = FilmIndex([candidate("b/1.jpg")]), FilmIndex([Exclusion("a/1.jpg", "blurred")])
    for name, expected in (("a/1.jpg", []), ("b/1.jpg", ["b/1.jpg"]), ("1.jpg", ["b/1.jpg"])):
        matches = match_labels([FilmLabels(name, None, (), tmp_path / "l.csv")], films, excluded)
        assert ([*matches.of_film], matches.without_film, matches.faults) == (expected, [], [])


LEFT, RIGHT = Roi((10, 20, 30, 40), "hip"), Roi((60, 20, 80, 40), "hip")
LOWER = Roi((60, 24, 80, 44), "hip")  # IoU 320 / 480 with RIGHT
FAR = Roi((60, 34, 80, 54), "hip")  # IoU 120 / 680 with RIGHT
RULES = Rules("s")


def test_labels_of_one_annotator_stay_unchanged():
    assert merge_annotators("a.jpg", {"RL": (LEFT,)}, RULES).rois == (LEFT,)


def test_mean_box_regardless_of_the_order():
    merged = merge_annotators("a.jpg", {"RL": (LEFT, RIGHT), "SC": (LOWER, LEFT)}, RULES)
    assert [roi.box for roi in merged.rois] == [(10, 20, 30, 40), (60, 22, 80, 42)]
    assert [(row.first, row.second, row.iou) for row in merged.agreements] == [
        ("RL", "SC", 1), ("RL", "SC", pytest.approx(2 / 3))
    ]  # fmt: skip
    assert merged.disagreement is None


def test_three_annotators_agree_pairwise():
    merged = merge_annotators("a.jpg", {"A": (RIGHT,), "B": (LOWER,), "C": (RIGHT,)}, RULES)
    assert merged.rois[0].box == pytest.approx((60, 20 + 4 / 3, 80, 40 + 4 / 3))
    assert [(row.first, row.second) for row in merged.agreements] == [("A", "B"), ("A", "C"), ("B", "C")]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ((LEFT,), "annotators disagree on the number of ROIs: RL 2, SC 1"),
        ((LEFT, FAR), "annotators RL and SC disagree on an ROI: IoU 0.176"),
        ((LEFT, Roi((0, 80, 9, 89), "hip")), "annotators RL and SC disagree on an ROI: IoU 0.000"),
        ((LEFT, Roi(RIGHT.box, "cup")), "annotators RL and SC disagree on an ROI: IoU 0.000"),  # another class
    ],
)
def test_disagreement(second, reason):
    readings = {"RL": (LEFT, RIGHT), "SC": second}
    assert merge_annotators("a.jpg", readings, RULES).disagreement == reason
    first = merge_annotators("a.jpg", readings, Rules("s", disagreement="first"))
    assert (first.rois, first.disagreement) == ((LEFT, RIGHT), None)
    assert len(first.agreements) >= 2  # reported all the same


def test_another_threshold():
    readings = {"RL": (RIGHT,), "SC": (LOWER,)}
    assert merge_annotators("a.jpg", readings, Rules("s", min_agreement=0.7)).disagreement


BOX = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(5, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[2])
)


@given(boxes=st.lists(BOX, max_size=4), shift=st.integers(0, 3))
def test_squares_stay_squares_and_every_roi_is_reported(boxes, shift):
    first = tuple(Roi(box, "hip") for box in boxes)
    second = tuple(Roi(tuple(edge + shift for edge in box), "hip") for box in boxes)
    merged = merge_annotators("a.jpg", {"A": first, "B": second}, RULES)
    assert all(roi.is_square for roi in merged.rois)
    named = [row.first_box for row in merged.agreements] + [row.second_box for row in merged.agreements]
    assert {roi.box for roi in (*first, *second)} <= set(named)
    for row in merged.agreements:
        if row.second_box:
            assert row.iou == iou_matrix([row.first_box], [row.second_box])[0, 0]


KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "tif": "TIFF"}
NINE = [sample for sample in TEN if not sample.name.endswith(".bmp")]  # BMP has no EXIF
ANY = pytest.mark.parametrize(("write_labels", "format", "tolerance"), WRITERS.values(), ids=WRITERS)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for sample in NINE:
        pixels = np.zeros(sample.stored[::-1], np.uint8)
        write(root / "images" / sample.name, encoded(pixels, KINDS[sample.name.split(".")[-1]], sample.orientation))
    return root


def converted(films, labels, out):
    found = find_folder(films, "films")
    conversion = convert_found(
        films, found, LabelSource({"": labels}), Rules("films", rois=None), Output(films, out), {}
    )
    assert not conversion.exclusions
    _, faults = validate(conversion.path, films)
    assert not [fault for fault in faults if not fault.warning]
    return json.loads(conversion.path.read_text()), conversion.warnings


def boxes_of(coco, sample):
    image = next(image for image in coco["images"] if image["file_name"] == f"images/{sample.name}")
    assert (image["width"], image["height"]) == sample.upright
    boxes = [annotation["bbox"] for annotation in coco["annotations"] if annotation["image_id"] == image["id"]]
    return [[x, y, x + w, y + h] for x, y, w, h in boxes]


def near(boxes):
    return [pytest.approx(list(box), abs=2e-3) for box in sorted(boxes)]  # files have 3 decimals


@ANY
def test_labelled_upright(films, tmp_path, write_labels, format, tolerance):
    coco, warnings = converted(films, write_labels(tmp_path, items(NINE)), tmp_path / "out")
    for sample in NINE:
        assert boxes_of(coco, sample) == near(sample.boxes), sample.name
    # a warning is given if no size shows the frame of a rotated film
    turned = {sample.name for sample in NINE if sample.orientation != 1 and sample.boxes}
    assert {warning.split(":")[0].split("/")[1] for warning in warnings} <= turned
    if format == "via":
        assert len(warnings) == len(turned)


@ANY
def test_labelled_as_stored(films, tmp_path, write_labels, format, tolerance):
    shown = [sample for sample in NINE if sample.orientation in (1, 5, 6, 7, 8)]  # whose size shows the frame
    if format in NO_SIZE:
        pytest.skip("declares no size")
    raw = items(shown, lambda sample: [raw_box(sample, box) for box in WHOLE[sample]], lambda sample: sample.stored)
    others = items([sample for sample in NINE if sample not in shown])
    coco, _ = converted(films, write_labels(tmp_path, raw + others), tmp_path / "out")
    for sample in shown:
        assert boxes_of(coco, sample) == near(WHOLE[sample]), sample.name
