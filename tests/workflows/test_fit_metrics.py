"""Metrics of hipdet fit: presence, false ROIs, films without one, halves, and predictions in pixels of the films."""

import json

import pytest

from hipdet.core.classes import RoiCounts
from hipdet.core.files import write_json
from hipdet.inference.results import write_coco_results
from hipdet.inference.review import ReviewLimits
from hipdet.workflows.fit_metrics import Detected, doubted_labels, film_records

FOUND = ("found_x0", "found_y0", "found_x1", "found_y1")


def label(film, iou, score, box=(10, 10, 30, 30), number=None, name="knee"):
    corners = dict.fromkeys(FOUND) if score == 0 else dict(zip(FOUND, box))
    rest = dict(file_name=f"{film}.png", annotation_id=number or film, label=name, best_iou=max(iou, 0.6))
    return dict(image_id=film, iou=iou, confidence=score, **rest, **corners)


def extra(film, score, box=(50, 50, 70, 70), name="knee"):
    return dict(image_id=film, file_name=f"{film}.png", label=name, confidence=score, **dict(zip(FOUND, box)))


def coco(side, classes=("knee",)):
    images = [dict(id=n, file_name=f"{n}.jpg", width=side, height=side, patient=f"p{n}") for n in range(1, 6)]
    return dict(
        info={}, images=images, annotations=[], categories=[dict(id=n, name=name) for n, name in enumerate(classes, 1)]
    )


LIMITS = ReviewLimits(films=5, share=0.01, least_score=0.5, ranges={})
ROWS = (label(1, 0.9, 0.95), label(2, 0.8, 0.4), label(3, 0.3, 0.9), label(4, 0.0, 0.0))
EXTRAS = (extra(1, 0.2), extra(4, 0.8), extra(5, 0.9))


def test_presence_and_false_rois():
    found = Detected(ROWS, EXTRAS).metrics(coco(100), LIMITS)
    assert (found["films"], found["num_rois"]) == (5, 4)
    assert found["avg_iou"] == pytest.approx(0.5)
    assert found["acc50"] == 0.5
    assert found["recall"] == 0.25  # the second is found, but scores too little to be an ROI
    assert found["label_iou"] == pytest.approx((0.9 + 0.8 + 0.6 + 0.6) / 4)
    assert found["false_per_film"] == pytest.approx(3 / 5)  # beside the knee of film 3, and on films 4 and 5
    assert (found["films_without"], found["films_without_but_found"]) == (1, 1)
    assert found["resampled"] == "patients"


def test_wrong_films():
    """1 is right; the ROI of 2 scores too little, those of 3 and 4 lie beside; 5 has one without a label."""
    films = coco(100)
    assert Detected(ROWS, EXTRAS).wrong(films, LIMITS) == {2, 3, 4, 5}
    assert Detected(ROWS, EXTRAS).wrong(films, None) == {1, 3, 4, 5}  # then its second detection is an ROI, too
    films["images"][4]["absent"] = "unknown"  # it may have an ROI without a label
    assert Detected(ROWS, EXTRAS).wrong(films, LIMITS) == {2, 3, 4}


def test_millimetres():
    """Of three ROIs on films with a spacing one wasn't found: it isn't within 2 mm, and has no error."""
    near = dict(centre_error=0.1, size_error=0.2, centre_mm=1.0, size_mm=3.0, spacing_plane="detector")
    far = dict(near, centre_mm=4.0, size_mm=5.0)
    rows = (dict(ROWS[0], **near), dict(ROWS[1], **far), ROWS[2], dict(ROWS[3], spacing_plane="calibrated"))
    found = Detected(rows, EXTRAS).metrics(coco(100), LIMITS)
    keys = ("centre_mm", "centre_mm_p95", "size_mm", "within_2mm", "num_mm", "num_mm_matched", "num_mm/plane=detector")
    assert [found[key] for key in keys] == pytest.approx([2.5, 3.85, 4.0, 1 / 3, 3, 2, 2])
    assert "centre_mm" not in Detected(ROWS, EXTRAS).metrics(coco(100), LIMITS)


def test_by_class():
    rows = (*ROWS, label(1, 0.7, 0.9, number=9, name="hip"))
    found = Detected(rows, EXTRAS).metrics(coco(100, ("hip", "knee", "ankle")), LIMITS)["classes"]
    assert {name: each["num_rois"] for name, each in found.items()} == {"hip": 1, "knee": 4, "ankle": 0}
    assert found["hip"]["avg_iou"] == 0.7
    assert found["ankle"]["false_per_film"] == 0


def test_by_kind_and_view():
    """False ROIs a film are those on films of the group, also on films of a view that have no ROI."""
    rows = tuple(dict(row, kind="child") if row["image_id"] < 3 else row for row in ROWS)
    films = coco(100)
    for image in films["images"][3:]:
        image["view"] = "turned"
    found = Detected(rows, EXTRAS).metrics(films, LIMITS)
    kinds, views = found["kinds"], found["views"]
    assert {name: each["num_rois"] for name, each in kinds.items()} == {"child": 2, "unknown": 2}
    assert {name: each["num_rois"] for name, each in views.items()} == {"turned": 1, "unknown": 3}
    assert kinds["child"]["avg_iou"] == pytest.approx(0.85)
    assert (kinds["child"]["recall"], kinds["unknown"]["recall"]) == (0.5, 0)
    assert (kinds["child"]["label_iou"], kinds["unknown"]["label_iou"]) == pytest.approx((0.85, 0.6))
    assert (kinds["child"]["false_per_film"], kinds["unknown"]["false_per_film"]) == (0, 1)
    assert (views["turned"]["false_per_film"], views["turned"]["films_without"]) == (1, 1)
    without = Detected(ROWS, EXTRAS).metrics(coco(100), LIMITS)
    assert "kinds" not in without
    assert "views" not in without


def test_films_that_may_have_a_class_do_not_count_for_it():
    """Of film 5 it isn't known: what is found there is neither false nor does the film make others fewer."""
    films = coco(100, ("knee", "hip"))
    films["images"][4]["absent"] = "unknown"
    rows = (*ROWS, label(5, 0.9, 0.9, number=9, name="hip"))
    found = Detected(rows, EXTRAS[:2], (EXTRAS[2],)).metrics(films, LIMITS)["classes"]
    assert found["knee"]["false_per_film"] == pytest.approx(2 / 4)  # beside the knee of film 3, and on film 4
    assert (found["knee"]["films_without"], found["hip"]["films_without"]) == (0, 4)
    assert found["hip"]["false_per_film"] == 0


def test_false_rois_count_where_it_is_known_what_a_film_lacks():
    films = coco(100)
    films["images"][4]["absent"] = "unknown"  # and with it one of the three
    found = Detected(ROWS, EXTRAS).metrics(films, LIMITS)
    assert found["false_per_film"] == pytest.approx(2 / 4)
    low, high = found["false_per_film_interval"]
    assert 0 <= low < 0.5 < high <= 1
    for image in films["images"]:
        image["absent"] = "unknown"
    found = Detected(ROWS, EXTRAS).metrics(films, LIMITS)
    assert (found["false_per_film"], found["false_per_film_interval"]) == (None, None)
    assert found["recall"] == 0.25


def test_intervals_over_patients():
    """If all films are of one patient, all resamples are alike."""
    films = coco(100)
    spread = Detected(ROWS, EXTRAS).metrics(films, LIMITS)
    for image in films["images"]:
        image["patient"] = "p"
    points = Detected(ROWS, EXTRAS).metrics(films, LIMITS)
    for key in ("avg_iou", "acc50", "acc75", "recall", "label_iou", "false_per_film"):
        assert points[f"{key}_interval"] == pytest.approx((points[key], points[key]))
        assert spread[f"{key}_interval"][0] <= spread[key] <= spread[f"{key}_interval"][1]
    assert spread["acc75_interval"] == (0.0, 1.0)  # 2 of 4 films


def test_doubted_labels():
    """The score less the IoU: 0.9 on a film without label, 0.8 beside a label, 0.9 - 0.3 on one; 0.95 - 0.9 is usual."""
    found = doubted_labels(Detected(ROWS, EXTRAS), coco(100), {"knee": 0.5})
    keys = ("film", "label", "kind", "score", "iou", "annotation_id")
    assert [tuple(each[key] for key in keys) for each in found] == [
        ("5.jpg", "knee", "lacking", 0.9, 0.0, None),
        ("4.jpg", "knee", "unlabelled", 0.8, 0.0, None),
        ("3.jpg", "knee", "misplaced", 0.9, 0.3, 3),
    ]
    assert [each["doubt"] for each in found] == pytest.approx([0.9, 0.8, 0.6])
    # what scores less than an ROI, or expects no hit, doubts nothing
    assert [each["film"] for each in doubted_labels(Detected(ROWS, EXTRAS), coco(100), {"knee": 0.85})] == [
        "5.jpg",
        "3.jpg",
    ]
    assert doubted_labels(Detected((), (extra(5, 0.45),)), coco(100), {"knee": 0.1}) == []


def test_compared_on_the_same_labels():
    half = Detected((label(1, 0.7, 0.9), label(3, 0.5, 0.9)))
    found = Detected(ROWS).compared(half, coco(100))
    assert (found["num_rois"], found["avg_iou"], found["other_avg_iou"]) == (2, 0.6, 0.6)
    assert found["gain"] == pytest.approx(0)
    assert Detected(ROWS).compared(Detected(()), coco(100)) == {}


def test_tables_of_folds(tmp_path):
    for number, (rois, extras) in enumerate([(ROWS[:2], EXTRAS[:1]), (ROWS[2:], EXTRAS[1:])]):
        write_json(tmp_path / f"{number}/test.roi.json", dict(rois=rois, extras=extras, ignored=[extra(2, 0.3)]))
    tested = Detected.read([tmp_path / "0", tmp_path / "1"])
    assert (tested.rois, tested.extras) == (ROWS, EXTRAS)
    assert [row["fold"] for row in tested.rows(coco(100)) if row["film"] in ("1.jpg", "4.jpg")] == [1, 0]


def test_detections_on_every_film_in_its_own_pixels(tmp_path):
    """Also those on ignored boxes; a film without a detection has the flag of a missing ROI."""
    tested = Detected(ROWS, (), (extra(5, 0.9),))
    counts = RoiCounts.of(1, ["knee"])
    records = dict(film_records(tested, coco(1000), coco(100), counts, None))
    assert records[1].rois[0].box == (100, 100, 300, 300)
    assert records[5].rois[0].box == (500, 500, 700, 700)
    assert records[4].flags == ("fewer_rois",)
    write_coco_results(tmp_path / "out_of_fold.json", list(records.items()), {"knee": 1})
    rows = json.loads((tmp_path / "out_of_fold.json").read_text())
    assert [(row["file_name"], row["bbox"]) for row in rows[:1]] == [("1.jpg", [100, 100, 200, 200])]
    assert [path.name for path in tmp_path.iterdir()] == ["out_of_fold.json"]
