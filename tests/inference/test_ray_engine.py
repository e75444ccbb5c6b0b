"""What each worker of the engine ray does, without ray; with it: tests/end_to_end/test_archive.py."""

import json
import os
from dataclasses import replace
from time import process_time

import pytest
from PIL import Image

from dicom_bytes import film
from film_bytes import UPRIGHT
from hipdet import HipDetector
from hipdet.cli.predict import main as predict
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.inference.archive import FILM_TYPES, Run, read_part, read_results
from hipdet.inference.film_list import FilmSource
from hipdet.inference.ray_engine import _ROI_TYPES, Job, PartPredictor, _claim, read_failures, read_headers
from hipdet.inference.results import ROI_COLUMNS, roi_table
from hipdet.inference.selection import HeaderFilter
from hipdet.phantoms.write import make_film

pytest.importorskip("pyarrow")
PART = "part-1-of-1.parquet"
OPTIONS = dict(threads=1)
NAMES = ["0.png", "no film.png", "a%FF.png", "=1+1.png"]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films with hostile names, one that can't be read, and a DICOM film."""
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate((b"0.png", b"a\xff.png", b"=1+1.png")):
        Image.fromarray(make_film("cgoa", number, seed=3, max_side=300).pixels).save(folder / "x.png")
        os.rename(folder / "x.png", os.path.join(os.fsencode(folder), name))
    (folder / "no film.png").write_bytes(b"no film")
    (folder / "chest.dcm").write_bytes(film(UPRIGHT, BodyPartExamined="CHEST"))
    return folder


@pytest.fixture(scope="module")
def found(films):
    """What the ordinary engine finds."""
    return [replace(each, path=None) for each in HipDetector(**OPTIONS).of_sources(iter(sources(films)))]


def sources(films, names=NAMES):
    return [FilmSource(name, films / os.fsdecode(name.encode().replace(b"%FF", b"\xff"))) for name in names]


def row(films, names=NAMES, first=1):
    items = [(number, each.name, str(each.path)) for number, each in enumerate(sources(films, names), first)]
    return {"part": PART, "films": json.dumps(items)}


def job(out, headers=None, **changes):
    settings = HipDetector(**OPTIONS).settings
    run = Run(settings, {"hip": 1}, len(NAMES), parts=1)
    return replace(Job(OPTIONS, settings, headers or HeaderFilter(), run, out), **changes)


def test_a_part_has_what_the_ordinary_engine_finds(films, found, tmp_path):
    """Bit for bit, also under names that aren't UTF-8 or look like formulas."""
    made = job(tmp_path)
    assert PartPredictor(made)(row(films)) == {"films": 4, "error": ""}
    made.run.write(tmp_path)
    assert read_results([tmp_path]).films == [*enumerate(found, 1)]
    from pyarrow.parquet import read_table

    table = read_table(tmp_path / "rois" / PART)
    assert table.column_names == list(ROI_COLUMNS)
    expected = [dict(zip(ROI_COLUMNS, cells)) for cells in [*roi_table(enumerate(found, 1))][1:]]
    assert len(expected) >= 6
    assert table.to_pylist() == [
        {key: None if cell == "" and _ROI_TYPES.get(key) != "string" else cell for key, cell in cells.items()}
        for cells in expected
    ]
    assert [name for name, _ in read_failures(tmp_path)] == ["no film.png"]
    whole = b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert os.fsencode(films) not in whole  # nor in anything else that is written


def test_finished_films_are_skipped(films, tmp_path, monkeypatch):
    worker = PartPredictor(job(tmp_path))
    predicted = []
    of_sources = worker.detector.of_sources

    def watched(given, total=None):
        given = [*given]
        predicted.append([each.name for each in given])
        return of_sources(iter(given), total)

    monkeypatch.setattr(worker.detector, "of_sources", watched)
    worker(row(films, NAMES[:3]))
    first = read_part(tmp_path / "films" / PART, tuple(FILM_TYPES))
    worker(row(films, NAMES[:3]))  # a film that can't be read is tried again
    worker(row(films))  # one is added
    assert predicted == [NAMES[:3], ["no film.png"], ["no film.png", "=1+1.png"]]
    assert read_part(tmp_path / "films" / PART, tuple(FILM_TYPES))[:3] == first
    os.utime(films / "0.png", ns=(1, 1))
    worker(row(films))
    assert "0.png" in predicted[-1]  # as it may have changed
    before = (tmp_path / "films" / PART).stat().st_mtime_ns
    rest = [name for name in NAMES if name != "no film.png"]
    worker(row(films, rest))  # one is gone: the file is written again, nothing is predicted
    worker(row(films, rest))
    assert predicted[4:] == [[]]
    assert [each["film"] for each in read_part(tmp_path / "films" / PART, ("film",))] == rest
    assert (tmp_path / "films" / PART).stat().st_mtime_ns > before


def test_films_are_left_out_by_their_headers(films, tmp_path):
    pytest.importorskip("pydicom")
    made = job(tmp_path, HeaderFilter.of(BodyPartExamined=["HIP"]))
    PartPredictor(made)(row(films, ["0.png", "chest.dcm"]))
    replace(made.run, films=2).write(tmp_path)
    results = read_results([tmp_path])
    assert ([film.name for _, film in results.films], results.lines) == (["0.png"], [])
    assert read_headers(tmp_path) == [
        ("0.png", False, "no DICOM film"),
        ("chest.dcm", True, "BodyPartExamined is CHEST"),
    ]


def test_a_worker_is_as_fast_as_a_shard(films, tmp_path, record_property):
    """In seconds of the processor, with the start of the model.  Ray's own start comes on top, once."""
    names = [f"{number}.png" for number in range(12)]
    (tmp_path / "many").mkdir()
    for name in names:
        os.link(films / "0.png", tmp_path / "many" / name)
    start = process_time()
    predict([str(tmp_path / "many"), "--shard", "1/1", "--threads", "1", "--out", str(tmp_path / "shards")])
    by_shard = process_time()
    assert PartPredictor(job(tmp_path / "ray"))(row(tmp_path / "many", names))["films"] == 12
    by_ray = process_time()
    record_property("films_per_second", [12 / (by_shard - start), 12 / (by_ray - by_shard)])
    assert by_ray - by_shard < 2 * (by_shard - start)
    replace(job(tmp_path).run, films=12).write(tmp_path / "ray")
    found = [read_results([tmp_path / place]).films for place in ("ray", "shards/shard-1-of-1")]
    assert {film.name: film for _, film in found[0]} == {film.name: film for _, film in found[1]}


def test_what_cannot_be_written_is_said(films, tmp_path):
    (tmp_path / "rois").write_text("no folder")
    done = PartPredictor(job(tmp_path))(row(films, NAMES[:1]))
    assert done["films"] == 0
    assert "rois" in done["error"]


def test_a_machine_with_another_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="another hipdet or model: install the same on all"):
        PartPredictor(job(tmp_path, settings="another"))


def test_another_file_in_the_place_of_a_part_is_an_error(films, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / PART).write_bytes(b"PAR1")
    assert "no Parquet" in PartPredictor(job(tmp_path))(row(films))["error"]


def test_a_folder_is_of_one_model_and_settings(tmp_path):
    made = job(tmp_path)
    assert _claim(made, workers=2, films=1000) == 16
    assert _claim(made, workers=64, films=100_000) == 16  # the parts stay
    with pytest.raises(ConfigError, match="another model or other settings, expected the same: choose another --out"):
        _claim(replace(made, run=replace(made.run, settings="another")), 2, 1000)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"run\.json"):
        _claim(made, 2, 1000)


@pytest.mark.parametrize(("workers", "films", "parts"), [(2, 0, 1), (2, 3, 3), (2, 60, 16), (8, 10**6, 2000)])
def test_number_of_parts(workers, films, parts, tmp_path):
    assert _claim(job(tmp_path), workers, films) == parts
