import csv
import math
from itertools import combinations

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.annotators import compare
from hipdet.data.coco_file import Film, Roi, build_coco

LEFT, RIGHT = (20, 40, 60, 80), (140, 40, 180, 80)


def coco(films, classes=("hip",)):
    """COCO of films given as name: boxes, or name: (boxes, extra)."""
    records = []
    for name, value in films.items():
        boxes, extra = value if isinstance(value, tuple) else (value, {})
        records.append(Film(name, 200, 120, "", "", tuple(Roi(box, classes[0]) for box in boxes), extra))
    return build_coco(records, classes, {})


def test_two_readings_computed_by_hand():
    """One square moved by (3, 4), the other 10 px larger around its centre."""
    moved, larger = (23, 44, 63, 84), (135, 35, 185, 85)
    done = compare(coco({"1.png": [LEFT, RIGHT]}), coco({"1.png": [moved, larger]}), ("a", "b"))
    first, second = done.films[0].rois
    # 37 x 36 of two squares of 40 x 40; 40 x 40 inside 50 x 50
    assert first["iou"] == pytest.approx(37 * 36 / (2 * 1600 - 37 * 36))
    assert (first["centre_px"], first["centre_sides"], first["size_px"]) == (5, 5 / 40, 0)
    assert second["iou"] == pytest.approx(1600 / 2500)
    assert (second["centre_px"], second["size_px"], second["size_sides"]) == (0, 10, 10 / 45)
    metrics = done.metrics()
    assert (metrics["films"], metrics["rois"], metrics["found_by_both"]) == (1, 2, 2)
    assert metrics["min_iou"] == pytest.approx(0.64)
    assert metrics["mean_iou"] == pytest.approx((first["iou"] + 0.64) / 2)
    assert (metrics["median_centre_px"], metrics["max_size_px"]) == (2.5, 10)


def test_rois_that_only_one_found():
    done = compare(coco({"1.png": [LEFT, RIGHT], "2.png": []}), coco({"1.png": [LEFT], "2.png": [RIGHT]}), ("a", "b"))
    assert [[row["found_by"] for row in film.rois] for film in done.films] == [["both", "a"], ["b"]]
    metrics = done.metrics()
    assert (metrics["found_by_a_only"], metrics["found_by_b_only"], metrics["mean_iou"]) == (1, 1, 1)
    assert [film.film for film in done.again(0.5)] == ["1.png", "2.png"]


def test_films_to_look_at_again_come_worst_first():
    far, near = (26, 40, 66, 80), (22, 40, 62, 80)
    child, unsure = ([], {"exclude": "child"}), ([LEFT], {"unsure": True})
    first = coco({"1": [LEFT], "2": [LEFT], "3": [LEFT], "4": child, "5": child, "6": unsure})
    second = coco({"1": [near], "2": [far], "3": [LEFT], "4": [LEFT], "5": child, "6": [LEFT]})
    done = compare(first, second, ("a", "b"))
    assert [film.film for film in done.films] == ["4", "6", "2", "1", "3", "5"]
    remarks = {film.film: film.remarks for film in done.films if film.remarks}
    assert remarks == {"4": ("a: child; b: not excluded",), "6": ("a is unsure",)}
    assert {film.film for film in done.again(0.85)} == {"2", "4", "6"}  # 34 / 46 = 0.74; 38 / 42 = 0.905 is enough
    assert {film.film for film in done.again(0.95)} == {"1", "2", "4", "6"}


def test_films_that_only_one_has():
    done = compare(coco({"1": [LEFT], "2": [LEFT]}), coco({"2": [LEFT], "3": [LEFT]}), ("a", "b"))
    assert done.alone == (("1",), ("3",))
    assert [film.film for film in done.films] == ["2"]


def test_swapping_annotators_only_changes_signs():
    one, other = coco({"1": [LEFT, RIGHT]}), coco({"1": [(22, 41, 58, 77)]})
    there, back = compare(one, other, ("a", "b")), compare(other, one, ("b", "a"))
    assert sorted(row["iou"] for row in there.films[0].rois) == sorted(row["iou"] for row in back.films[0].rois)
    both = [next(row for row in each.films[0].rois if row["found_by"] == "both") for each in (there, back)]
    assert both[0]["size_px"] == -both[1]["size_px"] == -4
    assert math.isclose(both[0]["centre_px"], both[1]["centre_px"])


def test_readings_of_real_hips(shared):
    """The reference values of the command and the docs: three readings, pair by pair."""
    readings = {}
    with (shared / "data/fracatlas_hips/readings.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, side = (float(row[key]) for key in ("x", "y", "side"))
            films = readings.setdefault(row["reading"], {})
            films.setdefault(row["image"], []).append(Roi((x, y, x + side, y + side), "hip"))
    cocos = {
        name: build_coco([Film(film, 9999, 9999, "", "", tuple(rois)) for film, rois in films.items()], ["hip"], {})
        for name, films in readings.items()
    }
    metrics = [compare(cocos[a], cocos[b], (a, b)).metrics() for a, b in combinations(sorted(cocos), 2)]
    assert [each["found_by_both"] for each in metrics] == [200] * 3
    assert sum(each["mean_iou"] for each in metrics) / 3 == pytest.approx(0.926, abs=5e-4)
    assert min(each["min_iou"] for each in metrics) == pytest.approx(0.614, abs=5e-4)


def test_unchecked_labels_are_no_reading():
    old, far = ([LEFT], {"status": "unchecked"}), [RIGHT]
    first = coco({"1": old, "2": [LEFT], "3": [LEFT], "4": ([LEFT], {"status": "incomplete"})})
    second = coco({"1": far, "2": old, "3": ([LEFT], {"status": "done"}), "4": [LEFT, RIGHT]})
    done = compare(first, second, ("a", "b"))
    assert [film.film for film in done.films] == ["4", "3"]  # drawn boxes are compared even before the film is complete
    assert (done.unchecked, done.alone) == ((("1",), ("2",)), ((), ()))
    metrics = done.metrics()
    assert (metrics["films"], metrics["films_unchecked_by_a"], metrics["films_unchecked_by_b"]) == (2, 1, 1)


def test_a_film_on_which_both_find_none():
    none = ([], {"status": "done"})
    done = compare(coco({"1": none, "2": none}), coco({"1": none, "2": [LEFT]}), ("a", "b"))
    assert [(film.film, film.worst) for film in done.films] == [("2", 0), ("1", 1)]
    assert [film.film for film in done.again(0.85)] == ["2"]
    assert done.metrics()["films"] == 2


def test_films_of_two_sizes_and_one_name_for_two():
    other = coco({"1": [LEFT]})
    other["images"][0]["width"] = 400
    with pytest.raises(DatasetError, match="1: 200x120 px for a and 400x120 px for b, expected one size"):
        compare(coco({"1": [LEFT]}), other, ("a", "b"))
    with pytest.raises(DatasetError, match="both annotators are called 'a'"):
        compare(other, other, ("a", "a"))
