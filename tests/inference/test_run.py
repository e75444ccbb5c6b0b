"""What hipdet predict, its shards and the workers of ray share; the commands: tests/end_to_end."""

import json
import os

import pytest
from PIL import Image

from dicom_bytes import film
from film_bytes import UPRIGHT
from hipdet import HipDetector
from hipdet.core.errors import DatasetError
from hipdet.inference.archive import LINES, RUN, Run, read_results
from hipdet.inference.film_list import FilmList, films_at
from hipdet.inference.run import JOURNAL, REVIEW, Predictor, discard
from hipdet.inference.selection import HeaderFilter, Shard
from hipdet.phantoms.write import make_film

ONE = Shard(1, 1)


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films").mkdir()
    for number in range(2):
        pixels = make_film("cgoa", number, seed=3, max_side=300).pixels
        Image.fromarray(pixels).save(tmp_path / f"films/{number}.png")
    return tmp_path / "films"


def predictor(out, headers=None):
    return Predictor(lambda: HipDetector(threads=1), headers or HeaderFilter(), out)


def watched(made, monkeypatch, change=lambda: None):
    """Names of the films that are predicted; `change` is called after the first one."""
    predicted = []
    of_sources = made.detector.of_sources

    def watch(sources, total=None):
        for record in of_sources(sources, total):
            predicted.append(record.name)
            if len(predicted) == 1:
                change()
            yield record

    monkeypatch.setattr(made.detector, "of_sources", watch)
    return predicted


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_a_film_that_changes_meanwhile_is_in_the_results_and_predicted_again(how, films, tmp_path, monkeypatch):
    """Its record is of what was read, so the next run must not take it for that of the new film."""
    path, made = films / "0.png", predictor(tmp_path / "out")
    before = path.read_bytes()

    def change():
        path.unlink() if how == "deleted" else path.write_bytes((films / "1.png").read_bytes())

    predicted = watched(made, monkeypatch, change)
    todo = films_at([str(films)])
    assert made.predict(todo, ONE)["films"] == 2
    found = read_results([tmp_path / "out/shard-1-of-1"])
    assert ([film.name for _, film in found.films], found.lines) == (["0.png", "1.png"], [])
    if how == "deleted":
        path.write_bytes(before)
    made.predict(todo, ONE)
    assert predicted == ["0.png", "1.png", "0.png"]
    made.predict(todo, ONE)
    assert len(predicted) == 3


def test_a_half_written_shard_is_not_read(films, tmp_path):
    """Old films with the settings of the new run, or the other way round."""
    made, out = predictor(tmp_path / "out"), tmp_path / "out/shard-1-of-1"
    todo = films_at([str(films)])
    made.predict(todo, ONE)
    assert (out / RUN).is_file()
    (out / LINES).unlink()
    (out / LINES).mkdir()  # can't be replaced
    with pytest.raises(IsADirectoryError, match=r"films\.jsonl"):
        made.predict(todo, ONE)
    assert not (out / RUN).exists()


def test_an_interrupted_run_writes_what_it_has(films, tmp_path, monkeypatch):
    made, out = predictor(tmp_path / "out"), tmp_path / "out/shard-1-of-1"

    def interrupt():
        raise KeyboardInterrupt

    predicted = watched(made, monkeypatch, interrupt)
    todo = films_at([str(films)])
    with pytest.raises(KeyboardInterrupt):
        made.predict(todo, ONE)
    assert Run.read(out).films == 2
    assert json.loads((out / "predictions.json").read_text()) == []
    made.predict(todo, ONE)
    assert predicted == ["0.png", "0.png", "1.png"]


def test_films_are_left_out_by_their_headers(films, tmp_path):
    pytest.importorskip("pydicom")
    (films / "chest.dcm").write_bytes(film(UPRIGHT, BodyPartExamined="CHEST"))
    (films / "text.jpg").write_bytes(b"no film")
    told = []
    made = predictor(tmp_path / "out", HeaderFilter.of(BodyPartExamined=["HIP"]))
    found = made.predict(films_at([str(films)]), ONE, told.append)
    assert (found["films"], found["unreadable"]) == (3, 1)
    assert told[0].startswith("1 films left out by their DICOM headers (1: BodyPartExamined is CHEST)")
    results = read_results([tmp_path / "out/shard-1-of-1"])
    assert ([film.name for _, film in results.films], results.lines) == (["0.png", "1.png", "text.jpg"], [])
    assert Run.read(tmp_path / "out/shard-1-of-1").settings.endswith(", headers BodyPartExamined HIP")


def test_discarded_results_are_predicted_again(films, tmp_path, monkeypatch):
    made, out = predictor(tmp_path / "out"), tmp_path / "out"
    predicted = watched(made, monkeypatch)
    todo = films_at([str(films)])
    for _ in range(2):
        made.predict(todo)
    discard(out)
    assert not {JOURNAL, RUN} & {*os.listdir(out)}
    made.predict(todo)
    assert predicted == ["0.png", "1.png"] * 2
    assert (out / REVIEW).is_file()


def test_a_coco_file_needs_the_classes_of_the_model(tmp_path):
    made = predictor(tmp_path)
    assert made.run(FilmList(tmp_path, {}, {"knee": 2, "hip": 7})).categories == {"knee": 2, "hip": 7}
    with pytest.raises(DatasetError, match="the COCO file has no category 'hip', which the model finds"):
        made.predict(FilmList(tmp_path, {}, {"knee": 1}))
    assert [*tmp_path.iterdir()] == []
