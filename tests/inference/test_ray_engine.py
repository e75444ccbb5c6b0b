"""What each worker of the engine ray does, without ray; with it: tests/end_to_end/test_archive.py."""

import os
from dataclasses import replace
from functools import partial
from time import process_time

import pytest
from PIL import Image

from hipdet import HipDetector
from hipdet.core.errors import CheckpointError, ConfigError, DatasetError
from hipdet.inference.archive import RUN, Run, read_results
from hipdet.inference.film_list import FilmList, FilmSource
from hipdet.inference.ray_engine import _ROI_TYPES, PARQUET, ShardPredictor, _claim
from hipdet.inference.results import ROI_COLUMNS, roi_table
from hipdet.inference.run import Predictor
from hipdet.inference.selection import HeaderFilter, Shard
from hipdet.phantoms.write import make_film

pytest.importorskip("pyarrow")
ONE = Shard(1, 1)
FOLDER = "shard-1-of-1"
OPEN = partial(HipDetector, threads=1)
NAMES = ["0.png", "no film.png", "a%FF.png", "=1+1.png"]
RUN_OF = Run("model", {"hip": 1}, 1000)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films with hostile names, one that can't be read."""
    folder = tmp_path_factory.mktemp("films")
    for number, name in enumerate((b"0.png", b"a\xff.png", b"=1+1.png")):
        Image.fromarray(make_film("cgoa", number, seed=3, max_side=300).pixels).save(folder / "x.png")
        os.rename(folder / "x.png", os.path.join(os.fsencode(folder), name))
    (folder / "no film.png").write_bytes(b"no film")
    return folder


def listed(films, names=NAMES):
    sources = [FilmSource(name, films / os.fsdecode(name.encode().replace(b"%FF", b"\xff"))) for name in names]
    return FilmList(films, dict(enumerate(sources, 1)), {})


def worker(out, **changes):
    predictor = Predictor(OPEN, HeaderFilter(), out)
    return ShardPredictor(replace(predictor), replace(predictor.run(FilmList(out, {}, {})), **changes), os.getcwd())


def predicted(actor, todo, shard=ONE):
    return actor(dict(shard=shard, films=todo))


def parquet(folder):
    from pyarrow.parquet import read_table

    return read_table(folder / PARQUET)


def test_a_shard_has_what_the_ordinary_engine_finds(films, tmp_path):
    """Bit for bit, also under names that aren't UTF-8 or look like formulas."""
    todo = listed(films)
    assert predicted(worker(tmp_path), todo) == {"given": 4, "error": "", "films": 4, "unreadable": 1, "without": 0}
    found = [replace(each, path=None) for each in OPEN().of_sources(iter(todo.films.values()))]
    results = read_results([tmp_path / FOLDER])
    assert (results.films, results.lines) == ([*enumerate(found, 1)], [])
    table = parquet(tmp_path / FOLDER)
    assert table.column_names == list(ROI_COLUMNS)
    expected = [dict(zip(ROI_COLUMNS, cells)) for cells in [*roi_table(enumerate(found, 1))][1:]]
    assert len(expected) >= 6
    assert table.to_pylist() == [
        {key: None if cell == "" and _ROI_TYPES.get(key) != "string" else cell for key, cell in cells.items()}
        for cells in expected
    ]
    whole = b"".join(path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file())
    assert os.fsencode(films) not in whole


def test_shards_of_any_content_are_one_table(films, tmp_path):
    """Also where no film of a shard has an ROI, or a spacing."""
    for number, names in enumerate(([], ["no film.png"], ["0.png"]), 1):
        assert not predicted(worker(tmp_path), listed(films, names), Shard(number, 3))["error"]
    tables = [parquet(path) for path in sorted(tmp_path.glob("shard-*"))]
    assert len({str(table.schema) for table in tables}) == 1
    assert [table.num_rows for table in tables] == [0, 0, 2]


def test_parquet_is_not_read(films, tmp_path):
    """Whatever is there is replaced."""
    actor = worker(tmp_path)
    predicted(actor, listed(films, NAMES[:1]))
    before = parquet(tmp_path / FOLDER)
    (tmp_path / FOLDER / PARQUET).write_bytes(b"PAR1\x80\x04N.")
    predicted(actor, listed(films, NAMES[:1]))
    assert parquet(tmp_path / FOLDER).equals(before)
    assert read_results([tmp_path / FOLDER]).lines == []


def test_a_journal_of_shards_is_carried_on(films, tmp_path, monkeypatch):
    """Films that are done need no model's time, whichever engine has predicted them."""
    predictor = Predictor(OPEN, HeaderFilter(), tmp_path)
    predictor.predict(listed(films, NAMES[:3]), ONE)
    actor = worker(tmp_path)
    names = []
    of_sources = actor.predictor.detector.of_sources

    def watched(given, total=None):
        given = [*given]
        names.append([each.name for each in given])
        return of_sources(iter(given), total)

    monkeypatch.setattr(actor.predictor.detector, "of_sources", watched)
    predicted(actor, listed(films))  # one is added; a film that can't be read is tried again
    predicted(actor, listed(films, [NAMES[0], NAMES[3]]))  # two are gone
    assert names == [["no film.png", "=1+1.png"], []]
    assert [film.name for _, film in read_results([tmp_path / FOLDER]).films] == [NAMES[0], NAMES[3]]


def test_a_worker_is_as_fast_as_a_shard(films, tmp_path, record_property):
    """In seconds of the processor, with the start of the model.  Ray's own start comes on top, once."""
    names = [f"{number}.png" for number in range(12)]
    (tmp_path / "many").mkdir()
    for name in names:
        os.link(films / "0.png", tmp_path / "many" / name)
    todo = listed(tmp_path / "many", names)
    start = process_time()
    Predictor(OPEN, HeaderFilter(), tmp_path / "shards").predict(todo, ONE)
    by_shard = process_time()
    assert predicted(worker(tmp_path / "ray"), todo)["films"] == 12
    by_ray = process_time()
    record_property("films_per_second", [12 / (by_shard - start), 12 / (by_ray - by_shard)])
    assert by_ray - by_shard < 2 * (by_shard - start)
    for name in ("predictions.json", "predictions.csv", "films.jsonl", "run.json"):
        assert (tmp_path / "ray" / FOLDER / name).read_bytes() == (tmp_path / "shards" / FOLDER / name).read_bytes()


def test_what_fails_is_said(films, tmp_path):
    (tmp_path / FOLDER).write_text("no folder")
    done = predicted(worker(tmp_path), listed(films, NAMES[:1]))
    assert done["given"] == 0
    assert FOLDER in done["error"]
    broken = worker(tmp_path / "out")
    broken.predictor = replace(broken.predictor, open_detector=partial(HipDetector, "none.onnx"))
    with pytest.raises(CheckpointError):
        broken.predictor.detector.model  # noqa: B018
    assert "none.onnx" in predicted(broken, listed(films))["error"]
    elsewhere = replace(worker(tmp_path / "out"), folder=str(tmp_path / "gone"))
    assert "gone" in predicted(elsewhere, listed(films))["error"]


def test_a_machine_with_another_model_is_refused(films, tmp_path):
    done = predicted(worker(tmp_path, settings="another, long side 7"), listed(films))
    assert done["error"].startswith("a machine of the cluster has another hipdet or model (another and results ")
    assert done["error"].endswith("install the same on all")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_is_of_one_model_and_settings(tmp_path):
    assert _claim(tmp_path, RUN_OF, workers=2, overwrite=False) == 16
    assert _claim(tmp_path, replace(RUN_OF, films=100_000), 64, False) == 16  # the number of shards stays
    other = replace(RUN_OF, settings="another")
    with pytest.raises(
        ConfigError, match=r"other settings \(model and another\), expected the same: choose another --out"
    ):
        _claim(tmp_path, other, 2, False)
    assert _claim(tmp_path, other, 2, overwrite=True) == 16
    assert Run.read(tmp_path).settings == "another"
    (tmp_path / RUN).write_text("{}")
    with pytest.raises(DatasetError, match=r"run\.json"):
        _claim(tmp_path, RUN_OF, 2, False)


def test_shards_of_another_number_are_refused(tmp_path):
    """As of --shard 3/64 in the same folder: merge would find each film twice."""
    (tmp_path / "shard-03-of-16").mkdir()
    assert _claim(tmp_path, RUN_OF, 2, False) == 16
    (tmp_path / "shard-03-of-64").mkdir()
    with pytest.raises(ConfigError, match=r"shard-03-of-64: not one of 16 shards, .* choose another --out"):
        _claim(tmp_path, RUN_OF, 2, False)


@pytest.mark.parametrize(("workers", "films", "shards"), [(2, 0, 1), (2, 3, 3), (2, 60, 16), (8, 10**6, 2000)])
def test_number_of_shards(workers, films, shards, tmp_path):
    assert _claim(tmp_path, replace(RUN_OF, films=films), workers, False) == shards
