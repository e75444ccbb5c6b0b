import json
import os
from dataclasses import replace

import pytest

from hipdet.core.errors import DatasetError
from hipdet.inference.archive import LINES, RUN, Run, find_runs, read_part, read_results, write_lines
from hipdet.inference.detections import DetectedRoi, FilmRois

ROI = DetectedRoi((1.1234567, 2.25, 11.5, 12.25), 0.123456789, "hip", "left")
FILM = FilmRois("a.jpg", None, 40, 30, (ROI,), ("fewer_rois",))
RUN_OF = Run("model A, rois 1", {"hip": 1}, 1, shards=2)
ODD = ["a b.png", "größe.png", "a%FF.png", "=1+1.png", "new%0Aline.png", "\u202etxt.png", "'quoted.png"]


def shard(folder, number, names, first=1, **changes):
    """A shard's folder with films of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [(at, replace(FILM, name=name)) for at, name in enumerate(names, first)]
    replace(RUN_OF, shard=number, films=len(names), **changes).write(folder)
    write_lines(folder, lambda: iter(records))
    return folder


def test_shards_are_one(tmp_path):
    shard(tmp_path / "shard-1-of-2", 1, ODD[:3], 4)
    shard(tmp_path / "shard-2-of-2", 2, ODD[3:], 10)
    found = read_results(find_runs([tmp_path]))
    assert [(number, film.name) for number, film in found.films] == [*enumerate(ODD[:3], 4), *enumerate(ODD[3:], 10)]
    assert found.films[0][1] == replace(FILM, name=ODD[0])  # with all digits
    assert (found.lines, dict(found.categories)) == ([], {"hip": 1})
    assert [row["file_name"] for row in found.rows()] == ODD
    assert [image["id"] for image in found.coco()["images"]] == [4, 5, 6, 10, 11, 12, 13]
    files = [tmp_path / "shard-1-of-2/predictions.json", tmp_path / "shard-2-of-2"]  # a file stands for its folder
    assert read_results(find_runs(files)).films == found.films


def test_films_are_numbered_anew_where_ids_are_not_unique(tmp_path):
    """As after films were added between two shards."""
    folders = [shard(tmp_path / "b", 1, ["b.png", "d.png"]), shard(tmp_path / "a", 2, ["c.png", "a.png"])]
    assert [(number, film.name) for number, film in read_results(folders).films] == [
        (1, "a.png"),
        (2, "b.png"),
        (3, "c.png"),
        (4, "d.png"),
    ]
    for number, folder in enumerate(folders, 1):
        replace(RUN_OF, own_ids=True, shard=number).write(folder)
    with pytest.raises(DatasetError, match="two films have one id, expected results of one COCO file"):
        read_results(folders)


def test_what_is_missing_is_said(tmp_path):
    folder = shard(tmp_path / "x", 2, ["a.png"], shards=4)
    replace(RUN_OF, shard=2, shards=4, films=3).write(folder)
    assert read_results([folder]).lines == [
        f"{folder}: 1 of its 3 films are predicted, the others are missing: run it again",
        "no results of shards 1, 3, 4 of 4: their films are missing",
    ]


def test_a_film_twice_names_both(tmp_path):
    folders = [shard(tmp_path / "one", 1, ["a.png", "b.png"]), shard(tmp_path / "two", 2, ["c.png", "b.png"], 3)]
    with pytest.raises(
        DatasetError, match=r"film 'b.png': in .*one/films.jsonl and in .*two/films.jsonl, expected each"
    ):
        read_results(folders)
    with pytest.raises(DatasetError, match="one: given twice"):
        find_runs([folders[0], folders[0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(settings="model B, rois 1"), "model A and model B"),
        (dict(settings="model A, rois 1, headers View AP"), "{'hip': 1} and headers View AP"),
        (dict(categories={"hip": 2}), "{'hip': 1} and {'hip': 2}"),
        (dict(own_ids=True), "own ids False and own ids True"),
    ],
)
def test_settings_must_agree(changes, message, tmp_path):
    folders = [shard(tmp_path / "one", 1, ["a.png"]), shard(tmp_path / "two", 2, ["b.png"], 2, **changes)]
    with pytest.raises(DatasetError, match="two: other models or settings") as error:
        read_results(folders)
    assert message in str(error.value)


def test_other_results_are_not_mixed_in(tmp_path):
    (tmp_path / "plain").mkdir()
    assert find_runs([tmp_path / "plain", tmp_path / "plain/predictions.json", tmp_path / "none"]) == []
    with pytest.raises(DatasetError, match="plain: no results of a shard or of ray, unlike"):
        find_runs([shard(tmp_path / "one", 1, ["a.png"]), tmp_path / "plain"])


GOOD = json.loads(json.dumps(RUN_OF.__dict__))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "found .*, expected an object"),
        ("[" * 10_000, "nested too deeply"),
        (json.dumps({**GOOD, "categories": []}), "categories is .*, expected an object"),
        (json.dumps({**GOOD, "categories": {"hip": "one"}}), "hip is 'one', expected a whole number"),
        (json.dumps({**GOOD, "settings": 3}), "settings is 3, expected a text"),
        (json.dumps({**GOOD, "films": -1}), "films is -1, expected a whole number from 0"),
        (json.dumps({**GOOD, "shard": 3}), "shard is 3, expected a whole number from 1 to 2"),
        (json.dumps({**GOOD, "shards": 10**9}), "shards is 1000000000, expected"),
    ],
    ids=lambda text: text[:30],
)
def test_other_runs_are_refused(text, message, tmp_path):
    shard(tmp_path, 1, ["a.png"])
    (tmp_path / RUN).write_text(text)
    with pytest.raises(DatasetError, match=rf"run\.json: .*{message}"):
        read_results([tmp_path])


def line(**changes):
    return json.dumps({"id": 1, "film": {**FILM.to_json(), **changes}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ("{}", "line 1: no id"),
        ('{"id": 1}', "line 1: no film"),
        (line()[:-5], "line 1: not JSON"),  # a file that was cut
        (line() + "\n" + line(name=3), "line 2: film: name is 3, expected a text"),
        (line(width="wide"), "width is 'wide', expected a whole number"),
        (line(rois=[{**FILM.to_json()["rois"][0], "label": "knee"}]), r"label 'knee', expected one of \['hip'\]"),
        (line(rois=[{**FILM.to_json()["rois"][0], "score": 2}]), "score is 2"),
    ],
    ids=lambda text: text[-30:],
)
def test_other_lines_are_refused(text, message, tmp_path):
    shard(tmp_path, 1, ["a.png"])
    (tmp_path / LINES).write_text(text)
    with pytest.raises(DatasetError, match=rf"films\.jsonl: .*{message}"):
        read_results([tmp_path])


COLUMNS = ("image_id", "left_out", "record")


def parquet(folder, name="part-1-of-1.parquet", **columns):
    """A file of films with these columns instead of the usual ones; None leaves one out."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = folder / "films" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    usual = dict(image_id=[1], left_out=[False], record=[json.dumps(FILM.to_json())])
    table = {key: value for key, value in {**usual, **columns}.items() if value is not None}
    write_table(pyarrow.table(table), path)
    return path


def test_parquet_is_one_with_shards(tmp_path):
    parquet(tmp_path / "ray", image_id=[3, 4], left_out=[False, True], record=[json.dumps(FILM.to_json())] * 2)
    replace(RUN_OF, films=2, shards=1, parts=1).write(tmp_path / "ray")
    found = read_results([tmp_path / "ray"])
    assert (found.films, found.lines) == ([(3, FILM)], [])
    with pytest.raises(DatasetError, match=r"'a.jpg': in .*part-1-of-1.parquet and in .*films.jsonl"):
        read_results([tmp_path / "ray", shard(tmp_path / "one", 1, ["a.jpg"])])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (dict(record=None), "column record is None"),
        (dict(image_id=["1"]), "column image_id is string"),
        (dict(left_out=[1]), "column left_out is int64"),
        (dict(record=[b"\x80\x04N."]), "column record is binary"),  # a pickle is never loaded
        (dict(record=[None]), "column record is null"),
        (dict(image_id=[None, 1], left_out=[False, False], record=["{}", "{}"]), "empty cells"),
    ],
)
def test_other_parquet_is_refused(columns, message, tmp_path):
    with pytest.raises(DatasetError, match=f"part-1-of-1.parquet: {message}, expected the films of hipdet predict"):
        read_part(parquet(tmp_path, **columns), COLUMNS)


@pytest.mark.parametrize(
    ("record", "message"),
    [("{", "not JSON"), ("[]", "expected an object"), ('{"name": 3}', "name is 3"), ('{"name": "a"}', "no width")],
)
def test_other_records_in_parquet_are_refused(record, message, tmp_path):
    parquet(tmp_path, record=[record])
    replace(RUN_OF, shards=1).write(tmp_path)
    with pytest.raises(DatasetError, match=f"part-1-of-1.parquet: row 1: .*{message}"):
        read_results([tmp_path])


def test_an_extension_that_would_be_unpickled_is_refused(tmp_path):
    """As tables of Python objects are stored by ray and by earlier versions of pyarrow."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = parquet(tmp_path)
    told = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": b"cos\nsystem\n(S'x'\ntR.",
    }
    field = pyarrow.field("record", pyarrow.binary(), metadata=told)
    schema = pyarrow.schema([("image_id", "int64"), ("left_out", "bool"), field])
    write_table(pyarrow.table(dict(image_id=[1], left_out=[False], record=[b"x"]), schema), path)
    with pytest.raises(DatasetError, match="column record is"):
        read_part(path, COLUMNS)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"no parquet" * 100, None, "pipe"])
def test_no_parquet_is_refused(content, tmp_path):
    path = parquet(tmp_path)
    if content is None:
        content = path.read_bytes()[:-20] + bytes(20)
    path.unlink()
    os.mkfifo(path) if content == "pipe" else path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"part-1-of-1.parquet: (no Parquet|not a file).*, expected"):
        read_part(path, COLUMNS)


def test_damaged_parquet_is_refused_or_read(tmp_path):
    """Whatever single byte is wrong: never another error."""
    path = parquet(tmp_path)
    sound = path.read_bytes()
    for at in range(0, len(sound), 37):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        try:
            rows = read_part(path, COLUMNS)
        except DatasetError:
            continue
        assert all(isinstance(row["record"], str) for row in rows)
