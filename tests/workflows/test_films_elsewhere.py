"""Films from elsewhere: found, compared with labels, and carried on."""

import json

import numpy as np
import pytest
from fixed_model import write_model

from annotation_parts import HIPS, films_in
from film_sources import table, write
from hipdet.inference.review import ReviewLimits
from hipdet.workflows.films_elsewhere import FilmsElsewhere

# films are 200 x 120 px, of which the model sees 96 x 58: boxes 2 px to the right of HIPS
FOUND = (np.array(HIPS) + np.array([2.0, 0, 2, 0])) * np.tile([96 / 200, 58 / 120], 2)
RANGES = dict(ratio=(0.5, 0.9))  # each film is flagged


@pytest.fixture
def place(tmp_path):
    films_in(tmp_path / "films", 4)
    limits = ReviewLimits(50, 0.002, 0.4, RANGES).to_json()
    (tmp_path / "out").mkdir()
    options = dict(classes=("hip",), labels=[0, 0], scores=[0.9, 0.8], boxes=FOUND, limits=limits)
    write_model(tmp_path / "out/model.onnx", "2", **options)
    rows = [[f"{n}.png", x, y, 40, "hip"] for n in (1, 2, 3) for x, y, *_ in HIPS]
    write(tmp_path / "labels.csv", table("image,x,y,side,label", *rows))
    return tmp_path


def break_pixels(path):
    """The header and the end marker stay sound."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = b"\xff" * 50
    path.write_bytes(content)


def test_without_labels(place):
    break_pixels(place / "films/4.png")
    elsewhere = FilmsElsewhere(place / "films", None, ("hip",))
    assert elsewhere.run(place / "out") == dict(films=4, unreadable=1, flagged=3)
    rows = json.loads((place / "out/test.json").read_text())
    assert [row["file_name"] for row in rows] == [name for n in (1, 2, 3) for name in [f"{n}.png"] * 2]
    journal = (place / "out/test.jsonl").read_bytes()
    assert FilmsElsewhere(place / "films", None, ("hip",)).run(place / "out") == dict(films=4, unreadable=1, flagged=3)
    # carried on: the film that can't be read is tried again
    assert len((place / "out/test.jsonl").read_bytes().splitlines()) == len(journal.splitlines()) + 1


def test_only_films_with_labels_are_tested_and_only_those_that_can_be_read_count(place):
    break_pixels(place / "films/3.png")
    elsewhere = FilmsElsewhere(place / "films", place / "labels.csv", ("hip",))
    found = elsewhere.run(place / "out")
    assert {source.name for source in elsewhere.sources().values()} == {"1.png", "2.png", "3.png"}
    assert (found["films"], found["unreadable"], found["flagged"]) == (3, 1, 2)
    assert (found["num_rois"], found["below50"], len(found["rois"])) == (4, 0, 4)
    assert found["avg_iou"] == pytest.approx(38 / 42, abs=1e-4)
    assert found["centre_error"] == pytest.approx(2 / 40, abs=1e-3)
