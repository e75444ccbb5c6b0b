"""Any folder of films with any ROIs."""

import json

import pytest

from film_sources import film, table, write
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found, report
from hipdet.data.sources.folder import find_folder


@pytest.fixture
def lungs(tmp_path):
    """Three chest films, one of them without boxes; lungs are twice as high as wide."""
    write(tmp_path / "P1_a.png", film(200, 180, "PNG"))
    write(tmp_path / "P2_a.png", film(160, 180, "PNG"))
    write(tmp_path / "P2_b.tif", film(160, 180, "TIFF"))
    rows = [
        ["P1_a.png", 20, 30, 60, 110, "lung"], ["P1_a.png", 120, 30, 160, 110, "lung"],
        ["P1_a.png", 80, 60, 120, 100, "heart"], ["P2_a.png", 20, 30, 60, 110, "lung"], ["P2_b.tif", "", "", "", "", ""],
    ]  # fmt: skip
    write(tmp_path / "labels.csv", table("image,x0,y0,x1,y1,label", *rows))
    return tmp_path


def convert(root, rules=None, **finder):
    source = LabelSource({"": root / "labels.csv"})
    found = find_folder(root, "chests", **finder)
    return convert_found(root, found, source, rules or Rules("chests", (), rois=None), Output(root), {})


def test_several_classes_and_films_without_roi(lungs):
    convert(lungs, patient_from="(P[0-9]+)_")
    coco = json.loads((lungs / "annotations/chests.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["heart", "lung"]
    assert [(image["file_name"], image["patient"]) for image in coco["images"]] == [
        ("P1_a.png", "P1"), ("P2_a.png", "P2"), ("P2_b.tif", "P2")
    ]  # fmt: skip
    assert [(a["image_id"], a["category_id"], a["bbox"]) for a in coco["annotations"]] == [
        (1, 2, [20, 30, 40, 80]), (1, 1, [80, 60, 40, 40]), (1, 2, [120, 30, 40, 80]), (2, 2, [20, 30, 40, 80])
    ]  # fmt: skip
    assert "picture_side" not in coco["annotations"][0]  # only pairs have sides


def test_sides_of_pairs(tmp_path):
    """Two ROIs of a class side by side have sides; two one above the other, or of two classes, have none."""
    boxes = {"beside": ((20, 30), (120, 40)), "above": ((20, 30), (25, 120)), "classes": ((20, 30), (120, 40))}
    rows = []
    for name, corners in boxes.items():
        write(tmp_path / f"{name}.png", film(200, 180, "PNG", None, len(rows)))
        labels = ("hip", "knee") if name == "classes" else ("hip", "hip")
        rows += [[f"{name}.png", x, y, 40, label] for (x, y), label in zip(corners, labels)]
    write(tmp_path / "labels.csv", table("image,x,y,side,label", *rows))
    convert(tmp_path, Rules("chests", ("hip", "knee"), rois=2))
    coco = json.loads((tmp_path / "annotations/chests.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    sides = [
        (names[a["image_id"]], a["bbox"][0], a["picture_side"]) for a in coco["annotations"] if "picture_side" in a
    ]
    assert sides == [("beside.png", 20, "left"), ("beside.png", 120, "right")]


def test_classes_in_the_order_given_and_renamed(lungs):
    convert(lungs, Rules("chests", ("Lung", "cor"), {"heart": "cor"}, rois=None))
    coco = json.loads((lungs / "annotations/chests.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "Lung"}, {"id": 2, "name": "cor"}]
    assert [annotation["category_id"] for annotation in coco["annotations"]] == [1, 2, 1, 1]


def test_a_label_that_is_no_class(lungs):
    found = r"P1_a\.png: label 'heart' found, expected one of lung: add --rename 'heart'=lung"
    with pytest.raises(DatasetError, match=rf"(?s){found}.*labels\.csv, line 2, line 4"):
        convert(lungs, Rules("chests", ("lung",), rois=None))


def test_patient_from_folder(lungs):
    write(lungs / "P3/a.png", film(90, 90, "PNG"))
    with pytest.raises(DatasetError, match=r"P1_a\.png: in no folder, expected one per patient"):
        find_folder(lungs, "chests", "folder")
    for name in ("P1_a.png", "P2_a.png", "P2_b.tif"):
        (lungs / name).unlink()
    assert [each.patient for each in find_folder(lungs, "chests", "folder").candidates] == ["P3"]


def test_a_table_overrides_the_name(lungs):
    write(lungs / "patients.csv", table("image,patient", ["P2_b.tif", "P9"]))
    found = find_folder(lungs, "chests", "(P[0-9]+)_", lungs / "patients.csv")
    assert [each.patient for each in found.candidates] == ["P1", "P2", "P9"]


def test_unknown_patients_are_recorded(lungs):
    """By default each film is treated as a patient, which is marked as unknown; other options of the user aren't."""
    half = write(lungs / "half.csv", table("image,patient", ["P2_b.tif", "P9"]))
    whole = write(lungs / "all.csv", table("image,patient", ["P1_a.png", "P1"], ["P2_a.png", "P2"], ["P2_b.tif", "P2"]))
    empty = write(lungs / "empty.csv", table("image,patient", ["P1_a.png", "P1"], ["P2_a.png", "P2"], ["P2_b.tif", ""]))
    for known, options in [
        (False, {}), (False, {"table": half}), (False, {"table": empty}), (True, {"table": whole}),
        (True, {"patient_from": "film"}), (True, {"patient_from": "(P[0-9]+)_"}),
        (True, {"patient_from": "film", "table": half}),
    ]:  # fmt: skip
        conversion = convert(lungs, **options)
        info = json.loads((lungs / "annotations/chests.json").read_text())["info"]
        assert info.get("patients") == (None if known else "unknown")
        assert ("patients aren't known, so each film counts as one" in report(conversion)) is not known


@pytest.mark.parametrize(
    ("patient_from", "message"),
    [
        ("(P", r"--patient-from '\(P': not a regular expression"),
        ("P.", r"has no group, expected one such as '\(P\[0-9\]\+\)_'"),
        ("(Q.)", r"P1_a\.png: --patient-from '\(Q\.\)' finds no patient in this name"),
        ("P1(x?)", "finds no patient in this name"),
    ],
)
def test_bad_patient_from(lungs, patient_from, message):
    with pytest.raises(DatasetError, match=message):
        find_folder(lungs, "chests", patient_from)


def test_files_that_are_no_films_are_skipped(tmp_path):
    for name in ("a.jpg", "sub/001", ".hidden.jpg", "sub/._b.jpg", "chests_upright/a.png", "chests_448/a.png"):
        write(tmp_path / name, film(90, 60))
    for name in ("notes", "notes.txt", "sub/002", "Thumbs.db"):
        write(tmp_path / name, "not a film")
    assert [each.name for each in find_folder(tmp_path, "chests").candidates] == ["a.jpg", "sub/001"]


def test_links_out_of_the_folder_are_refused(tmp_path):
    outside = write(tmp_path / "outside.jpg", film(90, 60))
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.jpg").symlink_to(outside)
    with pytest.raises(DatasetError, match=r"a\.jpg is a link out of its folder: put the file itself there"):
        find_folder(tmp_path / "films", "chests")
    with pytest.raises(DatasetError, match="none: no such folder"):
        find_folder(tmp_path / "none", "chests")
