"""No cell of a table that we write is run by a spreadsheet, and our readers read what was written."""

import csv
import json
from pathlib import Path

import pytest

from film_sources import film, write
from hipdet.cli import agree
from hipdet.core.files import write_csv
from hipdet.core.tables import write_rows
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found
from hipdet.data.formats.parse import FaultLog, table_rows
from hipdet.data.formats.reader import read_labels
from hipdet.data.sources.folder import find_folder
from hipdet.inference.crops import COLUMNS, CropSettings, CropWindow, RoiCrop, manifest_row
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.results import write_predictions

NAMES = ("=cmd()|x.png", "+1+1.png", "-a.png", "@sum.png", "'=quoted.png", "'plain.png")
LABEL = "=hip"


@pytest.fixture
def films(tmp_path):
    for seed, name in enumerate(NAMES):
        write(tmp_path / "films" / name, film(200, 180, "PNG", None, seed // 2))  # two and two are near duplicates
    head = ["image", "x", "y", "side", "label"]
    for annotator, shift in (("=A", 0), ("B", 2)):
        rows = [[name, x + shift, 20, 50, LABEL] for name in NAMES for x in (10, 110)]
        write_csv(tmp_path / f"{annotator}.csv", [head, *rows])
    write_csv(tmp_path / "patients.csv", [["film", "patient"], *([name, f"=P{name}"] for name in NAMES)])
    write_csv(tmp_path / "exclude.csv", [["film", "reason"], [NAMES[0], "@child"]])
    return tmp_path


def rows_of(path, *columns):
    """The rows of a table as our reader reads them, after a look at its raw cells."""
    text = path.read_text(encoding="utf-8")
    for cell in (cell for row in csv.reader(text.splitlines()) for cell in row):
        number = cell.lstrip("+-").replace(".", "", 1).replace("e-", "").isdigit()
        assert number or cell[:1] not in ("=", "+", "-", "@", "\t", "\r"), cell
    faults = FaultLog()
    rows = [row.text for row in table_rows(text, columns, faults, path.name)]
    assert faults.found == []
    return rows


def converted(root, **tables):
    labels = LabelSource({"=A": root / "=A.csv", "B": root / "B.csv"})
    found = find_folder(root / "films", "s", **tables)
    out = Output(root / "films", root / "out", near_duplicates=True)
    return convert_found(root / "films", found, labels, Rules("s", classes=(), rois=None), out, {})


def test_tables_of_convert(films):
    made = converted(films, table=films / "patients.csv", exclude=films / "exclude.csv")
    images = json.loads(made.path.read_text())["images"]
    assert {image["file_name"] for image in images} == set(NAMES[1:])
    assert {image["patient"] for image in images} <= {f"=P{name}" for name in NAMES}
    excluded = films / "out/s.exclusions.csv"
    assert rows_of(excluded, "film", "reason") == [{"film": NAMES[0], "reason": "@child"}]
    agreement = rows_of(films / "out/s.agreement.csv", "film", "label")
    assert {(row["film"], row["label"], row["first"]) for row in agreement} == {
        (name, LABEL, "=A") for name in NAMES[1:]
    }
    pairs = rows_of(films / "out/s.near_duplicates.csv", "first", "second")
    assert {(row["first"], row["second"]) for row in pairs} >= {("-a.png", "@sum.png")}
    # what was excluded can be given as --exclude
    again = find_folder(films / "films", "s", exclude=excluded)
    assert [(each.name, each.reason) for each in again.exclusions] == [(NAMES[0], "@child")]


def test_labels_are_read_as_they_were_written(films):
    assert [each.film for each in read_labels(films / "=A.csv")] == list(NAMES)
    assert {box.label for each in read_labels(films / "=A.csv") for box in each.boxes} == {LABEL}


def test_table_of_agree(films, capsys):
    made = converted(films)
    other = made.path.with_name("=b.json")
    other.write_bytes(made.path.read_bytes())
    agree.main([str(made.path), str(other), "--out", str(films / "agreed")])
    rows = rows_of(films / "agreed/agreement.csv", "film", "label")
    assert {(row["film"], row["label"]) for row in rows} == {(name, LABEL) for name in NAMES}


def test_tables_of_predict_crop_and_test(tmp_path):
    roi = DetectedRoi((1.5, 2.25, 11.5, 12.25), 0.75, LABEL, "left")
    records = [(number, FilmRois(name, None, 40, 30, (roi,), ("odd",))) for number, name in enumerate(NAMES)]
    records.append((9, FilmRois("@x.png", None, error="=1+1")))
    write_predictions(tmp_path, lambda: iter(records), {LABEL: 1})
    assert [row["film"] for row in rows_of(tmp_path / "predictions.csv", "film")] == list(NAMES)
    review = rows_of(tmp_path / "review.csv", "film")
    assert sorted(row["film"] for row in review) == sorted([*NAMES, "@x.png"])
    assert "=1+1" in {row["error"] for row in review}
    row = dict(
        score=0.75, label=LABEL, picture_side="left", patient_side="right", turned=0, inverted=False, candidate=False
    )
    crops = [manifest_row(name, RoiCrop(name, CropWindow(1, 2, 10, 10), row), CropSettings()) for name in NAMES]
    write_csv(tmp_path / "manifest.csv", [COLUMNS, *crops])
    assert [row["film"] for row in rows_of(tmp_path / "manifest.csv", "film")] == list(NAMES)
    write_rows(Path(tmp_path, "test.roi.csv"), [dict(file_name=name, label=LABEL, iou=0.5, x0=-1.5) for name in NAMES])
    roi_rows = rows_of(tmp_path / "test.roi.csv", "file_name", "label")
    assert [(row["file_name"], row["label"], row["x0"]) for row in roi_rows] == [
        (name, LABEL, "-1.5") for name in NAMES
    ]
