"""benchmarks/compare_folds.py without Ultralytics: labels, boxes, epochs and tables, by hand."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

import compare_folds
from compared.folds import Folds
from compared.programs import choose_epochs, run
from compared.rtmdet import RtmDet
from compared.scores import Contestant, compare, square_table, squared, tables, write_table
from compared.yolo import Yolo, read_found, write_films
from hipdet.core.boxes import Detections
from hipdet.core.errors import HipdetError

WIDTH, HEIGHT = 200, 100
# category id, xywh: a square knee that the left edge cuts, and a leg that is no square
FILMS = {
    1: [(7, [20, 10, 40, 40]), (3, [100, 0, 20, 80])],
    2: [(7, [-10, 20, 40, 30])],
    3: [],
    4: [(3, [0, 0, 50, 100])],
}
CLASSES = {7: "left knee", 3: "right knee"}  # the order of the file, not of the ids
FOLD_OF = {1: 0, 2: 0, 3: 1, 4: 1}


def coco_of(films, patients=None):
    images = [
        dict(
            id=film, file_name=f"{film}.png", width=WIDTH, height=HEIGHT, patient=(patients or {}).get(film, f"p{film}")
        )
        for film in films
    ]
    annotations = [
        dict(id=10 * film + place, image_id=film, category_id=category, bbox=box, area=box[2] * box[3], iscrowd=0)
        for film in films
        for place, (category, box) in enumerate(FILMS[film])
    ]
    categories = [dict(id=number, name=name) for number, name in CLASSES.items()]
    return dict(info={}, images=images, annotations=annotations, categories=categories)


COUNTS = {"left knee": 1, "right knee": [0, 1]}
CONFIG = f"test_evaluator = [dict(type='RoiMetric', ann_file='', rois_per_image=dict({COUNTS}))]\n"


def found_of(film, shift=0.0, label_of=None):
    """Detections that are the labels, shifted to the right; classes by `label_of`."""
    index = {category: number for number, category in enumerate(CLASSES)}
    boxes = np.array([[x + shift, y, x + w + shift, y + h] for _, (x, y, w, h) in FILMS[film]], float).reshape(-1, 4)
    labels = np.array([(label_of or index)[category] for category, _ in FILMS[film]], np.int64)
    return Detections(boxes, np.full(len(boxes), 0.9), labels)


@pytest.fixture
def fit(tmp_path):
    """The folder of a finished ``hipdet fit`` of two folds, whose detections are off by 10 px."""
    out = tmp_path / "fit"
    (out / "data").mkdir(parents=True)
    for film in FILMS:
        Image.new("L", (WIDTH, HEIGHT), film).save(out / f"data/{film}.png")
    for number in (0, 1):
        parts = {name: [f for f in FILMS if (FOLD_OF[f] == number) == (name == "test")] for name in ("train", "test")}
        for name, films in parts.items():
            (out / f"data/fold{number}_{name}.json").write_text(json.dumps(coco_of(films)))
        fold = out / f"trainings/fold{number}"
        (fold / "test").mkdir(parents=True)
        (fold / "config.py").write_text(CONFIG)
        (fold / "record.json").write_text(json.dumps(dict(seconds=30, cpu_seconds=20.0 + number)))
        detections = {film: found_of(film, shift=10) for film in parts["test"]}
        write_table(out / f"data/fold{number}_test.json", COUNTS, detections, fold / "test")
    return out


def test_a_fit_is_read(fit):
    folds = Folds.read(fit)
    assert list(folds.parts) == [0, 1]
    assert folds.data_root == fit / "data"
    assert folds.classes == ["left knee", "right knee"]
    assert folds.counts == COUNTS
    assert folds.sided
    assert {image["id"] for image in folds.coco["images"]} == set(FILMS)
    # left: 40 x 40 and 40 x 30, IoU 1 and 1200 / (2 sqrt(1200) 40 - 1200) = 0.76..; right: 20 x 80 and 50 x 100
    assert folds.square_classes == frozenset()


def test_a_cross_validation_is_read(fit, tmp_path):
    out = tmp_path / "cross"
    (out / "folds").mkdir(parents=True)
    for path in (fit / "data").glob("fold*.json"):
        (out / "folds" / f"hips_{path.name}").write_bytes(path.read_bytes())
    (fit / "trainings").rename(out / "medium")
    with pytest.raises(HipdetError, match="--data-root"):
        Folds.read(out)
    folds = Folds.read(out, fit / "data")
    assert folds.trained == {"medium": {0: out / "medium/fold0", 1: out / "medium/fold1"}}
    assert folds.parts[1].train.name == "hips_fold1_train.json"


def test_what_is_no_finished_training(fit, tmp_path):
    with pytest.raises(HipdetError, match="found neither data nor folds"):
        Folds.read(tmp_path)
    (fit / "trainings/fold1/test/test.roi.json").unlink()
    with pytest.raises(HipdetError, match="no folds with test/test"):
        Folds.read(fit)


def test_labels_have_classes_and_lie_on_the_film(fit, tmp_path):
    coco = coco_of(FILMS)
    coco["annotations"].append(dict(coco["annotations"][0], id=99, iscrowd=1))  # ignored
    write_films(coco, fit / "data", tmp_path / "films")
    labels = {path.stem: path.read_text().splitlines() for path in (tmp_path / "films/labels").iterdir()}
    assert labels == {
        # centre 40, 30 of 200 x 100, sides 40, 40; centre 110, 40, sides 20, 80
        "1": ["0 0.200000 0.300000 0.200000 0.400000", "1 0.550000 0.400000 0.100000 0.800000"],
        "2": ["0 0.075000 0.350000 0.150000 0.300000"],  # 0 to 30
        "3": [],
        "4": ["1 0.125000 0.500000 0.250000 1.000000"],
    }
    with Image.open(tmp_path / "films/images/4.png") as film:
        assert film.size == (WIDTH, HEIGHT)
        assert film.getpixel((0, 0)) == 4


def test_detections_are_read(tmp_path):
    (tmp_path / "1.txt").write_text("1 0.5 0.5 0.25 0.5 0.75\n0 0.1 0.2 0.1 0.2 0.5\n")
    found = read_found(tmp_path / "1.txt", dict(width=WIDTH, height=HEIGHT))
    np.testing.assert_allclose(found.boxes, [[75, 25, 125, 75], [10, 10, 30, 30]])
    assert (found.labels.tolist(), found.scores.tolist()) == ([1, 0], [0.75, 0.5])
    assert len(read_found(tmp_path / "2.txt", dict(width=WIDTH, height=HEIGHT)).scores) == 0


def test_boxes_become_squares_of_the_mean_side():
    np.testing.assert_array_equal(
        squared(np.array([[10.0, 20, 30, 60], [0, 0, 5, 5]])), [[5, 25, 35, 55], [0, 0, 5, 5]]
    )
    assert squared(np.zeros((0, 4))).shape == (0, 4)


def roi_table(folder):
    return json.loads((folder / "test.roi.json").read_text())


@pytest.mark.parametrize(("label_of", "iou"), [({7: 0, 3: 1}, 1.0), ({7: 1, 3: 0}, 0.0)])
def test_a_box_of_another_class_hits_nothing(fit, tmp_path, label_of, iou):
    found = {film: found_of(film, label_of=label_of) for film in (3, 4)}
    write_table(fit / "data/fold1_test.json", {"left knee": 1, "right knee": 1}, found, tmp_path / "test")
    assert [row["iou"] for row in roi_table(tmp_path / "test")["rois"]] == [iou]


def test_only_the_best_count(fit, tmp_path):
    """The right box scores less than a wrong one of its class, of which a film has one."""
    boxes = np.array([[100, 0, 150, 100], [0, 0, 50, 100], [0, 0, 10, 10]], float)
    film = Detections(boxes, np.array([0.9, 0.8, 0.7]), np.array([1, 1, 0]))
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    for counts, iou in ((1, 0.0), (2, 1.0)):
        write_table(
            fit / "data/fold1_test.json", {"left knee": 1, "right knee": counts}, {3: nothing, 4: film}, tmp_path
        )
        (row,) = roi_table(tmp_path)["rois"]
        assert (row["iou"], row["oracle_iou"]) == (iou, 1.0)


def test_only_boxes_of_square_classes_become_squares(fit, tmp_path, monkeypatch):
    folds = Folds.read(fit)
    monkeypatch.setitem(folds.__dict__, "square_classes", frozenset({"left knee"}))
    found = {film: found_of(film) for film in (1, 2)}
    found[1].boxes[0] = [20, 15, 60, 45]  # 40 x 30 in the middle of a square of 40: squared, 35 x 35
    write_table(folds.parts[0].test, folds.counts, found, tmp_path / "once")
    square_table(folds, 0, tmp_path / "once", tmp_path / "square")
    iou = {row["annotation_id"]: row["iou"] for row in roi_table(tmp_path / "square")["rois"]}
    assert iou[10] == pytest.approx(35 * 35 / 1600, abs=1e-6)
    assert iou[11] == 1.0  # the right knee stays as it is
    # 0 .. 30 x 20 .. 50 of the label on the film; its detection, clipped to the same, is a square already
    assert iou[20] == 1.0


def test_epochs_for_a_number_of_seconds():
    # 4 epochs take 15 s more than 1: 5 s each, and 5 s for the start
    assert choose_epochs({1: 10.0, 4: 25.0}, 30) == 5
    assert choose_epochs({4: 25.0, 1: 10.0}, 33) == 6  # 5.6
    with pytest.raises(HipdetError, match="the start takes 5 s and an epoch 5 s, expected 10 or more"):
        choose_epochs({1: 10.0, 4: 25.0}, 7)
    with pytest.raises(HipdetError, match="expected more for more"):
        choose_epochs({1: 10.0, 4: 10.0}, 30)


BUSY = "import time\nwhile time.process_time() < .5: pass\n"


def test_cpu_seconds_are_of_the_process_tree(tmp_path):
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    used = run([sys.executable, "-c", child], tmp_path / "log.txt")
    assert 0.5 <= used.cpu_seconds <= used.seconds + 0.2
    idle = run([sys.executable, "-c", "import time; time.sleep(1)"], tmp_path / "log.txt")
    assert idle.seconds >= 1 > idle.cpu_seconds


def test_programs_send_nothing_and_have_one_thread(tmp_path):
    run(["env"], tmp_path / "log.txt", {"OWN": "1"})
    lines = (tmp_path / "log.txt").read_text().splitlines()
    nowhere = "http://127.0.0.1:9"
    offline = {"YOLO_OFFLINE=true", f"https_proxy={nowhere}", f"http_proxy={nowhere}", "DO_NOT_TRACK=1"}
    assert offline | {"OMP_NUM_THREADS=1", "OWN=1"} <= set(lines)
    with pytest.raises(HipdetError, match=r"sh failed: its whole output is in .*log\.txt"):
        run(["sh", "-c", "exit 3"], tmp_path / "log.txt")


def test_films_with_sides_are_not_mirrored(fit):
    folds = Folds.read(fit)
    assert Yolo(folds, "yolo", "yolo11n", 320).settings()["fliplr"] == 0.0
    cfg = RtmDet(folds, 320).config(folds.parts[0], 60)
    steps = cfg.train_dataloader.dataset.pipeline
    assert [step.type for step in steps] == [
        "LoadImageFromFile", "LoadAnnotations", "CachedMosaic", "RandomResize", "RandomCrop", "YOLOXHSVRandomAug", "Pad",
        "CachedMixUp", "PackDetInputs",
    ]  # fmt: skip
    sizes = [step[key] for step in steps for key in ("img_scale", "scale", "crop_size", "size") if key in step]
    assert sizes == [(320, 320), (640, 640), (320, 320), (320, 320), (320, 320)]
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == "PipelineSwitchHook")
    assert switch.switch_epoch == 56  # the last 20 of 300
    assert "RandomFlip" not in str(cfg)
    assert cfg.model.bbox_head.num_classes == 2
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.004 / 32)  # 8 of 256 films
    warm, fall = cfg.param_scheduler
    assert (warm.end, fall.begin, fall.end, fall.T_max) == (6, 30, 60, 30)  # 60 epochs of a step
    assert fall.eta_min == pytest.approx(0.004 / 32 / 20)
    assert cfg.model.backbone.init_cfg is None
    assert "SyncBN" not in str(cfg.model)


def test_films_without_sides_are_mirrored(fit):
    for path in (fit / "data").glob("*.json"):
        path.write_text(path.read_text().replace("left knee", "knee").replace("right knee", "leg"))
    folds = Folds.read(fit)
    assert "fliplr" not in Yolo(folds, "yolo", "yolo11n", 320).settings()
    assert "RandomFlip" in str(RtmDet(folds, 320).config(folds.parts[0], 60))


def test_tables_of_all_and_by_class(fit, tmp_path):
    folds = Folds.read(fit)
    other = tmp_path / "other/fold0"
    write_table(folds.parts[0].test, folds.counts, {film: found_of(film) for film in (1, 2)}, other / "test")
    (other / "record.json").write_text(json.dumps(dict(seconds=50, cpu_seconds=40.0, epochs=7)))
    hipdet = Contestant("hipdet fit", folds.trained["hipdet fit"])
    (one,) = compare(folds, [hipdet, Contestant("other", {0: other})])
    assert (one["folds"], one["films"]) == ([0], 2)
    base, best = one["rows"]
    assert (base["cpu_seconds"], best["cpu_seconds"], best["epochs"]) == (20.0, 40.0, 7.0)
    # shifted by 10: 30 of 50 columns; of 20 px wide, 10 of 30; of the 30 on the film, 30 of 40 as 0 .. 40 was found
    left, right = base["parts"]["left knee"], base["parts"]["right knee"]
    assert (left["avg_iou"], right["avg_iou"]) == pytest.approx(((0.6 + 0.75) / 2, 1 / 3), abs=1e-6)
    assert best["parts"]["right knee"]["gain"] == pytest.approx(2 / 3, abs=1e-6)
    assert best["parts"][""]["gain"] == pytest.approx(1 - (0.6 + 0.75 + 1 / 3) / 3, abs=1e-6)
    text = tables([one])
    assert re.findall("^##.*", text, re.M) == [
        "## Fold 0, 2 films",
        "### left knee, 2 labels",
        "### right knee, 1 labels",
    ]
    assert "| other | 40 | 50 | 7 | 1.0000 [1.0000, 1.0000] | 1.000 [1.000, 1.000] | 1.000 | 1.000 |" in text


# stands for Ultralytics: finds what the labels say, and notes its arguments
FAKE = """#!{python}
import os, sys
from pathlib import Path
mode, settings = sys.argv[2], dict(each.split("=", 1) for each in sys.argv[3:])
with open({log!r}, "a") as log:
    print(mode, settings.get("epochs"), file=log)
if mode == "predict":
    source, out = Path(settings["source"]), Path(settings["project"]) / "predict/labels"
    out.mkdir(parents=True)
    for path in (source.parent / "labels").iterdir():
        text = "".join(line + " 0.9\\n" for line in path.read_text().splitlines())
        (out / path.name).write_text(text)
"""


def compare_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare_folds.py", *map(str, arguments)])
    compare_folds.main()


def test_finished_folds_are_not_trained_again(fit, tmp_path, monkeypatch, capsys):
    yolo, log, out = tmp_path / "yolo", tmp_path / "calls.txt", tmp_path / "out"
    yolo.write_text(FAKE.format(python=sys.executable, log=str(log)))
    yolo.chmod(0o700)
    out.mkdir()
    (out / "yolo11n_320.speed.json").write_text('{"1": 10.0, "4": 25.0}')
    command = [fit, "--out", out, "--yolo", yolo, "--seconds", 30]
    compare_main(monkeypatch, *command, "--folds", 0)
    compare_main(monkeypatch, *command)
    assert log.read_text().splitlines() == ["train 5", "predict None"] * 2
    fold = out / "yolo11n_320_30s/fold1"
    assert json.loads((fold / "record.json").read_text())["epochs"] == 5
    assert not (fold / "films").exists()
    capsys.readouterr()
    compare_main(monkeypatch, fit, "--out", out)
    shown = capsys.readouterr().out
    assert len(log.read_text().splitlines()) == 4
    assert shown == (out / "compared.md").read_text() + "\n"
    (both,) = json.loads((out / "compared.json").read_text())
    assert (both["folds"], [row["name"] for row in both["rows"]]) == ([0, 1], ["hipdet fit", "yolo11n_320_30s"])
    assert both["rows"][1]["parts"][""]["avg_iou"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--side", "100"], "--side 100: expected a multiple of 32"),
        (["--seconds", "0"], "--seconds 0: expected more than 0"),
        (["--rate", "0.001"], "--rate 0.001: .* --model rtmdet_tiny"),
        (["--folds", "0", "9"], "--folds 9: .* has folds 0 1"),
    ],
)
def test_arguments_that_make_no_sense(fit, tmp_path, monkeypatch, capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        compare_main(monkeypatch, fit, "--out", tmp_path / "out", *arguments)
    assert ended.value.code == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
