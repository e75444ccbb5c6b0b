"""Whatever the bytes of a file are, its reader gives a record or our error, and what it gives can be used."""

import json
from contextlib import suppress

import pytest
from any_json import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipdet.core.errors import HipdetError
from hipdet.evaluation.report import read_roi_table
from hipdet.inference.crops import CropSettings, crops_by_film, manifest_row
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.film_list import FilmSource, films_of_coco
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.results import FilmJournal, write_predictions
from hipdet.inference.review import ReviewLimits
from hipdet.visualization.film_pictures import PICTURED, evaluated_films, predicted_films, read_predictions
from hipdet.visualization.plot_data import read_log, read_rois
from hipdet.visualization.tiles import worst_first
from roi_tables import extra, row

ROI = DetectedRoi((1.5, 2.25, 11.5, 12.25), 0.75, "hip", "left")
RECORD = FilmRois("a.jpg", None, 40, 30, (ROI, ROI), ("fewer_rois",), 90, True)
LIMITS = ReviewLimits(9, 0.01, 0.5, {"score": (0.9, None), "tilt": (None, 5.0)})
PREDICTION = dict(
    image_id=1, category_id=1, bbox=[1, 2, 30, 20], score=0.9, file_name="s/a.png", width=80, height=60, label="hip",
    picture_side="left", patient_side="right", turned=0, inverted=False, flags=["low_score"],
)  # fmt: skip
COCO = dict(images=[dict(id=1, file_name="a.png"), dict(id=2, file_name="b.png")], categories=[dict(id=1, name="hip")])


def crops(path):
    for each in (CropSettings(), CropSettings(0, 64, 16, tight=True)):
        for film, made in crops_by_film(path, each).items():
            for crop in made:
                manifest_row(film, crop, each)
                assert max(crop.window.width, crop.window.height) <= 20_000


def journal(path):
    with FilmJournal(path, "model", ("hip",)) as films:
        source = FilmSource("a.jpg", path.with_name("a.jpg"))
        films.places[films.key(source)] = next(iter(films.places.values()), 0)
        if films.places and path.stat().st_size:
            record = films.find(source)
            write_predictions(path.parent / "out", lambda: iter([(1, record)]), {"hip": 1})


def card(path):
    text = path.read_bytes().decode(errors="replace")
    assert ModelCard.from_text(ModelCard.from_text(text, "m.onnx").to_text(), "m.onnx").counts.most >= 1


READERS = {
    "crop": ([PREDICTION, dict(PREDICTION, patient_side="")], crops),
    "journal": ({"key": "k", "film": RECORD.to_json()}, journal),
    "coco": (COCO, lambda path: films_of_coco(path, path.parent)),
    "card": (json.loads(ModelCard("c", ("a", "hip"), 448, {"a": 1, "hip": [0, 2]}, LIMITS).to_text()), card),
    "predictions": ([PREDICTION, PREDICTION], lambda path: worst_first(predicted_films(read_predictions(path)))),
    "table": (
        dict(rois=[row(1, 0.9), row(2, 0.0, None)], extras=[extra(1, (1, 2, 3, 4), 0.3)]),
        lambda path: worst_first(list(evaluated_films(read_roi_table(path, *PICTURED)).values())),
    ),
    "plot": (dict(rois=[row(1, 0.9), row(2, 0.0, None)]), lambda path: read_rois(path, {"1.png": 9, "2.png": 9})),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_records_or_our_error(name, data, tmp_path):
    document, read = READERS[name]
    path = tmp_path / "a.json"
    path.write_bytes(data.draw(damaged(document)) + b"\n")
    with suppress(HipdetError):
        read(path)


@pytest.mark.parametrize("name", READERS)
def test_the_undamaged_documents_are_read(name, tmp_path):
    document, read = READERS[name]
    (tmp_path / "a.json").write_text(json.dumps(document) + "\n")
    read(tmp_path / "a.json")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged(dict(lr=0.1, loss=1.0, epoch=1, iter=2, step=2)))
def test_a_log_of_a_training_or_our_error(tmp_path, line):
    path = tmp_path / "1/vis_data/scalars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(line + b'\n{"loss": 1.0, "epoch": 1, "iter": 1, "step": 1}\n')
    with suppress(HipdetError):
        read_log(tmp_path)
