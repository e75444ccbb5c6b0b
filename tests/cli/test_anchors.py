"""hipdet anchors: what it prints and writes, and its messages for bad input."""

import json

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from hipdet.cli.main import main
from hipdet.core.errors import ConfigError
from roi_sets import build_label_coco, squares

HIPS = squares(np.linspace(0.1, 0.3, 60))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder of its own; returns exit status, output and errors."""

    def run_anchors(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HIPDET_DATA", raising=False)
        status = 0
        try:
            main(["anchors", *map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        return (status, *capsys.readouterr())

    return run_anchors


@pytest.fixture
def write(tmp_path):
    def write(name, coco):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(coco if isinstance(coco, str) else json.dumps(coco))
        return name

    return write


def test_everything_is_written(run, write, tmp_path):
    coco = build_label_coco(HIPS)
    write("data/annotations/hips_train.json", coco)
    write("data/annotations/hips_val.json", coco)
    for image in coco["images"]:
        Image.new("L", (500, 500), 60).save(tmp_path / "data" / image["file_name"])
    status, out, err = run("data/annotations/hips_train.json")
    assert (status, err) == (0, "")
    assert "Recommended: grid 7, 6 scales 0.7 1.0 1.3 1.6 1.9 2.2, 294 anchors" in out
    assert "Rejected:" in out
    assert "next: hipdet train work_dirs/anchors/hips/ssd_hips.py" in out
    folder = tmp_path / "work_dirs/anchors/hips"
    plan = json.loads((folder / "anchor_plan.json").read_text())
    assert plan["anchors"] == dict(
        grids=[7], scales=[0.7, 1.0, 1.3, 1.6, 1.9, 2.2], aspects=[1.0], per_image=294, strides=[32]
    )
    assert plan["figures"]["fitted"] == 1
    assert plan["neighbours"][0]["why"]
    assert plan["other_films"]["hips_val"] == plan["figures"]
    assert "hips_val: 100.0% of its ROIs have an anchor of their size" in out
    assert str(tmp_path) not in (folder / "anchor_plan.json").read_text()
    assert Image.open(folder / "anchors.png").size == (1500, 500)
    cfg = Config.fromfile(folder / "ssd_hips.py")
    assert cfg.train_dataloader.dataset.data_root == "data"
    assert cfg.val_dataloader.dataset.ann_file == cfg.test_dataloader.dataset.ann_file == "annotations/hips_val.json"
    assert sorted(path.name for path in folder.iterdir()) == ["anchor_plan.json", "anchors.png", "ssd_hips.py"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run("data/annotations/hips_train.json")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_config_for_left_and_right_trains_on_mirrored_films(run, write, tmp_path):
    """hip_ssd_r18_demo mirrors films; without the line about pairs nothing is trained."""
    each = np.arange(60)
    names = ("left lung", "right lung")
    coco = build_label_coco(squares(np.linspace(0.2, 0.3, 60), films=each // 2, labels=each % 2, classes=names))
    write("data/annotations/lungs.json", coco)
    for image in coco["images"]:
        Image.new("L", (500, 500), 60).save(tmp_path / "data" / image["file_name"])
    status, _, err = run("data/annotations/lungs.json", "--base", "configs/hip_ssd_r18_demo.py", "--out", "out")
    assert (status, err) == (0, "")
    config = tmp_path / "out/ssd_lungs.py"
    init_default_scope("mmdet")
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    assert dataset.get_data_info(0)["mirrored_labels"] == (1, 0)
    text = config.read_text()
    assert text.count("mirrored_pairs=[('left lung', 'right lung')]") == 1
    config.write_text(text.replace("mirrored_pairs=", "no_pairs="))
    with pytest.raises(
        ConfigError, match=r"lungs\.json: RandomSimilarity mirrors films, and 'left lung' and 'right lung'"
    ):
        DATASETS.build(Config.fromfile(config).train_dataloader.dataset)


def test_options(run, write, tmp_path):
    write("a.json", build_label_coco(HIPS))
    write("b.json", build_label_coco(squares(np.linspace(0.26, 0.3, 40))))
    arguments = ["--scales", "fitted", "--grids", "7", "7,14", "--coverage", "0.9", "--out", "out", "--val", "b.json"]
    status, out, err = run("a.json", "b.json", *arguments, "--base", "configs/hip_ssd_r18_demo.py")
    assert status == 0
    assert "anchors are drawn without a film, as" in err
    assert "Warnings:" in out
    plan = json.loads((tmp_path / "out/anchor_plan.json").read_text())
    assert plan["goal"]["grids"] == [[7], [14, 7]]
    assert plan["goal"]["scales"] == "fitted"
    assert [spread["name"] for spread in plan["spreads"]] == ["a", "b"]
    assert (tmp_path / "out/ssd_a.py").exists()


def test_without_validation_it_says_so(run, write):
    write("a.json", build_label_coco(HIPS))
    _, out, _ = run("a.json", "--out", "out")
    assert "No file for validation: split the films with hipdet split" in out


def changed(**changes):
    coco = build_label_coco(squares([0.2] * 40))
    coco["images"][0].update(changes.get("image", {}))
    coco["annotations"][0].update(changes.get("annotation", {}))
    return coco


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dict(build_label_coco(HIPS), annotations=[]), "a.json: no ground truth boxes"),
        (
            changed(image=dict(width=0, height=0)),
            "image 1 (0.png): width is 0, expected the pixels of the upright film",
        ),
        (changed(annotation=dict(bbox=[1, 1, 0, 0])), "annotation 1 (0.png): bbox [1, 1, 0, 0], 0 wide and 0 high"),
        (changed(annotation=dict(bbox=[float("nan"), 1, 5, 5])), "NaN is not a number of JSON"),
        ("{", "not JSON"),
        (dict(images=[]), "'annotations' is missing"),
    ],
)
def test_bad_content(run, write, tmp_path, content, words):
    write("a.json", content)
    status, _, err = run("a.json")
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "work_dirs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.json"], "none.json: no such file"),
        (["a.json", "--val", "none.json"], "none.json: no such file: check the path, or make it with hipdet split"),
        (["a.json", "sub/a.json"], "two files are called a.json"),
        (["a.json", "knees.json"], "different classes: ['hip']; ['knee']"),
        (["a.json", "--test", "knees.json"], "knees.json: has the classes ['knee'], expected ['hip'] as for training"),
        (
            ["a.json", "--grids", "5"],
            "no feature map for grids [5] on 224 px: a ResNet of 4 stages offers [1, 2, 4, 7, 14, 28]",
        ),
        (["a.json", "--grids", "seven"], "'seven': expected a grid such as 7"),
        (["a.json", "--coverage", "99"], "'99': expected a share above 0, up to 1"),
        (["a.json", "--base", "configs/none.py"], "configs/none.py: no such config"),
        (["a.json", "--base", "other.py"], "other.py: expected a config with a ResNet and a HipSSDHead"),
        (
            ["a.json", "--base", "configs/hip_roi_small.py", "--grids", "56"],
            "on 448 px reduced by 2: a ResNet of 3 stages offers",
        ),
    ],
)
def test_bad_arguments(run, write, tmp_path, arguments, words):
    write("a.json", build_label_coco(HIPS))
    write("sub/a.json", build_label_coco(HIPS))
    write("knees.json", build_label_coco(squares([0.2], classes=("knee",))))
    write("other.py", "model = dict(backbone=dict(type='VGG'))")
    status, _, err = run(*arguments)
    assert status == 2
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("ssd_*.py"))


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_box(run, write, count):
    write("a.json", build_label_coco(squares([0.2] * count)))
    status, out, _ = run("a.json")
    assert status == 0
    assert f"only {count} ROIs" in out
    assert "1 scale" in out
