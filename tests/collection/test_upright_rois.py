from dataclasses import replace
from pathlib import Path

import pytest

from hipdet.core.errors import DatasetError
from hipdet.core.stored_files import StoredFile
from hipdet.data.candidates import Candidate, Rules
from hipdet.data.coco_file import Roi
from hipdet.data.collect import upright_rois, with_sides
from hipdet.data.formats.record import FilmLabels, LabelBox
from hipdet.radiographs.grey import RadiographHeader

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


def test_in_the_order_of_the_picture():
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
        ((-6, 20, 14, 40), (0, 0), r"f/a\.jpg: box \[-6, 20, 14, 40\] reaches 6 px out of the film of 180x120"),
        ((500, 20, 520, 40), (0, 0), "reaches 340 px out of the film"),
        ((10, 20, 10.5, 40), (0, 0), r"is less than 1 px wide or high: draw it again \(l\.csv, line 2\)"),
        ((10, 20, 30, 40), (60, 60), r"120 px high, expected more than the 60 \+ 60 px to be cropped"),
    ],
)
def test_what_is_no_box(box, crop, message):
    with pytest.raises(DatasetError, match=message):
        rois([box], None, crop=crop)


def test_sides():
    left, right, below = (Roi((x, y, x + 10, y + 10), "hip") for x, y in ((10, 0), (100, 0), (20, 80)))
    assert [(roi.picture_side, roi.laterality) for roi in with_sides((right, left))] == [
        ("right", "left"),
        ("left", "right"),
    ]
    for unknown in ((right,), (left,), (left, below), (left, below, right), (left, replace(right, label="knee"))):
        assert with_sides(unknown) == unknown


def test_a_labels_own_side_stays():
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
    assert [rules.class_of(label) for label in ("hip", "HIP", "prosthesis")] == ["hip", "hip", "cup"]
    assert Rules("s").class_of(None) == "hip"
    assert Rules("s", ()).class_of("lung") == "lung"
    with pytest.raises(DatasetError, match="box without label"):
        rules.class_of(None)
    with pytest.raises(DatasetError, match="label 'knee' found, expected one of hip, cup"):
        rules.class_of("knee")
