import json
from dataclasses import replace

import pytest

from hipdet.core.errors import DatasetError
from hipdet.inference.archive import LINES, RUN, Run, find_runs, read_results, write_lines
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


def test_the_folder_of_ray_has_shards(tmp_path):
    """Its own record of all shards stands beside their folders."""
    RUN_OF.write(tmp_path)
    assert (
        read_results(find_runs([tmp_path]))
        .lines[0]
        .endswith("0 of its 1 films are predicted, the others are missing: run it again")
    )
    folders = [shard(tmp_path / f"shard-{number}-of-2", number, [f"{number}.png"], number) for number in (1, 2)]
    assert find_runs([tmp_path]) == folders
    assert read_results(folders).lines == []


def test_a_film_twice_names_both(tmp_path):
    folders = [shard(tmp_path / "one", 1, ["a.png", "b.png"]), shard(tmp_path / "two", 2, ["c.png", "b.png"], 3)]
    with pytest.raises(
        DatasetError, match=r"film 'b.png': in .*one/films.jsonl and in .*two/films.jsonl, expected each"
    ):
        read_results(folders)
    assert find_runs([folders[0], folders[0] / "predictions.json", folders[1]]) == folders  # a folder twice is one


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
    with pytest.raises(DatasetError, match="plain: no results of a shard, unlike"):
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
        (line().replace('"id": 1, ', ""), "line 1: no id"),
        ('{"id": 1}', "line 1: no film"),
        (line()[:-5], "line 1: not JSON"),  # a file that was cut
        (line() + "\n" + line(name=3), "line 2: film: name is 3, expected a text"),
        (line(width="wide"), "width is 'wide', expected a whole number"),
        (line(rois=[{**FILM.to_json()["rois"][0], "label": "knee"}]), "label is 'knee', expected one of 'hip'"),
        (line(rois=[{**FILM.to_json()["rois"][0], "score": 2}]), "score is 2"),
    ],
    ids=lambda text: text[-30:],
)
def test_other_lines_are_refused(text, message, tmp_path):
    shard(tmp_path, 1, ["a.png"])
    (tmp_path / LINES).write_text(text)
    with pytest.raises(DatasetError, match=rf"films\.jsonl: .*{message}"):
        read_results([tmp_path])
