"""Films of a web search."""

import json

import pytest

from film_sources import film, make_gis, table, write
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found
from hipdet.data.copies import Copies
from hipdet.data.sources.gis import MIN_SIDE, find_gis


def convert(root, copies=None, skip_faulty=False, **finder):
    rules = Rules("gis", min_side=MIN_SIDE)
    output = Output(root, copies=copies, skip_faulty=skip_faulty, near_duplicates=True)
    return convert_found(root, find_gis(root, **finder), LabelSource({"": root / "labels.csv"}), rules, output, {})


def test_exact_json(tmp_path):
    convert(make_gis(tmp_path))
    coco = json.loads((tmp_path / "annotations/gis.json").read_text())
    files = [("a again.jpg", 450, 360, "a again"), ("a.jpg", 300, 240, "a again"), ("b.png", 256, 300, "b")]
    assert coco["images"] == [
        {"id": n, "file_name": name, "width": width, "height": height, "source": "gis", "patient": patient,
         "label_file": "labels.csv"}
        for n, (name, width, height, patient) in enumerate(files, 1)
    ]  # fmt: skip
    assert [annotation["bbox"] for annotation in coco["annotations"]] == [[20, 20, 50, 50], [120, 20, 50, 50]] * 3


def test_exclusions_and_near_duplicates(tmp_path):
    conversion = convert(make_gis(tmp_path))
    assert [(each.name, each.reason) for each in conversion.exclusions] == [
        ("child.jpg", "age 3"),
        ("one.jpg", "number of ROIs is 1, expected 2"),
        ("tiny.jpg", "long side 200 px, expected at least 225"),
        ("unread.jpg", "not labelled"),
    ]
    (pair,) = conversion.duplicates
    assert (pair.first, pair.second) == ("a again.jpg", "a.jpg")
    assert (
        (tmp_path / "annotations/gis.near_duplicates.csv")
        .read_text()
        .startswith("first,second,distance\na again.jpg,a.jpg,0.0")
    )


def test_compact_copies_train_as_the_films_do(tmp_path):
    conversion = convert(make_gis(tmp_path), Copies(tmp_path, 150, workers=2))
    by_name = {film.file_name: film for film in conversion.films}
    assert set(by_name) == {"gis_150/a again.png", "gis_150/a.png", "gis_150/b.png"}
    turned = by_name["gis_150/b.png"]  # 256x300 becomes 128x150
    assert (turned.width, turned.height) == (128, 150)
    assert [roi.box for roi in turned.rois] == [(10, 10, 35, 35), (60, 10, 85, 35)]
    assert {key: turned.extra[key] for key in ("original", "original_width", "original_height")} == {
        "original": "b.png", "original_width": 256, "original_height": 300
    }  # fmt: skip
    # Table 1 is of the films, not of their copies
    assert (conversion.summary.long_side.maximum, conversion.summary.long_side.median) == (450, 300)
    # films found again aren't the copies
    assert len(convert(tmp_path).films) == 3


def test_damaged_pixels_are_a_fault_or_with_skip_faulty_an_exclusion(tmp_path):
    root = make_gis(tmp_path)
    content = (root / "b.png").read_bytes()
    at = content.index(b"IDAT") + 4  # the header of the compressed stream: all chunks are there still
    write(root / "b.png", content[:at] + bytes(9) + content[at + 9 :])
    with pytest.raises(DatasetError, match=r"(?s)leave these films out with --skip-faulty\): 1 fault.*b\.png: damaged"):
        convert(root)
    assert not (root / "annotations").exists()
    conversion = convert(root, skip_faulty=True)
    assert len(conversion.films) == 2
    (reason,) = [each.reason for each in conversion.exclusions if each.name == "b.png"]
    assert reason.startswith("damaged")


def test_patients_of_a_table(tmp_path):
    root = make_gis(tmp_path)
    write(root / "patients.csv", table("film,patient", ["a.jpg", "P1"], ["b.png", "P1"], ["a again.jpg", "P1"]))
    assert {film.patient for film in convert(root, table=root / "patients.csv").films} == {"P1"}


def test_a_patients_other_films_come_along(tmp_path):
    """a.jpg is nearly a again.jpg, which is P2's, as b.png is: all three stay together."""
    root = make_gis(tmp_path)
    write(root / "patients.csv", table("film,patient", ["a.jpg", "P1"], ["b.png", "P2"], ["a again.jpg", "P2"]))
    films = {film.file_name: film.patient for film in convert(root, table=root / "patients.csv").films}
    assert films == {"a again.jpg": "P2", "a.jpg": "P2", "b.png": "P2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film,why\na.jpg,x\n", "columns reason are missing, found"),
        ("film,reason\na.jpg,\n", "line 2: column reason is empty, expected why"),
        ("film,reason\nz.jpg,blurred\n", "line 2: 'z.jpg': no such film"),
        ("film;reason\na.jpg;x;y\n", "line 2: 3 fields, expected 2"),
        ('film,reason\n"a.jpg,x\n', "not CSV"),
        ("\0\0", "not text"),
    ],
)
def test_bad_list_of_exclusions(tmp_path, text, message):
    root = make_gis(tmp_path)
    with pytest.raises(DatasetError, match=message):
        find_gis(root, write(root / "mine.csv", text))


def test_nothing_left(tmp_path):
    write(tmp_path / "a.jpg", film(100, 80))
    write(tmp_path / "labels.csv", "image,x,y,side\na.jpg,1,1,9\n")
    with pytest.raises(DatasetError, match="no film is left to convert, expected at least one: 1 x long side 100 px"):
        convert(tmp_path)


def test_a_list_of_exclusions_may_be_empty(tmp_path):
    (tmp_path / "none.csv").write_text("film,reason\n")
    found = find_gis(make_gis(tmp_path), exclude=tmp_path / "none.csv")
    assert found.exclusions == ()
    assert "child.jpg" in {candidate.name for candidate in found.candidates}
