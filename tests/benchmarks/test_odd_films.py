"""benchmarks/odd_films.py: the folder, the scores, and a test from end to end."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import odd_films
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.data.coco_file import Film, Roi
from hipdet.data.validate.check import validate
from hipdet.inference.detections import DetectedRoi, FilmRois
from odd.kinds import KINDS
from odd.make import Ordinary, make_kinds
from odd.run import OddFilms, fold_models, run_models
from odd.score import report, row_of, rows_of, score
from spotted_films import HIGH, SPOTS, WIDE, spotted

WIDTH, HEIGHT = 200, 100
# squares of 20 px about (30, 50) and (150, 60)
BOXES = np.array([[20.0, 40, 40, 60], [140, 50, 160, 70]])


def write_films(folder, films, ignored=()):
    """Spotted films with two labels each, or as many as `films` says, and their COCO file."""
    images, annotations = [], []
    for number, (name, labels) in enumerate(films.items(), 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(spotted()).save(folder / name)
        images.append(dict(id=number, file_name=name, width=WIDE, height=HIGH, source="s", patient=name))
        for box, side in zip(SPOTS[:labels].tolist(), ("left", "right")):
            annotations.append(
                dict(
                    id=len(annotations) + 1, image_id=number, category_id=1, bbox=[box[0], box[1], 60, 60], area=3600,
                    iscrowd=int(name in ignored), picture_side=side, implant=False,
                )
            )  # fmt: skip
    coco = dict(info={}, images=images, annotations=annotations, categories=[dict(id=1, name="hip")])
    (folder / "films.json").write_text(json.dumps(coco))
    return folder / "films.json"


def test_a_folder_of_odd_films(tmp_path):
    films = {"s/a.png": 2, "s/b.v2.png": 1, "none.png": 0, "ignored.png": 2}
    coco = write_films(tmp_path, films, ignored={"ignored.png"})
    out = tmp_path / "odd"
    assert make_kinds(coco, tmp_path, out, [*KINDS]) == {kind: 1 if kind == "one_hip" else 2 for kind in KINDS}
    for kind in KINDS:
        content, faults = validate(out / f"{kind}.json", out)
        assert [str(fault) for fault in faults if not fault.warning] == []
        assert [(each["turned"], each["inverted"]) for each in content["images"]] == [
            (KINDS[kind].turned, KINDS[kind].inverted)
        ] * len(content["images"])
    upside_down = json.loads((out / "upside_down.json").read_text())
    assert [each["file_name"] for each in upside_down["images"]] == [
        "images/upside_down/s/a.png", "images/upside_down/s/b.v2.png"
    ]  # fmt: skip
    # (60, 130) .. (120, 190) of 400 x 320; its side isn't that of the picture any more
    assert upside_down["annotations"][0]["bbox"] == [280, 130, 60, 60]
    assert "picture_side" not in upside_down["annotations"][0]
    assert "implant" not in json.loads((out / "implant.json").read_text())["annotations"][0]
    jpeg = out / "images/jpeg10/s/a.jpg"
    with Image.open(jpeg) as picture:
        assert (picture.format, picture.size) == ("JPEG", (WIDE, HIGH))
        assert picture.quantization[0][0] == 80  # 16 of the standard's table, times 5 at quality 10
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["left_out"] == {"unlabelled": 2, "with ignored boxes": 1}
    assert list(provenance["kinds"]) == [*KINDS]


def test_it_goes_on_where_it_ended_and_refuses_other_films(tmp_path):
    coco = write_films(tmp_path, {"a.png": 2})
    out = tmp_path / "odd"
    make_kinds(coco, tmp_path, out, ["cut", "noisy"])
    kept, lost = out / "images/cut/a.png", out / "images/noisy/a.png"
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    make_kinds(coco, tmp_path, out, ["cut", "noisy", "dark"])
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == content
    assert list(json.loads((out / "provenance.json").read_text())["kinds"]) == ["dark", "noisy", "cut"]
    with pytest.raises(DatasetError, match="seed is 0, expected 1: choose another --out"):
        make_kinds(coco, tmp_path, out, ["cut"], seed=1)


def test_films_that_cannot_be_used(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.json: no such file"):
        make_kinds(tmp_path / "none.json", tmp_path, tmp_path / "odd", ["cut"])
    with pytest.raises(DatasetError, match="no ground truth boxes"):
        Ordinary.read(write_films(tmp_path, {"a.png": 0}))
    with pytest.raises(DatasetError, match=r"a\.png and a\.jpg differ in their ending alone"):
        Ordinary.read(write_films(tmp_path, {"a.png": 2, "a.jpg": 2}))
    coco = write_films(tmp_path, {"b.png": 2})
    Image.new("L", (WIDE, 100)).save(tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png: 400x100 px, expected 400x320 as in .*films\.json"):
        make_kinds(coco, tmp_path, tmp_path / "odd", ["cut"])


def test_unknown_kinds_are_refused(tmp_path, capsys):
    for command in (["make", "films.json", "--data-root", ".", "--out", "odd"], ["test", "odd", "--out", "table"]):
        with pytest.raises(SystemExit) as ended:
            odd_films.main([*command, "--kinds", "sideways"])
        assert ended.value.code == 2
        assert "invalid choice: 'sideways'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        odd_films.main(["make", str(tmp_path / "none.json"), "--data-root", ".", "--out", str(tmp_path / "odd")])
    assert ended.value.code == 2
    assert "none.json: no such file" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="no kind of odd films: make them first"):
        OddFilms.read(tmp_path)


def film_of(truth, turned=0, inverted=False):
    rois = tuple(Roi(tuple(map(float, box)), "hip") for box in truth)
    return Film("a.png", WIDTH, HEIGHT, "s", "p", rois, dict(turned=turned, inverted=inverted, made_from="x.png"))


def found_of(boxes, candidates=(), flags=(), **orientation):
    rois = tuple(DetectedRoi(tuple(map(float, box)), 0.9, "hip", "") for box in boxes)
    others = tuple(DetectedRoi(tuple(map(float, box)), 0.99, "hip", "", True) for box in candidates)
    return FilmRois("a.png", None, WIDTH, HEIGHT, rois, tuple(flags), candidates=others, **orientation)


TRUTH = BOXES.tolist()
HALF = [20, 40, 40, 50]  # the upper half of the first label
ELSEWHERE = [90, 0, 110, 20]


def test_a_film_is_scored():
    right = score("cut", film_of(TRUTH), found_of(TRUTH), "m")
    assert (right.ious, right.false_rois, right.wrong, right.orientation_right) == ((1, 1), 0, False, True)
    # the second hip is a candidate: it counts for IoU, and an ROI is missing
    candidate = score("cut", film_of(TRUTH), found_of(TRUTH[:1], TRUTH[1:]), "m")
    assert (candidate.ious, candidate.rois, candidate.wrong) == ((1, 1), 1, True)
    # candidates come after ROIs, whatever they score: the best two are the first hip and nothing
    false = score("cut", film_of(TRUTH), found_of([TRUTH[0], ELSEWHERE], TRUTH[1:]), "m")
    assert (false.ious, false.false_rois, false.wrong) == ((1, 0), 1, True)
    half = score("cut", film_of(TRUTH), found_of([HALF, TRUTH[1]]), "m")
    assert (half.ious, half.false_rois, half.wrong) == ((0.5, 1), 0, True)
    assert score("cut", film_of(TRUTH), found_of([]), "m").ious == (0, 0)
    other = FilmRois("a.png", None, WIDTH, HEIGHT, (DetectedRoi(tuple(TRUTH[0]), 0.9, "knee", ""),))
    assert score("cut", film_of(TRUTH), other, "m").false_rois == 1


@pytest.mark.parametrize(
    ("truth", "found", "right"),
    [
        ((0, False), (0, False), True), ((0, False), (90, False), False), ((0, False), (0, True), False),
        ((270, True), (270, True), True), ((270, True), (90, True), False), ((270, True), (270, False), False),
    ],
)  # fmt: skip
def test_orientation(truth, found, right):
    film = film_of(TRUTH, *truth)
    assert score("cut", film, found_of(TRUTH, turned=found[0], inverted=found[1]), "m").orientation_right == right


def test_a_row_by_hand():
    films = [
        score("cut", film_of(TRUTH), found_of(TRUTH), "m"),
        score("cut", film_of(TRUTH), found_of(TRUTH, flags=["turned"], turned=90), "m"),
        score("cut", film_of(TRUTH), found_of([HALF, TRUTH[1]], flags=["odd_ratio"]), "m"),
        score("cut", film_of(TRUTH), found_of([ELSEWHERE, TRUTH[1]]), "m"),
    ]
    row = row_of("cut", films)
    assert (row["films"], row["hips"], row["wrong"]) == (4, 8, 2)
    assert row["avg_iou"] == (6 + 0.5) / 8
    assert (row["acc50"], row["min_iou"], row["false_per_film"]) == (7 / 8, 0, 0.25)
    assert (row["orientation_right"], row["flagged"], row["other_flags"]) == (0.75, 0.5, 0.25)
    assert (row["precision"], row["recall"], row["flagged_though_right"]) == (0.5, 0.5, 0.5)
    # Wilson, 2 of 4: (.5 + z2 / 8 -+ z sqrt(.25 / 4 + z2 / 64)) / (1 + z2 / 4), z2 = 3.841459
    assert (row["flagged_low"], row["flagged_high"]) == pytest.approx((0.150039, 0.849961), abs=1e-5)
    nothing = row_of("cut", films[:1])
    assert (nothing["precision"], nothing["recall"], nothing["flagged_though_right"]) == (None, None, 0)
    text = report(rows_of(films), "One line.")
    assert "| cut | 4 | 0.500 [0.150, 0.850] | 0.250 [0.046, 0.699] | 2 |" in text
    assert "| all |" not in text


def test_models_of_films(tmp_path):
    table = tmp_path / "odd_folds.csv"
    table.write_text("image,model\nx.png,fold0/model.onnx\ny.png,fold1/model.onnx\n")
    models = fold_models(table)
    assert models == {f"{film}.png": f"{tmp_path}/fold{fold}/model.onnx" for fold, film in enumerate("xy")}
    odd = OddFilms(tmp_path, [("cut", film_of(TRUTH))])
    with pytest.raises(DatasetError, match=r"x\.png: not in the table of models"):
        run_models(odd, {"y.png": models["y.png"]})
    table.write_text("image,model\nx.png,a.onnx\nx.png,b.onnx\n")
    with pytest.raises(DatasetError, match=r"x\.png has two models"):
        fold_models(table)
    table.write_text("image,fold\nx.png,1\n")
    with pytest.raises(DatasetError, match="model"):
        fold_models(table)


@pytest.mark.slow
def test_each_film_with_its_model(tmp_path, monkeypatch):
    """Models of fixed boxes: of each film that of its row is used, and it is loaded once."""
    pytest.importorskip("onnx")
    from fixed_model import write_model

    import odd.run

    coco = write_films(tmp_path, {"a.png": 2, "b.png": 2})
    make_kinds(coco, tmp_path, tmp_path / "odd", ["ordinary", "inverted"])
    square = 96 / WIDE  # the model's input: boxes are pixels of it
    for name, boxes in (("right", SPOTS), ("wrong", SPOTS + 100)):
        scaled = (boxes * square).tolist()
        write_model(tmp_path / f"{name}.onnx", "2", ("hip",), [0, 0], [0.9, 0.8], scaled)
    (tmp_path / "folds.csv").write_text("image,model\na.png,right.onnx\nb.png,wrong.onnx\n")
    opened = []
    detector = odd.run.RoiDetector
    monkeypatch.setattr(odd.run, "RoiDetector", lambda model, **more: opened.append(model) or detector(model, **more))
    found = run_models(OddFilms.read(tmp_path / "odd"), fold_models(tmp_path / "folds.csv"), threads=1)
    assert [(each.kind, each.made_from, min(each.ious) > 0.95) for each in found] == [
        ("ordinary", "a.png", True), ("ordinary", "b.png", False), ("inverted", "a.png", True), ("inverted", "b.png", False)
    ]  # fmt: skip
    assert opened == [str(tmp_path / "right.onnx"), str(tmp_path / "wrong.onnx")]
    write_model(tmp_path / "knee.onnx", "2", ("knee",), [0, 0], [0.9, 0.8], SPOTS.tolist())
    with pytest.raises(ConfigError, match="it detects knee, and films have labels of hip"):
        run_models(OddFilms.read(tmp_path / "odd"), str(tmp_path / "knee.onnx"))


@pytest.mark.slow
def test_the_bundled_model_from_end_to_end(tmp_path, capsys):
    """Phantom films: what is easy is found, and what was turned is told."""
    pytest.importorskip("cv2")
    from hipdet.phantoms.write import make_film

    images, annotations = [], []
    for number in (1, 2):
        film = make_film("gis", number, max_side=400)
        Image.fromarray(film.pixels).save(tmp_path / f"{number}.png")
        height, width = film.pixels.shape
        images.append(dict(id=number, file_name=f"{number}.png", width=width, height=height, patient=film.patient))
        for x0, y0, x1, y1 in film.hips.tolist():
            box = [x0, y0, x1 - x0, y1 - y0]
            entry = dict(
                id=len(annotations) + 1, image_id=number, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=0
            )
            annotations.append(entry)
    coco = dict(info={}, images=images, annotations=annotations, categories=[dict(id=1, name="hip")])
    (tmp_path / "films.json").write_text(json.dumps(coco))
    kinds = ["ordinary", "lying_left", "lying_right", "inverted", "framed"]
    odd, table = str(tmp_path / "odd"), tmp_path / "table"
    odd_films.main(
        ["make", str(tmp_path / "films.json"), "--data-root", str(tmp_path), "--out", odd, "--kinds", *kinds]
    )
    odd_films.main(["test", odd, "--out", str(table), "--threads", "1"])
    text = (table / "odd_films.md").read_text()
    assert text in capsys.readouterr().out
    content = json.loads((table / "odd_films.json").read_text())
    by_kind = {row["kind"]: row for row in content["kinds"]}
    assert list(by_kind) == [*sorted(kinds, key=[*KINDS].index), "all"]
    for kind in kinds:
        assert by_kind[kind]["avg_iou"] > 0.7
        assert by_kind[kind]["orientation_right"] == 1
    assert {film["turned"] for film in content["films"] if film["kind"] == "lying_left"} == {270}
    assert {film["turned"] for film in content["films"] if film["kind"] == "lying_right"} == {90}
    assert content["flags"]["inverted"]["inverted"] == 2
    assert (content["models"], len(content["films"]), content["films_from"]["seed"]) == (["bundled"], 10, 0)
    with (table / "odd_films.csv").open(newline="") as file:
        assert [row["films"] for row in csv.DictReader(file)] == ["2"] * 5 + ["10"]
