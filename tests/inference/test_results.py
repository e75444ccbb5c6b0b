import csv
import json
from dataclasses import replace

import pytest
from PIL import Image

from hipdet import HipDetector
from hipdet.cli import predict
from hipdet.core.errors import DatasetError
from hipdet.inference import detector
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.film_list import FilmSource
from hipdet.inference.results import FilmJournal, write_films, write_predictions
from hipdet.inference.review import ReviewLimits
from hipdet.phantoms.write import make_film

ROI = DetectedRoi((1.5, 2.25, 11.5, 12.25), 0.75, "hip", "left")
RECORD = FilmRois("a.jpg", None, 40, 30, (ROI,), ("fewer_rois",), 90, True)
CANDIDATE = DetectedRoi((21.5, 2.25, 31.5, 12.25), 0.25, "hip", "", True)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"film")
    return FilmSource("a.jpg", tmp_path / "a.jpg")


def test_records_are_found_again(source, tmp_path):
    with FilmJournal(tmp_path / "out/j.jsonl", "model") as journal:
        assert journal.find(source) is None
        journal.add(source, RECORD)
        journal.add(
            replace(source, name="missing", path=tmp_path / "missing"), FilmRois("missing", None, error="no such")
        )
    with FilmJournal(tmp_path / "out/j.jsonl", "model") as journal:
        assert journal.find(source) == replace(RECORD, path=source.path)
        assert journal.find(replace(source, name="b/a.jpg")).name == "b/a.jpg"  # under another name today
        assert journal.find(FilmSource("x", tmp_path / "missing")).error == "no such"
    assert str(tmp_path) not in (tmp_path / "out/j.jsonl").read_text()


def test_another_model_or_film_has_no_record(source, tmp_path):
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        journal.add(source, RECORD)
    source.path.write_bytes(b"another film")
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        assert journal.find(source) is None
    source.path.write_bytes(b"film")
    with FilmJournal(tmp_path / "j.jsonl", "another") as journal:
        assert journal.find(source) is None


def test_settings_tell_results_apart(tmp_path, monkeypatch):
    """The model, all settings, and the rules for results."""
    settings = [
        {},
        dict(rois=1),
        dict(find_orientation=False),
        dict(whole_films=True),
        dict(limits=ReviewLimits(1, 0.01, 0.5, {})),
        dict(model=tmp_path / "another.onnx"),
    ]
    (shipped,) = detector.SHIPPED.glob("*.onnx")
    # field 128, which no reader knows: another file of the same network
    (tmp_path / "another.onnx").write_bytes(shipped.read_bytes() + b"\x82\x08\x00")
    found = [HipDetector(threads=1, **each).settings for each in settings]
    assert HipDetector(threads=2, progress=True).settings == found[0]
    # 3: scores of several classes were shares of their place alone; 4: no candidates; 5: unusual films were read rotated, too
    earlier = (1, 2, 3, 4, 5)
    for version in earlier:
        monkeypatch.setattr(detector, "RESULTS_VERSION", version)
        found.append(HipDetector().settings)
    assert len(set(found)) == len(settings) + len(earlier)


def test_settings_tell_runtimes_apart():
    pytest.importorskip("openvino")
    assert HipDetector(runtime="openvino").settings != HipDetector().settings


def test_results_of_an_earlier_version_are_computed_again(tmp_path, monkeypatch, capsys):
    """A journal as 0.1.0 first wrote it, with a guessed side."""
    film = make_film("cgoa", 0, seed=3, max_side=400)
    path = tmp_path / "film.png"
    Image.fromarray(film.pixels[:, : int(film.hips[:, [0, 2]].mean())]).save(path)
    used = HipDetector()
    card = used.model
    first = f"{card.fingerprint} {used.rois} {used.find_orientation} {used.limits} {used.at_least}"
    with FilmJournal(tmp_path / "out/journal.jsonl", first) as journal:
        journal.add(FilmSource("film.png", path), replace(RECORD, name="film.png", turned=0, inverted=False))
    monkeypatch.setattr("sys.argv", ["predict", str(path), "--out", str(tmp_path / "out")])
    predict.main()
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    with (tmp_path / "out/predictions.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(rows) == len(table) > 0
    for row in (*rows, *table):
        assert (row["picture_side"], row["patient_side"]) == ("", "")
        assert float(row["score"]) != 0.75
    assert (tmp_path / "out/journal.jsonl").read_bytes().count(b"\n") == 2
    predict.main()  # and kept
    assert (tmp_path / "out/journal.jsonl").read_bytes().count(b"\n") == 2


def test_an_incomplete_line_is_removed(source, tmp_path):
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        journal.add(source, RECORD)
    whole = (tmp_path / "j.jsonl").read_bytes()
    (tmp_path / "j.jsonl").write_bytes(whole + whole[:-9])
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        assert journal.find(source) is not None
        journal.add(source, replace(RECORD, width=41))
        assert journal.find(source).width == 41
    assert (tmp_path / "j.jsonl").read_bytes().count(b"\n") == 2


def test_two_processes_may_write_one(source, tmp_path):
    """Each film keeps its own record, whichever process wrote in between."""
    other = FilmSource("b.jpg", tmp_path / "b.jpg")
    other.path.write_bytes(b"another")
    with FilmJournal(tmp_path / "j.jsonl", "model") as one, FilmJournal(tmp_path / "j.jsonl", "model") as two:
        two.add(other, replace(RECORD, name="b.jpg", width=41))
        one.add(source, RECORD)
        two.add(other, replace(RECORD, name="b.jpg", width=42))
        assert (one.find(source).width, two.find(other).width) == (40, 42)
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        assert (journal.find(source).width, journal.find(other).width) == (40, 42)


def line(**changes):
    return json.dumps({"key": "k", "film": {**RECORD.to_json(), **changes}})


BOX = [1.5, 2.25, 11.5, 12.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "byte 0: no film, expected an object: remove this journal of hipdet predict"),
        ("films", "line 1: not JSON"),
        ("hello\nworld", "line 1: not JSON"),
        ("[" * 10_000, "line 1: nested too deeply"),
        ('{"key": "k", "film": {"rois": NaN}}', "line 1: not JSON"),
        ('{"key": 1, "film": {"rois": 3}}', "no width, expected a whole number"),
        (line(width=float(10**300)), "width is 1e.300, expected a whole number from 0 to 20000"),
        (line(turned=45), "turned is 45, expected one of 0, 90"),
        (line(inverted=None), "inverted is None"),
        (line(flags=[3]), "flags is .3., expected a list of texts"),
        (line(error=3), "error is 3, expected a text"),
        (line(spacing_mm=[0.1, "x"], spacing_plane="detector"), r"spacing_mm is .0.1, 'x'., expected \[x, y\] in mm"),
        (line(spacing_mm=[0.1, 0.1], spacing_plane="table"), "spacing_plane is 'table', expected one of 'calibrated'"),
        (line(rois=None), "rois is None, expected a list"),
        (line(candidates=3), "candidates is 3, expected a list"),
        (
            line(candidates=[dict(box=BOX, score=1, label="hip", picture_side="", candidate=2)]),
            "candidate is 2, expected",
        ),
        (line(rois=[None]), "rois 1: found None, expected an object"),
        (line(rois=[dict(box=BOX, score=2, label="hip", picture_side="")]), "rois 1: score is 2, expected a number"),
        (line(rois=[dict(box=BOX[:3], score=1, label="hip", picture_side="")]), "rois 1: box is .*, expected four"),
        (
            line(rois=[dict(box=[9e9, 0, 1e10, 5], score=1, label="hip", picture_side="")]),
            "rois 1: box is .*, expected four",
        ),
        (
            line(rois=[dict(box=BOX[::-1], score=1, label="hip", picture_side="")]),
            "rois 1: box is .* from left to right",
        ),
        (line(rois=[dict(box=BOX, score=1, label=3, picture_side="")]), "rois 1: label is 3, expected a text"),
        (line(rois=[dict(box=BOX, score=1, label="hip", picture_side=None)]), "rois 1: picture_side is None"),
        (json.dumps({"key": 1, "film": RECORD.to_json()}), "key is 1, expected a text"),
    ],
    ids=lambda value: value[:40],
)
def test_other_files_are_refused(text, message, tmp_path):
    (tmp_path / "j.jsonl").write_text(f"{text}\n")
    with pytest.raises(DatasetError, match=rf"j\.jsonl: .*{message}"):
        FilmJournal(tmp_path / "j.jsonl", "model")
    assert (tmp_path / "j.jsonl").read_text() == f"{text}\n"


def test_labels_that_the_model_lacks_are_refused(source, tmp_path):
    with FilmJournal(tmp_path / "j.jsonl", "model", ("knee",)) as journal:
        journal.add(source, RECORD)
        with pytest.raises(
            DatasetError, match=r"j\.jsonl: byte 0: film: rois 1: label is 'hip', expected one of 'knee'"
        ):
            journal.find(source)


def test_sides():
    assert (ROI.picture_side, ROI.patient_side) == ("left", "right")  # the patient faces the reader


def test_files(tmp_path):
    sure = replace(RECORD, name="b.jpg", flags=(), turned=0, inverted=False)
    unsure = replace(RECORD, name="c.jpg", flags=("low_score", "odd_ratio"))
    unreadable = FilmRois("d.jpg", None, error="empty file")
    records = [(3, RECORD), (5, sure), (6, unsure), (7, unreadable), (9, replace(RECORD, name="e.jpg", rois=()))]
    write_predictions(tmp_path, lambda: iter(records), {"hip": 4})
    write_films(tmp_path / "films.json", lambda: iter(records), {"hip": 4})

    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert rows[0] == dict(
        image_id=3, category_id=4, bbox=[1.5, 2.25, 10, 10], score=0.75, file_name="a.jpg", width=40, height=30, label="hip",
        picture_side="left", patient_side="right", turned=90, inverted=True, flags=["fewer_rois"], candidate=False,
        spacing_mm=None, spacing_plane=None, size_mm=None,
    )  # fmt: skip
    assert [each["image_id"] for each in rows] == [3, 5, 6]
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:3] == [
        "a.jpg,3,hip,1.5,2.25,11.5,12.25,0.75,left,right,90,1,fewer_rois,0,,,,,",
        "b.jpg,5,hip,1.5,2.25,11.5,12.25,0.75,left,right,0,0,,0,,,,,",
    ]
    assert (tmp_path / "review.csv").read_text().splitlines() == [
        "film,flags,error,lowest_score,rois,turned,inverted,width,height",
        "d.jpg,,empty file,,0,0,0,0,0",
        "c.jpg,low_score odd_ratio,,0.75,1,90,1,40,30",
        "e.jpg,fewer_rois,,,0,90,1,40,30",
        "a.jpg,fewer_rois,,0.75,1,90,1,40,30",
    ]
    images = json.loads((tmp_path / "films.json").read_text())["images"]
    assert [(image["id"], image["file_name"]) for image in images] == [
        (3, "a.jpg"),
        (5, "b.jpg"),
        (6, "c.jpg"),
        (9, "e.jpg"),
    ]


def test_candidates_are_told_from_rois(source, tmp_path):
    """Rows after the ROIs; the review list counts ROIs alone."""
    film = replace(RECORD, candidates=(CANDIDATE,), flags=("fewer_rois", "candidates"))
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        journal.add(source, film)
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        assert journal.find(source) == replace(film, path=source.path)
    write_predictions(tmp_path, lambda: iter([(3, film), (4, replace(film, rois=()))]), {"hip": 4})
    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert [(row["image_id"], row["score"], row["candidate"]) for row in rows] == [
        (3, 0.75, False),
        (3, 0.25, True),
        (4, 0.25, True),
    ]
    table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert ",flags,candidate," in table[0]
    assert [line.split(",")[-7:-5] for line in table[1:]] == [["fewer_rois candidates", each] for each in "011"]
    assert (tmp_path / "review.csv").read_text().splitlines()[1:] == [
        "a.jpg,fewer_rois candidates,,,0,90,1,40,30",
        "a.jpg,fewer_rois candidates,,0.75,1,90,1,40,30",
    ]


def test_journals_of_earlier_versions_are_read(source, tmp_path):
    """Their records have no candidates and no spacing."""
    film = RECORD.to_json()
    del film["candidates"], film["rois"][0]["candidate"], film["spacing_mm"], film["spacing_plane"]
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        key = journal.key(source)
    (tmp_path / "j.jsonl").write_text(json.dumps({"key": key, "film": film}) + "\n")
    with FilmJournal(tmp_path / "j.jsonl", "model", ("hip",)) as journal:
        assert journal.find(source) == replace(RECORD, path=source.path)


def test_millimetres(source, tmp_path):
    """A box of 10x10 px, with 0.2 mm between columns and 0.35 mm between rows."""
    film = replace(RECORD, spacing_mm=(0.2, 0.35), spacing_plane="detector", candidates=(CANDIDATE,))
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        journal.add(source, film)
    with FilmJournal(tmp_path / "j.jsonl", "model") as journal:
        film = journal.find(source)
    assert (film.spacing_mm, film.spacing_plane, film.size_mm(ROI)) == ((0.2, 0.35), "detector", (2, 3.5))
    assert RECORD.size_mm(ROI) is None
    write_predictions(tmp_path, lambda: iter([(3, film), (4, RECORD)]), {"hip": 4})
    write_films(tmp_path / "films.json", lambda: iter([(3, film), (4, RECORD)]), {"hip": 4})
    known = dict(spacing_mm=[0.2, 0.35], spacing_plane="detector")
    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert [row["size_mm"] for row in rows] == [[2, 3.5], [2, 3.5], None]
    assert {key: rows[0][key] for key in known} == known
    table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert [line.split(",")[-5:] for line in table] == [
        ["spacing_x_mm", "spacing_y_mm", "spacing_plane", "width_mm", "height_mm"],
        *[["0.2", "0.35", "detector", "2.0", "3.5"]] * 2,
        [""] * 5,
    ]
    images = json.loads((tmp_path / "films.json").read_text())["images"]
    size = dict(width=40, height=30)
    assert images == [dict(id=3, file_name="a.jpg", **size, **known), dict(id=4, file_name="a.jpg", **size)]


def test_pycocotools_takes_them(tmp_path):
    from pycocotools.coco import COCO

    write_predictions(tmp_path, lambda: iter([(3, RECORD)]), {"hip": 4})
    write_films(tmp_path / "films.json", lambda: iter([(3, RECORD)]), {"hip": 4})
    found = COCO(tmp_path / "films.json").loadRes(str(tmp_path / "predictions.json"))
    assert [(each["image_id"], each["category_id"], each["area"]) for each in found.dataset["annotations"]] == [
        (3, 4, 100)
    ]


def test_no_rois_are_an_empty_list(tmp_path):
    write_predictions(tmp_path, lambda: iter([]), {})
    assert json.loads((tmp_path / "predictions.json").read_text()) == []
